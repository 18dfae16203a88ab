"""What one TCP connection reaches in steady state, by published formulas (pure).

The least of three limits:

- rate: payload share of the slowest link (`experiment.framing`).
- window: 8 W / RTT (RFC 2488, section 4.2), for a window W that cannot grow.
- loss: 8 MSS W(p) / RTT, with the mean window W(p) of the congestion control in segments:
  CUBIC max(1.054 (RTT/p)^0.75, 1.2/sqrt(p)) (RFC 9438, section 5.2: with C = 0.4, beta = 0.7, and
  its Reno-friendly region); Reno sqrt(3/2)/sqrt(p) (Mathis et al., CCR 27(3), 1997). BBR v1 does
  not answer to loss: rate (1 - p) (Cardwell et al., ACM Queue 14(5), 2016; up to p = 15 %).

Start-up, timeouts (they matter from p = 1 % on) and queueing are not in them. Where loss and rate
limit equally, the least of the two is more than what is reached.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from sentinel_sim.errors import InfeasibleError
from sentinel_sim.experiment.framing import HEADERS_BYTES, goodput_bps

CONTROLS = ("reno", "cubic", "bbr")


class Limit(StrEnum):
    """What keeps a connection from being faster."""

    RATE = "rate"
    LOSS = "loss"
    WINDOW = "window"


@dataclass(frozen=True, slots=True)
class Loop:
    """What a connection sees between its two ends."""

    rtt_ns: int
    loss: float
    """Per packet, one direction."""
    rate_bps: int
    mtu: int


@dataclass(frozen=True, slots=True)
class Prediction:
    """Steady goodput, payload bit/s, and why it is not more."""

    goodput_bps: float
    limit: Limit


def mean_window(control: str, loss: float, rtt_s: float) -> float:
    """Mean congestion window in segments at this loss; `loss` and `rtt_s` more than zero."""
    if control == "cubic":
        return max(1.054 * math.pow(rtt_s / loss, 0.75), 1.2 / math.sqrt(loss))
    return math.sqrt(1.5 / loss)


def predict(loop: Loop, control: str, window_bytes: int | None = None) -> Prediction:
    """Steady goodput of one bulk connection. Raises InfeasibleError for unknown controls."""
    if control not in CONTROLS:
        raise InfeasibleError(
            f"congestion control {control!r}: no formula is known for it",
            cure=f"plan with --congestion-control {', '.join(CONTROLS[:-1])} or {CONTROLS[-1]}",
        )
    best = goodput_bps(loop.rate_bps, loop.mtu)
    if control == "bbr":
        best *= 1.0 - loop.loss
    found = Prediction(best, Limit.RATE)
    if loop.rtt_ns == 0:
        return found
    rtt_s = loop.rtt_ns / 1e9
    if window_bytes is not None and 8 * window_bytes / rtt_s < found.goodput_bps:
        found = Prediction(8 * window_bytes / rtt_s, Limit.WINDOW)
    if loop.loss > 0 and control != "bbr":
        mss = loop.mtu - HEADERS_BYTES
        by_loss = 8 * mss * mean_window(control, loop.loss, rtt_s) / rtt_s
        if by_loss < found.goodput_bps:
            found = Prediction(by_loss, Limit.LOSS)
    return found
