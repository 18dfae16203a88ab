"""What runs on each node.

- `core`: payload, framing, series, arrivals, relay rules. Pure: no I/O, no clock; the simulator
  and the daemon are two drivers of the same code.
- `daemon`: the `sentinel-node` process. Threads move the data, one per connection; an asyncio
  loop serves the controller over gRPC (`protos/sentinel_proto/v1/node_control.proto`).
- `errors`: what can go wrong; mapped to gRPC status codes in one table (`daemon.service`).

The controller uses `daemon.client.NodeClient` and nothing else of the daemon.
"""
