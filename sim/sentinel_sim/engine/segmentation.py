"""Segmentation offload: how many segments leave together, and when it waits for more.

With GSO or TSO, which is the rule, Linux hands packets of up to 64 KiB down and lets them be cut
below TCP. So a window leaves in bursts, and the loop takes the time in which a burst is transmitted
on top of the path's RTT. As tcp_tso_autosize, tcp_tso_should_defer (net/ipv4/tcp_output.c) and
tcp_update_pacing_rate (tcp_input.c).
"""

from __future__ import annotations

from sentinel_sim.engine.jit import compiled, compiled_inline
from sentinel_sim.engine.layout import MS_NS, RECOVERY, SECOND_NS
from sentinel_sim.engine.scoreboard import in_flight, segment

GSO_BYTES = 65_216
"""64 KiB without the room that is kept for headers (sk_gso_max_size)."""
LEAST_SEGMENTS = 2
"""tcp_min_tso_segs."""
RATE_SHIFT = 1024
"""A packet holds a 1024th of a second of the pacing rate (sk_pacing_shift)."""
RTT_STEP_NS = 512_000
"""Each such step of the RTT halves what is added for short RTTs (tcp_tso_rtt_log = 9)."""
RTT_STEPS_MOST = 32
RECENT_NS = MS_NS
"""Waiting is allowed if something was sent so recently."""
WINDOW_DIVISOR = 3
"""Waiting ends when this part of the window may be sent (tcp_tso_win_divisor)."""


@compiled_inline
def _largest(c):
    """Segments of the largest packet at the present rate (tcp_tso_autosize)."""
    bytes_most = GSO_BYTES
    if c.srtt > 0:
        # In slow start the window doubles each round, afterwards it hardly grows.
        ratio = 2.0 if 2 * c.cwnd < c.ssthresh else 1.2
        window = float(c.mss * max(c.cwnd, c.nxt - c.una))
        size = int(ratio * window * SECOND_NS / c.srtt / RATE_SHIFT)
        steps = c.min_rtt // RTT_STEP_NS
        if steps < RTT_STEPS_MOST:
            size += GSO_BYTES >> steps
        bytes_most = min(size, GSO_BYTES)
    return max(bytes_most // c.mss, LEAST_SEGMENTS)


@compiled_inline
def _waits(w, c, room, largest, queued, now):
    """Is it better to wait for the next ACK and send more then? (tcp_tso_should_defer)"""
    if c.ca_state >= RECOVERY or c.nxt == c.una or now - c.last_sent > RECENT_NS:
        return False
    in_window = min(c.edge - c.una, c.cwnd)
    if room >= largest or WINDOW_DIVISOR * room >= in_window:
        return False
    at_end = c.nxt + queued >= c.written
    if room >= queued and (not at_end or c.total >= 0):
        return False
    # The next ACK comes an RTT after what was sent first; if that is far off, do not wait.
    return now - segment(w, c, c.una).sent >= c.srtt // 2


@compiled
def next_packet(w, c, now):
    """Segments of the next packet to be handed down, none of which was sent before; 0: wait.

    The caller has seen that at least one may be sent.
    """
    most = max(GSO_BYTES // c.mss, 1)
    queued = min(most - c.nxt % most, c.written - c.nxt)
    if queued == 1:
        return queued
    room = min(c.cwnd - in_flight(c), c.edge - c.nxt)
    largest = _largest(c)
    if _waits(w, c, room, largest, queued, now):
        return 0
    return max(min(room, largest, queued, c.cwnd // 2), 1)
