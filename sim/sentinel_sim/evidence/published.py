"""Published measurements to draw beside ours, with source and exactness (pure).

They are comparisons: another network, another kernel. `measured`: with its spread, recomputed from
the published data. `by eye`: read from a plot, ±0.02 of the rate.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

ESNET = "ESnet testing-harness, 2021-08-02, one stream, 60 s from Boston, 10 Gbit/s"
ESNET_RATE_BPS = 10e9
ESNET_WINDOW_BYTES = 65e6
"""Goodput x RTT / 8 to Ljubljana, Tokyo, Sydney (63.6 to 66.3 MB): a window was the limit."""
ESNET_WINDOW_SPREAD = 0.021
SPLITTING = "Stanford connection-splitting, ATC 2025, figure read by eye (±0.02)"


@dataclass(frozen=True, slots=True)
class Point:
    """One published figure."""

    series: str
    label: str
    rtt_s: float
    goodput_bps: float
    sd_bps: float | None
    n: int | None
    exactness: str
    source: str

    def divided(self, divisor: float) -> Point:
        """The same point on a network of a smaller rate, and so labelled."""
        sd = None if self.sd_bps is None else self.sd_bps / divisor
        return dataclasses.replace(
            self,
            label=f"{self.label}; rates divided by {divisor:g}",
            goodput_bps=self.goodput_bps / divisor,
            sd_bps=sd,
        )


# Place, great-circle km (inferred from host names), RTT ms, CUBIC Gbit/s, sd, n, BBRv2, sd, n.
_ESNET = (
    ("Providence", 67, 5, 6.121, 0.372, 5, 7.357, 1.014, 5),
    ("Pennsylvania", 539, 13, 6.248, 0.292, 5, 7.176, 0.077, 5),
    ("Amsterdam", 5561, 73, 9.734, 0.002, 5, 9.481, 0.016, 5),
    ("Harwell", 5184, 83, 2.781, 1.416, 5, 4.061, 0.434, 3),
    ("Lancaster", 5014, 89, 3.147, 1.186, 5, 7.195, 0.473, 5),
    ("Ljubljana", 6488, 106, 5.001, 0.005, 5, 4.928, 0.010, 5),
    ("Moscow", 7209, 111.5, 0.634, 0.108, 5, 0.740, 0.051, 5),
    ("Barcelona", 5854, 117, 0.235, 0.032, 5, 0.277, 0.003, 5),
    ("Valparaíso", 8384, 152, 0.247, 0.059, 5, 0.325, 0.010, 5),
    ("Tokyo", 10787, 188, 2.776, 0.001, 5, 2.723, 0.001, 3),
    ("Sydney", 16241, 244, 2.137, 0.005, 5, 2.085, 0.003, 5),
)

# Series, share of 20 Mbit/s; 100 ms without loss and then 1 ms with 4 %, both one way.
_SPLIT = (
    ("CUBIC split", 0.61),
    ("CUBIC end to end", 0.03),
    ("BBRv1 split", 0.87),
    ("BBRv1 end to end", 0.80),
    ("BBRv3 split", 0.85),
    ("BBRv3 end to end", 0.20),
)
SPLIT_RATE_BPS = 20e6
SPLIT_RTT_S = 2 * (0.100 + 0.001)


def points() -> Iterator[Point]:
    """All published points."""
    for place, km, rtt_ms, cubic, cubic_sd, cubic_n, bbr, bbr_sd, bbr_n in _ESNET:
        label = f"Boston to {place}, about {km:,} km, RTT {rtt_ms:g} ms"
        rows = (("CUBIC", cubic, cubic_sd, cubic_n), ("BBRv2", bbr, bbr_sd, bbr_n))
        for name, mean, sd, n in rows:
            yield Point(
                f"ESnet 2021 {name}",
                label,
                rtt_ms / 1e3,
                mean * 1e9,
                sd * 1e9,
                n,
                "measured",
                ESNET,
            )
    for name, share in _SPLIT:
        yield Point(
            "split connections 2025",
            f"{name}, 20 Mbit/s, 100 ms/0 % + 1 ms/4 %",
            SPLIT_RTT_S,
            share * SPLIT_RATE_BPS,
            None,
            None,
            "by eye",
            SPLITTING,
        )
