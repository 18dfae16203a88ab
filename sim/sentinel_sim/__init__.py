"""sentinel-sim: throughput against distance, on real kernel TCP and in simulation.

    import sentinel_sim as ss

    r = ss.run("topologies/ci-smoke.yaml", backend="simulated")
    r.summary()                     # means with 95 % intervals, a pandas DataFrame
    r.runs                          # every run
    r.timeseries(0, "goodput")      # one run over time
    r.verdicts()                    # what the result says of each claim
    r.plot.throughput()             # the main figure of report.html
    r = ss.load("results/ci-smoke-20261122T164249Z")

Errors are `ss.SimError` and its subclasses; `error.cure` says what helps.

A tour of the packages, in the order in which a run goes through them:

- `topology`    the file: units, model, reader, JSON Schema, paths, feasibility
- `plan`        the runs a file asks for: sweep, arms, repeats, order, stop rule (pure)
- `host`        what this machine can do (doctor), what we own on it (clean)
- `wire`        what emulates one link: rate and queue, then loss, then delay
- `backends`    where runs are executed: `emulated` (Mininet, XDP), `simulated` (virtual time)
- `engine`      the packet simulator under `simulated`: links, TCP, relays (pure, compiled)
- `experiment`  runs the plan: metrics, validity gate, results, resume
- `report`      tables and figures
- `api`         the Python interface: `run`, `load`, `Result`
- `cli`         arguments in, exit code out
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from sentinel_sim.errors import (
    EmulationError,
    InfeasibleError,
    MissingCapabilityError,
    ResultError,
    SimError,
    SimulationError,
    TopologyError,
)

if TYPE_CHECKING:
    from sentinel_sim.api.result import Result, load
    from sentinel_sim.api.running import run

__all__ = [
    "EmulationError",
    "InfeasibleError",
    "MissingCapabilityError",
    "Result",
    "ResultError",
    "SimError",
    "SimulationError",
    "TopologyError",
    "load",
    "run",
]

_LATE = {
    "Result": "sentinel_sim.api.result",
    "load": "sentinel_sim.api.result",
    "run": "sentinel_sim.api.running",
}
"""Imported at first use: pandas, plotly and numba take a second or more."""


def __getattr__(name: str) -> object:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LATE[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
