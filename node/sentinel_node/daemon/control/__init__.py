"""The control plane of a node: authenticated gRPC streams to its neighbours.

- `interface`: what the rest of the daemon sees of it (`ControlPlane`).
"""
