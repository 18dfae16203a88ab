"""From a workload to the flows of one run. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from sentinel_sim.plan.model import FlowPlan, PathPlan
from sentinel_sim.plan.seeds import stream
from sentinel_sim.topology.arrival import Arrival
from sentinel_sim.topology.expression import Expression, amount_bytes, duration_ns
from sentinel_sim.topology.model import BulkWorkload, ManyWorkload, TransferWorkload, Workload

SECOND_NS = 1_000_000_000


def start_times_ns(arrival: Arrival, count: int, *, seed: int) -> list[int]:
    """When each of `count` flows starts. The first starts at once, whatever the process.

    `poisson`: exponential gaps from the seed; equal seeds give equal starts, so that arms can
    be compared on the same arrivals.
    """
    if arrival.kind == "at_once":
        return [0] * count
    if arrival.kind == "every":
        return [index * arrival.interval_ns for index in range(count)]
    gaps = stream(seed, "arrival")
    starts = [0]
    while len(starts) < count:
        starts.append(starts[-1] + round(gaps.expovariate(arrival.rate_per_s) * SECOND_NS))
    return starts


def flows_of(
    workload: Workload,
    paths: Sequence[PathPlan],
    *,
    packet_bytes: int,
    size: Expression | None,
    arrival_seed: int,
) -> tuple[FlowPlan, ...]:
    """The flows of a run, dealt to the paths in turn.

    `size` is that of a transfer's run; None lets the workload say it. `N bdp` is that of the
    flow's own path; `N rtt` that of the longest path, so that all flows of a run end together.
    """
    if isinstance(workload, BulkWorkload):
        return _bulk(workload, paths)
    if isinstance(workload, TransferWorkload):
        count = workload.flows or len(paths)
        return _sized(paths, size or workload.sizes[0], packet_bytes, [0] * count)
    if isinstance(workload, ManyWorkload):
        starts = start_times_ns(workload.arrival, workload.flows, seed=arrival_seed)
        return _sized(paths, workload.size, packet_bytes, starts)
    raise TypeError(f"no flows are known for workload kind {workload.kind!r}")


def _bulk(workload: BulkWorkload, paths: Sequence[PathPlan]) -> tuple[FlowPlan, ...]:
    longest_ns = max(path.rtt_base_ns for path in paths)
    length_ns = duration_ns(workload.duration, rtt_ns=longest_ns)
    return tuple(
        FlowPlan(
            flow_id=index + 1,
            path=paths[index % len(paths)].index,
            start_ns=0,
            size_bytes=None,
            duration_ns=length_ns,
        )
        for index in range(workload.flows or len(paths))
    )


def _sized(
    paths: Sequence[PathPlan], size: Expression, packet_bytes: int, starts: Sequence[int]
) -> tuple[FlowPlan, ...]:
    sizes = [
        amount_bytes(size, bdp_bytes=path.bdp_bytes, packet_bytes=packet_bytes) for path in paths
    ]
    return tuple(
        FlowPlan(
            flow_id=index + 1,
            path=paths[index % len(paths)].index,
            start_ns=start_ns,
            size_bytes=sizes[index % len(paths)],
            duration_ns=None,
        )
        for index, start_ns in enumerate(starts)
    )
