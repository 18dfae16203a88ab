"""Detectors suspect on their deadline, not before; mistakes are counted."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel_node.core.health.detectors import (
    Detector,
    FixedDetector,
    Liveness,
    PhiAccrualDetector,
    Restarted,
    Suspect,
    Trust,
    jittered_interval_ns,
)

MS = 1_000_000


def phi(now_ns: int = 0, threshold: float = 8.0) -> PhiAccrualDetector:
    return PhiAccrualDetector(
        threshold, first_gap_ns=50 * MS, min_deviation_ns=MS, now_ns=now_ns, window=50
    )


def make(kind: str) -> Detector:
    return phi() if kind == "phi" else FixedDetector(50 * MS, 3, now_ns=0)


@given(
    kind=st.sampled_from(["phi", "fixed"]),
    events=st.lists(st.tuples(st.integers(0, 400 * MS), st.sampled_from("ht")), max_size=60),
)
def test_a_timer_on_the_deadline_makes_progress_and_none_before_it(
    kind: str, events: list[tuple[int, str]]
) -> None:
    liveness, now_ns, sequence = Liveness(), 0, 1
    liveness.watch("b", make(kind), now_ns=0)
    liveness.on_heartbeat("b", epoch=1, sequence=1, now_ns=0)
    for wait_ns, event in events:
        now_ns += wait_ns
        suspected = bool(liveness.suspected)
        if event == "h":
            sequence += 1
            effects = liveness.on_heartbeat("b", epoch=1, sequence=sequence, now_ns=now_ns)
            assert [type(effect) for effect in effects] == [Trust] * suspected
        else:
            deadline_ns = liveness.next_deadline_ns()
            effects = liveness.on_timer(now_ns)
            due = deadline_ns is not None and now_ns >= deadline_ns
            assert [type(effect) for effect in effects] == [Suspect] * due
    assert liveness.suspicions - liveness.mistakes == len(liveness.suspected)
    deadline_ns = liveness.next_deadline_ns()
    if deadline_ns is not None:
        assert liveness.on_timer(deadline_ns - 1) == () or deadline_ns <= now_ns
        liveness.on_timer(deadline_ns)
        assert liveness.suspected == ("b",)
        assert liveness.next_deadline_ns() is None


def test_phi_reaches_its_threshold_at_the_deadline() -> None:
    detector, rng, now_ns = phi(threshold=5.0), Random(3), 0
    for _ in range(300):
        now_ns += round(rng.gauss(50 * MS, 5 * MS))
        detector.heard(now_ns)
    assert detector.mean_ns == pytest.approx(50 * MS, rel=0.06)
    assert detector.deviation_ns == pytest.approx(5 * MS, rel=0.35)
    assert detector.phi(detector.deadline_ns) == pytest.approx(5.0, rel=1e-6)
    assert detector.phi(now_ns) < 0.01
    far = [detector.phi(now_ns + gap * MS) for gap in range(0, 2000, 10)]
    assert far == sorted(far)
    assert math.isfinite(far[-1])


def test_phi_makes_as_many_mistakes_as_its_threshold_says() -> None:
    # P(mistake) = 10^-2 per heartbeat; 20,000 of them: 200 +- 14 if the gaps are normal and the
    # estimate exact. It is made from 50 gaps, which makes the tail fatter: up to twice.
    detector, rng, now_ns, mistakes = phi(threshold=2.0), Random(5), 0, 0
    for _ in range(20_000):
        now_ns += max(1, round(rng.gauss(50 * MS, 5 * MS)))
        mistakes += now_ns >= detector.deadline_ns
        detector.heard(now_ns)
    assert 140 <= mistakes <= 400


def test_phi_adapts_to_a_slower_path_and_forgets_an_outage() -> None:
    detector, now_ns = phi(), 0
    for gap_ms, count in ((50, 100), (60_000, 1), (50, 3)):
        for _ in range(count):
            now_ns += gap_ms * MS
            detector.heard(now_ns)
    assert detector.deadline_ns - now_ns < 150 * MS
    for _ in range(200):
        now_ns += 300 * MS
        detector.heard(now_ns)
    assert detector.deadline_ns - now_ns > 300 * MS


def test_a_peer_that_was_never_heard_is_suspected_but_that_is_no_mistake() -> None:
    liveness = Liveness()
    liveness.watch("b", FixedDetector(10, 3, now_ns=0), now_ns=0)
    assert liveness.on_timer(30) == (Suspect("b", 30),)
    assert liveness.on_heartbeat("b", epoch=1, sequence=1, now_ns=40) == (Trust("b", 40),)
    assert (liveness.suspicions, liveness.mistakes) == (1, 0)


def test_old_heartbeats_are_no_sign_of_life_and_a_new_epoch_is_told() -> None:
    liveness = Liveness()
    liveness.watch("b", FixedDetector(10, 3, now_ns=0), now_ns=0)
    assert liveness.on_heartbeat("b", epoch=2, sequence=5, now_ns=10) == ()
    assert liveness.on_heartbeat("b", epoch=2, sequence=5, now_ns=35) == ()
    assert liveness.on_heartbeat("b", epoch=1, sequence=9, now_ns=35) == ()
    assert liveness.on_timer(40) == (Suspect("b", 30),)
    effects = liveness.on_heartbeat("b", epoch=3, sequence=1, now_ns=50)
    assert effects == (Restarted("b", 3), Trust("b", 40))
    assert liveness.mistakes == 0
    liveness.on_heartbeat("b", epoch=3, sequence=4, now_ns=51)
    assert liveness.heartbeats_lost == 2
    with pytest.raises(ValueError, match="not watched"):
        liveness.on_heartbeat("c", epoch=1, sequence=1, now_ns=60)


@given(st.integers(8, 10**9), st.integers(1, 5), st.integers(0, 65535))
def test_heartbeats_are_jittered_as_bfd_says(interval: int, multiplier: int, dice: int) -> None:
    sent = jittered_interval_ns(interval, multiplier, dice)
    assert 3 * interval <= 4 * sent <= 4 * interval
    if multiplier == 1:
        assert sent <= interval - interval // 10


@pytest.mark.parametrize(
    "bad",
    [
        lambda: FixedDetector(0, 3, now_ns=0),
        lambda: phi(threshold=0),
        lambda: PhiAccrualDetector(8, first_gap_ns=0, min_deviation_ns=1, now_ns=0),
        lambda: jittered_interval_ns(10, 1, 65536),
    ],
)
def test_nonsense_is_refused(bad: object) -> None:
    assert callable(bad)
    with pytest.raises(ValueError, match=r"must|got"):
        bad()
