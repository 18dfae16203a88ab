"""Links: a transmitter with a finite drop-tail queue, then loss, then delay and jitter.

A packet costs one event per link. Its departure is known the moment it is accepted, since the
queue is a FIFO of constant rate: it is put into the ring of packets under way with the time of its
arrival. The queue is what has not been transmitted yet; a packet finds room if what waits, the one
in transmission left out, fits into the limit (tc-bfifo(8)).
"""

from __future__ import annotations

import numpy as np

from sentinel_sim.engine.chance import draw
from sentinel_sim.engine.jit import compiled, compiled_inline
from sentinel_sim.engine.layout import GROW_RING, NEVER, RING_MARGIN
from sentinel_sim.engine.timeline import set_due

STEP_BITS = 20
_STEP_MASK = (1 << STEP_BITS) - 1
_S = np.uint64(1)


@compiled_inline
def place(w, index, size, now):
    """Offer a packet of `size` bytes (layer 2) to a link.

    Gives its row in `packets`, to be filled in by the caller, or -1 if it was dropped or lost.
    """
    link = w.links[index]
    link.offered += 1
    link.offered_bytes += size
    free = link.free
    if free <= now:
        free = now
        link.fraction = 0
    elif free - now > link.queue_ns:
        link.queue_dropped += 1
        link.dropped_bytes += size
        return -1
    spent = link.fraction + size * link.step
    free += spent >> STEP_BITS
    link.fraction = spent & _STEP_MASK
    link.free = free
    link.accepted += 1
    link.accepted_bytes += size
    if link.lossy != 0 and _is_lost(link):
        link.lost += 1
        link.lost_bytes += size
        return -1
    return _under_way(w, index, link, free)


@compiled
def place_rare(w, index, size, now):
    """As `place`, for what is not sent often: a call instead of a copy of its code."""
    return place(w, index, size, now)


@compiled
def _is_lost(link):
    # Gilbert-Elliott: a loss probability per state, then perhaps a change of state. Independent
    # loss is the channel that never leaves its good state.
    count = np.uint64(link.draws)
    link.draws += 2
    threshold = link.loss_bad if link.bad != 0 else link.loss_good
    lost = draw(link.loss_seed, count) < threshold
    change = draw(link.loss_seed, count + _S)
    if link.bad != 0:
        if change < link.to_good:
            link.bad = 0
    elif change < link.to_bad:
        link.bad = 1
    return lost


@compiled_inline
def _under_way(w, index, link, departed):
    arrives = departed + link.delay
    if link.jitter > 0:
        span = np.uint64(2 * link.jitter + 1)
        arrives += np.int64(draw(link.jitter_seed, np.uint64(link.accepted)) % span) - link.jitter
        # Jitter never reorders: a packet waits for the one before it.
        arrives = max(arrives, link.last_due)
    link.last_due = arrives
    row = link.first + (link.tail & link.mask)
    packet = w.packets[row]
    packet.due = arrives
    packet.departed = departed
    if link.tail == link.head:
        set_due(w, index, arrives)
    link.tail += 1
    if link.tail - link.head > link.mask + 1 - RING_MARGIN:
        w.state[0].status = GROW_RING
        w.state[0].which = index
    return row


@compiled_inline
def forward(w, index, row, now):
    """Pass the packet in `row` on to the next link of its way."""
    packet = w.packets[row]
    place_row = place(w, index, np.int64(packet.size), now)
    if place_row < 0:
        return
    target = w.packets[place_row]
    target.seq = packet.seq
    target.stamp = packet.stamp
    target.echo = packet.echo
    target.window = packet.window
    target.owner = packet.owner
    target.route = packet.route + 1
    target.kind = packet.kind
    target.size = packet.size
    target.blocks = packet.blocks
    if packet.blocks > 0:
        target.begin0, target.end0 = packet.begin0, packet.end0
        target.begin1, target.end1 = packet.begin1, packet.end1
        target.begin2, target.end2 = packet.begin2, packet.end2


@compiled_inline
def arrive(w, index, now):
    """Take the first packet off a link; gives its row, which stays valid during this event."""
    link = w.links[index]
    row = link.first + (link.head & link.mask)
    packet = w.packets[row]
    link.head += 1
    link.arrived += 1
    link.arrived_bytes += packet.size
    if link.arrived >= link.sample_next and link.samples < w.lateness.shape[1]:
        link.sample_next += link.sample_every
        # Lateness is found as on a real wire: the transit that happened, minus the request.
        w.lateness[index, link.samples] = now - packet.departed - link.delay
        link.samples += 1
    following = NEVER
    if link.head != link.tail:
        following = w.packets[link.first + (link.head & link.mask)].due
    set_due(w, index, following)
    return row
