"""Between the messages of node_control.proto and this node's own values."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from sentinel_node.core.framing import HEADER_BYTES
from sentinel_node.core.series import DEFAULT_INTERVAL_NS
from sentinel_node.daemon.connection import RawSample, TrackedConnection
from sentinel_node.daemon.control.reports import (
    adjustments,
    announcement,
    expected,
    sync_reports,
)
from sentinel_node.daemon.custody.hub import CustodyHub
from sentinel_node.daemon.custody.orders import custody_order
from sentinel_node.daemon.process_stats import resident_bytes
from sentinel_node.daemon.receiver import ListenSpec
from sentinel_node.daemon.records import CustodyRecord, FlowRecord
from sentinel_node.daemon.relay import DEFAULT_BUFFER_BYTES, DEFAULT_MODE, RelayMode, RelaySpec
from sentinel_node.daemon.run import NodeRun
from sentinel_node.daemon.sender import DEFAULT_STALL_TIMEOUT_NS, FlowOrder, SendSpec
from sentinel_node.daemon.sockets import TcpProfile
from sentinel_node.daemon.tcp_info import FieldReader, acked_stream_bytes
from sentinel_node.errors import RequestError
from sentinel_proto.v1 import node_control_pb2 as pb

_MODES = {
    pb.RELAY_MODE_UNSPECIFIED: DEFAULT_MODE,
    pb.RELAY_MODE_COPY: RelayMode.COPY,
    pb.RELAY_MODE_SPLICE: RelayMode.SPLICE,
}

_SAMPLE_FIELDS = {
    "rtt_us": "rtt",
    "rttvar_us": "rttvar",
    "min_rtt_us": "min_rtt",
    "snd_cwnd": "snd_cwnd",
    "snd_ssthresh": "snd_ssthresh",
    "snd_mss": "snd_mss",
    "bytes_acked": "bytes_acked",
    "bytes_retrans": "bytes_retrans",
    "bytes_received": "bytes_received",
    "delivery_rate_Bps": "delivery_rate",
    "notsent_bytes": "notsent_bytes",
    "pacing_rate_Bps": "pacing_rate",
    "busy_us": "busy_time",
    "rwnd_limited_us": "rwnd_limited",
    "sndbuf_limited_us": "sndbuf_limited",
    "total_retrans": "total_retrans",
    "unacked": "unacked",
    "snd_wnd_bytes": "snd_wnd",
    "ca_state": "ca_state",
    "bytes_sent": "bytes_sent",
}
"""Field of TcpInfoSample to field of struct tcp_info."""

_read_sample = FieldReader(_SAMPLE_FIELDS.values())


def run_name(run: str) -> str:
    """A run's name as given. Raises RequestError if it is empty."""
    if not run:
        raise RequestError("run must not be empty")
    return run


def tcp_profile(options: pb.TcpOptions) -> TcpProfile:
    """Socket options of one side."""
    return TcpProfile(
        congestion_control=options.congestion_control,
        send_buffer_bytes=options.send_buffer_bytes,
        receive_buffer_bytes=options.receive_buffer_bytes,
        window_clamp_bytes=options.window_clamp_bytes,
        notsent_lowat_bytes=options.notsent_lowat_bytes,
    )


def listen_spec(request: pb.ListenRequest) -> ListenSpec:
    """What a Listen command asks for."""
    return ListenSpec(
        address=request.address,
        port=request.port,
        profile=tcp_profile(request.tcp),
        series_interval_ns=request.series_interval_ns or DEFAULT_INTERVAL_NS,
        read_rate_limit_bps=request.read_rate_limit_bps,
        expected=expected(request.path, request.upstream_address, managed=request.managed),
    )


def relay_spec(request: pb.RelayRequest) -> RelaySpec:
    """What a Relay command asks for."""
    if request.mode not in _MODES:
        raise RequestError(f"relay mode {request.mode} is unknown; known: copy (1), splice (2)")
    return RelaySpec(
        listen_address=request.listen_address,
        listen_port=request.listen_port,
        source_address=request.source_address,
        target_address=request.target_address,
        target_port=request.target_port,
        accept_profile=tcp_profile(request.accept_tcp),
        connect_profile=tcp_profile(request.connect_tcp),
        mode=_MODES[request.mode],
        buffer_bytes=request.buffer_bytes or DEFAULT_BUFFER_BYTES,
        expected=expected(request.path, request.upstream_address, managed=request.managed),
    )


def send_spec(request: pb.SendRequest, hub: Callable[[str], CustodyHub]) -> SendSpec:
    """What a Send command asks for; `hub` is called if a flow goes in custody."""
    orders = tuple(
        FlowOrder(
            flow_id=flow.flow_id,
            seed=flow.seed,
            source_address=flow.source_address,
            target_address=flow.target_address,
            target_port=flow.target_port,
            start_offset_ns=flow.start_offset_ns,
            size_bytes=flow.size_bytes,
            duration_ns=flow.duration_ns,
            hashed=not flow.unhashed,
            announcement=announcement(flow),
            custody=custody_order(flow.custody, hub) if flow.HasField("custody") else None,
        )
        for flow in request.flows
    )
    return SendSpec(
        orders=orders,
        profile=tcp_profile(request.tcp),
        series_interval_ns=request.series_interval_ns or DEFAULT_INTERVAL_NS,
        stall_timeout_ns=request.stall_timeout_ns or DEFAULT_STALL_TIMEOUT_NS,
    )


