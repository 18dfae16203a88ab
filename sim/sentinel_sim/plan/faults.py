"""From the faults of a topology to those of one run. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from sentinel_sim.plan.model import Arm, FaultKind, FaultPlan
from sentinel_sim.plan.resolve import Network
from sentinel_sim.topology.expression import amount_bytes, duration_ns
from sentinel_sim.topology.faults import (
    AddLoss,
    ChangeRate,
    CorruptControl,
    Fault,
    LinkFault,
    Partition,
    ReplayControl,
)


def faults_of(faults: Sequence[Fault], network: Network, arm: Arm) -> tuple[FaultPlan, ...]:
    """The faults that strike a run of this arm; `rtt` and `bdp` are the largest of the paths'."""
    return tuple(
        _plan(index, fault, network)
        for index, fault in enumerate(faults)
        if fault.arms is None or str(arm) in fault.arms
    )


def _plan(index: int, fault: Fault, network: Network) -> FaultPlan:
    rtt_ns = max(path.rtt_base_ns for path in network.paths)
    bdp = max(path.bdp_bytes for path in network.paths)
    lasts = getattr(fault, "lasts", None)
    amount = fault.at_bytes
    return FaultPlan(
        index=index,
        kind=FaultKind(fault.kind),
        target=fault.target,
        at_ns=None if fault.at is None else duration_ns(fault.at, rtt_ns=rtt_ns),
        at_bytes=None
        if amount is None
        else amount_bytes(amount, bdp_bytes=bdp, packet_bytes=network.packet_bytes),
        for_ns=None if lasts is None else duration_ns(lasts, rtt_ns=rtt_ns),
        direction=fault.direction if isinstance(fault, LinkFault) else None,
        control_only=isinstance(fault, Partition) and fault.channel == "control",
        loss=fault.loss if isinstance(fault, AddLoss) else 0.0,
        rate_bps=fault.rate_bps if isinstance(fault, ChangeRate) else None,
        corrupt=fault.share if isinstance(fault, CorruptControl) else 0.0,
        replay=fault.share if isinstance(fault, ReplayControl) else 0.0,
    )
