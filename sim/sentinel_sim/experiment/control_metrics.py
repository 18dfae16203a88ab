"""Figures of start-up, lead time and flow sync, from what the nodes reported (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from sentinel_node.core.control.messages import FlowPhase, FlowState, Version
from sentinel_node.core.framing import HEADER_BYTES
from sentinel_node.core.start.buffer_plan import StartBasis
from sentinel_node.core.sync.phase import PhaseMeter
from sentinel_sim.backends.base import FlowMeasurement, RunMeasurement
from sentinel_sim.experiment import series as cumulative
from sentinel_sim.experiment.figures import LeadTime, Percentiles, SyncFigures
from sentinel_sim.plan.model import RunSpec

SECOND_NS = 1_000_000_000
STARTED_SHARE = 0.9
SHORTEST_WINDOW_NS = 50_000_000
LOOKS = 200
"""In a window: the figure is late by half a step on average."""
SENDING = ("start window", "send buffer", "onward connection")
"""What is made ready with a start window, before the first byte."""


def startup_s(
    spec: RunSpec, flows: Sequence[FlowMeasurement], steady_bps: float | None
) -> float | None:
    """First connect() until, for one base RTT (50 ms at least), 90 % of the steady rate came."""
    if steady_bps is None or not flows:
        return None
    window = max(spec.paths[flows[0].path].rtt_base_ns, SHORTEST_WINDOW_NS)
    start = min(flow.start_ns for flow in flows)
    end = max((flow.last_byte_ns or start) for flow in flows)
    ends = np.arange(start + window, end, max(window // LOOKS, 1_000_000), dtype=np.int64)
    came = np.zeros(ends.size)
    for flow in flows:
        if flow.delivered.values:
            came += cumulative.values_at(flow.delivered, ends)
            came -= cumulative.values_at(flow.delivered, ends - window)
    reached = np.flatnonzero(came * 8 * SECOND_NS / window >= STARTED_SHARE * steady_bps)
    return None if reached.size == 0 else float(ends[reached[0]] - start) / SECOND_NS


def _control(measured: RunMeasurement) -> dict[str, Any]:
    found: dict[str, Any] = measured.extra.get("control") or {}
    return found


def lead_time(measured: RunMeasurement) -> LeadTime | None:
    """Of the buffers made ready at nodes that later saw the flow's first byte.

    `by_kind` has the other preparations too: the onward connection needs a round trip of its link.
    """
    leads: list[tuple[str, float]] = [
        (one["what"], (one["first_byte_ns"] - one["ready_ns"]) / SECOND_NS)
        for node in _control(measured).values()
        for one in node["adjustments"]
        if one.get("first_byte_ns")
    ]
    if not leads:
        return None
    values = [lead for kind, lead in leads if kind.endswith("buffer")]
    kinds = sorted({kind for kind, _ in leads})
    return LeadTime(
        p50=float(np.median(values)),
        least=min(values),
        share_ahead=sum(value > 0 for value in values) / len(values),
        n=len(values),
        by_kind={kind: float(np.median([v for k, v in leads if k == kind])) for kind in kinds},
    )


def starts(measured: RunMeasurement) -> tuple[str, ...]:
    """On what the senders' start windows rested: `cold`, `remembered`, `managed`; each once.

    Receive buffers have none of their own, and what is predicted later is no start.
    """
    found = {
        StartBasis.of(one["basis"]).name.lower()
        for node in _control(measured).values()
        for one in node["adjustments"]
        if one["what"] in SENDING
    }
    return tuple(sorted(found))


def control_share(measured: RunMeasurement) -> float | None:
    """Bytes in the control bands of all wires per byte delivered."""
    delivered = sum(flow.bytes_delivered for flow in measured.flows)
    if not delivered or not _control(measured):
        return None
    return sum(wire.control_bytes for wire in measured.wires) / delivered


def sync_figures(spec: RunSpec, measured: RunMeasurement) -> SyncFigures | None:
    """The receivers' replicas against what the senders wrote; None without a control plane."""
    control = _control(measured)
    if not control:
        return None
    meters: list[PhaseMeter] = []
    verdicts: list[dict[str, Any]] = []
    flows_checked = 0
    for flow in measured.flows:
        receiver = spec.paths[flow.path].nodes[-1]
        for report in control.get(receiver, {}).get("sync", ()):
            if report.get("flow_id") == flow.flow_id:
                meters.append(_meter(spec, flow, report.get("views", ())))
                verdicts += report.get("verdicts", ())
                flows_checked += any(v.get("final") for v in report.get("verdicts", ()))
    samples = sum(meter.samples for meter in meters)
    final_ok = all(v.get("ok", False) for v in verdicts if v.get("final"))
    return SyncFigures(
        phase_error_s=_percentiles([abs(e) / SECOND_NS for m in meters for e in m.errors_ns]),
        error_bytes=_percentiles([float(abs(e)) for m in meters for e in m.errors_bytes]),
        undefined_share=sum(m.undefined for m in meters) / samples if samples else None,
        over_bound_share=sum(m.over_bound for m in meters) / samples if samples else None,
        samples=samples,
        checks=len(verdicts),
        checks_ok=sum(bool(v.get("ok")) for v in verdicts),
        final_ok=final_ok and flows_checked == len(measured.flows) if verdicts else None,
        problems=tuple(sorted({p for v in verdicts for p in v.get("problems", ())}))[:10],
        checks_hashed=sum("hash_ok" in v and not v.get("final") for v in verdicts),
    )


