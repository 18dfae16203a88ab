"""The flow-level engine: steady rates of very many flows, without packets (pure: no clock, no I/O).

- `limits`  what a flow's own window, RTT and loss allow it, also over a chain of relays
- `maxmin`  how flows share links: max-min fair rates in integer bit/s

It knows rates, never queues, single packets or retransmissions.
"""
