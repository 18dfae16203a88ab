"""Opening connections, the application at the source, and relays with bounded memory.

A relay reads into a buffer of fixed size and writes into the next connection's send buffer; when
that is full it does not read, and the window of the connection before it closes (backpressure).
"""

from __future__ import annotations

from sentinel_sim.engine import bbr
from sentinel_sim.engine.acknowledging import update_rtt
from sentinel_sim.engine.congestion import start_round
from sentinel_sim.engine.jit import compiled, compiled_inline
from sentinel_sim.engine.layout import (
    BBR,
    BOUNDLESS,
    CLOSED,
    ESTABLISHED,
    FINISHED,
    NEVER,
    OPENED,
    OPENING,
    SECOND_NS,
    SYN,
    SYNACK,
)
from sentinel_sim.engine.receiving import (
    ACK_BYTES,
    after_reading,
    bytes_of,
    copy_to_application,
    send_ack,
)
from sentinel_sim.engine.sending import fill_send_buffer, transmit
from sentinel_sim.engine.timeline import wake
from sentinel_sim.engine.wires import place_rare

SYN_BYTES = 74
"""Ethernet 14, IPv4 20, TCP 20, options 20."""
SYN_TIMEOUT_NS = SECOND_NS
UNSCALED_WINDOW = 65_535


@compiled
def send_small(w, i, route, kind, now):
    """A packet without payload that opens a connection."""
    size = SYN_BYTES if kind <= SYNACK else ACK_BYTES
    w.state[0].originated += 1
    row = place_rare(w, w.routes[route], size, now)
    if row < 0:
        return
    c = w.conns[i]
    p = w.packets[row]
    p.seq = 0
    p.stamp = now
    p.echo = 0
    p.window = c.advertised
    p.owner = i
    p.route = route + 1
    p.kind = kind
    p.size = size
    p.blocks = 0


@compiled
def open_connection(w, i, now):
    """connect(): send a SYN, and again if nothing answers."""
    c = w.conns[i]
    if c.state == CLOSED:
        c.state = OPENING
        c.first_sent = now
        c.rto = SYN_TIMEOUT_NS
    else:
        c.backoff = min(c.backoff + 1, 6)
    send_small(w, i, c.data_route, SYN, now)
    c.rto_at = now + (c.rto << c.backoff)
    wake(w, c.rank, c.rto_at)


@compiled
def on_synack(w, i, packet, now):
    """The connection stands at its sending end."""
    c = w.conns[i]
    send_small(w, i, c.data_route, OPENED, now)
    if c.state != OPENING:
        return
    c.state = ESTABLISHED
    c.rto_at = NEVER
    if c.backoff == 0:
        update_rtt(c, now - c.first_sent)
    else:
        c.rto = SYN_TIMEOUT_NS
    c.backoff = 0
    # The window of a SYN-ACK is never scaled (RFC 7323, section 2.2).
    c.edge = min(packet.window, UNSCALED_WINDOW) // c.mss
    start_round(c, now)
    if c.control == BBR:
        bbr.init(c, now)
    c.first_write = now
    if c.previous < 0:
        write(w, i, now)
    else:
        relay(w, c.previous, now)
    transmit(w, i, now)


@compiled_inline
def on_accepted(w, i, now):
    """The connection stands at its receiving end; a relay connects onwards."""
    c = w.conns[i]
    if c.accepted:
        return
    c.accepted = 1
    c.drs_at = now
    if c.next >= 0 and w.conns[c.next].state == CLOSED:
        open_connection(w, c.next, now)


@compiled
def write(w, i, now):
    """The application at the source of a flow writes what finds room."""
    c = w.conns[i]
    if c.state != ESTABLISHED or (c.total >= 0 and c.written >= c.total):
        return
    if c.total < 0 and now >= c.stop:
        _end_stream(c)
        return
    available = c.total if c.total >= 0 else BOUNDLESS
    if fill_send_buffer(c, available):
        c.write_end = now


@compiled
def _end_stream(c):
    c.total = c.written
    c.last_bytes = c.mss


@compiled
def stop_writing(w, i, now):
    """The time of a flow of fixed duration is over: what was written is all there is."""
    c = w.conns[i]
    c.stop = NEVER
    if c.total < 0:
        _end_stream(c)
    c.write_end = now
    if c.next >= 0 and c.rcv_nxt >= c.total:
        relay_and_send(w, i, now)
    finish_if_done(w, i, now)


@compiled
def relay(w, i, now):
    """Move bytes from the receiving end of `i` to the connection after it. True: some moved."""
    c = w.conns[i]
    n = w.conns[c.next]
    ended = c.total >= 0 and c.rcv_nxt >= c.total
    if c.mss == n.mss and not ended:
        # By far the most frequent case, without divisions.
        upto = min(c.rcv_nxt, n.written + c.relay_segments)
    else:
        upto = _readable(c, n, ended)
    if upto > c.copied:
        copy_to_application(c, upto, now)
    if ended and c.copied == c.total and n.total < 0:
        in_hand = bytes_of(c, c.total)
        n.total = (in_hand + n.mss - 1) // n.mss
        n.last_bytes = in_hand - (n.total - 1) * n.mss
    if n.state != ESTABLISHED:
        return False
    if n.total >= 0:
        return fill_send_buffer(n, n.total)
    if c.mss == n.mss:
        return fill_send_buffer(n, c.copied)
    return fill_send_buffer(n, bytes_of(c, c.copied) // n.mss)


@compiled_inline
def _readable(c, n, ended):
    """Up to which segment the relay may read: what it holds is bounded."""
    limit = bytes_of(n, n.written) + c.relay_bytes
    if ended and limit >= bytes_of(c, c.total):
        return c.total
    return min(c.rcv_nxt, limit // c.mss)


@compiled
def relay_and_send(w, i, now):
    """As long as bytes move: each write makes room to read, each read something to write."""
    c = w.conns[i]
    before = c.copied
    copied = -1
    while relay(w, i, now):
        transmit(w, c.next, now)
        # Writing has made room to read only if the buffer had been full.
        if c.copied == c.rcv_nxt or c.copied == copied:
            break
        copied = c.copied
    if c.copied > before:
        after_reading(w, i, now)
    finish_if_done(w, c.next, now)


@compiled
def finish_if_done(w, i, now):
    """A connection is over when all of a stream of known end is acknowledged."""
    c = w.conns[i]
    if c.state == ESTABLISHED and c.total >= 0 and c.una >= c.total:
        if c.rcv_nxt < c.total:
            return
        if c.next < 0 and c.last_byte == 0:
            c.last_byte = now
        c.state = FINISHED
        c.done_at = now
        c.rto_at = NEVER
        c.tlp_at = NEVER
        w.state[0].connections_left -= 1


@compiled
def on_syn(w, i, now):
    """A SYN arrives: answer it, with the window to begin with."""
    c = w.conns[i]
    send_small(w, i, c.ack_route, SYNACK, now)


@compiled
def on_probe_answer(w, i, now):
    """A zero-window probe arrived: say again how large the window is."""
    send_ack(w, i, now)