def _percentiles(values: Sequence[float]) -> Percentiles | None:
    if not values:
        return None
    p50, p99 = np.quantile(np.asarray(values), [0.5, 0.99])
    return Percentiles(p50=float(p50), p99=float(p99))


def _meter(spec: RunSpec, flow: FlowMeasurement, views: Sequence[dict[str, Any]]) -> PhaseMeter:
    """Compare one replica with what had left the sender, whenever its kernel was asked for that.

    Those are the grid of the sampler's clock (50 ms), whatever the control plane did at the time.
    """
    nodes = spec.paths[flow.path].nodes
    first_link = f"{nodes[0]}->{nodes[1]}"
    end_ns = flow.send_end_ns or flow.first_write_ns
    header_bytes = HEADER_BYTES if flow.payload_carried else 0  # a simulated flow has no header
    truth = [
        (one["t_ns"], one["bytes_sent"] - one["bytes_retrans"] - header_bytes)
        for one in flow.tcp_info
        if one["connection"] == first_link and flow.first_write_ns <= one["t_ns"] <= end_ns
    ]
    meter = PhaseMeter(1, 0)
    grid = np.array([at_ns for at_ns, _ in truth], dtype=np.int64)
    for state, (at_ns, total) in zip(_held(views, grid), truth, strict=True):
        if state is not None:  # else the forecast had not come yet: no view, no error of it
            meter.next_ns = at_ns
            meter.sample(state, max(0, total), now_ns=at_ns)
    return meter


def _held(views: Sequence[dict[str, Any]], grid: Any) -> Iterator[FlowState | None]:  # noqa: ANN401
    """The state that the replica had at each instant."""
    applied = [view.get("applied_ns", 0) for view in views]
    states = [_state(number, view) for number, view in enumerate(views)]
    for index in np.searchsorted(np.asarray(applied, dtype=np.int64), grid, side="right"):
        yield states[index - 1] if index else None


def _state(number: int, view: dict[str, Any]) -> FlowState:
    return FlowState(
        flow_id=0,
        origin="origin",
        version=Version(1, number),
        phase=FlowPhase(view["phase"]),
        at_ns=view["at_ns"],
        total_bytes=view.get("total_bytes", 0),
        rate_Bps=view.get("rate_Bps", 0),
        error_bound_bytes=view.get("error_bound_bytes", 0),
        size_bytes=view.get("size_bytes") or None,
    )
