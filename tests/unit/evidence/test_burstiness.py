"""Burstiness of processes of which it is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel_sim.evidence.burstiness import (
    Counts,
    blocks,
    burst,
    dispersion,
    peak_to_mean,
    variation,
)

LADDER = (1, 10, 100, 1000)


def test_a_poisson_process_has_dispersion_one_at_every_time() -> None:
    counts = np.random.default_rng(1).poisson(4.0, 1_000_000)
    for bins in LADDER:
        spread = np.sqrt(2 / (len(counts) // bins))  # sd of a sample variance, nearly normal
        assert dispersion(counts, bins) == pytest.approx(1.0, abs=5 * spread)
        expected = 1 / np.sqrt(4.0 * bins)
        assert variation(counts, bins) == pytest.approx(expected, rel=5 * spread)


def test_a_constant_rate_has_none() -> None:
    counts = np.full(100_000, 1514 * 8)
    for bins in LADDER:
        assert dispersion(counts, bins) == 0
        assert variation(counts, bins) == 0
        assert peak_to_mean(counts, bins) == pytest.approx(1.0)
    assert burst(counts, counts.mean()) == pytest.approx(0.0)


def test_on_and_off_in_turns_has_its_closed_form() -> None:
    # 30 bins at 8 packets, then 70 at none.
    counts = np.tile(np.repeat([8, 0], [30, 70]), 500)
    share = 0.3
    assert dispersion(counts, 1) == pytest.approx(8 * (1 - share), rel=1e-3)
    assert variation(counts, 1) == pytest.approx(np.sqrt((1 - share) / share), rel=1e-3)
    assert dispersion(counts, 100) == 0
    assert peak_to_mean(counts, 10) == pytest.approx(1 / share)
    assert peak_to_mean(counts, 100) == pytest.approx(1.0)
    # At the mean rate, an on-period brings 30 x 8 of which 30 x 2.4 are allowed.
    assert burst(counts, 8 * share) == pytest.approx(30 * 8 * (1 - share))
    assert burst(counts, 8.0) == pytest.approx(0.0)
    assert burst(counts, 4.0) == pytest.approx(30 * 4)


def test_markov_on_and_off_has_its_closed_form() -> None:
    # Each bin keeps its state but for a and b; correlations fall as (1 - a - b)^k.
    leave_on, leave_off, bins = 0.1, 0.05, 64
    draws = np.random.default_rng(2).random(2_000_000)
    state, states = 0, np.empty(len(draws), np.int64)
    for at, draw in enumerate(draws.tolist()):
        state = int(draw >= leave_on) if state else int(draw < leave_off)
        states[at] = state
    share = leave_off / (leave_on + leave_off)
    kept = 1 - leave_on - leave_off
    lags = np.arange(1, bins)
    sums = bins + 2 * np.sum((bins - lags) * kept**lags)
    expected = share * (1 - share) * sums / (bins * share)
    assert dispersion(states, bins) == pytest.approx(expected, rel=0.05)


def test_bytes_count_in_packets() -> None:
    packets = np.random.default_rng(3).poisson(2.0, 50_000)
    assert dispersion(packets * 1514, 10, unit=1514) == pytest.approx(dispersion(packets, 10))


def test_what_is_too_short_or_empty_has_no_figure() -> None:
    assert dispersion(np.ones(19, np.int64), 1) is None
    assert variation(np.ones(199, np.int64), 10) is None
    assert peak_to_mean(np.zeros(1000, np.int64), 1) is None
    assert burst(np.zeros(1000, np.int64), 0.0) == 0


@pytest.mark.parametrize("call", [lambda c: blocks(c, 0), lambda c: burst(c, -1.0)])
def test_nonsense_is_refused(call: Callable[[Counts], object]) -> None:
    with pytest.raises(ValueError, match="got"):
        call(np.ones(100, np.int64))


@given(st.lists(st.integers(0, 50), min_size=1, max_size=40), st.floats(0, 60))
def test_burst_is_the_least_that_no_interval_exceeds(values: list[int], rate: float) -> None:
    counts = np.array(values, np.int64)
    every = [
        sum(values[i:j]) - rate * (j - i)
        for i in range(len(values) + 1)
        for j in range(i, len(values) + 1)
    ]
    assert burst(counts, rate) == pytest.approx(max(every), abs=1e-6)
