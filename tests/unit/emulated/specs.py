"""Runs for tests of the emulated backend: a line of nodes, and a diamond."""

from __future__ import annotations

import itertools

from sentinel_sim.plan.model import (
    Arm,
    FlowPlan,
    LinkPlan,
    OuterEnd,
    PathPlan,
    Role,
    RunSpec,
    WorkloadKind,
)

MS = 1_000_000
GBIT = 1_000_000_000


def link(a: str, b: str, delay_ms: int = 10, rate_bps: int = GBIT) -> LinkPlan:
    bdp = rate_bps * 2 * delay_ms // 8000
    return LinkPlan(f"{a}--{b}", a, b, None, delay_ms * MS, rate_bps, bdp, 0.0, 0, False, 1500)


def path(index: int, nodes: tuple[str, ...], links: tuple[LinkPlan, ...]) -> PathPlan:
    rtt_ns = 2 * sum(x.delay_one_way_ns for x in links)
    rate_bps = min(x.rate_bps for x in links)
    names = tuple(x.name for x in links)
    return PathPlan(index, nodes, names, rtt_ns, rate_bps, 0.0, rate_bps * rtt_ns // 8_000_000_000)


def spec(links: tuple[LinkPlan, ...], paths: tuple[PathPlan, ...], arm: Arm = Arm.TUNED) -> RunSpec:
    nodes = dict.fromkeys(itertools.chain.from_iterable(x.nodes for x in paths))
    roles = dict.fromkeys(nodes, Role.INTERMEDIATE)
    roles[paths[0].nodes[0]] = Role.SENDER
    roles[paths[0].nodes[-1]] = Role.RECEIVER
    return RunSpec(
        key=f"{arm}_r0",
        arm=arm,
        distance_km=None,
        params={},
        repeat=0,
        seed=7,
        congestion_control="cubic",
        window_bytes=None,
        workload=WorkloadKind.BULK,
        flows=tuple(FlowPlan(i + 1, i, 0, None, 10**9) for i in range(len(paths))),
        paths=paths,
        links=links,
        roles=roles,
        control_band=True,
        xdp=True,
        fsu_outer=OuterEnd.TC,
    )


def line(arm: Arm = Arm.TUNED, delay_ms: int = 10, rate_bps: int = GBIT) -> RunSpec:
    """s -- m -- r."""
    links = (link("s", "m", delay_ms, rate_bps), link("m", "r", delay_ms, rate_bps))
    return spec(links, (path(0, ("s", "m", "r"), links),), arm)


def diamond() -> RunSpec:
    """s to r over x (path 0) and over y (path 1)."""
    links = (link("s", "x"), link("x", "r"), link("s", "y", 20), link("y", "r", 20))
    paths = (path(0, ("s", "x", "r"), links[:2]), path(1, ("s", "y", "r"), links[2:]))
    return spec(links, paths)
