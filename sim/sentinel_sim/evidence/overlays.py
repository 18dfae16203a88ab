"""What theory says goodput is, to draw beside what was measured (pure).

A formula is drawn as a line and named a comparison, never a match. RTTs in seconds, rates in
bits per second of payload, loss as a probability per packet.
"""

from __future__ import annotations

import math

CUBIC_C = 0.4
CUBIC_BETA = 0.7
BBR_LOSS_MOST = 0.15
"""Above this the model says nothing: BBRv1 leaves its plateau between 15 and 20 % loss."""
STOCK_WINDOW_BYTES = 6_291_456 // 2
"""About half of tcp_rmem's stock maximum of 6 MiB becomes the advertised window."""
MATHIS_C = math.sqrt(3 / 2)
"""With one acknowledgement per packet."""


def window_law_bps(window_bytes: float, rtt_s: float) -> float:
    """One window per round trip: 8 W / R (RFC 2488, section 4.2)."""
    return 8 * window_bytes / rtt_s


def mathis_bps(mss_bytes: int, rtt_s: float, loss: float, c: float = MATHIS_C) -> float:
    """Reno under random loss: 8 MSS C / (R sqrt p) (Mathis et al., CCR 27, 1997)."""
    return 8 * mss_bytes / rtt_s * c / math.sqrt(loss)


def pftk_bps(mss_bytes: int, rtt_s: float, loss: float, packets_per_ack: int = 1) -> float:
    """Reno with timeouts, t_RTO = 4 R (RFC 5348, section 3.1; Padhye et al. 1998)."""
    b, p, t_rto = packets_per_ack, loss, 4 * rtt_s
    fast = rtt_s * math.sqrt(2 * b * p / 3)
    timeouts = t_rto * 3 * math.sqrt(3 * b * p / 8) * p * (1 + 32 * p**2)
    return 8 * mss_bytes / (fast + timeouts)


def cubic_window_segments(rtt_s: float, loss: float) -> float:
    """CUBIC's average window: the larger of its own and its Reno-friendly region (RFC 9438, 5)."""
    factor = math.pow(CUBIC_C * (3 + CUBIC_BETA) / (4 * (1 - CUBIC_BETA)), 0.25)
    own = factor * math.pow(rtt_s / loss, 0.75)
    # The table of RFC 9438 gives Reno 1.2 / sqrt p, rounded from sqrt(3/2).
    return max(own, 1.2 / math.sqrt(loss))


def cubic_bps(mss_bytes: int, rtt_s: float, loss: float) -> float:
    """8 MSS W / R with CUBIC's average window (RFC 9438, section 5.1)."""
    return 8 * mss_bytes * cubic_window_segments(rtt_s, loss) / rtt_s


def bbr_bps(cap_bps: float, loss: float) -> float | None:
    """BBRv1: the rate less what is lost, up to 15 % loss (Cardwell et al., CACM 60, 2017)."""
    return cap_bps * (1 - loss) if loss <= BBR_LOSS_MOST else None


def transfer_bound_bps(
    size_bytes: float, rate_bps: float, one_way_s: float, handshake_s: float = 0.0
) -> float:
    """No transfer of S bytes ends before S/rate + propagation + handshake (exact)."""
    bits = 8 * size_bytes
    return bits / (bits / rate_bps + one_way_s + handshake_s)


def goodput_cap_bps(rate_bps: float, mtu_bytes: int = 1500) -> float:
    """Payload through a link that shapes layer 2 bytes: MSS over MSS + 52 + 14 (exact)."""
    return rate_bps * (mtu_bytes - 52) / (mtu_bytes + 14)
