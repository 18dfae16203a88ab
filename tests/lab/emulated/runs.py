"""Runs of the emulated backend for the tests of this folder."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from tests.unit.emulated.specs import link, path, spec

from sentinel_sim.backends.base import RunMeasurement
from sentinel_sim.backends.emulated.backend import EmulatedBackend
from sentinel_sim.backends.emulated.options import EmulationOptions
from sentinel_sim.host.doctor import wire_backend
from sentinel_sim.plan.model import Arm, FlowPlan, RunSpec

MBIT = 1_000_000


def bulk(
    arm: Arm,
    *,
    delay_ms: int = 5,
    rate_bps: int = 100 * MBIT,
    seconds: float = 1.5,
    hops: int = 2,
    window_bytes: int | None = None,
) -> RunSpec:
    """One bulk flow over a line of equal links."""
    nodes = tuple(f"n{i}" for i in range(hops + 1))
    links = tuple(link(nodes[i], nodes[i + 1], delay_ms, rate_bps) for i in range(hops))
    made = spec(links, (path(0, nodes, links),), arm)
    flow = FlowPlan(1, 0, 0, None, int(seconds * 1e9))
    return replace(made, flows=(flow,), window_bytes=window_bytes, key=f"{arm}_{delay_ms}ms")


async def measure_all(specs: Sequence[RunSpec]) -> list[RunMeasurement]:
    """Execute runs of one topology on one network."""
    options = EmulationOptions(wire_backend())
    async with EmulatedBackend(specs[0], options) as backend:
        return [await backend.run(run, lambda phase, done: None) for run in specs]


def measure(*specs: RunSpec) -> list[RunMeasurement]:
    """`measure_all` in an event loop of its own."""
    return asyncio.run(measure_all(specs))
