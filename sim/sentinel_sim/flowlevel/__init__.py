"""The flow-level engine: rates of very many flows, without packets (pure: no clock, no I/O).

- `limits`   what a flow's own window, RTT and loss allow it, also over a chain of relays
- `path`     the same with start-up and delays: all that the engine knows of a flow's connections
- `maxmin`   how flows share links: max-min fair rates in integer bit/s, all flows at once
- `state`    the arrays on which flows come and go
- `sharing`  the same rates after each change, where the change reaches (compiled)
- `traffic`  flows over time: arrival, slow start, end (compiled)
- `heap`     what both keep their order in
- `jit`      numba

It knows rates, never queues, single packets or retransmissions.
"""
