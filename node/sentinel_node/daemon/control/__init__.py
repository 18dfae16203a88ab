"""The control plane of a node: authenticated gRPC streams to its neighbours.

- `interface`: what the rest of the daemon sees of it (`ControlPlane`).
- `settings`: who the neighbours are, and how they are believed and watched.
- `plane`, `peers`, `stream`, `outbox`, `transport`: accept and dial, one session per neighbour.
- `flow_sync` (with `slope`): flows announced, corrected, passed on and checked.
- `holder`, `convert`: the plane of this daemon, as the node-control service sees it.
"""
