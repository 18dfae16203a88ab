"""Questions to cumulative counters: how much was there at t, when was the n-th byte there (pure).

A `Series` says that `values[i]` was reached at `times_ns[i]`. Between two samples the truth is
not known: `reached_at` interpolates linearly, `bounds_of` gives what is certain.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sentinel_sim.backends.base import Series

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def last(series: Series) -> int:
    """The counter's final value; 0 for an empty series."""
    return series.values[-1] if series.values else 0


def value_at(series: Series, t_ns: float) -> float:
    """The counter at `t_ns`, interpolated; 0 before the first sample, the last value after."""
    if not series.values:
        return 0.0
    if t_ns < series.times_ns[0]:
        return 0.0
    origin = series.times_ns[0]
    times = np.asarray(series.times_ns, dtype=np.int64) - origin
    return float(np.interp(t_ns - origin, times, np.asarray(series.values, dtype=np.float64)))


def values_at(series: Series, instants_ns: Ints) -> Floats:
    """The counter at several instants, as `value_at` has it."""
    if not series.values:
        return np.zeros(instants_ns.size, dtype=np.float64)
    origin = series.times_ns[0]
    times = np.asarray(series.times_ns, dtype=np.int64) - origin
    counts = np.asarray(series.values, dtype=np.float64)
    return np.asarray(np.interp(instants_ns - origin, times, counts, left=0.0), dtype=np.float64)


def reached_at(series: Series, values: Sequence[float] | Floats) -> Floats:
    """When the counter reached each of `values`, in ns, linear between samples.

    Values up to the first sample's were reached at its time, so far as is known. Every value
    must lie within the series: raises ValueError for one beyond its end.
    """
    wanted = np.asarray(values, dtype=np.float64)
    times = np.asarray(series.times_ns, dtype=np.int64)
    counts = np.asarray(series.values, dtype=np.float64)
    index = np.searchsorted(counts, wanted, side="left")
    if index.size and int(index.max()) >= len(counts):
        raise ValueError(f"asked when {wanted.max():.0f} was reached; it ended at {last(series)}")
    before = np.maximum(index - 1, 0)
    # counts[before] < wanted <= counts[index] wherever index > 0, so the step is positive.
    step = np.where(index > 0, counts[index] - counts[before], 1.0)
    share = np.where(index > 0, (wanted - counts[before]) / step, 0.0)
    reached: Floats = times[before] + share * (times[index] - times[before])
    return np.asarray(np.where(index > 0, reached, times[0]), dtype=np.float64)


def surely_latest_ns(delivered: Series) -> tuple[Ints, Ints]:
    """(byte counts, the time by which each had been reached for certain): the samples."""
    return (
        np.asarray(delivered.values, dtype=np.int64),
        np.asarray(delivered.times_ns, dtype=np.int64),
    )


def surely_earliest_ns(sent: Series, first_ns: int, counts: Ints) -> Ints:
    """Before which time the counter had for certain not reached each of `counts`.

    That is the time of the last sample below; `first_ns` where every sample is above.
    """
    values = np.asarray(sent.values, dtype=np.int64)
    times = np.concatenate(([first_ns], np.asarray(sent.times_ns, dtype=np.int64)))
    index = np.searchsorted(values, counts, side="left")
    return np.asarray(times[index], dtype=np.int64)


def resolution_ns(series: Series) -> float | None:
    """Median distance of two samples; None with fewer than two."""
    if len(series.times_ns) < 2:
        return None
    return float(np.median(np.diff(np.asarray(series.times_ns, dtype=np.int64))))
