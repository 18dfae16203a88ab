"""Parts of benchmarks/fuzz_control.py: messages to throw, and nodes to throw them at."""
