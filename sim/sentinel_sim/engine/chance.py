"""Random numbers by counter: the n-th number of a stream is a function of (seed, n) alone.

So what one link draws depends on nothing that another does, and on no order of events. The mixing
is SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
"""

from __future__ import annotations

import numpy as np

from sentinel_sim.engine.jit import compiled_inline

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31 = np.uint64(30), np.uint64(27), np.uint64(31)


@compiled_inline
def draw(seed, count):
    """The `count`-th 64-bit number of the stream `seed`, both unsigned."""
    z = seed + (count + np.uint64(1)) * _GOLDEN
    z = (z ^ (z >> _S30)) * _MIX1
    z = (z ^ (z >> _S27)) * _MIX2
    return z ^ (z >> _S31)
