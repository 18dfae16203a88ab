"""What nodes say to each other: the messages of control.proto as frozen values.

Every value checks its own ranges and raises MessageError, so that nothing out of range comes
into a core, wherever it was made. Times are integer nanoseconds, sizes bytes, rates bytes per
second. Epochs number a daemon's incarnations, sequences the values it sent in one.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from sentinel_node.errors import NodeError

U64_MAX = (1 << 64) - 1
U32_MAX = (1 << 32) - 1
TIME_MAX_NS = (1 << 63) - 1
RATE_MAX_BPS = 1 << 43
"""70 Tbit/s in bytes per second: a rate beyond it is nonsense, and would overflow products."""
WINDOW_MAX_BYTES = 65_535 << 14
"""The largest that TCP can say (RFC 7323, section 2.3)."""
NAME_MAX_BYTES = 64
NONCE_BYTES = 32
DIGEST_BYTES = 32
HOPS_MAX = 64
BUCKETS = 64
"""Into how many buckets the flows of a digest are sorted."""
BUCKET_FLOWS_MAX = 4096


class MessageError(NodeError):
    """A message carries a value that makes no sense."""


def check_range(name: str, value: int, low: int, high: int) -> None:
    """Raise MessageError unless low <= value <= high."""
    if not low <= value <= high:
        raise MessageError(f"{name} must lie between {low} and {high}, got {value}")


def check_name(name: str, value: str) -> None:
    """Raise MessageError unless `value` can name a node: short, printable, not empty."""
    if not value or len(value.encode()) > NAME_MAX_BYTES or not value.isprintable():
        raise MessageError(
            f"{name} must be 1 to {NAME_MAX_BYTES} bytes of printable text, got {value[:80]!r}"
        )


def check_bytes(name: str, value: bytes, length: int) -> None:
    """Raise MessageError unless `value` has `length` bytes."""
    if len(value) != length:
        raise MessageError(f"{name} must have {length} bytes, got {len(value)}")


def bucket_of(flow_id: int) -> int:
    """The digest bucket of a flow: top bits of a multiplicative hash (Knuth, TAOCP 3, 6.4)."""
    return ((flow_id * 0x9E3779B97F4A7C15) & U64_MAX) >> 58


class FlowPhase(IntEnum):
    """How far a flow is. Within an epoch of its origin it only goes forward."""

    ANNOUNCED = 1
    PREDICTED = 2
    ACTIVE = 3
    FINISHED = 4


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """Which of two values is newer: the larger epoch, then the larger sequence."""

    epoch: int
    sequence: int

    def __post_init__(self) -> None:
        check_range("epoch", self.epoch, 1, U64_MAX)
        check_range("sequence", self.sequence, 0, U64_MAX)


@dataclass(frozen=True, slots=True)
class FlowState:
    """What is known of a flow, as its origin says it (FlowState in control.proto)."""

    flow_id: int
    origin: str
    version: Version
    phase: FlowPhase
    at_ns: int
    total_bytes: int
    rate_Bps: int
    error_bound_bytes: int = 0
    max_silence_ns: int = 0
    peak_rate_Bps: int = 0
    rtt_ns: int = 0
    start_ns: int = 0
    size_bytes: int | None = None

    def __post_init__(self) -> None:
        check_range("flow_id", self.flow_id, 0, U64_MAX)
        check_name("origin", self.origin)
        check_range("at_ns", self.at_ns, 0, TIME_MAX_NS)
        check_range("start_ns", self.start_ns, 0, TIME_MAX_NS)
        check_range("total_bytes", self.total_bytes, 0, TIME_MAX_NS)
        check_range("rate_Bps", self.rate_Bps, 0, RATE_MAX_BPS)
        check_range("peak_rate_Bps", self.peak_rate_Bps, 0, RATE_MAX_BPS)
        check_range("error_bound_bytes", self.error_bound_bytes, 0, TIME_MAX_NS)
        check_range("max_silence_ns", self.max_silence_ns, 0, TIME_MAX_NS)
        check_range("rtt_ns", self.rtt_ns, 0, TIME_MAX_NS)
        if self.size_bytes is not None:
            check_range("size_bytes", self.size_bytes, self.total_bytes, TIME_MAX_NS)


@dataclass(frozen=True, slots=True)
class Hello:
    """First message of each side; both nonces make the session's keys."""

    node: str
    peer: str
    epoch: int
    nonce: bytes
    max_flows: int
    protocol: int = 1

    def __post_init__(self) -> None:
        check_name("node", self.node)
        check_name("peer", self.peer)
        check_range("epoch", self.epoch, 1, U64_MAX)
        check_bytes("nonce", self.nonce, NONCE_BYTES)
        check_range("max_flows", self.max_flows, 1, U32_MAX)
        check_range("protocol", self.protocol, 1, U32_MAX)


@dataclass(frozen=True, slots=True)
class Forecast:
    """A flow's whole state, stamped by the neighbour that sends it."""

    stamp: Version
    state: FlowState


