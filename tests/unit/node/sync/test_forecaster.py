"""The stated bound holds at every sample; silence is bounded; phase error is what it says."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel_bpf.predict_abi import SHIFT_DEFAULT
from sentinel_bpf.predict_reference import PredictState
from sentinel_node.core.control.messages import FlowPhase, FlowState, SyncCheck, Version
from sentinel_node.core.sync.forecaster import Forecaster, believed_total, replica_bound
from sentinel_node.core.sync.phase import PhaseMeter, phase_error_ns
from sentinel_node.core.sync.slopes import Fsu, Hold, Mean, Secant, Slope, SlopeBank
from sentinel_node.core.sync.validation import validate

INTERVAL = 1 << 20
SECOND = 1_000_000_000
SIZES = st.lists(
    st.one_of(st.just(0), st.just(1500), st.integers(0, 10**6)), min_size=1, max_size=80
)
SLOPES: dict[str, Callable[[int], Slope]] = {
    "hold": lambda bound: Hold(),
    "linear": lambda bound: Secant(),
    "mean": lambda bound: Mean(INTERVAL, 3),
    "bank": lambda bound: SlopeBank([Hold(), Secant(), Mean(INTERVAL, 4)], INTERVAL, bound),
}


def announced(bound: int, silence: int, size: int | None = None) -> FlowState:
    return FlowState(
        1, "a", Version(1, 0), FlowPhase.ANNOUNCED, 0, 0, 0,
        error_bound_bytes=bound, max_silence_ns=silence * INTERVAL, size_bytes=size,
    )  # fmt: skip


@pytest.mark.parametrize("slope", SLOPES)
@given(
    sizes=SIZES,
    bound=st.integers(0, 10**6),
    silence=st.integers(1, 100),
    wrong_size=st.none() | st.integers(0, 10**6),
)
def test_a_replica_is_never_wrong_by_more_than_the_bound(
    slope: str, sizes: list[int], bound: int, silence: int, wrong_size: int | None
) -> None:
    first = announced(bound, silence, wrong_size)
    owner = Forecaster(first, SLOPES[slope](bound), interval_ns=INTERVAL)
    replica, total = first, 0
    for number, size in enumerate(sizes, start=1):
        total += size
        now_ns = number * INTERVAL
        sent = owner.sample(total, version=Version(1, number), now_ns=now_ns)
        if sent is not None:
            assert sent.version > replica.version
            assert sent.phase >= replica.phase
            replica = sent
        assert abs(total - believed_total(replica, now_ns)) <= bound
        assert now_ns - replica.at_ns < silence * INTERVAL or sent is not None
    end_ns = (len(sizes) + 1) * INTERVAL
    last = owner.finish(total, version=Version(2, 0), now_ns=end_ns)
    assert believed_total(last, end_ns + SECOND) == total
    assert owner.next_silence_ns() is None
    with pytest.raises(ValueError, match="has finished"):
        owner.sample(total, version=Version(2, 1), now_ns=end_ns)


def test_a_constant_rate_needs_hardly_any_correction() -> None:
    counts = {}
    for name, make in SLOPES.items():
        owner = Forecaster(announced(15_000, 10_000), make(15_000), interval_ns=INTERVAL)
        counts[name] = sum(
            owner.sample(1500 * at, version=Version(1, at), now_ns=at * INTERVAL) is not None
            for at in range(1, 5001)
        )
    assert counts["hold"] > 400
    assert max(counts["linear"], counts["mean"], counts["bank"]) < 20


def test_the_fsus_own_predictor_can_be_the_slope() -> None:
    state = PredictState()
    per_interval = (1 << SHIFT_DEFAULT) // INTERVAL
    slope = Fsu(state, lambda size: state.close(None, size), INTERVAL, per_interval)
    owner = Forecaster(announced(15_000, 10_000), slope, interval_ns=INTERVAL)
    sent = [
        owner.sample(1500 * at, version=Version(1, at), now_ns=at * INTERVAL)
        for at in range(1, 3001)
    ]
    assert sum(state is not None for state in sent) < 20
    assert state.intervals == 3000 // per_interval
    assert slope.rate_Bps == 1500 * SECOND // INTERVAL


def test_a_prediction_in_mid_flow_tells_the_last_sample_and_only_the_peak_changes() -> None:
    owner = Forecaster(announced(1000, 5), Mean(INTERVAL, 0), interval_ns=INTERVAL)
    first = owner.sample(100, version=Version(1, 1), now_ns=INTERVAL)
    assert first is not None
    owner.sample(200, version=Version(1, 2), now_ns=2 * INTERVAL)
    told = owner.predicted(
        peak_rate_Bps=500, error_bound_bytes=3, version=Version(1, 3), now_ns=2 * INTERVAL + 7
    )
    assert (told.phase, told.at_ns, told.total_bytes) == (FlowPhase.ACTIVE, 2 * INTERVAL, 200)
    assert told.rate_Bps == 100 * SECOND // INTERVAL, "as it goes, not as it may go at most"
    assert (told.peak_rate_Bps, told.error_bound_bytes) == (500, 3)
    with pytest.raises(ValueError, match="not newer"):
        owner.predicted(
            peak_rate_Bps=1, error_bound_bytes=3, version=Version(1, 3), now_ns=3 * INTERVAL
        )


def test_what_cannot_be_is_refused() -> None:
    owner = Forecaster(announced(0, 5), Hold(), interval_ns=INTERVAL)
    owner.sample(10, version=Version(1, 1), now_ns=INTERVAL)
    with pytest.raises(ValueError, match="went back"):
        owner.sample(9, version=Version(1, 2), now_ns=2 * INTERVAL)
    with pytest.raises(ValueError, match="not newer"):
        owner.sample(11, version=Version(1, 1), now_ns=2 * INTERVAL)
    with pytest.raises(ValueError, match="at least one interval"):
        Forecaster(announced(0, 0), Hold(), interval_ns=INTERVAL)


def test_a_prediction_goes_out_before_the_first_byte() -> None:
    owner = Forecaster(announced(1000, 5), Hold(), interval_ns=INTERVAL)
    told = owner.predicted(
        peak_rate_Bps=10**8, error_bound_bytes=5, version=Version(1, 1), now_ns=INTERVAL
    )
    assert told.phase is FlowPhase.PREDICTED
    assert believed_total(told, SECOND) == 0
    first = owner.sample(1, version=Version(1, 2), now_ns=2 * INTERVAL)
    assert first is not None
    assert first.phase is FlowPhase.ACTIVE
    assert first.peak_rate_Bps == 10**8


ACTIVE = FlowState(
    1, "a", Version(1, 1), FlowPhase.ACTIVE, 1000, 500, 10**6,
    error_bound_bytes=100, max_silence_ns=SECOND,
)  # fmt: skip


@given(lag_ns=st.integers(-(10**8), 10**8), at_ns=st.integers(10**9, 10**10))
def test_phase_error_is_how_far_the_view_leads(lag_ns: int, at_ns: int) -> None:
    # The truth runs at the same rate, `lag_ns` behind what the replica believes.
    truth = believed_total(ACTIVE, at_ns - lag_ns)
    error = phase_error_ns(ACTIVE, truth, at_ns)
    assert error is not None
    assert abs(error - lag_ns) <= 1000  # one byte at 1 MB/s is 1,000 ns


def test_a_view_that_stands_still_has_no_phase() -> None:
    still = FlowState(1, "a", Version(1, 1), FlowPhase.ACTIVE, 0, 500, 0)
    assert phase_error_ns(still, 501, 10) is None
    assert phase_error_ns(still, 500, 10) == 0
    meter = PhaseMeter(interval_ns=10, next_ns=0)
    meter.sample(still, 500, now_ns=0)
    meter.sample(still, 501, now_ns=10)
    assert (meter.samples, meter.undefined, meter.over_bound) == (2, 1, 1)
    assert meter.errors_bytes == [0, 1]
    with pytest.raises(ValueError, match="off the grid"):
        meter.sample(still, 500, now_ns=25)


def test_a_replica_says_how_wrong_it_may_be() -> None:
    def bound(now_ns: int, delay_ns: int) -> tuple[int, int | None, bool]:
        found = replica_bound(ACTIVE, now_ns=now_ns, delay_ns=delay_ns, rate_limit_Bps=10**9)
        return found.error_bytes, found.phase_ns, found.in_contract

    assert bound(2000, 0) == (100, 100_000, True)
    assert bound(2000, 1000) == (100 + 1000, 1_100_000, True)
    late = 1000 + SECOND + 1001
    assert bound(late, 1000) == (100 + SECOND + 1001, (SECOND + 1101) * 1000, False)


@given(sizes=SIZES, delay=st.integers(0, 10))
def test_the_bound_of_a_delayed_replica_holds(sizes: list[int], delay: int) -> None:
    owner = Forecaster(announced(3000, 20), Secant(), interval_ns=INTERVAL)
    sent, total, totals = [owner.state], 0, []
    for number, size in enumerate(sizes, start=1):
        total += size
        totals.append(total)
        owner.sample(total, version=Version(1, number), now_ns=number * INTERVAL)
        sent.append(owner.state)
    limit = 2 * (10**6 * SECOND // INTERVAL + 1)  # truth and belief may both move so fast
    for number, truth in enumerate(totals, start=1):
        view, now_ns = sent[max(0, number - delay)], number * INTERVAL
        error = truth - believed_total(view, now_ns)
        said = replica_bound(view, now_ns=now_ns, delay_ns=delay * INTERVAL, rate_limit_Bps=limit)
        assert abs(error) <= said.error_bytes + 2


def test_validation_says_what_differs_and_what_cannot_be_compared() -> None:
    digest, other = b"x" * 32, b"y" * 32
    check = SyncCheck(1, 1, 1000, 550, 500, digest, True)
    fine = validate(
        check, view=ACTIVE, digests={500: digest}, delivered_bytes=550, delay_allowance_bytes=0
    )
    assert fine.ok
    assert (fine.error_bytes, fine.hash_ok, fine.bytes_ok, fine.state_in_bound) == (
        50, True, True, True,
    )  # fmt: skip
    bad = validate(
        SyncCheck(1, 2, 1000, 700, 500, other, True),
        view=ACTIVE, digests={500: digest}, delivered_bytes=699, delay_allowance_bytes=999,
    )  # fmt: skip
    assert len(bad.problems) == 4
    assert (bad.epoch_ok, bad.hash_ok, bad.bytes_ok, bad.state_in_bound) == (False,) * 4
    unknown = validate(check, view=None, digests={}, delivered_bytes=550, delay_allowance_bytes=0)
    assert not unknown.ok
    assert (unknown.hash_ok, unknown.state_in_bound, unknown.error_bytes) == (None, None, None)
