"""Reno (RFC 5681), CUBIC (RFC 9438) and HyStart, as in Linux (net/ipv4/tcp_cubic.c, tcp_cong.c).

Windows are in segments. Linux's CUBIC works in jiffies of 4 ms and fixed point; here the curve is
computed in double precision, at most once per 4 ms as there.
"""

from __future__ import annotations

from sentinel_sim.engine.jit import compiled, compiled_inline
from sentinel_sim.engine.layout import CUBIC, MS_NS

CUBIC_C = 0.4
CUBIC_BETA = 717.0 / 1024.0
FRIENDLY_ACKS = 8.0 * (1024.0 + 717.0) / 3.0 / (1024.0 - 717.0) / 8.0
"""Acknowledged segments per window segment, for one segment more of a Reno-like window."""
JIFFY_NS = 4 * MS_NS
REFRESH_NS = 1000 * MS_NS // 32
HYSTART_LOW_WINDOW = 16
HYSTART_SAMPLES = 8
HYSTART_DELAY_MIN_NS = 4 * MS_NS
HYSTART_DELAY_MAX_NS = 16 * MS_NS
HYSTART_ACK_GAP_NS = 2 * MS_NS
HYSTART_ACK_DELAY_NS = MS_NS
"""Most that hystart_ack_delay() adds for bursts; at 1 Gbit/s of pacing rate and less it is this."""


@compiled_inline
def in_slow_start(c):
    """Is the window below the threshold?"""
    return c.cwnd < c.ssthresh


@compiled
def reset_cubic(c):
    """As bictcp_reset: after a retransmission timeout, all is forgotten."""
    c.epoch = 0
    c.cubic_at = 0
    c.cubic_cwnd = 0
    c.ack_count = 0
    c.cubic_step = 0
    c.last_max = 0
    c.tcp_cwnd = 0
    c.origin = 0.0
    c.k = 0.0
    c.delay_min = 0
    c.found = 0


@compiled
def start_round(c, now):
    """HyStart measures anew in each round (bictcp_hystart_reset)."""
    c.round_start = now
    c.last_ack = now
    c.round_end = c.nxt
    c.round_rtt = 0
    c.round_samples = 0


@compiled_inline
def _hystart(c, now, delay):
    # As since Linux 6.14 (25c1a9ca53db): rounds are followed from the first, below the low window.
    if c.una > c.round_end:
        start_round(c, now)
    if c.cwnd < HYSTART_LOW_WINDOW:
        return
    if now - c.last_ack <= HYSTART_ACK_GAP_NS:
        c.last_ack = now
        # Without pacing the train is compared with half of it (RFC 9406, appendix; Linux 5.5).
        if now - c.round_start > (c.delay_min + HYSTART_ACK_DELAY_NS) // 2:
            c.found = 1
    if c.round_rtt == 0 or delay < c.round_rtt:
        c.round_rtt = delay
    if c.round_samples < HYSTART_SAMPLES:
        c.round_samples += 1
    else:
        allowed = min(max(c.delay_min // 8, HYSTART_DELAY_MIN_NS), HYSTART_DELAY_MAX_NS)
        if c.round_rtt > c.delay_min + allowed:
            c.found = 1
    if c.found:
        c.ssthresh = c.cwnd


@compiled_inline
def on_rtt(c, now, rtt):
    """A round trip was measured (bictcp_acked); `rtt` in ns, of the last segment acknowledged."""
    if c.control != CUBIC:
        return
    if c.epoch > 0 and now - c.epoch < 1000 * MS_NS:
        return  # right after recovery
    if c.delay_min == 0 or rtt < c.delay_min:
        c.delay_min = rtt
    if c.hystart_on and not c.found and in_slow_start(c):
        _hystart(c, now, rtt)


@compiled_inline
def _grow_by(c, count, acked):
    """One segment more for `count` acknowledged ones (tcp_cong_avoid_ai)."""
    if c.cwnd_count >= count:
        c.cwnd_count = 0
        c.cwnd += 1
    c.cwnd_count += acked
    if c.cwnd_count >= count:
        steps = c.cwnd_count // count
        c.cwnd_count -= steps * count
        c.cwnd += steps


@compiled_inline
def _start_epoch(c, now):
    c.epoch = now
    c.ack_count = 0
    c.tcp_cwnd = c.cwnd
    if c.last_max <= c.cwnd:
        c.k = 0.0
        c.origin = float(c.cwnd)
    else:
        c.k = ((c.last_max - c.cwnd) / CUBIC_C) ** (1.0 / 3.0)
        c.origin = float(c.last_max)


@compiled
def _friendly(c):
    """At least what Reno would reach (RFC 9438, section 4.3)."""
    each = max(int(c.cwnd * FRIENDLY_ACKS), 1)
    if c.ack_count > each:
        steps = c.ack_count // each
        c.ack_count -= steps * each
        c.tcp_cwnd += steps
    if c.tcp_cwnd > c.cwnd:
        c.cubic_step = min(c.cubic_step, c.cwnd // (c.tcp_cwnd - c.cwnd))
    c.cubic_step = max(c.cubic_step, 2)


@compiled_inline
def _cubic_update(c, now, acked):
    c.ack_count += acked
    if c.cubic_cwnd == c.cwnd and c.cubic_at > 0 and now - c.cubic_at <= REFRESH_NS:
        return
    if c.epoch > 0 and c.cubic_at > 0 and now - c.cubic_at < JIFFY_NS:
        _friendly(c)
        return
    c.cubic_cwnd = c.cwnd
    c.cubic_at = now
    if c.epoch == 0:
        _start_epoch(c, now)
    t = (now - c.epoch + c.delay_min) * 1e-9 - c.k
    target = int(c.origin + CUBIC_C * t * t * t)
    if target > c.cwnd:
        c.cubic_step = c.cwnd // (target - c.cwnd)
    else:
        c.cubic_step = 100 * c.cwnd
    if c.last_max == 0 and c.cubic_step > 20:
        c.cubic_step = 20  # the bandwidth is still unknown: 5 % per RTT
    _friendly(c)


@compiled_inline
def on_acked(c, now, acked):
    """`acked` segments have arrived and the window was in use: let it grow."""
    if not c.limited and not (in_slow_start(c) and c.cwnd < 2 * c.most_out):
        return
    if in_slow_start(c):
        grown = min(c.cwnd + acked, c.ssthresh)
        acked -= grown - c.cwnd
        c.cwnd = grown
        if acked == 0:
            return
    if c.control == CUBIC:
        _cubic_update(c, now, acked)
        _grow_by(c, c.cubic_step, acked)
    else:
        _grow_by(c, c.cwnd, acked)


@compiled
def threshold_after_loss(c):
    """The window to go down to after a loss (bictcp_recalc_ssthresh, tcp_reno_ssthresh)."""
    if c.control != CUBIC:
        return max(c.cwnd // 2, 2)
    c.epoch = 0
    if c.cwnd < c.last_max:
        c.last_max = int(c.cwnd * (1.0 + CUBIC_BETA) / 2.0)  # fast convergence
    else:
        c.last_max = c.cwnd
    return max(int(c.cwnd * CUBIC_BETA), 2)


@compiled
def on_timeout(c, now):
    """The congestion control's part of a retransmission timeout."""
    if c.control == CUBIC:
        reset_cubic(c)
        start_round(c, now)
