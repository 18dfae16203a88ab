"""The receiving end of a connection: reassembly, SACK, delayed ACKs, the advertised window.

As Linux does it (net/ipv4/tcp_input.c): an ACK for every second segment, at once while in quick-ACK
mode (the first 16) or while anything is out of order, else after 40 ms. With offloads, what left
the sender as one packet is merged again below TCP (GRO) and acknowledged as one. The window follows
dynamic right-sizing (tcp_rcv_space_adjust): it is raised once per RTT to a multiple of what the
application copied during the last one, and opens by two segments for each that arrives.
"""

from __future__ import annotations

from sentinel_sim.engine.jit import compiled, compiled_inline
from sentinel_sim.engine.layout import ACK, NEVER, RECEIVED
from sentinel_sim.engine.timeline import wake
from sentinel_sim.engine.wires import place

ACK_BYTES = 66
"""Ethernet 14, IPv4 20, TCP 20, timestamps 12."""
SACK_BLOCK_BYTES = 8
SACK_OPTION_BYTES = 4
DELAYED_ACK_NS = 40_000_000
QUICK_ACKS = 16
MERGED_MOST_NS = 1_500_000
"""How long a packet is merged at most: what leaves as one is 1.2 ms of the sender's rate."""
FIRST_WINDOW = 65_535
"""Bytes; what Linux offers before it has measured anything, rounded down to whole segments."""
BLOCKS_SENT = 3
"""With timestamps, three SACK blocks fit into the options (RFC 2018)."""


@compiled_inline
def bytes_of(c, segments):
    """Payload bytes in the first `segments` segments of the stream."""
    whole = segments * c.mss
    if segments == c.total and segments > 0:
        whole -= c.mss - c.last_bytes
    return whole


@compiled_inline
def window_bytes(c):
    """What may be advertised now: room for payload, of which what waits takes its part."""
    waiting = (c.rcv_nxt - c.copied + c.gaps) * c.mss
    if c.fixed_window > 0:
        return max(c.fixed_window - (c.rcv_nxt - c.copied) * c.mss, 0)
    return max(min(c.rcv_ssthresh, c.rcv_clamp - waiting), 0)


@compiled
def send_ack(w, i, now):
    """Acknowledge everything received so far, with the blocks beyond it."""
    c = w.conns[i]
    edge = max(c.advertised, c.rcv_nxt * c.mss + window_bytes(c))
    c.advertised = edge
    c.acked_up_to = c.rcv_nxt
    c.delack_at = NEVER
    if c.quick > 0:
        c.quick -= 1
    blocks = min(c.blocks, BLOCKS_SENT)
    size = ACK_BYTES
    if blocks > 0:
        size += SACK_OPTION_BYTES + blocks * SACK_BLOCK_BYTES
    w.state[0].originated += 1
    row = place(w, w.routes[c.ack_route], size, now)
    if row < 0:
        return
    p = w.packets[row]
    p.seq = c.rcv_nxt
    p.stamp = now
    p.echo = 0
    p.window = edge - c.rcv_nxt * c.mss
    p.owner = i
    p.route = c.ack_route + 1
    p.kind = ACK
    p.size = size
    p.blocks = blocks
    if blocks > 0:
        p.begin0, p.end0 = c.begin0 - c.rcv_nxt, c.end0 - c.rcv_nxt
        p.begin1, p.end1 = c.begin1 - c.rcv_nxt, c.end1 - c.rcv_nxt
        p.begin2, p.end2 = c.begin2 - c.rcv_nxt, c.end2 - c.rcv_nxt


@compiled
def _drop_block(c, k):
    """Take out the k-th of the four blocks; the later ones move up."""
    if k <= 0:
        c.begin0, c.end0 = c.begin1, c.end1
    if k <= 1:
        c.begin1, c.end1 = c.begin2, c.end2
    if k <= 2:
        c.begin2, c.end2 = c.begin3, c.end3
    c.blocks -= 1


@compiled
def _block(c, k):
    if k == 0:
        return c.begin0, c.end0
    if k == 1:
        return c.begin1, c.end1
    if k == 2:
        return c.begin2, c.end2
    return c.begin3, c.end3


@compiled
def _note_out_of_order(c, seq):
    """Put the block that `seq` belongs to first, joined with what it touches."""
    begin = seq
    end = seq + 1
    k = 0
    while k < c.blocks:
        other_begin, other_end = _block(c, k)
        if other_begin <= end and begin <= other_end:
            begin = min(begin, other_begin)
            end = max(end, other_end)
            _drop_block(c, k)
        else:
            k += 1
    # Of more than four the oldest is forgotten; the sender has heard of it before.
    c.begin3, c.end3 = c.begin2, c.end2
    c.begin2, c.end2 = c.begin1, c.end1
    c.begin1, c.end1 = c.begin0, c.end0
    c.begin0, c.end0 = begin, end
    c.blocks = min(c.blocks + 1, 4)


