"""The wire's loss pattern in Python: the reference the kernel program is compared with.

Packet n of a direction is dropped if splitmix64(seed, n) < probability x 2^64: a pure function,
so the pattern of a run can be computed again from its seed.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from sentinel_bpf.errors import BpfError

SEED_MAX = 2**64 - 1
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def loss_threshold(probability: float) -> int:
    """floor(probability x 2^64), exactly. Raises BpfError unless 0 <= probability < 1."""
    if not (math.isfinite(probability) and 0.0 <= probability < 1.0):
        raise BpfError(
            f"loss must be a probability in [0, 1), got {probability}; is it a percentage?"
        )
    return int(Fraction(probability) * 2**64)


def check_seed(seed: int) -> int:
    """`seed` itself. Raises BpfError unless it fits 64 bits."""
    if not 0 <= seed <= SEED_MAX:
        raise BpfError(f"the seed of a loss stage must lie between 0 and 2^64 - 1, got {seed}")
    return seed


def splitmix64(seed: int, counters: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """splitmix64 after `counters` + 1 steps from `seed`, element by element."""
    z = np.uint64(seed) + (counters + np.uint64(1)) * _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return z ^ (z >> np.uint64(31))


def loss_pattern(seed: int, count: int, probability: float) -> npt.NDArray[np.bool_]:
    """Which of the first `count` packets are dropped."""
    counters = np.arange(count, dtype=np.uint64)
    threshold = np.uint64(loss_threshold(probability))
    return splitmix64(check_seed(seed), counters) < threshold