@dataclass(frozen=True, slots=True)
class Correction:
    """The changing part of a flow's state, for a neighbour that has the rest."""

    stamp: Version
    flow_id: int
    version: Version
    at_ns: int
    total_bytes: int
    rate_Bps: int

    def __post_init__(self) -> None:
        check_range("flow_id", self.flow_id, 0, U64_MAX)
        check_range("at_ns", self.at_ns, 0, TIME_MAX_NS)
        check_range("total_bytes", self.total_bytes, 0, TIME_MAX_NS)
        check_range("rate_Bps", self.rate_Bps, 0, RATE_MAX_BPS)


@dataclass(frozen=True, slots=True)
class Removal:
    """The neighbour forgot the flow."""

    stamp: Version
    flow_id: int

    def __post_init__(self) -> None:
        check_range("flow_id", self.flow_id, 0, U64_MAX)


@dataclass(frozen=True, slots=True)
class Digest:
    """One hash per bucket over what the sender believes its neighbour has."""

    stamp: Version
    flows: int
    buckets: tuple[int, ...]

    def __post_init__(self) -> None:
        check_range("flows", self.flows, 0, U32_MAX)
        check_range("number of buckets", len(self.buckets), BUCKETS, BUCKETS)
        for value in self.buckets:
            check_range("bucket hash", value, 0, U64_MAX)


@dataclass(frozen=True, slots=True)
class Pull:
    """Asks the neighbour of incarnation `epoch` for whole buckets."""

    epoch: int
    buckets: tuple[int, ...]

    def __post_init__(self) -> None:
        check_range("epoch", self.epoch, 1, U64_MAX)
        check_range("number of buckets", len(self.buckets), 1, BUCKETS)
        for bucket in self.buckets:
            check_range("bucket", bucket, 0, BUCKETS - 1)


@dataclass(frozen=True, slots=True)
class BucketSnapshot:
    """All flows of a bucket; one that is not here is gone."""

    stamp: Version
    bucket: int
    states: tuple[FlowState, ...]

    def __post_init__(self) -> None:
        check_range("bucket", self.bucket, 0, BUCKETS - 1)
        check_range("number of states", len(self.states), 0, BUCKET_FLOWS_MAX)
        ids = [state.flow_id for state in self.states]
        if len(set(ids)) != len(ids):
            raise MessageError(f"bucket {self.bucket} names a flow twice")
        for flow_id in ids:
            if bucket_of(flow_id) != self.bucket:
                raise MessageError(f"flow {flow_id} does not belong into bucket {self.bucket}")


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The sender lives; the next one follows within `interval_ns`."""

    stamp: Version
    sent_ns: int
    interval_ns: int

    def __post_init__(self) -> None:
        check_range("sent_ns", self.sent_ns, 0, TIME_MAX_NS)
        check_range("interval_ns", self.interval_ns, 1, TIME_MAX_NS)


@dataclass(frozen=True, slots=True)
class PathHop:
    """A node of a path, and the link that leads to it."""

    node: str
    propagation_ns: int
    rate_bps: int

    def __post_init__(self) -> None:
        check_name("node", self.node)
        check_range("propagation_ns", self.propagation_ns, 0, TIME_MAX_NS)
        check_range("rate_bps", self.rate_bps, 0, 8 * RATE_MAX_BPS)


@dataclass(frozen=True, slots=True)
class PathMetadata:
    """What the source design puts beside the data, keyed by flow."""

    flow_id: int
    version: Version
    hops: tuple[PathHop, ...]

    def __post_init__(self) -> None:
        check_range("flow_id", self.flow_id, 0, U64_MAX)
        check_range("number of hops", len(self.hops), 1, HOPS_MAX)


@dataclass(frozen=True, slots=True)
class RateAdvice:
    """What the path from the sender of this on can take of a flow; travels upstream."""

    stamp: Version
    flow_id: int
    rate_Bps: int

    def __post_init__(self) -> None:
        check_range("flow_id", self.flow_id, 0, U64_MAX)
        check_range("rate_Bps", self.rate_Bps, 1, RATE_MAX_BPS)


@dataclass(frozen=True, slots=True)
class WindowOffer:
    """One hop back: connections whose SYN comes from `ready_ns` on may begin with so much."""

    flow_id: int
    window_bytes: int
    ready_ns: int

    def __post_init__(self) -> None:
        check_range("flow_id", self.flow_id, 0, U64_MAX)
        check_range("window_bytes", self.window_bytes, 1, WINDOW_MAX_BYTES)
        check_range("ready_ns", self.ready_ns, 0, TIME_MAX_NS)


@dataclass(frozen=True, slots=True)
class SyncCheck:
    """Upstream's view of a flow, for the receiver to check its own against."""

    flow_id: int
    epoch: int
    at_ns: int
    total_bytes: int
    checkpoint_offset: int
    checkpoint_digest: bytes
    final: bool

    def __post_init__(self) -> None:
        check_range("flow_id", self.flow_id, 0, U64_MAX)
        check_range("epoch", self.epoch, 1, U64_MAX)
        check_range("at_ns", self.at_ns, 0, TIME_MAX_NS)
        check_range("total_bytes", self.total_bytes, 0, TIME_MAX_NS)
        check_range("checkpoint_offset", self.checkpoint_offset, 0, self.total_bytes)
        check_bytes("checkpoint_digest", self.checkpoint_digest, DIGEST_BYTES)