@compiled
def _forget_delivered(c):
    k = 0
    while k < c.blocks:
        _begin, end = _block(c, k)
        if end <= c.rcv_nxt:
            _drop_block(c, k)
        else:
            k += 1


@compiled_inline
def _advance(w, c):
    """One segment is next in order; with it, what had arrived before beyond the gap."""
    c.rcv_nxt += 1
    if c.gaps > 0:
        while c.gaps > 0 and w.segments[c.first + (c.rcv_nxt & c.mask)].flags & RECEIVED:
            c.rcv_nxt += 1
            c.gaps -= 1
        _forget_delivered(c)


@compiled_inline
def _raise_limit(c, wanted):
    """Of the window, to so many bytes and what waits beyond a gap (tcp_rcvbuf_grow)."""
    if c.gaps > 0:
        beyond = max(max(c.end0, c.end1), max(c.end2, c.end3)) - c.rcv_nxt
        wanted += max(beyond, 0) * c.mss
    c.rcv_clamp = min(max(wanted, c.rcv_clamp), c.receive_max)


@compiled_inline
def _open_window(c):
    """By two segments for each that arrives, also beyond a gap (tcp_grow_window)."""
    c.rcv_ssthresh = max(c.rcv_ssthresh, min(c.rcv_ssthresh + 2 * c.mss, c.rcv_clamp))


@compiled_inline
def right_size(c, now):
    """Once per RTT, after the application has copied: raise the window's limit."""
    if c.fixed_window > 0 or now - c.drs_at < c.rcv_rtt or c.rcv_rtt == 0:
        return
    copied = (c.copied - c.copied_mark) * c.mss
    if copied > c.space:
        wanted = 2 * copied + 16 * c.mss
        grow = wanted * (copied - c.space) // c.space
        _raise_limit(c, wanted + 2 * grow)
        c.space = copied
    c.copied_mark = c.copied
    c.drs_at = now


@compiled_inline
def copy_to_application(c, upto, now):
    """The application has read all segments before `upto`."""
    c.copied = upto
    right_size(c, now)


@compiled_inline
def hand_up(c, now):
    """The application at the end of a flow reads all that is there; a relay reads for itself."""
    if c.next < 0:
        copy_to_application(c, c.rcv_nxt, now)


@compiled_inline
def _acknowledge(w, i, at_once, ends_packet, now):
    """Hand data up, and acknowledge it, unless more of the same packet may come.

    Gives True if it was handed up.
    """
    c = w.conns[i]
    merging = not at_once and not ends_packet
    if not merging:
        hand_up(c, now)
        if at_once or c.quick > 0 or c.rcv_nxt - c.acked_up_to >= 2:
            send_ack(w, i, now)
            return True
    when = now + (MERGED_MOST_NS if merging else DELAYED_ACK_NS)
    if when < c.delack_at:
        c.delack_at = when
        wake(w, c.rank, when)
    return not merging


@compiled_inline
def on_data(w, i, packet, now):
    """A data segment arrives. Gives True if there may be something to read."""
    c = w.conns[i]
    c.data_arrived += 1
    seq = packet.seq
    if packet.echo > 0:
        sample = now - packet.echo
        c.rcv_rtt = sample if c.rcv_rtt == 0 else c.rcv_rtt + (sample - c.rcv_rtt) // 8
    row = w.segments[c.first + (seq & c.mask)]
    if seq < c.rcv_nxt or row.flags & RECEIVED:
        c.duplicates += 1
        send_ack(w, i, now)
        return False
    row.flags |= RECEIVED
    if seq != c.rcv_nxt:
        c.gaps += 1
        _note_out_of_order(c, seq)
        _raise_limit(c, 2 * c.space)
        _open_window(c)
        # What is out of order ends the packet that was being merged.
        hand_up(c, now)
        send_ack(w, i, now)
        return c.copied < c.rcv_nxt
    if c.rcv_nxt == 0:
        c.first_byte = now
    had_gaps = c.gaps > 0
    _advance(w, c)
    _open_window(c)
    if c.rcv_nxt == c.total:
        c.last_byte = now
    return _acknowledge(w, i, had_gaps or c.rcv_nxt == c.total, packet.blocks > 0, now)


@compiled
def after_reading(w, i, now):
    """A relay has read: tell the sender if the window has opened by a factor of two.

    As tcp_cleanup_rbuf: without it a window that had closed would stay closed.
    """
    c = w.conns[i]
    left = max(c.advertised - c.rcv_nxt * c.mss, 0)
    room = window_bytes(c)
    limit = c.fixed_window if c.fixed_window > 0 else c.rcv_clamp
    if 2 * left <= limit and room >= 2 * left and room >= 2 * c.mss and room > left:
        send_ack(w, i, now)
