"""From what nodes, wires and samplers said to one `RunMeasurement` (pure)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import MessageToDict

from sentinel_bpf.wire import FaultReading, LossReading, ProbeReading
from sentinel_proto.v1 import node_control_pb2 as pb
from sentinel_sim.backends.base import (
    FlowMeasurement,
    LossPeriod,
    RatePeriod,
    Series,
    WireMeasurement,
)
from sentinel_sim.backends.emulated import custody
from sentinel_sim.plan.model import FlowPlan, LinkPlan, RunSpec
from sentinel_sim.wire.rate import RateCounters

SAMPLE_FIELDS = (
    "t_ns",
    "rtt_us",
    "rttvar_us",
    "min_rtt_us",
    "snd_cwnd",
    "snd_ssthresh",
    "snd_mss",
    "bytes_acked",
    "bytes_retrans",
    "bytes_sent",
    "delivery_rate_Bps",
    "pacing_rate_Bps",
    "notsent_bytes",
    "unacked",
    "snd_wnd_bytes",
    "rwnd_limited_us",
    "sndbuf_limited_us",
    "ca_state",
)


def series(message: pb.Series) -> Series:
    """A cumulative counter over time."""
    return Series(tuple(message.times_ns), tuple(message.values))


def _or_none(value: int) -> int | None:
    return value or None


def _label(node: str, spec: RunSpec, flow: FlowPlan) -> str:
    nodes = spec.paths[flow.path].nodes
    if not spec.arm.splits:
        return f"{nodes[0]}->{nodes[-1]}"
    return f"{node}->{nodes[nodes.index(node) + 1]}"


def _outgoing(
    spec: RunSpec, flow: FlowPlan, reports: Mapping[str, pb.CollectReply]
) -> Iterable[tuple[str, pb.ConnectionReport]]:
    """The flow's payload-sending connections, hop by hop, with readable names."""
    for node in spec.paths[flow.path].nodes[:-1]:
        if node not in reports:
            continue
        for connection in reports[node].connections:
            if connection.direction == "out" and connection.flow_id == flow.flow_id:
                yield _label(node, spec, flow), connection


def _samples(label: str, connection: pb.ConnectionReport) -> Iterable[dict[str, Any]]:
    for sample in connection.samples:
        yield {"connection": label, **{name: getattr(sample, name) for name in SAMPLE_FIELDS}}


def flow_measurement(
    spec: RunSpec,
    flow: FlowPlan,
    reports: Mapping[str, pb.CollectReply],
    run_start_ns: int = 0,
    resumed: Collection[str] = (),
) -> FlowMeasurement:
    """One application flow as its sender and its receiver reported it.

    `run_start_ns`: what stands for the flow's start if its sender died and does not know it.
    `resumed`: senders of which another life began their flows, and took with it when bytes were
    written and confirmed: both are unknown then.
    """
    nodes = spec.paths[flow.path].nodes
    sent = _find(reports[nodes[0]], flow.flow_id)
    received = _find(reports[nodes[-1]], flow.flow_id)
    forgot = nodes[0] in resumed
    planned_ns = run_start_ns + flow.start_ns
    start_ns = planned_ns if forgot else sent.start_ns or planned_ns
    first_write_ns = start_ns if forgot else sent.first_byte_ns or start_ns
    confirmed = sent.custody.confirmed if sent.HasField("custody") else sent.confirmed
    outgoing = list(_outgoing(spec, flow, reports))
    errors = [
        f"{end}: {r.error}" for end, r in ((nodes[0], sent), (nodes[-1], received)) if r.error
    ]
    return FlowMeasurement(
        flow_id=flow.flow_id,
        path=flow.path,
        start_ns=start_ns,
        first_write_ns=first_write_ns,
        first_byte_ns=_or_none(received.first_byte_ns),
        last_byte_ns=_or_none(received.last_byte_ns),
        send_end_ns=_or_none(sent.last_byte_ns),
        bytes_sent=sent.payload_bytes,
        bytes_delivered=received.payload_bytes,
        sha256_ok=received.sha256_ok if received.complete else None,
        sent=Series() if forgot else series(sent.series),
        delivered=series(received.series),
        confirmed=Series() if forgot else series(confirmed),
        retransmitted_bytes={label: c.last.bytes_retrans for label, c in outgoing},
        tcp_info=tuple(sample for label, c in outgoing for sample in _samples(label, c)),
        error="; ".join(errors) or None,
        custody=custody.measured(sent, received),
    )


