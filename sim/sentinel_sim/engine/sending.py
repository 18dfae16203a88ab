"""The sending end: what leaves, when; recovery, retransmission timeout, tail loss probe.

As Linux (net/ipv4/tcp_output.c, tcp_input.c): limited transmit by the window, PRR (RFC 6937) in
recovery, RTO of RFC 6298 with 200 ms of variance at least, TLP (RFC 8985, section 7). Left out:
undo of spurious recoveries, F-RTO, ECN and pacing of anything but BBR.
"""

from __future__ import annotations

from sentinel_sim.engine import bbr, congestion
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
    LOSS,
    LOST,
    NEVER,
    OPEN,
    RECOVERY,
    RETRANSMITTED,
    SACKED,
)
from sentinel_sim.engine.receiving import ACK_BYTES
from sentinel_sim.engine.scoreboard import (
    detect,
    in_flight,
    mark_all_lost,
    next_lost,
    segment,
    take_blocks,
    take_cumulative,
)
from sentinel_sim.engine.timeline import wake
from sentinel_sim.engine.wires import place

HEADER_BYTES = ACK_BYTES
"""Of a data segment, without SACK options."""
SENT_ONE, WINDOW_FULL, NOTHING_DUE = 1, 2, 3
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
    """Autotuning: twice the window, never less than before (tcp_sndbuf_expand)."""
    if c.cwnd <= c.room_cwnd:
        return
    c.room_cwnd = c.cwnd
    wanted = min(2 * max(c.cwnd, c.initial_window) * SEGMENT_TRUESIZE, c.send_max)
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
    upto = min(available, c.una + room)
    if upto <= c.written:
        return False
    c.written = upto
    return True


@compiled
def _set_timers(w, c, now):
    """Arm what guards the segments in flight; called after sending and after progress."""
    if c.nxt == c.una:
        c.rto_at = NEVER
        c.tlp_at = NEVER
        return
    rto = min(c.rto << c.backoff, RTO_MAX_NS)
    c.rto_at = now + rto
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
    p.blocks = 0


@compiled_inline
def _send_new(w, i, now):
    c = w.conns[i]
    row = segment(w, c, c.nxt)
    row.flags = APP_LIMITED if c.app_limited > 0 else 0
    _emit(w, i, c.nxt, row, now)
    c.nxt += 1


@compiled
def _send_again(w, i, seq, now):
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


@compiled_inline
def _paced_out(w, c, now):
    """BBR: may the next burst leave? If not, a timer is set."""
    if c.bbr_pace_next <= now:
        return False
    c.pace_at = c.bbr_pace_next
    wake(w, c.rank, c.pace_at)
    return True


@compiled_inline
def _may_send_new(w, i):
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
    """Send what is due next. Gives SENT_ONE, or why not: WINDOW_FULL, NOTHING_DUE."""
    c = w.conns[i]
    if in_flight(c) >= c.cwnd:
        return WINDOW_FULL
    if c.lost > 0:
        again = next_lost(w, c)
        if again >= 0:
            c.lost_head += 1
            _send_again(w, i, again, now)
            return SENT_ONE
    if not _may_send_new(w, i):
        return NOTHING_DUE
    _send_new(w, i, now)
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
    paced = c.control == BBR
    if paced:
        if _paced_out(w, c, now):
            return
        quota = min(quota, bbr.burst_of(c))
    sent = 0
    outcome = SENT_ONE
    while sent < quota:
        outcome = _send_one(w, i, now)
        if outcome != SENT_ONE:
            break
        sent += 1
    _note_use(c, outcome != NOTHING_DUE)
    if sent > 0:
        if paced:
            c.bbr_pace_next = now + int(sent * 1e9 / c.bbr_rate)
        if c.rto_at == NEVER or c.ca_state <= DISORDER:
            _set_timers(w, c, now)
    if sent == quota or w.state[0].status == GROW_SEGMENTS:
        # More may be due at once, but a single event sends no more than this.
        c.pace_at = max(now, c.bbr_pace_next) if paced else now
        wake(w, c.rank, c.pace_at)


@compiled_inline
def _note_use(c, limited):
    """Was the window in use? (tcp_cwnd_validate)"""
    out = c.nxt - c.una
    if c.una >= c.limited_seq or limited or (not c.limited and out > c.most_out):
        c.limited = 1 if limited else 0
        c.most_out = out
        c.limited_seq = c.nxt


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


@compiled
def _enter_recovery(c):
    c.high_seq = c.nxt
    c.prior_cwnd = c.cwnd
    if c.control == BBR:
        bbr.save_window(c)
    else:
        c.ssthresh = congestion.threshold_after_loss(c)
    c.cwnd_count = 0
    c.prr_delivered = 0
    c.prr_out = 0
    c.ca_state = RECOVERY
    c.tlp_at = NEVER


