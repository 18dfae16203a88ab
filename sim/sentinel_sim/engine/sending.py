"""The sending end: the send buffer, what leaves when, and the timers that guard it.

As Linux (net/ipv4/tcp_output.c: tcp_write_xmit, tcp_xmit_retransmit_queue). Paced is BBR, and what
was given a largest rate.
"""

from __future__ import annotations

from sentinel_sim.engine import bbr
from sentinel_sim.engine.jit import compiled, compiled_inline
from sentinel_sim.engine.layout import (
    APP_LIMITED,
    BBR,
    BURST_SEGMENTS,
    DATA,
    DISORDER,
    ESTABLISHED,
    EVER_RETRANSMITTED,
    GROW_SEGMENTS,
    NEVER,
    RECOVERY,
    RETRANSMITTED,
)
from sentinel_sim.engine.receiving import ACK_BYTES
from sentinel_sim.engine.scoreboard import in_flight, next_lost, segment
from sentinel_sim.engine.segmentation import next_packet
from sentinel_sim.engine.timeline import wake
from sentinel_sim.engine.wires import place

HEADER_BYTES = ACK_BYTES
"""Of a data segment, without SACK options."""
SENT_ONE, WINDOW_FULL, NOTHING_DUE, WAITING = 1, 2, 3, 4
RTO_MIN_NS = 200_000_000
RTO_MAX_NS = 120_000_000_000
TLP_MIN_NS = 8_000_000
"""TCP_TIMEOUT_MIN: two jiffies."""
SEGMENT_TRUESIZE = 2304
"""What Linux reckons for a segment when it sizes the send buffer (tcp_sndbuf_expand)."""
SKB_SHARE_NUM, SKB_SHARE_DEN = 65_160, 66_120
"""Payload in the memory of a full GSO packet: 45 segments, and 960 B of sk_buff and header."""


