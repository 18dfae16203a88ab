"""The loss pattern is a function of seed and packet number, and has the share it says."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sentinel_bpf.errors import BpfError
from sentinel_bpf.loss import check_seed, loss_pattern, loss_threshold, splitmix64


def test_splitmix64_gives_the_published_sequence_for_seed_1234567() -> None:
    # The values of the reference implementation by S. Vigna (prng.di.unimi.it/splitmix64.c).
    expected = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert splitmix64(1234567, np.arange(5, dtype=np.uint64)).tolist() == expected


@pytest.mark.parametrize("probability", [1e-4, 1e-3, 0.01, 0.5])
@pytest.mark.parametrize("seed", [0, 7, 2**64 - 1])
def test_share_lies_within_three_standard_errors(seed: int, probability: float) -> None:
    count = 1_000_000
    share = loss_pattern(seed, count, probability).mean()
    assert abs(share / probability - 1) <= 3 / math.sqrt(count * probability)


def test_a_longer_pattern_begins_with_the_shorter_one() -> None:
    assert np.array_equal(loss_pattern(3, 5000, 0.1)[:1000], loss_pattern(3, 1000, 0.1))


def test_other_seeds_give_other_patterns() -> None:
    assert not np.array_equal(loss_pattern(3, 1000, 0.1), loss_pattern(4, 1000, 0.1))


def test_losses_are_not_correlated_with_their_neighbours() -> None:
    pattern = loss_pattern(11, 1_000_000, 0.1)
    both = np.count_nonzero(pattern[1:] & pattern[:-1])
    assert abs(both - 10_000) < 4 * math.sqrt(10_000)


def test_threshold_is_exact_at_the_ends() -> None:
    assert loss_threshold(0.0) == 0
    assert not loss_pattern(1, 1000, 0.0).any()
    assert loss_threshold(0.5) == 2**63
    assert loss_threshold(math.nextafter(1.0, 0.0)) == 2**64 - 2**11


@pytest.mark.parametrize("probability", [-0.1, 1.0, 50.0, math.nan, math.inf])
def test_what_is_no_probability_is_refused(probability: float) -> None:
    with pytest.raises(BpfError, match="percentage"):
        loss_threshold(probability)


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_seed_has_to_fit(seed: int) -> None:
    with pytest.raises(BpfError, match=str(seed)):
        check_seed(seed)
