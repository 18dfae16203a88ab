"""The arm `fsu` in virtual time: the nodes' own cores, driven between two steps of the engine.

- `agenda`     what happens at which virtual time
- `band`       one direction of a link, for control messages
- `node`       a node's control plane: sessions, heartbeats, flow sync
- `starts`     what a forecast makes ready on the simulated connections
- `virtual`    all of it around one simulation
"""