@compiled
def _reduce(c, delivered, lost, advanced):
    """Proportional rate reduction (RFC 6937, tcp_cwnd_reduction)."""
    if delivered <= 0:
        return
    pipe = in_flight(c)
    c.prr_delivered += delivered
    delta = c.ssthresh - pipe
    if delta < 0:
        due = (c.ssthresh * c.prr_delivered + c.prior_cwnd - 1) // c.prior_cwnd
        count = due - c.prr_out
    else:
        count = max(c.prr_delivered - c.prr_out, delivered)
        if advanced and lost == 0:
            count += 1
        count = min(delta, count)
    count = max(count, 0 if c.prr_out > 0 else 1)
    c.cwnd = pipe + count


@compiled
def _leave_recovery(c):
    """All that was out at its beginning has arrived."""
    if c.ca_state == RECOVERY and c.control != BBR:
        c.cwnd = c.ssthresh
    c.ca_state = OPEN
    c.backoff = 0


@compiled_inline
def _take_window(c, packet):
    """Up to which segment may be sent: only whole ones, but for the last."""
    end_bytes = packet.seq * c.mss + packet.window
    edge = end_bytes // c.mss
    if c.total >= 0 and edge == c.total - 1 and end_bytes - edge * c.mss >= c.last_bytes:
        edge = c.total
    c.edge = max(c.edge, edge)


@compiled_inline
def _newest(w, c, packet):
    """The last segment that this packet says has arrived for the first time, or -1."""
    if packet.seq > c.una:
        return packet.seq - 1
    if packet.blocks > 0:
        seq = packet.seq + packet.end0 - 1
        if seq >= c.una and segment(w, c, seq).flags & SACKED == 0:
            return seq
    return -1


@compiled_inline
def _take_segments(w, i, packet, now):
    """Everything that the packet acknowledges; gives the RTT of the last segment, or 0."""
    c = w.conns[i]
    last_rtt = 0
    if packet.seq > c.una:
        last_rtt, first_rtt = take_cumulative(w, c, packet.seq, now)
        if first_rtt > 0:
            update_rtt(c, first_rtt)
        if last_rtt > 0:
            c.min_rtt = min(c.min_rtt, last_rtt)
        c.probe_out = 0
        if c.ca_state != LOSS:
            c.backoff = 0
    if packet.blocks > 0:
        take_blocks(w, i, packet, now)
    return last_rtt


@compiled_inline
def _find_lost(w, i, now):
    """Loss detection and the changes of state that follow from it. Gives how many are lost anew."""
    c = w.conns[i]
    found = 0
    if c.sacked > 0 or c.again_head < c.again_tail:
        found = detect(w, i, now)
    if c.ca_state >= RECOVERY and c.una >= c.high_seq:
        _leave_recovery(c)
    if c.lost > 0 and c.ca_state < RECOVERY:
        _enter_recovery(c)
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
    # Read before the segments are given up: their places may be used again.
    newest = _newest(w, c, packet)
    sampled, interval, was_limited = -1, 0, False
    if newest >= 0:
        row = segment(w, c, newest)
        sampled, interval = row.delivered, row.sent - row.first_sent
        was_limited = row.flags & APP_LIMITED != 0
        c.delivered_prior_at = row.delivered_at
        c.first_sent = row.sent
        c.delivered_at = now
    last_rtt = _take_segments(w, i, packet, now)
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
        _reduce(c, delivered, found, advanced)
    elif advanced and delivered > 0:
        congestion.on_acked(c, now, delivered)
    if advanced:
        _set_timers(w, c, now)
    return advanced


@compiled
def on_reorder_timer(w, i, now):
    """RACK's patience with a few SACKed segments is over."""
    c = w.conns[i]
    if detect(w, i, now) > 0:
        if c.ca_state < RECOVERY:
            _enter_recovery(c)
            _reduce(c, 1, 1, False)
        transmit(w, i, now)


@compiled
def on_rto(w, i, now):
    """The retransmission timer fires: everything is lost, begin with one (tcp_enter_loss)."""
    c = w.conns[i]
    c.rto_at = NEVER
    if c.nxt == c.una:
        return
    if c.ca_state < LOSS:
        if c.control == BBR:
            bbr.save_window(c)
        else:
            c.ssthresh = congestion.threshold_after_loss(c)
        c.prior_cwnd = c.cwnd
    c.ca_state = LOSS
    c.high_seq = c.nxt
    mark_all_lost(w, i)
    c.cwnd = 1
    c.cwnd_count = 0
    congestion.on_timeout(c, now)
    if c.control == BBR:
        bbr.on_timeout(c)
        c.bbr_pace_next = now
    c.backoff = min(c.backoff + 1, 12)
    _set_timers(w, c, now)
    transmit(w, i, now)


@compiled
def on_tail_probe(w, i, now):
    """Nothing came back for two RTTs: send one segment to provoke an answer (TLP)."""
    c = w.conns[i]
    c.tlp_at = NEVER
    if c.nxt == c.una or c.ca_state > DISORDER or c.probe_out > 0:
        return
    c.probe_out = 1
    if _may_send_new(w, i):
        _send_new(w, i, now)
    else:
        row = segment(w, c, c.nxt - 1)
        if row.flags & (SACKED | LOST | RETRANSMITTED) == 0:
            _send_again(w, i, c.nxt - 1, now)
    _set_timers(w, c, now)
