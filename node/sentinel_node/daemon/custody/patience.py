"""How long the connections of flows in custody wait for their peers."""

from __future__ import annotations

NS_PER_S = 1_000_000_000
BACKOFF_MIN_NS = 20_000_000
BACKOFF_MAX_NS = NS_PER_S
ASK_AGAIN_NS = NS_PER_S
"""Longer than any round trip on Earth; a new session asks at once anyway."""
SILENCE_GRACE_NS = 250_000_000
"""After a neighbour came back: for TCP to go on by itself, before a new attempt is made."""
END_GRACE_NS = 200_000_000
"""After the peer closed behind the trailer: for its word that all is delivered, before we ask."""
