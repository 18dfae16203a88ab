"""The simulated backend: the same runs in virtual time, without root and without a kernel."""
