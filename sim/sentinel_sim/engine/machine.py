"""The event loop: the earliest source, what it means, and samples on a grid.

`make_kernel` compiles everything at its first call; the driver sets where numba keeps the result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sentinel_sim.engine.acknowledging import on_ack
from sentinel_sim.engine.jit import compiled, compiled_and_cached, compiled_inline
from sentinel_sim.engine.layout import (
    ACK,
    ALL_DONE,
    CLOSED,
    DATA,
    ECHO,
    ESTABLISHED,
    NEVER,
    OPENED,
    OPENING,
    REACHED,
    SYN,
    SYNACK,
)
from sentinel_sim.engine.receiving import bytes_of, hand_up, on_data, send_ack
from sentinel_sim.engine.recovery import on_reorder_timer, on_rto, on_tail_probe
from sentinel_sim.engine.relaying import (
    finish_if_done,
    on_accepted,
    on_probe_answer,
    on_syn,
    on_synack,
    open_connection,
    relay_and_send,
    send_small,
    stop_writing,
    write,
)
from sentinel_sim.engine.sending import transmit
from sentinel_sim.engine.timeline import set_due
from sentinel_sim.engine.wires import arrive, forward, place_rare

PERSIST_NS = 200_000_000
Kernel = Callable[..., Any]


@compiled_inline
def _receive(w, i, packet, now):
    """A packet has reached the end of its way."""
    kind = packet.kind
    if kind == DATA:
        on_accepted(w, i, now)
        if on_data(w, i, packet, now) and w.conns[i].next >= 0:
            relay_and_send(w, i, now)
    elif kind == ACK:
        _acknowledged(w, i, packet, now)
    elif kind == ECHO:
        w.probes[i].returned = now
    elif kind == SYN:
        on_syn(w, i, now)
    elif kind == SYNACK:
        on_synack(w, i, packet, now)
    elif w.conns[i].accepted:
        on_probe_answer(w, i, now)
    else:
        on_accepted(w, i, now)


@compiled_inline
def _acknowledged(w, i, packet, now):
    c = w.conns[i]
    advanced = on_ack(w, i, packet, now)
    if advanced and c.previous < 0:
        write(w, i, now)
    transmit(w, i, now)
    if advanced and c.previous >= 0:
        relay_and_send(w, c.previous, now)
    if advanced:
        finish_if_done(w, i, now)
    if c.state == ESTABLISHED and c.nxt == c.una and c.nxt < c.written and c.rto_at == NEVER:
        # The window is closed and nothing is under way: ask from time to time (persist timer).
        c.rto_at = now + max(c.rto, PERSIST_NS)
        if c.rto_at < w.due[c.rank]:
            set_due(w, c.rank, c.rto_at)


@compiled
def _fire(w, i, now):
    """Some timers of a connection may be due."""
    c = w.conns[i]
    if c.start <= now:
        c.start = NEVER
        open_connection(w, i, now)
    if c.stop <= now and c.state != CLOSED:
        stop_writing(w, i, now)
    if c.nudge_at <= now:
        c.nudge_at = NEVER
        _nudge(w, i, now)
    if c.delack_at <= now:
        hand_up(c, now)
        send_ack(w, i, now)
        if c.next >= 0:
            relay_and_send(w, i, now)
    if c.reorder_at <= now:
        c.reorder_at = NEVER
        on_reorder_timer(w, i, now)
    if c.tlp_at <= now:
        on_tail_probe(w, i, now)
    if c.rto_at <= now:
        _on_timeout(w, i, now)
    if c.pace_at <= now:
        c.pace_at = NEVER
        transmit(w, i, now)
    sooner = min(c.start, c.stop, c.delack_at, c.nudge_at)
    later = min(c.reorder_at, c.tlp_at, c.rto_at, c.pace_at)
    set_due(w, c.rank, min(sooner, later))


@compiled
def _nudge(w, i, now):
    """More may be written now: whoever holds back the start has said so."""
    c = w.conns[i]
    if c.previous >= 0:
        relay_and_send(w, c.previous, now)
    else:
        write(w, i, now)
    transmit(w, i, now)


@compiled
def _on_timeout(w, i, now):
    c = w.conns[i]
    if c.state == OPENING:
        open_connection(w, i, now)
    elif c.state == ESTABLISHED and c.nxt == c.una:
        # Zero-window probe: a packet without payload that the receiver answers.
        send_small(w, i, c.data_route, OPENED, now)
        c.backoff = min(c.backoff + 1, 6)
        c.rto_at = now + (max(c.rto, PERSIST_NS) << c.backoff)
    else:
        on_rto(w, i, now)


@compiled
def _probe(w, source, now):
    """Send the next probe, and set the clock for the one after it."""
    i = w.state[0].next_probe
    w.state[0].next_probe = i + 1
    following = NEVER
    if i + 1 < w.probes.shape[0]:
        following = w.probes[i + 1].send_at
    set_due(w, source, following)
    probe = w.probes[i]
    w.state[0].originated += 1
    row = place_rare(w, w.routes[probe.route], probe.size, now)
    if row < 0:
        return
    p = w.packets[row]
    p.seq = 0
    p.stamp = now
    p.echo = 0
    p.window = 0
    p.owner = i
    p.route = probe.route + 1
    p.kind = ECHO
    p.size = probe.size
    p.blocks = 0


@compiled
def _run_until(w, until):
    """Process events before `until`; comes back early when Python has to enlarge something."""
    state = w.state[0]
    links = w.links.shape[0]
    conns = w.conns.shape[0]
    while state.status == REACHED:
        source = w.winners[1]
        now = w.due[source]
        if now >= until:
            break
        state.now = now
        state.events += 1
        if source < links:
            row = arrive(w, source, now)
            packet = w.packets[row]
            following = w.routes[packet.route]
            if following >= 0:
                state.forwarded += 1
                forward(w, following, row, now)
            else:
                state.delivered += 1
                # Packets hold 32 bits; numba would compile everything once more for those.
                _receive(w, np.int64(packet.owner), packet, now)
        elif source < links + conns:
            _fire(w, source - links, now)
        else:
            _probe(w, source, now)


@compiled
def _sample(w, heads, tails, out, out_links, tick):
    """Write down each flow's counters and each link's, as they stand now."""
    now = w.state[0].now
    for f in range(heads.shape[0]):
        first = w.conns[heads[f]]
        last = w.conns[tails[f]]
        out[tick, f, 0] = bytes_of(first, first.written)
        out[tick, f, 1] = bytes_of(last, last.copied)
        out[tick, f, 2] = bytes_of(first, first.una)
    for k in range(w.links.shape[0]):
        out_links[tick, k, 0] = w.links[k].accepted_bytes
        out_links[tick, k, 1] = max(w.links[k].free - now, 0)


def make_kernel(fingerprint: str) -> Kernel:
    """The compiled engine. `fingerprint` tells its sources apart, so that old code is not reused.

    numba looks only at the file of the function that it caches, not at those it calls; the
    fingerprint becomes part of the key.
    """

    def advance(w, heads, tails, out, out_links, tick, ticks, tick_ns, stop_ns):
        """Run to the end of each of `ticks` intervals, from number `tick`, sampling at each.

        Not beyond `stop_ns`. Gives how many were completed; `state.status` says why it is fewer.
        """
        assert len(fingerprint) > 0
        state = w.state[0]
        done = np.int64(0)
        while done < ticks:
            end = (tick + done + 1) * tick_ns
            until = min(end, stop_ns)
            _run_until(w, until)
            if state.status != REACHED:
                break
            state.now = until
            if until < end:
                break
            _sample(w, heads, tails, out, out_links, done)
            done += 1
            if state.connections_left == 0:
                state.status = ALL_DONE
        return done

    kernel: Kernel = compiled_and_cached(advance)
    return kernel