def tcp_info_sample(sample: RawSample) -> pb.TcpInfoSample:
    """One sample; fields that this kernel does not have stay 0."""
    values = zip(_SAMPLE_FIELDS, _read_sample(sample.raw), strict=True)
    return pb.TcpInfoSample(t_ns=sample.t_ns, **dict(values))


def connection_report(connection: TrackedConnection) -> pb.ConnectionReport:
    """One connection with every sample."""
    return pb.ConnectionReport(
        connection=connection.name,
        direction=connection.direction,
        flow_id=connection.flow_id,
        samples=[tcp_info_sample(sample) for sample in connection.samples],
        last=tcp_info_sample(connection.last) if connection.last is not None else None,
        congestion_control=connection.congestion_control,
        bytes_moved=connection.bytes_moved,
        open=connection.is_open,
        opened_ns=connection.opened_ns,
        send_buffer_bytes=connection.send_buffer_bytes,
        receive_buffer_bytes=connection.receive_buffer_bytes,
    )


def confirmed_payload(
    samples: tuple[RawSample, ...], payload_bytes: int, start_offset: int = 0
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Payload bytes that the sender's TCP peer acknowledged, by time.

    `start_offset`: the flow's byte that the connection began with.

    From the acknowledged stream the header is subtracted; what lies beyond the payload is the
    trailer and the FIN. Points at which nothing changed are left out, but for the last.
    """
    points = [
        (
            sample.t_ns,
            min(
                start_offset + max(acked_stream_bytes(sample.raw) - HEADER_BYTES, 0),
                payload_bytes,
            ),
        )
        for sample in samples
    ]
    kept = [b for a, b in pairwise([(0, -1), *points]) if b[1] != a[1]]
    if points and kept[-1] != points[-1]:
        kept.append(points[-1])
    return tuple(t_ns for t_ns, _ in kept), tuple(value for _, value in kept)


def flow_report(record: FlowRecord, connection: TrackedConnection | None) -> pb.FlowReport:
    """One flow; with the confirmed series if this end sent it."""
    times_ns, values = record.series()
    report = pb.FlowReport(
        flow_id=record.flow_id,
        start_ns=record.start_ns,
        first_byte_ns=record.first_byte_ns,
        last_byte_ns=record.last_byte_ns,
        payload_bytes=record.payload_bytes,
        sha256=record.sha256,
        complete=record.complete,
        sha256_ok=record.sha256_ok,
        series=pb.Series(times_ns=times_ns, values=values),
        error=record.error if record.ended else "the flow has not ended",
        declared_bytes=record.declared_bytes,
        hashed=record.hashed,
    )
    if connection is not None and connection.direction == "out":
        starts = dict(record.custody.connections) if record.custody is not None else {}
        start = starts.get(connection.name, 0)
        times_ns, values = confirmed_payload(connection.samples, record.payload_bytes, start)
        report.confirmed.CopyFrom(pb.Series(times_ns=times_ns, values=values))
    if record.custody is not None:
        report.custody.CopyFrom(custody_report(record.custody))
    return report


def custody_report(books: CustodyRecord) -> pb.CustodyReport:
    """What custody adds to a flow's report."""
    confirmed, delivered = books.series()
    return pb.CustodyReport(
        confirmed=pb.Series(times_ns=confirmed[0], values=confirmed[1]),
        delivered=pb.Series(times_ns=delivered[0], values=delivered[1]),
        exposure_bytes_max=books.exposure_bytes_max,
        retained_bytes_max=books.retained_bytes_max,
        attempts=books.attempts,
        replayed_bytes=books.replayed_bytes,
        duplicate_bytes=books.duplicate_bytes,
        refused=books.refused,
    )


def collect_reply(run: NodeRun, *, complete: bool) -> pb.CollectReply:
    """All that this node measured for a run, as of now."""
    connections = tuple(run.connections)
    by_name = {connection.name: connection for connection in connections if connection.name}
    usage = run.usage()
    rss_bytes_now = resident_bytes()  # once: the most must not be less than it
    return pb.CollectReply(
        flows=[flow_report(record, by_name.get(record.connection)) for record in tuple(run.flows)],
        connections=[connection_report(connection) for connection in connections],
        rss_bytes_max=max(run.rss_bytes_max, rss_bytes_now),
        rss_bytes_now=rss_bytes_now,
        relay_buffered_bytes_max=run.gauge.max_bytes,
        cpu_seconds=usage.cpu_seconds,
        context_switches_voluntary=usage.switches_voluntary,
        context_switches_involuntary=usage.switches_involuntary,
        events=tuple(run.events),
        complete=complete,
        flows_active=run.active,
        events_dropped=run.events_dropped,
        sync=sync_reports(run),
        adjustments=adjustments(run),
        resumptions=[
            pb.Resumption(
                flow_id=one.flow_id,
                at_ns=one.at_ns,
                next_hop=one.next_hop,
                offset=one.offset,
                replayed_bytes=one.replayed_bytes,
            )
            for one in tuple(run.resumptions)
        ],
    )