@compiled_inline
def update_send_buffer(c):
    """Autotuning: twice the window, three times for BBR, never less than before.

    (tcp_sndbuf_expand, bbr_sndbuf_expand.)
    """
    if c.cwnd <= c.room_cwnd:
        return
    c.room_cwnd = c.cwnd
    times = 3 if c.control == BBR else 2
    wanted = min(times * max(c.cwnd, c.initial_window) * SEGMENT_TRUESIZE, c.send_max)
    c.send_buffer = max(c.send_buffer, wanted)
    c.send_room = max(c.send_buffer * SKB_SHARE_NUM // (SKB_SHARE_DEN * c.mss), 2)


@compiled_inline
def fill_send_buffer(c, available):
    """The application writes up to segment `available`, as far as there is room.

    Writable again below two thirds (sk_stream_is_writeable). Gives True if something was written.
    """
    update_send_buffer(c)
    room = c.send_room
    held = c.written - c.una
    if 3 * held > 2 * room:
        return False
    upto = min(available, c.una + room, c.write_most)
    if c.unsent_most > 0:
        # Writable again below half of it (TCP_NOTSENT_LOWAT, __sk_stream_memory_free).
        if 2 * (c.written - c.nxt) >= c.unsent_most:
            return False
        upto = min(upto, c.nxt + c.unsent_most)
    if upto <= c.written:
        return False
    c.written = upto
    return True


@compiled_inline
def _arm_rto(w, c, now):
    """From now on; also when the first segment leaves again (tcp_xmit_retransmit_queue).

    Else the answer to a second loss of it, a round trip later, would mostly come too late.
    """
    c.rto_at = now + min(c.rto << c.backoff, RTO_MAX_NS)
    wake(w, c.rank, c.rto_at)


@compiled
def set_timers(w, c, now):
    """Arm what guards the segments in flight; called after sending and after progress."""
    if c.nxt == c.una:
        c.rto_at = NEVER
        c.tlp_at = NEVER
        return
    _arm_rto(w, c, now)
    c.tlp_at = NEVER
    if c.ca_state <= DISORDER and c.sacked == 0 and c.probe_out == 0 and c.srtt > 0:
        alone = RTO_MIN_NS if c.nxt - c.una == 1 else TLP_MIN_NS
        c.tlp_at = min(now + 2 * c.srtt + alone, c.rto_at)
    wake(w, c.rank, min(c.rto_at, c.tlp_at))


@compiled_inline
def _emit(w, i, seq, row, now):
    """Put one segment on the wire and note when."""
    c = w.conns[i]
    if c.nxt == c.una or in_flight(c) == 0:
        c.first_sent = now
        c.delivered_at = now
    row.sent = now
    c.last_sent = now
    row.first_sent = c.first_sent
    row.delivered = c.delivered
    row.delivered_at = c.delivered_at
    size = c.mss + HEADER_BYTES
    if seq == c.total - 1:
        size = c.last_bytes + HEADER_BYTES
    c.sent_segments += 1
    c.sent_bytes += size
    w.state[0].originated += 1
    place_row = place(w, w.routes[c.data_route], size, now)
    if place_row < 0:
        return
    p = w.packets[place_row]
    p.seq = seq
    p.stamp = now
    p.echo = c.ack_stamp
    p.window = 0
    p.owner = i
    p.route = c.data_route + 1
    p.kind = DATA
    p.size = size
    p.blocks = 1 if c.packet_left <= 1 else 0  # of data: it is the last of a packet


@compiled_inline
def send_new(w, i, now):
    """Send the next segment for the first time."""
    c = w.conns[i]
    row = segment(w, c, c.nxt)
    row.flags = APP_LIMITED if c.app_limited > 0 else 0
    _emit(w, i, c.nxt, row, now)
    c.nxt += 1


@compiled
def send_again(w, i, seq, now):
    """Send a segment that is taken for lost once more."""
    c = w.conns[i]
    row = segment(w, c, seq)
    _emit(w, i, seq, row, now)
    row.flags |= RETRANSMITTED | EVER_RETRANSMITTED
    c.retrans += 1
    c.resent_segments += 1
    last = seq == c.total - 1
    c.resent_bytes += c.last_bytes if last else c.mss
    entry = w.segments[c.first + (c.again_tail & c.mask)]
    entry.again_seq = seq
    entry.again_sent = now
    c.again_tail += 1
    if c.ca_state == RECOVERY:
        c.prr_out += 1
    if seq == c.una:
        _arm_rto(w, c, now)


@compiled_inline
def _paced_out(w, c, now):
    """Paced: may the next burst leave? If not, a timer is set."""
    if c.bbr_pace_next <= now:
        return False
    c.pace_at = c.bbr_pace_next
    wake(w, c.rank, c.pace_at)
    return True


@compiled_inline
def _update_pacing(c):
    """Without BBR: twice the window per round trip in slow start, else 1.2 times, and no more
    than is allowed (tcp_update_pacing_rate, SO_MAX_PACING_RATE)."""
    if c.control != BBR:
        ratio = 2.0 if 2 * c.cwnd < c.ssthresh else 1.2
        rate = ratio * 1e9 * max(c.cwnd, c.nxt - c.una) / max(c.srtt, 1)
        c.bbr_rate = min(rate, c.pace_most)


@compiled_inline
def may_send_new(w, i):
    """Does the receiver's window, and what was written, allow a new segment?"""
    c = w.conns[i]
    if c.nxt >= c.written:
        # Nothing to send although the window is open (tcp_rate_check_app_limited).
        if c.lost <= c.retrans:
            c.app_limited = max(c.delivered + in_flight(c), 1)
        return False
    if c.nxt >= c.edge:
        return False
    if c.nxt - c.una > c.mask - 1:
        w.state[0].status = GROW_SEGMENTS
        w.state[0].which = i
        return False
    return True


@compiled_inline
def _send_one(w, i, now):
    """Send what is due next. Gives SENT_ONE, or why not: WINDOW_FULL, NOTHING_DUE, WAITING."""
    c = w.conns[i]
    if in_flight(c) >= c.cwnd:
        return WINDOW_FULL
    if c.lost > 0:
        again = next_lost(w, c)
        if again >= 0:
            c.lost_head += 1
            send_again(w, i, again, now)
            return SENT_ONE
    if not may_send_new(w, i):
        return NOTHING_DUE
    if c.offload and c.packet_left == 0:
        c.packet_left = next_packet(w, c, now)
        if c.packet_left == 0:
            return WAITING
    send_new(w, i, now)
    c.packet_left -= 1
    if c.ca_state == RECOVERY:
        c.prr_out += 1
    return SENT_ONE


@compiled
def transmit(w, i, now):
    """Send what windows and pacing allow (tcp_write_xmit, tcp_xmit_retransmit_queue)."""
    c = w.conns[i]
    if c.state != ESTABLISHED:
        return
    quota = BURST_SEGMENTS
    paced = c.control == BBR or c.pace_most > 0
    c.packet_left = 0
    if paced:
        if _paced_out(w, c, now):
            return
        _update_pacing(c)
        quota = min(quota, bbr.burst_of(c))
    sent = 0
    outcome = SENT_ONE
    while sent < quota:
        outcome = _send_one(w, i, now)
        if outcome != SENT_ONE:
            break
        sent += 1
    _note_use(c, _is_limited(c, outcome))
    if sent > 0:
        if paced:
            c.bbr_pace_next = now + int(sent * 1e9 / c.bbr_rate)
        if c.rto_at == NEVER or c.ca_state <= DISORDER:
            set_timers(w, c, now)
    if sent == quota or w.state[0].status == GROW_SEGMENTS:
        # More may be due at once, but a single event sends no more than this.
        c.pace_at = max(now, c.bbr_pace_next) if paced else now
        wake(w, c.rank, c.pace_at)


@compiled_inline
def _is_limited(c, outcome):
    """Is it the congestion window that keeps more from being sent?"""
    if outcome == WAITING:
        return c.cwnd - in_flight(c) < c.edge - c.nxt
    return outcome != NOTHING_DUE


@compiled_inline
def _note_use(c, limited):
    """Was the window in use? (tcp_cwnd_validate)"""
    out = c.nxt - c.una
    if c.una >= c.limited_seq or limited or (not c.limited and out > c.most_out):
        c.limited = 1 if limited else 0
        c.most_out = out
        c.limited_seq = c.nxt
