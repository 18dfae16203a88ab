"""A cumulative counter over time, thinned to a grid, in bounded memory.

For every grid cell in which the counter was observed, the last observation of that cell is kept
with its own time, and the very first observation always. So `values[i]` was truly reached at
`times_ns[i]`, and between two points the counter is known to within one grid interval. When the
points exceed the bound, the grid is made twice as coarse, as often as needed.
"""

from __future__ import annotations

from array import array

DEFAULT_INTERVAL_NS = 10_000_000
DEFAULT_MAX_POINTS = 8192


class SeriesSampler:
    """Feed it every change of a counter; read the thinned series at any time."""

    def __init__(
        self, interval_ns: int = DEFAULT_INTERVAL_NS, max_points: int = DEFAULT_MAX_POINTS
    ) -> None:
        if interval_ns <= 0:
            raise ValueError(f"interval_ns must be positive, got {interval_ns}")
        if max_points < 4:
            raise ValueError(f"max_points must be at least 4, got {max_points}")
        self._interval_ns = interval_ns
        self._max_points = max_points
        self._times_ns = array("q")
        self._values = array("Q")
        self._cell = -1

    @property
    def interval_ns(self) -> int:
        """The present grid; a power of two times the first one."""
        return self._interval_ns

    @property
    def points(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """(times in ns, values), of equal length, times ascending."""
        return tuple(self._times_ns), tuple(self._values)

    def add(self, now_ns: int, value: int) -> None:
        """The counter stands at `value` at `now_ns`. Neither may go back."""
        times = self._times_ns
        if times and (now_ns < times[-1] or value < self._values[-1]):
            raise ValueError(
                f"series went back: {value} at {now_ns} ns after {self._values[-1]} at "
                f"{times[-1]} ns"
            )
        cell = now_ns // self._interval_ns
        if cell == self._cell and len(times) > 1:
            times[-1] = now_ns
            self._values[-1] = value
            return
        times.append(now_ns)
        self._values.append(value)
        self._cell = cell
        while len(times) > self._max_points:
            self._coarsen()
            times = self._times_ns

    def _coarsen(self) -> None:
        self._interval_ns *= 2
        times, values = array("q", self._times_ns[:1]), array("Q", self._values[:1])
        cell = None
        for now_ns, value in zip(self._times_ns[1:], self._values[1:], strict=True):
            if now_ns // self._interval_ns == cell:
                times[-1], values[-1] = now_ns, value
            else:
                cell = now_ns // self._interval_ns
                times.append(now_ns)
                values.append(value)
        self._times_ns, self._values = times, values
        self._cell = times[-1] // self._interval_ns
