"""The emulated backend: real kernel TCP between Mininet nodes, over wires, watched by XDP."""
