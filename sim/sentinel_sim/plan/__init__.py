"""Which runs a topology file asks for, in which order, and when there are enough (pure)."""
