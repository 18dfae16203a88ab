"""An acknowledgement at the sending end: what it says of segments, time and the window.

As tcp_ack in Linux (net/ipv4/tcp_input.c), with the RTO of RFC 6298 and a floor of 200 ms under its
variance.
"""

from __future__ import annotations

from sentinel_sim.engine import bbr, congestion
from sentinel_sim.engine.jit import compiled_inline
from sentinel_sim.engine.layout import BBR, LOSS, RECOVERY
from sentinel_sim.engine.recovery import enter_recovery, leave_recovery, reduce_window
from sentinel_sim.engine.scoreboard import (
    begin_sample,
    detect,
    in_flight,
    take_blocks,
    take_cumulative,
)
from sentinel_sim.engine.sending import RTO_MAX_NS, RTO_MIN_NS, set_timers


@compiled_inline
def update_rtt(c, sample):
    """RFC 6298 with Linux's floor: the RTO is srtt + 200 ms at least."""
    if c.min_rtt == 0 or sample < c.min_rtt:
        c.min_rtt = sample
    if c.srtt == 0:
        c.srtt = sample
        c.rttvar = sample // 2
    else:
        error = abs(sample - c.srtt)
        c.rttvar += (error - c.rttvar) // 4
        c.srtt += (sample - c.srtt) // 8
    c.rto = min(c.srtt + max(4 * c.rttvar, RTO_MIN_NS), RTO_MAX_NS)


@compiled_inline
def _take_window(c, packet):
    """Up to which segment may be sent: only whole ones, but for the last."""
    end_bytes = packet.seq * c.mss + packet.window
    edge = end_bytes // c.mss
    if c.total >= 0 and edge == c.total - 1 and end_bytes - edge * c.mss >= c.last_bytes:
        edge = c.total
    c.edge = max(c.edge, edge)


@compiled_inline
def _take_segments(w, i, packet, now):
    """Everything that the packet acknowledges; gives the RTT of the last segment, or 0.

    What is SACKed for the first time tells the time, too, where the rest does not
    (tcp_ack_update_rtt): while a gap is open, nothing else would.
    """
    c = w.conns[i]
    last_rtt, first_rtt = 0, 0
    if packet.seq > c.una:
        last_rtt, first_rtt = take_cumulative(w, c, packet.seq, now)
        c.probe_out = 0
        if c.ca_state != LOSS:
            c.backoff = 0
    if packet.blocks > 0:
        take_blocks(w, i, packet, now)
        if c.sacked_first >= 0:
            last_rtt = now - c.sacked_last
            if first_rtt == 0:
                first_rtt = now - c.sacked_first
    if first_rtt > 0:
        update_rtt(c, first_rtt)
        c.backoff = 0
    if last_rtt > 0:
        c.min_rtt = min(c.min_rtt, last_rtt)
    return last_rtt


@compiled_inline
def _find_lost(w, i, now):
    """Loss detection and the changes of state that follow from it. Gives how many are lost anew."""
    c = w.conns[i]
    found = 0
    if c.sacked > 0 or c.again_head < c.again_tail:
        found = detect(w, i, now)
    if c.ca_state >= RECOVERY and c.una >= c.high_seq:
        leave_recovery(c)
    if c.lost > 0 and c.ca_state < RECOVERY:
        enter_recovery(c)
    return found


@compiled_inline
def on_ack(w, i, packet, now):
    """An acknowledgement arrives (tcp_ack). Gives True if something new was acknowledged."""
    c = w.conns[i]
    if packet.seq < c.una:
        return False
    c.ack_stamp = max(c.ack_stamp, packet.stamp)
    _take_window(c, packet)
    advanced = packet.seq > c.una
    before = c.delivered
    c.bbr_prior_out = in_flight(c)
    begin_sample(c)
    last_rtt = _take_segments(w, i, packet, now)
    sampled, interval, was_limited = -1, 0, False
    if c.sample_sent >= 0:
        sampled, interval = c.sample_from, c.sample_sent - c.sample_first
        was_limited = c.sample_limited != 0
        c.delivered_prior_at = c.sample_at
        c.first_sent = c.sample_sent
        c.delivered_at = now
    delivered = c.delivered - before
    if c.app_limited > 0 and c.delivered > c.app_limited:
        c.app_limited = 0
    found = _find_lost(w, i, now)
    if last_rtt > 0:
        congestion.on_rtt(c, now, last_rtt)
    if c.control == BBR:
        if sampled >= 0 or found > 0:
            bbr.on_ack(c, now, sampled, interval, was_limited, delivered, found, last_rtt)
    elif c.ca_state == RECOVERY:
        reduce_window(c, delivered, found, advanced)
    elif advanced and delivered > 0:
        congestion.on_acked(c, now, delivered)
    if advanced:
        set_timers(w, c, now)
    return advanced
