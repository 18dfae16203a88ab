"""What the sender learns from ACKs: RTT, SACKed and lost segments, rate samples.

Loss detection is RACK (RFC 8985) without reordering: a segment is lost when one that was sent
later has arrived, after min_rtt / 4 while fewer than three are SACKed (or at once beyond). It also
finds lost retransmissions. Both the original transmissions and the retransmissions are in the
order of their sending, so each is scanned once.
"""

from __future__ import annotations

from sentinel_sim.engine.jit import compiled, compiled_inline
from sentinel_sim.engine.layout import (
    APP_LIMITED,
    EVER_RETRANSMITTED,
    LOST,
    NEVER,
    RECOVERY,
    RETRANSMITTED,
    SACKED,
)
from sentinel_sim.engine.timeline import wake

DUPLICATES_MOST = 3


@compiled_inline
def segment(w, c, seq):
    """The row of a segment between una and nxt."""
    return w.segments[c.first + (seq & c.mask)]


@compiled_inline
def in_flight(c):
    """Segments thought to be in the network (tcp_packets_in_flight)."""
    return c.nxt - c.una - c.sacked - c.lost + c.retrans


@compiled_inline
def _rack_advance(c, row, seq, now):
    """A segment is known to have arrived: perhaps the one that was sent last."""
    if row.flags & EVER_RETRANSMITTED and c.min_rtt > 0 and now - row.sent < c.min_rtt:
        return  # rather its first transmission
    if row.sent > c.rack_sent or (row.sent == c.rack_sent and seq > c.rack_seq):
        c.rack_sent = row.sent
        c.rack_seq = seq
        c.rack_rtt = now - row.sent


@compiled_inline
def begin_sample(c):
    """A new ACK: nothing is known of it yet."""
    c.sample_sent = -1
    c.sacked_first = -1
    c.sacked_last = -1


@compiled_inline
def _take_sample(c, row):
    """Of all segments that one ACK delivers the one sent last says how fast (tcp_rate.c).

    Not the one with the highest number: that may have been SACKed, and counted, long ago.
    """
    if row.sent >= c.sample_sent:
        c.sample_sent = row.sent
        c.sample_from = row.delivered
        c.sample_at = row.delivered_at
        c.sample_first = row.first_sent
        c.sample_limited = row.flags & APP_LIMITED


@compiled_inline
def _delivered(w, c, row, seq, now):
    """Count a segment that is SACKed or acknowledged for the first time."""
    flags = row.flags
    _take_sample(c, row)
    c.delivered += 1
    if flags & LOST:
        c.lost -= 1
    if flags & RETRANSMITTED:
        c.retrans -= 1
    row.flags = flags & ~(LOST | RETRANSMITTED)
    _rack_advance(c, row, seq, now)


@compiled_inline
def _known_until(c, seq):
    """The end of the block in the last ACK that `seq` lies in, or `seq` itself.

    What an earlier ACK said need not be looked at again (recv_sack_cache in Linux).
    """
    if c.cache_begin0 <= seq < c.cache_end0:
        return c.cache_end0
    if c.cache_begin1 <= seq < c.cache_end1:
        return c.cache_end1
    if c.cache_begin2 <= seq < c.cache_end2:
        return c.cache_end2
    return seq


@compiled
def _take_block(w, c, begin, end, now):
    seq = max(begin, c.una)
    end = min(end, c.nxt)
    while seq < end:
        known = _known_until(c, seq)
        if known > seq:
            seq = known
            continue
        row = segment(w, c, seq)
        if not row.flags & SACKED:
            if not row.flags & EVER_RETRANSMITTED:
                c.sacked_last = row.sent
                if c.sacked_first < 0:
                    c.sacked_first = row.sent
            _delivered(w, c, row, seq, now)
            row.flags |= SACKED
            c.sacked += 1
        seq += 1


@compiled_inline
def _forget_blocks(c):
    c.cache_begin0 = c.cache_end0 = c.cache_begin1 = 0
    c.cache_end1 = c.cache_begin2 = c.cache_end2 = 0


@compiled
def take_blocks(w, i, packet, now):
    """Mark what the packet's SACK blocks say has arrived."""
    c = w.conns[i]
    ack = packet.seq
    _take_block(w, c, ack + packet.begin0, ack + packet.end0, now)
    if packet.blocks > 1:
        _take_block(w, c, ack + packet.begin1, ack + packet.end1, now)
    if packet.blocks > 2:
        _take_block(w, c, ack + packet.begin2, ack + packet.end2, now)
    _forget_blocks(c)
    c.cache_begin0, c.cache_end0 = ack + packet.begin0, ack + packet.end0
    if packet.blocks > 1:
        c.cache_begin1, c.cache_end1 = ack + packet.begin1, ack + packet.end1
    if packet.blocks > 2:
        c.cache_begin2, c.cache_end2 = ack + packet.begin2, ack + packet.end2


