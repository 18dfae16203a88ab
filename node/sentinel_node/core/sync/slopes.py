"""At which rate a flow is believed to go on until the next correction.

A correction is self-contained: total, rate and time. So both ends extrapolate alike whatever was
lost or replaced before it, and the owner is free in how it chooses the rate. Each `Slope` is one
way to choose; `SlopeBank` asks several, and takes the one whose lines have held longest so far
(discounted), as the FSU's own bank takes its expert.

The FSU's predictor (sentinel_bpf.predict_reference, bit for bit what the kernel computes) is one
of them, handed in: a node without the FSU works without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from sentinel_node.core.control.messages import RATE_MAX_BPS

NS_PER_S = 1_000_000_000


def extrapolate(total_bytes: int, rate_Bps: int, elapsed_ns: int) -> int:
    """The total after `elapsed_ns` more at a rate; both ends compute exactly this."""
    return total_bytes + rate_Bps * max(elapsed_ns, 0) // NS_PER_S


class Slope(Protocol):
    """A way to choose the rate. Fed with what came in each interval of the owner's grid."""

    name: str

    def observe(self, size_bytes: int) -> None:
        """An interval is over; `size_bytes` came in it."""
        ...

    def corrected(self, size_bytes: int, elapsed_ns: int) -> None:
        """A correction is due: `size_bytes` came since the last one, in `elapsed_ns`."""
        ...

    @property
    def rate_Bps(self) -> int:
        """The rate to believe from here on, in bytes per second."""
        ...


class Hold:
    """The last value holds: rate 0."""

    name = "hold"

    def observe(self, size_bytes: int) -> None:
        """Nothing to learn."""

    def corrected(self, size_bytes: int, elapsed_ns: int) -> None:
        """Nothing to learn."""

    @property
    def rate_Bps(self) -> int:
        """Always 0."""
        return 0


class Secant:
    """The rate between the last two corrections goes on (linear extrapolation)."""

    name = "linear"

    def __init__(self) -> None:
        self._rate = 0

    def observe(self, size_bytes: int) -> None:
        """Learns from corrections only."""

    def corrected(self, size_bytes: int, elapsed_ns: int) -> None:
        """Remember the rate since the last correction."""
        if elapsed_ns > 0:
            self._rate = min(size_bytes * NS_PER_S // elapsed_ns, RATE_MAX_BPS)

    @property
    def rate_Bps(self) -> int:
        """Bytes per second between the last two corrections."""
        return self._rate


class Mean:
    """An exponentially weighted mean of the intervals: weight and scale 2^-shift, 2^shift."""

    def __init__(self, interval_ns: int, shift: int) -> None:
        self.name = f"mean-{1 << shift}"
        self._interval_ns = interval_ns
        self._shift = shift
        self._scaled: int | None = None

    def observe(self, size_bytes: int) -> None:
        """Move 2^-shift of the way to `size_bytes`."""
        if self._scaled is None:
            self._scaled = size_bytes << self._shift
        else:
            self._scaled += size_bytes - (self._scaled >> self._shift)

    def corrected(self, size_bytes: int, elapsed_ns: int) -> None:
        """Learns from intervals only."""

    @property
    def rate_Bps(self) -> int:
        """The mean as bytes per second."""
        mean = (self._scaled or 0) >> self._shift
        return min(mean * NS_PER_S // self._interval_ns, RATE_MAX_BPS)


class IntervalPredictor(Protocol):
    """What is used of sentinel_bpf.predict_reference.PredictState."""

    predicted_bytes: int


class Fsu:
    """What the FSU predicts for its next interval goes on.

    `close` feeds one interval into the state, as PredictState.close does with its network:
    `Fsu(state, lambda size: state.close(network, size), interval_ns, grid_per_interval)`. The FSU's
    intervals (2^25 ns by default, what its network is trained for) are longer than the owner's
    grid: `grid_per_interval` samples of `interval_ns` make one.
    """

    name = "fsu"

    def __init__(
        self,
        state: IntervalPredictor,
        close: Callable[[int], object],
        interval_ns: int,
        grid_per_interval: int,
    ) -> None:
        if grid_per_interval < 1:
            raise ValueError(f"grid_per_interval must be positive, got {grid_per_interval}")
        self._state = state
        self._close = close
        self._fsu_interval_ns = interval_ns * grid_per_interval
        self._grid_per_interval = grid_per_interval
        self._count = self._bytes = 0

    def observe(self, size_bytes: int) -> None:
        """One sample of the grid; closes an interval of the FSU when it is full."""
        self._count += 1
        self._bytes += size_bytes
        if self._count == self._grid_per_interval:
            self._close(self._bytes)
            self._count = self._bytes = 0

    def corrected(self, size_bytes: int, elapsed_ns: int) -> None:
        """Learns from intervals only."""

    @property
    def rate_Bps(self) -> int:
        """The predicted interval as bytes per second."""
        rate = self._state.predicted_bytes * NS_PER_S // self._fsu_interval_ns
        return min(rate, RATE_MAX_BPS)


class SlopeBank:
    """Several slopes; the rate of the one whose lines have held longest of late.

    Each slope follows its own line from its own anchor, whatever is sent. Its score is the
    discounted mean number of intervals that its lines held within the bound.
    """

    name = "bank"
    _SHIFT = 3

    def __init__(self, slopes: Sequence[Slope], interval_ns: int, bound_bytes: int) -> None:
        if not slopes:
            raise ValueError("a bank needs at least one slope")
        self._slopes = tuple(slopes)
        self._interval_ns = interval_ns
        self._bound = bound_bytes
        count = len(self._slopes)
        self._rates = [0] * count
        self._drift = [0] * count
        self._held = [0] * count
        self._scores: list[int | None] = [None] * count

    def observe(self, size_bytes: int) -> None:
        """One interval is over: feed every slope, and see whose line broke."""
        for index, slope in enumerate(self._slopes):
            slope.observe(size_bytes)
            believed = self._rates[index] * self._interval_ns // NS_PER_S
            self._drift[index] += size_bytes - believed
            self._held[index] += 1
            if abs(self._drift[index]) > self._bound:
                self._break(index)

    def _break(self, index: int) -> None:
        held = self._held[index] << 8
        score = self._scores[index]
        self._scores[index] = held if score is None else score + ((held - score) >> self._SHIFT)
        self._rates[index] = self._slopes[index].rate_Bps
        self._drift[index] = self._held[index] = 0

    def corrected(self, size_bytes: int, elapsed_ns: int) -> None:
        """A correction is due: slopes that learn from corrections do so now."""
        for slope in self._slopes:
            slope.corrected(size_bytes, elapsed_ns)

    @property
    def leader(self) -> int:
        """Index of the slope that is believed; the first of equals."""
        lives = [
            max(score or 0, held << 8) for score, held in zip(self._scores, self._held, strict=True)
        ]
        return lives.index(max(lives))

    @property
    def rate_Bps(self) -> int:
        """The leader's rate."""
        return self._slopes[self.leader].rate_Bps
