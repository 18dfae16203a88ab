"""Runs of two or three nodes in a row, written down by hand."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

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
SECOND = 1_000_000_000
MBIT = 1_000_000
NS_PER_KM = 5_000


def chain(
    *,
    key: str = "lab",
    arm: Arm = Arm.TUNED,
    hops: int = 1,
    delay_ns: int = 10 * MS,
    rate_bps: int = 100 * MBIT,
    queue_bytes: int | None = None,
    loss: float = 0.0,
    jitter_ns: int = 0,
    reorder: bool = False,
    seed: int = 42,
    window_bytes: int | None = None,
    flows: Sequence[FlowPlan] | None = None,
    control_band: bool = True,
    xdp: bool = True,
) -> RunSpec:
    """`hops` equal links in a row, `delay_ns` one way each; a queue of one path BDP by default.

    `loss` is a probability. The payload is 64 KiB unless `flows` are given.
    """
    nodes = tuple(f"n{index}" for index in range(hops + 1))
    rtt_ns = 2 * hops * delay_ns
    bdp_bytes = rate_bps * rtt_ns // (8 * SECOND)
    links = tuple(
        LinkPlan(
            name=f"{a}--{b}",
            a=a,
            b=b,
            distance_km=delay_ns / NS_PER_KM,
            delay_one_way_ns=delay_ns,
            rate_bps=rate_bps,
            queue_bytes=bdp_bytes if queue_bytes is None else queue_bytes,
            loss=loss,
            jitter_ns=jitter_ns,
            reorder=reorder,
            mtu=1500,
        )
        for a, b in itertools.pairwise(nodes)
    )
    path = PathPlan(
        index=0,
        nodes=nodes,
        links=tuple(link.name for link in links),
        rtt_base_ns=rtt_ns,
        rate_bps=rate_bps,
        loss=1 - (1 - loss) ** hops,
        bdp_bytes=bdp_bytes,
    )
    roles = dict.fromkeys(nodes, Role.INTERMEDIATE)
    roles[nodes[0]], roles[nodes[-1]] = Role.SENDER, Role.RECEIVER
    return RunSpec(
        key=key,
        arm=arm,
        distance_km=hops * delay_ns / NS_PER_KM,
        params={"congestion_control": "cubic"},
        repeat=1,
        seed=seed,
        congestion_control="cubic",
        window_bytes=window_bytes,
        workload=WorkloadKind.BULK,
        flows=tuple(flows or (FlowPlan(1, 0, 0, 65_536, None),)),
        paths=(path,),
        links=links,
        roles=roles,
        control_band=control_band,
        xdp=xdp,
        fsu_outer=OuterEnd.OFF,
    )


def bulk(duration_ns: int) -> tuple[FlowPlan, ...]:
    """One flow that lasts this long."""
    return (FlowPlan(1, 0, 0, None, duration_ns),)


def nothing(phase: str, seconds: float) -> None:
    """A progress hook that shows nothing."""
