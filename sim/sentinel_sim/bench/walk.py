"""The pseudo-random walk over flows that the load generator and bench.c make, in numpy.

A linear congruential generator (Press et al., Numerical Recipes, "quick and dirty"): enough to
visit flows in no order, and the same in C, BPF and Python, so that each flow's count is known.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sentinel_bpf.bench_programs import FIRST_PORT, FLOWS_MAX

FACTOR = 1664525
STEP = 1013904223


def flow_indices(packets: int, flows: int, seed: int) -> NDArray[np.int64]:
    """The flow of each packet, 0 ... flows - 1. Raises ValueError for flows out of range."""
    if not 1 <= flows <= FLOWS_MAX:
        raise ValueError(f"flows must lie in 1 ... {FLOWS_MAX}, got {flows}")
    with np.errstate(over="ignore"):
        # state_n = a^n s + c (a^(n-1) + ... + 1) mod 2^32: unsigned arithmetic wraps by itself.
        powers = np.multiply.accumulate(np.full(packets, FACTOR, dtype=np.uint32), dtype=np.uint32)
        before = np.concatenate([np.ones(min(packets, 1), dtype=np.uint32), powers[:-1]])
        sums = np.add.accumulate(before, dtype=np.uint32)
        states = powers * np.uint32(seed) + sums * np.uint32(STEP)
    return ((states.astype(np.uint64) * np.uint64(flows)) >> np.uint64(32)).astype(np.int64)


def packets_by_port(packets: int, flows: int, seed: int) -> dict[int, int]:
    """How many packets each client port sends; ports without any are absent."""
    counts = np.bincount(flow_indices(packets, flows, seed), minlength=flows)
    return {FIRST_PORT + int(i): int(counts[i]) for i in np.flatnonzero(counts)}
