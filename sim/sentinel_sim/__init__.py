"""sentinel-sim: throughput against distance, on real kernel TCP and in simulation.

A tour of the packages, in the order in which a run goes through them:

- `topology`    the file: units, model, reader, JSON Schema, paths, feasibility
- `plan`        the runs a file asks for: sweep, arms, repeats, order, stop rule (pure)
- `host`        what this machine can do (doctor), what we own on it (clean)
- `wire`        what emulates one link: rate and queue, then loss, then delay
- `backends`    where runs are executed: `emulated` (Mininet, XDP), `simulated` (virtual time)
- `engine`      the packet simulator under `simulated`: links, TCP, relays (pure, compiled)
- `experiment`  runs the plan: metrics, validity gate, results, resume
- `report`      tables and figures
- `cli`         arguments in, exit code out
"""
