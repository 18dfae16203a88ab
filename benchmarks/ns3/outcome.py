"""What a simulator says of a case, and the figures drawn from it (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

COLUMNS = (
    "delivered_bytes",
    "cwnd_segments",
    "ssthresh_segments",
    "srtt_ns",
    "queue_drops",
    "timeouts",
)
"""Of a series: payload that the receiver has read, the sender's state, and totals so far."""
DELIVERED, CWND, SSTHRESH, SRTT_NS, DROPS, TIMEOUTS = range(len(COLUMNS))
STEADY_SHARE = 0.5
"""The last part of the run is taken for the steady state."""


@dataclass(frozen=True, slots=True)
class Series:
    """The state at the end of each tick."""

    tick_ns: int
    rows: npt.NDArray[np.float64]

    def steady_bps(self) -> float:
        """Payload bit/s over the last half."""
        delivered = self.rows[:, DELIVERED]
        first = int(len(delivered) * STEADY_SHARE) - 1
        seconds = (len(delivered) - 1 - first) * self.tick_ns / 1e9
        return float((delivered[-1] - delivered[first]) * 8 / seconds)

    def time_to_s(self, size_bytes: int) -> float:
        """When so much was delivered, from the first SYN; between ticks by interpolation.

        Raises ValueError if it never was.
        """
        delivered = np.concatenate([[0.0], self.rows[:, DELIVERED]])
        if delivered[-1] < size_bytes:
            raise ValueError(f"only {delivered[-1]:.0f} of {size_bytes} bytes were delivered")
        after = int(np.searchsorted(delivered, size_bytes))
        part = (size_bytes - delivered[after - 1]) / (delivered[after] - delivered[after - 1])
        return float((after - 1 + part) * self.tick_ns / 1e9)

    def total(self, column: int) -> int:
        """Of a column that counts, at the end."""
        return int(self.rows[-1, column])

    def as_json(self) -> dict[str, Any]:
        """For a result file."""
        columns = {name: self.rows[:, k].astype(int).tolist() for k, name in enumerate(COLUMNS)}
        return {"tick_ns": self.tick_ns, **columns}


@dataclass(frozen=True, slots=True)
class Outcome:
    """One measured run."""

    data_packets: int
    """That reached the receiver; in all repetitions within `wall_s`."""
    wall_s: float
    cpu_s: float
    series: Series

    @property
    def packets_per_s(self) -> float:
        """Data packets per second of wall time."""
        return self.data_packets / self.wall_s

    @property
    def packets_per_cpu_s(self) -> float:
        """The same of CPU time, which a busy host lengthens less."""
        return self.data_packets / self.cpu_s
