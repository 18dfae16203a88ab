"""Any message that can be said."""

from __future__ import annotations

from hypothesis import strategies as st

from sentinel_node.core.control import custody_messages as custody
from sentinel_node.core.control import messages as msg

U64 = st.integers(0, msg.U64_MAX)
EPOCHS = st.integers(1, msg.U64_MAX)
TIMES = st.integers(0, msg.TIME_MAX_NS)
RATES = st.integers(0, msg.RATE_MAX_BPS)
NAMES = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=12)
DIGESTS = st.binary(min_size=32, max_size=32)
VERSIONS = st.builds(msg.Version, EPOCHS, U64)


@st.composite
def states(draw: st.DrawFn, flow_id: int | None = None) -> msg.FlowState:
    total = draw(TIMES)
    return msg.FlowState(
        flow_id=draw(U64) if flow_id is None else flow_id,
        origin=draw(NAMES),
        version=draw(VERSIONS),
        phase=draw(st.sampled_from(msg.FlowPhase)),
        at_ns=draw(TIMES),
        total_bytes=total,
        rate_Bps=draw(RATES),
        error_bound_bytes=draw(TIMES),
        max_silence_ns=draw(TIMES),
        peak_rate_Bps=draw(RATES),
        rtt_ns=draw(TIMES),
        start_ns=draw(TIMES),
        size_bytes=draw(st.none() | st.integers(total, msg.TIME_MAX_NS)),
    )


@st.composite
def snapshots(draw: st.DrawFn) -> msg.BucketSnapshot:
    found = draw(st.lists(states(), max_size=4, unique_by=lambda state: state.flow_id))
    bucket = msg.bucket_of(found[0].flow_id) if found else draw(st.integers(0, msg.BUCKETS - 1))
    kept = tuple(state for state in found if msg.bucket_of(state.flow_id) == bucket)
    return msg.BucketSnapshot(draw(VERSIONS), bucket, kept)


@st.composite
def checks(draw: st.DrawFn) -> msg.SyncCheck:
    total = draw(TIMES)
    return msg.SyncCheck(
        draw(U64), draw(EPOCHS), draw(TIMES), total, draw(st.integers(0, total)),
        draw(DIGESTS), draw(st.booleans()),
    )  # fmt: skip


@st.composite
def delivered(draw: st.DrawFn) -> custody.DeliveredAck:
    offset, complete = draw(TIMES), draw(st.booleans())
    checkpoint = offset if complete else draw(st.integers(0, offset))
    return custody.DeliveredAck(
        draw(U64), draw(EPOCHS), draw(NAMES), offset, checkpoint, draw(DIGESTS), complete
    )


@st.composite
def custody_acks(draw: st.DrawFn) -> custody.CustodyAck:
    offset = draw(TIMES)
    durable = draw(st.integers(0, offset))
    return custody.CustodyAck(draw(U64), draw(EPOCHS), draw(NAMES), offset, durable)


@st.composite
def resume_points(draw: st.DrawFn) -> custody.ResumePoint:
    offset = draw(TIMES)
    checkpoint = draw(st.integers(0, offset))
    return custody.ResumePoint(draw(U64), draw(EPOCHS), offset, checkpoint, draw(DIGESTS))


HELLOS = st.builds(
    msg.Hello, NAMES, NAMES, EPOCHS, DIGESTS, st.integers(1, msg.U32_MAX), st.just(1)
)
HOPS = st.builds(msg.PathHop, NAMES, TIMES, RATES)
BUCKET_HASHES = st.lists(U64, min_size=msg.BUCKETS, max_size=msg.BUCKETS).map(tuple)
PULLED = st.lists(st.integers(0, msg.BUCKETS - 1), min_size=1, max_size=msg.BUCKETS).map(tuple)

IN_SESSION = st.one_of(
    st.builds(msg.Forecast, VERSIONS, states()),
    st.builds(msg.Correction, VERSIONS, U64, VERSIONS, TIMES, TIMES, RATES),
    st.builds(msg.Removal, VERSIONS, U64),
    st.builds(msg.Digest, VERSIONS, st.integers(0, msg.U32_MAX), BUCKET_HASHES),
    st.builds(msg.Pull, EPOCHS, PULLED),
    snapshots(),
    st.builds(msg.Heartbeat, VERSIONS, TIMES, st.integers(1, msg.TIME_MAX_NS)),
    st.builds(msg.PathMetadata, U64, VERSIONS, st.lists(HOPS, min_size=1, max_size=3).map(tuple)),
    checks(),
    st.builds(msg.RateAdvice, VERSIONS, U64, st.integers(1, msg.RATE_MAX_BPS)),
    st.builds(msg.WindowOffer, U64, st.integers(1, msg.WINDOW_MAX_BYTES), TIMES),
    custody_acks(),
    delivered(),
    st.builds(
        custody.CustodyRefusal, U64, EPOCHS, TIMES, st.sampled_from(custody.CustodyReason), TIMES
    ),
    st.builds(custody.ResumeQuery, U64, EPOCHS),
    resume_points(),
)
MESSAGES = st.one_of(HELLOS, IN_SESSION)
