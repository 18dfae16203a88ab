"""Careful Resume never sends more than RFC 9959 allows; plans fit forecast and host."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel_node.core.start.buffer_plan import (
    FlowForecast,
    HostLimits,
    StartMode,
    bdp_bytes,
    plan_buffers,
    resume_limits,
)
from sentinel_node.core.start.careful_resume import (
    CarefulResume,
    PathMemory,
    Phase,
    ResumeLimits,
    SavedPath,
)

MS = 1_000_000
LIMITS = ResumeLimits(10_000, 1_000_000, 1_000)
SAVED = SavedPath(200_000, 100 * MS, 0)


def in_unvalidated(saved: SavedPath = SAVED) -> CarefulResume:
    flow = CarefulResume(saved, LIMITS)
    flow.on_sent(10_000)
    flow.on_ack(10_000, rtt_ns=100 * MS, now_ns=100 * MS)
    assert flow.phase is Phase.UNVALIDATED
    return flow


def test_a_jump_is_half_of_what_was_remembered_paced_over_a_round_trip() -> None:
    flow = in_unvalidated()
    assert flow.cwnd_bytes == 100_000
    assert flow.pacing_Bps == 1_000_000  # 100 kB in 100 ms
    flow.on_sent(100_000)
    assert flow.phase is Phase.VALIDATING
    assert flow.sendable_bytes == 0
    flow.on_ack(60_000, rtt_ns=100 * MS, now_ns=200 * MS)
    assert flow.phase is Phase.VALIDATING
    flow.on_ack(40_000, rtt_ns=100 * MS, now_ns=210 * MS)
    assert flow.phase is Phase.NORMAL
    assert flow.exit_window_bytes == 100_000
    assert not flow.proved_wrong


def test_congestion_after_a_jump_retreats_to_half_of_what_was_validated() -> None:
    flow = in_unvalidated()
    flow.on_sent(100_000)
    flow.on_ack(30_000, rtt_ns=100 * MS, now_ns=200 * MS)
    flow.on_congestion()
    assert flow.phase is Phase.SAFE_RETREAT
    assert flow.proved_wrong
    assert flow.cwnd_bytes == 15_000
    flow.on_ack(70_000, rtt_ns=100 * MS, now_ns=300 * MS)
    assert flow.phase is Phase.NORMAL
    assert flow.ssthresh_bytes == 15_000
    assert flow.exit_window_bytes == 15_000


@pytest.mark.parametrize(
    ("rtt_ms", "text"), [(50, "half of"), (1001, "over 10 x"), (100, ""), (51, ""), (1000, "")]
)
def test_another_round_trip_time_is_another_path(rtt_ms: int, text: str) -> None:
    flow = CarefulResume(SAVED, LIMITS)
    flow.on_sent(10_000)
    flow.on_ack(10_000, rtt_ns=rtt_ms * MS, now_ns=rtt_ms * MS)
    assert flow.phase is (Phase.NORMAL if text else Phase.UNVALIDATED)
    assert text in flow.reason


def test_without_memory_it_starts_slowly_and_says_so() -> None:
    flow = CarefulResume(None, LIMITS)
    assert flow.phase is Phase.NORMAL
    assert "slow start" in flow.reason
    assert flow.exit_window_bytes == 10_000


def test_what_the_application_did_not_send_was_not_validated() -> None:
    flow = in_unvalidated()
    flow.on_sent(2_000)
    flow.on_timer(now_ns=201 * MS)
    assert flow.phase is Phase.NORMAL
    assert flow.exit_window_bytes == 10_000
    assert "application" in flow.reason


@given(
    st.integers(0, 10**7),
    st.lists(
        st.tuples(
            st.sampled_from(["send", "ack", "loss", "timer", "path"]),
            st.integers(0, 60_000),
            st.integers(1, 300),
        ),
        max_size=60,
    ),
)
def test_never_more_than_the_rfc_allows(
    saved_bytes: int, events: list[tuple[str, int, int]]
) -> None:
    flow = CarefulResume(SavedPath(saved_bytes, 100 * MS, 0), LIMITS)
    now_ns = 0
    for kind, count, wait_ms in events:
        now_ns += wait_ms * MS
        before, window = flow.phase, flow.cwnd_bytes
        happen(flow, kind, count, wait_ms * MS, now_ns)
        if flow.phase is Phase.UNVALIDATED:
            assert flow.cwnd_bytes is not None
            assert flow.cwnd_bytes <= min(saved_bytes // 2, LIMITS.max_jump_bytes)
            assert flow.pacing_Bps is not None
            assert flow.acked_bytes >= LIMITS.initial_window_bytes
        if before is flow.phase:
            assert flow.cwnd_bytes == window
        allowed = {before, *FOLLOWS[before]}
        assert flow.phase in allowed
        assert (flow.cwnd_bytes is None) == (flow.phase is Phase.NORMAL)


FOLLOWS = {
    Phase.RECONNAISSANCE: {Phase.UNVALIDATED, Phase.NORMAL},
    Phase.UNVALIDATED: {Phase.VALIDATING, Phase.SAFE_RETREAT, Phase.NORMAL},
    Phase.VALIDATING: {Phase.SAFE_RETREAT, Phase.NORMAL},
    Phase.SAFE_RETREAT: {Phase.NORMAL},
    Phase.NORMAL: set(),
}


def happen(flow: CarefulResume, kind: str, count: int, rtt_ns: int, now_ns: int) -> None:
    """One event, within what is possible."""
    if kind == "send":
        room = flow.sendable_bytes
        flow.on_sent(count if room is None else min(count, room))
    elif kind == "ack" and flow.flight_bytes:
        flow.on_ack(min(count, flow.flight_bytes), rtt_ns=rtt_ns, now_ns=now_ns)
    elif kind == "loss":
        flow.on_congestion()
    elif kind == "timer":
        flow.on_timer(now_ns=now_ns)
    elif kind == "path":
        flow.on_path_change()


def test_memory_is_lent_once_ages_and_is_deleted_when_wrong() -> None:
    memory = PathMemory(lifetime_ns=1000, paths_max=2, initial_window_bytes=10_000)
    assert not memory.observe("p", cwnd_bytes=39_999, min_rtt_ns=5, now_ns=0)
    assert memory.observe("p", cwnd_bytes=40_000, min_rtt_ns=5, now_ns=0)
    assert memory.borrow("p", now_ns=1000) == SavedPath(40_000, 5, 0)
    assert memory.borrow("p", now_ns=1000) is None
    memory.give_back("p", proved_wrong=False)
    assert memory.borrow("p", now_ns=1000) is not None
    memory.give_back("p", proved_wrong=True)
    assert memory.borrow("p", now_ns=1000) is None
    for name in ("p", "q", "r"):
        memory.observe(name, cwnd_bytes=40_000, min_rtt_ns=5, now_ns=0)
    assert memory.borrow("p", now_ns=10) is None
    assert memory.borrow("q", now_ns=1001) is None
    assert memory.borrow("r", now_ns=10) is not None


HOST = HostLimits(1 << 30, 1 << 30, 1 << 30)


@given(
    rate=st.integers(0, 10**10),
    rtt_ms=st.integers(0, 700),
    mode=st.sampled_from(StartMode),
    saved_bytes=st.none() | st.integers(0, 10**9),
    host_bytes=st.integers(30_000, 1 << 31),
)
def test_a_plan_fits_forecast_and_host(
    rate: int, rtt_ms: int, mode: StartMode, saved_bytes: int | None, host_bytes: int
) -> None:
    forecast = FlowForecast(rate, rtt_ms * MS, rtt_ms * MS // 2, 1448)
    saved = None if saved_bytes is None else SavedPath(saved_bytes, max(rtt_ms, 1) * MS, 0)
    host = HostLimits(host_bytes, host_bytes, host_bytes)
    plan = plan_buffers(forecast, host, mode=mode, saved=saved)
    bdp = bdp_bytes(rate, rtt_ms * MS)
    assert plan.bdp_bytes == bdp
    assert max(plan.send_buffer_bytes, plan.receive_buffer_bytes, plan.relay_bytes) <= host_bytes
    assert plan.window_clamp_bytes <= plan.receive_buffer_bytes
    if not plan.limits:
        # A BDP on its way and one in the queue, and 20 ms for a host that is busy.
        assert plan.window_clamp_bytes >= 2 * bdp + rate // 50
        assert plan.receive_buffer_bytes >= 2 * plan.window_clamp_bytes
        # Two thirds full, poll(2) wakes no writer (tcp(7), sk_stream_is_writeable).
        assert plan.send_buffer_bytes >= 1.5 * (plan.window_clamp_bytes + plan.unsent_bytes // 2)
        assert plan.unsent_bytes >= rate // 25
    if mode is StartMode.CAREFUL:
        assert plan.initial_window_bytes == 14_480
        if saved_bytes is None:
            assert plan.jump_window_bytes == 14_480
            assert "slow start" in plan.basis
        else:
            assert plan.jump_window_bytes <= max(14_480, min(saved_bytes // 2, bdp))
    else:
        assert plan.initial_window_bytes >= min(bdp, (1 << 30) - 1)
        assert "operator" in plan.basis


def test_a_host_that_allows_too_little_is_named() -> None:
    forecast = FlowForecast(125_000_000, 150 * MS, 75 * MS, 1448)
    plan = plan_buffers(
        forecast, HostLimits(6 << 20, 4 << 20, 1 << 30), mode=StartMode.CAREFUL, saved=None
    )
    assert [limit.split(":")[0] for limit in plan.limits] == ["send buffer", "receive buffer"]
    assert plan.bdp_bytes == 18_750_000


@given(st.integers(10**6, 10**10), st.integers(10**8, 10**9))
def test_limits_of_resume_follow_the_prediction(rate: int, rtt_ns: int) -> None:
    limits = resume_limits(FlowForecast(rate, rtt_ns, 0, 1448))
    assert limits.max_jump_bytes <= bdp_bytes(rate, rtt_ns)
