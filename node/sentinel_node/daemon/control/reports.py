"""Between the messages of node_control.proto about single flows and this node's own values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sentinel_node.core.control.messages import MessageError, PathHop
from sentinel_node.core.start.adjustment import Adjustment
from sentinel_node.core.start.buffer_plan import StartMode
from sentinel_node.core.sync.announcement import (
    DEFAULT_INTERVAL_NS,
    DEFAULT_SILENCE_NS,
    Announcement,
)
from sentinel_node.core.sync.flow_log import FlowLog, View
from sentinel_node.daemon.control.interface import control_flow_id
from sentinel_node.daemon.control.preparing import Expected
from sentinel_node.daemon.run import NodeRun
from sentinel_node.errors import RequestError
from sentinel_proto.v1 import node_control_pb2 as pb


def _mode(*, managed: bool) -> StartMode:
    return StartMode.MANAGED if managed else StartMode.CAREFUL


def expected(path: Sequence[str], upstream_address: str, *, managed: bool) -> Expected | None:
    """Which announced flows a listener or relay gets ready for; None without a path."""
    if not path:
        return None
    return Expected(tuple(path), upstream_address, _mode(managed=managed))


def announcement(flow: pb.FlowSpec) -> Announcement | None:
    """What is to be said of a flow ahead. Raises RequestError."""
    if not flow.HasField("announcement"):
        return None
    said = flow.announcement
    try:
        hops = tuple(PathHop(h.node, h.propagation_ns, h.rate_bps) for h in said.hops)
    except MessageError as error:
        raise RequestError(f"flow {flow.flow_id}: {error}") from error
    return Announcement(
        hops=hops,
        rate_Bps=said.rate_Bps,
        rtt_ns=said.rtt_ns,
        error_bound_bytes=said.error_bound_bytes,
        interval_ns=said.interval_ns or DEFAULT_INTERVAL_NS,
        max_silence_ns=said.max_silence_ns or DEFAULT_SILENCE_NS,
        mode=_mode(managed=said.managed),
    )


def _names(run: NodeRun) -> dict[int, int]:
    """The run's flows by their name on the control plane."""
    known = {r.flow_id for r in tuple(run.flows)} | {c.flow_id for c in tuple(run.connections)}
    return {control_flow_id(run.name, flow_id): flow_id for flow_id in known if flow_id}


def _view(view: View) -> pb.ViewPoint:
    state = view.state
    return pb.ViewPoint(
        applied_ns=view.applied_ns,
        at_ns=state.at_ns,
        total_bytes=state.total_bytes,
        rate_Bps=state.rate_Bps,
        phase=int(state.phase),
        error_bound_bytes=state.error_bound_bytes,
        max_silence_ns=state.max_silence_ns,
        size_bytes=state.size_bytes or 0,
    )


def sync_report(flow_id: int, log: FlowLog) -> pb.SyncReport:
    """What a node knew of one flow over the control plane, under the run's number."""
    return pb.SyncReport(
        flow_id=flow_id,
        views=[_view(view) for view in tuple(log.views)],
        verdicts=[
            pb.SyncVerdictReport(
                at_ns=verdict.at_ns,
                final=verdict.final,
                ok=verdict.ok,
                problems=verdict.problems,
                error_bytes=verdict.error_bytes or 0,
                checkpoint_offset=verdict.checkpoint_offset,
                hash_ok=verdict.hash_ok,
            )
            for verdict in tuple(log.verdicts)
        ],
        announced_ns=log.announced_ns,
        views_dropped=log.views_dropped,
    )


def sync_reports(run: NodeRun) -> Iterable[pb.SyncReport]:
    """What this node knew of the run's flows over the control plane."""
    if run.sync is None:
        return ()
    logs = dict(run.sync.logs)
    return [
        sync_report(flow_id, logs[name]) for name, flow_id in _names(run).items() if name in logs
    ]


def unchecked(run: NodeRun) -> int:
    """Flows of the run whose end was not checked against upstream's last word yet."""
    return 0 if run.sync is None else run.sync.unchecked(_names(run))


def adjustments(run: NodeRun) -> Iterable[pb.Adjustment]:
    """What was made ready ahead of the run's flows, and when they came."""
    names = _names(run)
    return [
        adjustment_report(names.get(prepared.flow_id, 0), one, prepared.first_byte_ns)
        for prepared in run.preparations.all()
        for one in tuple(prepared.adjustments)
    ]


def adjustment_report(flow_id: int, one: Adjustment, first_byte_ns: int) -> pb.Adjustment:
    """One thing that was made ready, and when what it was for came; 0: never."""
    return pb.Adjustment(
        flow_id=flow_id,
        what=one.what,
        ready_ns=one.ready_ns,
        first_byte_ns=one.reached_ns if one.offset_bytes else first_byte_ns,
        send_buffer_bytes=one.plan.send_buffer_bytes,
        receive_buffer_bytes=one.plan.receive_buffer_bytes,
        window_clamp_bytes=one.plan.window_clamp_bytes,
        pacing_Bps=one.plan.pacing_Bps,
        start_window_bytes=one.plan.jump_window_bytes,
        basis=one.plan.basis,
        limits=one.plan.limits,
    )
