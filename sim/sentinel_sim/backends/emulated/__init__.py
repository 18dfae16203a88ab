"""The emulated backend: real kernel TCP between Mininet nodes, over wires, watched by XDP."""

import os

# gRPC's fork handlers are for processes that use gRPC in their children; ours only start
# programs. Read when grpc is imported, so it has to be set first.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
