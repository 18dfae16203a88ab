"""The packet-level engine: links, TCP and relays in virtual time (pure: no clock, no I/O).

- `spec`        what to simulate: links, connections, probes, as checked values
- `simulation`  builds the arrays from a spec, advances them, reads them, proves conservation
- `layout`      the memory of a simulation: structured arrays, one row per link, packet, connection
- `machine`     the event loop; the only function that Python calls
- `wires`, `sending`, `receiving`, `scoreboard`, `relaying`, `congestion`, `bbr`: what happens

Every function below `machine` is compiled by numba as a whole on the first call (`kernel`); nothing
is compiled at import. Time is integer nanoseconds. Events at the same instant happen in a defined
order: packets before timers, and each by the rank of its link or connection in the spec. Sequence
numbers count segments of one MSS, not bytes; only the last segment of a flow may be shorter.
"""