@compiled_inline
def take_cumulative(w, c, ack, now):
    """Everything before `ack` has arrived. Gives the RTT of the last and of the first in ns.

    Both are 0 if any of them was sent twice; what was SACKed before says nothing (Karn's rule, as
    tcp_clean_rtx_queue).
    """
    last_rtt, first_rtt = 0, 0
    if c.sacked == 0 and c.lost == 0 and c.retrans == 0:
        first, last = segment(w, c, c.una), segment(w, c, ack - 1)
        if not (first.flags | last.flags) & EVER_RETRANSMITTED:
            last_rtt, first_rtt = now - last.sent, now - first.sent
        _take_sample(c, last)
        c.delivered += ack - c.una
        _rack_advance(c, last, ack - 1, now)
    else:
        twice = False
        for seq in range(c.una, ack):
            row = segment(w, c, seq)
            if row.flags & EVER_RETRANSMITTED:
                twice = True
            elif not row.flags & SACKED:
                last_rtt = now - row.sent
                if first_rtt == 0:
                    first_rtt = last_rtt
            if row.flags & SACKED:
                c.sacked -= 1
            else:
                _delivered(w, c, row, seq, now)
        if twice:
            last_rtt, first_rtt = 0, 0
    c.una = ack
    c.scan = max(c.scan, ack)
    if c.sacked == 0:
        _forget_blocks(c)
    return last_rtt, first_rtt


@compiled
def mark_lost(w, c, seq, row):
    """A segment is taken for lost: out of flight, into the queue of those to be sent again."""
    if row.flags & RETRANSMITTED:
        c.retrans -= 1
    if not row.flags & LOST:
        c.lost += 1
    row.flags = (row.flags & ~RETRANSMITTED) | LOST
    w.segments[c.first + (c.lost_tail & c.mask)].lost_seq = seq
    c.lost_tail += 1


@compiled_inline
def _overtaken(c, sent, seq):
    return sent < c.rack_sent or (sent == c.rack_sent and seq < c.rack_seq)


@compiled
def detect(w, i, now):
    """Mark what RACK takes for lost at this moment. Gives how many."""
    c = w.conns[i]
    found = 0
    patience = 0
    if c.ca_state < RECOVERY and c.sacked < DUPLICATES_MOST:
        patience = min(c.min_rtt // 4, c.srtt)
    c.reorder_at = NEVER
    while c.scan < c.nxt:
        row = segment(w, c, c.scan)
        if row.flags & (SACKED | LOST | EVER_RETRANSMITTED):
            c.scan += 1
            continue
        if not _overtaken(c, row.sent, c.scan):
            break
        due = row.sent + c.rack_rtt + patience
        if patience > 0 and due > now:
            c.reorder_at = due
            wake(w, c.rank, due)
            break
        mark_lost(w, c, c.scan, row)
        found += 1
        c.scan += 1
    while c.again_head < c.again_tail:
        entry = w.segments[c.first + (c.again_head & c.mask)]
        seq = entry.again_seq
        if seq >= c.una:
            row = segment(w, c, seq)
            current = row.flags & RETRANSMITTED and row.sent == entry.again_sent
            if current:
                if not _overtaken(c, row.sent, seq):
                    break
                mark_lost(w, c, seq, row)
                found += 1
        c.again_head += 1
    return found


@compiled
def mark_all_lost(w, i):
    """After a retransmission timeout: everything that is not SACKed (tcp_enter_loss)."""
    c = w.conns[i]
    c.lost_head = c.lost_tail
    c.again_head = c.again_tail
    c.lost = 0
    c.retrans = 0
    for seq in range(c.una, c.nxt):
        row = segment(w, c, seq)
        row.flags &= ~(LOST | RETRANSMITTED)
        if not row.flags & SACKED:
            mark_lost(w, c, seq, row)
    c.scan = c.nxt


@compiled_inline
def next_lost(w, c):
    """The next segment to be sent again, or -1. It stays in the queue."""
    while c.lost_head < c.lost_tail:
        seq = w.segments[c.first + (c.lost_head & c.mask)].lost_seq
        if seq >= c.una:
            flags = segment(w, c, seq).flags
            if flags & LOST and not flags & RETRANSMITTED:
                return seq
        c.lost_head += 1
    return -1