def flow_measurements(
    spec: RunSpec,
    reports: Mapping[str, pb.CollectReply],
    run_start_ns: int,
    resumed: Collection[str],
) -> tuple[FlowMeasurement, ...]:
    """All flows of the run, in the order of the plan."""
    return tuple(
        flow_measurement(spec, flow, reports, run_start_ns, resumed) for flow in spec.flows
    )


def _find(reply: pb.CollectReply, flow_id: int) -> pb.FlowReport:
    for report in reply.flows:
        if report.flow_id == flow_id:
            return report
    return pb.FlowReport(flow_id=flow_id, error="this node never saw the flow")


@dataclass(frozen=True, slots=True)
class WireState:
    """All that was read of one direction of one wire after a run."""

    link: LinkPlan
    direction: str
    base_cost_ns: int
    probe: ProbeReading
    loss: LossReading
    rate: RateCounters
    backlogged_bps: float | None
    unplanned: Mapping[str, int]
    fault: FaultReading | None = None
    loss_periods: tuple[LossPeriod, ...] = ()
    rate_periods: tuple[RatePeriod, ...] = ()


def wire_measurement(state: WireState) -> WireMeasurement:
    """Counts of one direction, in wire packets; lateness by the independent stamps."""
    entered = state.probe.packets_in + state.loss.dropped
    unplanned = dict(state.unplanned)
    unplanned["between_rate_and_delay"] = state.rate.packets_sent - entered
    return WireMeasurement(
        link=state.link.name,
        direction=state.direction,
        delay_requested_ns=state.link.delay_one_way_ns,
        base_cost_ns=state.base_cost_ns,
        lateness_ns=tuple(t - state.link.delay_one_way_ns for t in state.probe.transits_ns),
        lateness_samples_total=state.probe.samples_total,
        packets_in=entered,
        packets_out=state.probe.packets_out,
        loss_seen=state.loss.seen,
        loss_dropped=state.loss.dropped,
        queue_dropped=state.rate.dropped,
        drops_unplanned={cause: count for cause, count in unplanned.items() if count},
        rate_bytes_sent=state.rate.bytes_sent,
        rate_backlogged_bps=state.backlogged_bps,
        control_bytes=state.rate.control_bytes,
        cut_dropped=state.fault.cut_packets if state.fault else 0,
        corrupted=state.fault.corrupted if state.fault else 0,
        loss_periods=state.loss_periods,
        rate_periods=state.rate_periods,
    )


def node_facts(reports: Mapping[str, pb.CollectReply]) -> dict[str, Any]:
    """What the daemons tell of themselves, by node."""
    return {
        "relay_buffered_bytes_max": {
            node: reply.relay_buffered_bytes_max for node, reply in reports.items()
        },
        "node_events": {node: list(reply.events) for node, reply in reports.items()},
        "context_switches": {
            node: {
                "voluntary": reply.context_switches_voluntary,
                "involuntary": reply.context_switches_involuntary,
            }
            for node, reply in reports.items()
        },
    }


def fsu_report(reply: pb.ReadFlowMetricsReply, since_ns: int) -> dict[str, Any]:
    """Flow records of one node that were active in this run, and its counters."""
    flows = [
        MessageToDict(flow, preserving_proto_field_name=True)
        for flow in reply.flows
        if max(flow.forward.last_timestamp, flow.backward.last_timestamp) >= since_ns
    ]
    return {"attached": reply.attached, "flows": flows, "counters": dict(reply.counters)}
