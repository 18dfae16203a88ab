"""The topology file: what it may say, how it is read, and whether this host can emulate it.

- `units`, `expression`, `arrival`  text with units to integers; the only parsers of quantities
- `fields`, `model`                 the frozen, validated model; the JSON Schema comes from it
- `structure`, `graph`              what fields alone cannot see: lengths, endpoints, paths
- `document`, `messages`, `reader`  YAML with line numbers in, `FILE:LINE: key: what` out
- `sweep`                           which keys a sweep may set, and setting them
- `feasibility`, `findings`, `budget`  refuse before running what this host cannot carry
- `schema`                          the published JSON Schema, for editors

Nothing here touches the network, except that `budget` times datagrams on loopback.
"""
