"""Messages to protobuf bytes (control.proto) and back. Pure; authenticates nothing.

Decoding refuses with MessageError whatever does not parse or is out of range. Encoding is
canonical for a given value: equal values give equal bytes in one process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, cast

from google.protobuf.message import DecodeError

from sentinel_node.core.control import custody_messages as custody
from sentinel_node.core.control import messages as msg
from sentinel_node.core.control.messages import MessageError
from sentinel_proto.v1 import control_pb2 as pb

BODY_MAX_BYTES = 1 << 20

Message: TypeAlias = (
    msg.Hello
    | msg.Forecast
    | msg.Correction
    | msg.Removal
    | msg.Digest
    | msg.Pull
    | msg.BucketSnapshot
    | msg.Heartbeat
    | msg.PathMetadata
    | msg.SyncCheck
    | msg.RateAdvice
    | msg.WindowOffer
    | custody.CustodyAck
    | custody.DeliveredAck
    | custody.CustodyRefusal
    | custody.ResumeQuery
    | custody.ResumePoint
)


def _state_to(state: msg.FlowState) -> pb.FlowState:
    return pb.FlowState(
        flow_id=state.flow_id,
        origin=state.origin,
        origin_epoch=state.version.epoch,
        origin_sequence=state.version.sequence,
        phase=cast(pb.FlowPhase.ValueType, int(state.phase)),
        at_ns=state.at_ns,
        total_bytes=state.total_bytes,
        rate_Bps=state.rate_Bps,
        error_bound_bytes=state.error_bound_bytes,
        max_silence_ns=state.max_silence_ns,
        peak_rate_Bps=state.peak_rate_Bps,
        rtt_ns=state.rtt_ns,
        start_ns=state.start_ns,
        size_bytes=state.size_bytes or 0,
        has_size=state.size_bytes is not None,
    )


def _state_from(m: pb.FlowState) -> msg.FlowState:
    return msg.FlowState(
        flow_id=m.flow_id,
        origin=m.origin,
        version=msg.Version(m.origin_epoch, m.origin_sequence),
        phase=_enum(msg.FlowPhase, m.phase, "phase"),
        at_ns=m.at_ns,
        total_bytes=m.total_bytes,
        rate_Bps=m.rate_Bps,
        error_bound_bytes=m.error_bound_bytes,
        max_silence_ns=m.max_silence_ns,
        peak_rate_Bps=m.peak_rate_Bps,
        rtt_ns=m.rtt_ns,
        start_ns=m.start_ns,
        size_bytes=m.size_bytes if m.has_size else None,
    )


def _enum(kind: Callable[[int], Any], value: int, name: str) -> Any:  # noqa: ANN401
    try:
        return kind(value)
    except ValueError as error:
        raise MessageError(f"{name} {value} is unknown") from error


def _stamp(m: Any) -> msg.Version:  # noqa: ANN401
    return msg.Version(m.epoch, m.sequence)


def _origin(m: Any) -> msg.Version:  # noqa: ANN401
    return msg.Version(m.origin_epoch, m.origin_sequence)


def _fields(message: object) -> dict[str, Any]:
    """Fields of a message whose names are those of its protobuf."""
    return {name: getattr(message, name) for name in message.__slots__}  # type: ignore[attr-defined]


def _stamped(message: Any, **fields: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"epoch": message.stamp.epoch, "sequence": message.stamp.sequence, **fields}


def _correction_to(m: msg.Correction) -> pb.Correction:
    return pb.Correction(
        **_stamped(m),
        flow_id=m.flow_id,
        origin_epoch=m.version.epoch,
        origin_sequence=m.version.sequence,
        at_ns=m.at_ns,
        total_bytes=m.total_bytes,
        rate_Bps=m.rate_Bps,
    )


def _path_to(m: msg.PathMetadata) -> pb.PathMetadata:
    return pb.PathMetadata(
        flow_id=m.flow_id,
        origin_epoch=m.version.epoch,
        origin_sequence=m.version.sequence,
        hops=[pb.PathHop(**_fields(hop)) for hop in m.hops],
    )


def _check_to(m: msg.SyncCheck) -> pb.SyncCheck:
    fields = _fields(m)
    return pb.SyncCheck(origin_epoch=fields.pop("epoch"), **fields)


def _snapshot_to(m: msg.BucketSnapshot) -> pb.BucketSnapshot:
    states = [_state_to(state) for state in m.states]
    return pb.BucketSnapshot(**_stamped(m, bucket=m.bucket, states=states))


_ENCODE: dict[type, tuple[str, Callable[[Any], Any]]] = {
    msg.Hello: ("hello", lambda m: pb.Hello(**_fields(m))),
    msg.Forecast: (
        "forecast",
        lambda m: pb.Forecast(**_stamped(m, state=_state_to(m.state))),
    ),
    msg.Correction: ("correction", _correction_to),
    msg.Removal: ("removal", lambda m: pb.Removal(**_stamped(m, flow_id=m.flow_id))),
    msg.Digest: (
        "digest",
        lambda m: pb.Digest(**_stamped(m, flows=m.flows, buckets=m.buckets)),
    ),
    msg.Pull: ("pull", lambda m: pb.Pull(**_fields(m))),
    msg.BucketSnapshot: ("snapshot", _snapshot_to),
    msg.Heartbeat: (
        "heartbeat",
        lambda m: pb.Heartbeat(**_stamped(m, sent_ns=m.sent_ns, interval_ns=m.interval_ns)),
    ),
    msg.PathMetadata: ("path_metadata", _path_to),
    msg.SyncCheck: ("sync_check", _check_to),
    msg.RateAdvice: (
        "rate_advice",
        lambda m: pb.RateAdvice(**_stamped(m, flow_id=m.flow_id, rate_Bps=m.rate_Bps)),
    ),
    msg.WindowOffer: ("window_offer", lambda m: pb.WindowOffer(**_fields(m))),
    custody.CustodyAck: ("custody_ack", lambda m: pb.CustodyAck(**_fields(m))),
    custody.DeliveredAck: ("delivered_ack", lambda m: pb.DeliveredAck(**_fields(m))),
    custody.CustodyRefusal: ("custody_refusal", lambda m: pb.CustodyRefusal(**_fields(m))),
    custody.ResumeQuery: ("resume_query", lambda m: pb.ResumeQuery(**_fields(m))),
    custody.ResumePoint: ("resume_point", lambda m: pb.ResumePoint(**_fields(m))),
}


def _same(kind: Callable[..., Any]) -> Callable[[Any], Any]:
    """Decoder of a message whose field names are those of its protobuf."""
    names = tuple(kind.__slots__)  # type: ignore[attr-defined]
    return lambda m: kind(**{name: getattr(m, name) for name in names})


def _correction_from(m: pb.Correction) -> msg.Correction:
    return msg.Correction(_stamp(m), m.flow_id, _origin(m), m.at_ns, m.total_bytes, m.rate_Bps)


def _snapshot_from(m: pb.BucketSnapshot) -> msg.BucketSnapshot:
    if len(m.states) > msg.BUCKET_FLOWS_MAX:
        raise MessageError(f"a bucket has at most {msg.BUCKET_FLOWS_MAX} flows")
    return msg.BucketSnapshot(_stamp(m), m.bucket, tuple(map(_state_from, m.states)))


def _path_from(m: pb.PathMetadata) -> msg.PathMetadata:
    hops = tuple(msg.PathHop(hop.node, hop.propagation_ns, hop.rate_bps) for hop in m.hops)
    return msg.PathMetadata(m.flow_id, _origin(m), hops)


def _check_from(m: pb.SyncCheck) -> msg.SyncCheck:
    return msg.SyncCheck(
        flow_id=m.flow_id,
        epoch=m.origin_epoch,
        at_ns=m.at_ns,
        total_bytes=m.total_bytes,
        checkpoint_offset=m.checkpoint_offset,
        checkpoint_digest=m.checkpoint_digest,
        final=m.final,
    )


def _refusal_from(m: pb.CustodyRefusal) -> custody.CustodyRefusal:
    reason = _enum(custody.CustodyReason, m.reason, "reason")
    return custody.CustodyRefusal(m.flow_id, m.transfer_epoch, m.offset, reason, m.room_bytes)


_DECODE: dict[str, Callable[[Any], Any]] = {
    "hello": _same(msg.Hello),
    "forecast": lambda m: msg.Forecast(_stamp(m), _state_from(m.state)),
    "correction": _correction_from,
    "removal": lambda m: msg.Removal(_stamp(m), m.flow_id),
    "digest": lambda m: msg.Digest(_stamp(m), m.flows, tuple(m.buckets)),
    "pull": lambda m: msg.Pull(m.epoch, tuple(m.buckets)),
    "snapshot": _snapshot_from,
    "heartbeat": lambda m: msg.Heartbeat(_stamp(m), m.sent_ns, m.interval_ns),
    "path_metadata": _path_from,
    "sync_check": _check_from,
    "rate_advice": lambda m: msg.RateAdvice(_stamp(m), m.flow_id, m.rate_Bps),
    "window_offer": _same(msg.WindowOffer),
    "custody_ack": _same(custody.CustodyAck),
    "delivered_ack": _same(custody.DeliveredAck),
    "custody_refusal": _refusal_from,
    "resume_query": _same(custody.ResumeQuery),
    "resume_point": _same(custody.ResumePoint),
}


def encode(message: Message) -> bytes:
    """The message as a serialised ControlMessage. Raises MessageError above BODY_MAX_BYTES."""
    field, make = _ENCODE[type(message)]
    body = pb.ControlMessage(**{field: make(message)}).SerializeToString(deterministic=True)
    if len(body) > BODY_MAX_BYTES:
        raise MessageError(f"{field} of {len(body)} bytes; at most {BODY_MAX_BYTES} may be sent")
    return body


def decode(body: bytes) -> Message:
    """A message from its bytes. Raises MessageError and says what is wrong."""
    if len(body) > BODY_MAX_BYTES:
        raise MessageError(f"control message of {len(body)} bytes; at most {BODY_MAX_BYTES}")
    try:
        control = pb.ControlMessage.FromString(body)
    except DecodeError as error:
        raise MessageError(f"not a control message: {error}") from error
    field = control.WhichOneof("kind")
    if field is None:
        raise MessageError("a control message of a kind that this node does not know")
    return cast(Message, _DECODE[field](getattr(control, field)))
