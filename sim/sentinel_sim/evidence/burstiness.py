"""How bursty an arrival process is, from counts in bins of equal length (pure).

Counts may be packets or bytes; a burst has their unit. What happens inside a bin is not seen: no
figure here says anything of times shorter than one bin.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
FEWEST_BLOCKS = 20
"""Of fewer blocks than this a variance says too little."""


def blocks(counts: Counts, bins: int) -> Counts:
    """Sums over consecutive blocks of `bins` bins; an incomplete last one is left out."""
    if bins < 1:
        raise ValueError(f"a block has at least one bin, got {bins}")
    whole = len(counts) // bins
    return np.asarray(counts[: whole * bins].reshape(whole, bins).sum(axis=1), np.int64)


def dispersion(counts: Counts, bins: int, unit: float = 1.0) -> float | None:
    """Index of dispersion for counts over `bins` bins: variance / mean, in multiples of `unit`.

    1 for a Poisson process, 0 for a constant one (Cox and Lewis 1966; Gusella, IEEE JSAC 9,
    1991). With bytes `unit` is the size of a packet. None: too short, or nothing arrived.
    """
    sums = blocks(counts, bins)
    if len(sums) < FEWEST_BLOCKS or not sums.any():
        return None
    return float(sums.var(ddof=1) / sums.mean() / unit)


def variation(counts: Counts, bins: int) -> float | None:
    """Coefficient of variation of what arrives in `bins` bins; None as in `dispersion`."""
    sums = blocks(counts, bins)
    if len(sums) < FEWEST_BLOCKS or not sums.any():
        return None
    return float(sums.std(ddof=1) / sums.mean())


def peak_to_mean(counts: Counts, bins: int) -> float | None:
    """Most that arrives in any `bins` consecutive bins, over their mean; None as in `dispersion`.

    The window slides by one bin, so that a burst across the border of two blocks counts whole.
    """
    if len(counts) < FEWEST_BLOCKS * bins or not counts.any():
        return None
    total = np.concatenate([[0], np.cumsum(counts)])
    return float((total[bins:] - total[:-bins]).max() / bins / counts.mean())


def burst(counts: Counts, rate: float) -> float:
    """Empirical burst b*: least b such that no interval has more than b + rate x its length.

    `rate` is counts per bin. The arrival curve of a token bucket (Cruz, IEEE Trans. IT 37, 1991;
    Le Boudec and Thiran 2001, section 1.2); intervals begin and end at borders of bins.
    """
    if rate < 0:
        raise ValueError(f"a rate cannot be negative, got {rate}")
    above = np.concatenate([[0.0], np.cumsum(counts - rate)])
    return float((above - np.minimum.accumulate(above)).max())
