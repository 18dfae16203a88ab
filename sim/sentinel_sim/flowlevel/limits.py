"""What one flow may send at most by its own window, RTT and loss, whatever links carry (pure).

Rates are payload bit/s, rounded down, as integers; `UNLIMITED` where nothing limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sentinel_sim.evidence.overlays import cubic_bps, mathis_bps

UNLIMITED = 1 << 53
"""Bit/s; more than any sum of link rates that is accepted, and exact as a float."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One TCP connection of a flow: end to end, or between two relays.

    `loss` is a probability per packet; `window_bytes` None means that no window limits.
    """

    rtt_ns: int
    loss: float = 0.0
    window_bytes: int | None = None
    mss_bytes: int = 1448
    control: str = "cubic"

    def __post_init__(self) -> None:
        if self.rtt_ns <= 0:
            raise ValueError(f"rtt_ns must be positive, got {self.rtt_ns}")
        if not 0.0 <= self.loss < 1.0:
            raise ValueError(f"loss must be in [0, 1), got {self.loss}; is it a percentage?")
        if self.window_bytes is not None and self.window_bytes <= 0:
            raise ValueError(f"window_bytes must be positive, got {self.window_bytes}")
        if self.mss_bytes <= 0:
            raise ValueError(f"mss_bytes must be positive, got {self.mss_bytes}")
        if self.control not in ("cubic", "reno", "bbr"):
            raise ValueError(f"control must be cubic, reno or bbr, got {self.control!r}")


def segment_limit_bps(segment: Segment) -> int:
    """The least of the window law and the response function to random loss, without timeouts.

    CUBIC's is RFC 9438's, section 5; Reno's is Mathis' (CCR 27, 1997). BBR v1 does not answer to
    loss (Cardwell et al., ACM Queue 14(5), 2016; up to 15 %).
    """
    limit = UNLIMITED
    if segment.window_bytes is not None:
        limit = min(limit, segment.window_bytes * 8_000_000_000 // segment.rtt_ns)
    if segment.loss > 0 and segment.control != "bbr":
        law = cubic_bps if segment.control == "cubic" else mathis_bps
        limit = min(limit, int(law(segment.mss_bytes, segment.rtt_ns / 1e9, segment.loss)))
    return limit


def chain_limit_bps(segments: Sequence[Segment]) -> int:
    """Of a flow that relays split: the least of its segments. One segment: an unsplit flow."""
    if not segments:
        raise ValueError("a flow needs at least one segment")
    return min(segment_limit_bps(segment) for segment in segments)
