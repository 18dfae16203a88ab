"""Flows over time: they arrive, speed up, share links max-min fairly, and end (compiled).

A flow begins with `ramp` bit/s and doubles what it may send each round trip, as in slow start
(RFC 5681: ten segments, RFC 6928), until its limit allows no more or a link allows less; then it
takes what `sharing` gives it. It ends when it has moved its amount, or at its time.

Times are nanoseconds. Events at one instant: by the flow's number, its end before its step; then
arrivals.
Amounts are floats: they are added up in the order of events only, so they are the same each time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sentinel_sim.flowlevel.heap import Heap, Int64, heap_of, put, take_out
from sentinel_sim.flowlevel.jit import compiled, compiled_and_cached
from sentinel_sim.flowlevel.sharing import update
from sentinel_sim.flowlevel.state import Shares

Advance = Callable[..., None]
NEVER = 1 << 62
EVENTS, CHANGES, PEAK, ACTIVE, NEXT = range(5)
"""Places in `Traffic.tally`."""


class Traffic(NamedTuple):
    """What flows want and where they are; flows are numbered by arrival."""

    arrival_ns: Int64
    """When the first byte may leave; ascending."""
    amount_bits: NDArray[np.float64]
    """Infinite where `stop_ns` ends the flow."""
    stop_ns: Int64
    limit_bps: Int64
    """In the end, when it has sped up."""
    ramp_bps: Int64
    """In the first round trip; `UNLIMITED`: no slow start."""
    rtt_ns: Int64
    moved_bits: NDArray[np.float64]
    """Until `since_ns`; then with the rate of now."""
    since_ns: Int64
    due_ns: Int64
    """When it ends as things are."""
    step_ns: Int64
    """When its next round trip of slow start begins; `NEVER`: it has left slow start."""
    queue: Heap
    """Of the flows that are there, by what happens to them next."""
    ended_ns: Int64
    """-1: not yet."""
    tally: Int64
    """Events; changes of rates; most flows at a time; flows there now; the next to arrive."""


def traffic_of(
    arrival_ns: Int64,
    amount_bits: NDArray[np.float64],
    stop_ns: Int64,
    limit_bps: Int64,
    ramp_bps: Int64,
    rtt_ns: Int64,
) -> Traffic:
    """Flows that have not begun."""
    flows = len(arrival_ns)
    if (np.diff(arrival_ns) < 0).any():
        raise ValueError("flows must be numbered by arrival")
    arrival_ns, stop_ns, limit_bps, ramp_bps, rtt_ns = (
        np.ascontiguousarray(one, np.int64)
        for one in (arrival_ns, stop_ns, limit_bps, ramp_bps, rtt_ns)
    )
    return Traffic(
        arrival_ns,
        np.ascontiguousarray(amount_bits, np.float64),
        stop_ns,
        limit_bps,
        ramp_bps,
        rtt_ns,
        moved_bits=np.zeros(flows),
        since_ns=arrival_ns.copy(),
        due_ns=np.full(flows, NEVER),
        step_ns=np.full(flows, NEVER),
        queue=heap_of(flows),
        ended_ns=np.full(flows, -1),
        tally=np.zeros(5, np.int64),
    )


def moved_at(s: Shares, t: Traffic, now_ns: int) -> NDArray[np.float64]:
    """Bits that each flow has moved by `now_ns`, where `advance` has been."""
    spent = np.where(t.ended_ns < 0, np.maximum(now_ns - t.since_ns, 0), 0)
    moved: NDArray[np.float64] = t.moved_bits + s.rate * spent / 1e9
    return moved


def make_advance(fingerprint: str) -> Advance:
    """The compiled loop. `fingerprint` tells its sources apart, as in `engine.machine`."""

    def advance(s, t, until_ns):
        """Let everything happen that happens before `until_ns`."""
        assert len(fingerprint) > 0
        _advance(s, t, until_ns)

    made: Advance = compiled_and_cached(advance)
    return made


@compiled
def _advance(s, t, until_ns):
    while True:
        after = t.tally[NEXT]
        arrival = t.arrival_ns[after] if after < len(t.arrival_ns) else NEVER
        now = t.queue.key[t.queue.order[0]] if t.queue.size[0] > 0 else NEVER
        if min(now, arrival) >= until_ns:
            return
        t.tally[EVENTS] += 1
        flow = after
        if arrival < now:
            now = arrival
            _arrive(s, t, flow)
        else:
            flow = t.queue.order[0]
            if t.due_ns[flow] == now:
                _end(s, t, flow, now)
            else:
                _step(s, t, flow, now)
        there = t.ended_ns[flow] < 0
        _moved(s, t, update(s, flow, there), now)
        if there:
            _expect(s, t, flow)


@compiled
def _arrive(s, t, flow):
    t.tally[NEXT] += 1
    t.tally[ACTIVE] += 1
    t.tally[PEAK] = max(t.tally[PEAK], t.tally[ACTIVE])
    s.limit[flow] = min(t.ramp_bps[flow], t.limit_bps[flow])
    if s.limit[flow] < t.limit_bps[flow]:
        t.step_ns[flow] = t.arrival_ns[flow] + t.rtt_ns[flow]


@compiled
def _step(s, t, flow, now):
    """A round trip of slow start is over: twice as much, unless the network allows less."""
    held_back = s.rate[flow] < s.limit[flow]
    doubled = min(2 * s.limit[flow], t.limit_bps[flow])
    s.limit[flow] = t.limit_bps[flow] if held_back else doubled
    going_on = s.limit[flow] < t.limit_bps[flow]
    t.step_ns[flow] = now + t.rtt_ns[flow] if going_on else NEVER


@compiled
def _end(s, t, flow, now):
    t.ended_ns[flow] = now
    t.tally[ACTIVE] -= 1
    _settle(t, flow, s.rate[flow], now)
    if now < t.stop_ns[flow]:
        t.moved_bits[flow] = t.amount_bits[flow]
    take_out(t.queue, flow)


@compiled
def _settle(t, flow, rate, now):
    t.moved_bits[flow] += rate * (now - t.since_ns[flow]) / 1e9
    t.since_ns[flow] = now


@compiled
def _moved(s, t, news, now):
    """Rates have changed: note what was moved with the old ones, and when flows now end."""
    changed, before = news
    for index, flow in enumerate(changed):
        if s.rate[flow] != before[index] and t.ended_ns[flow] < 0:
            t.tally[CHANGES] += 1
            _settle(t, flow, before[index], now)
            _expect(s, t, flow)


@compiled
def _expect(s, t, flow):
    since, due = t.since_ns[flow], t.stop_ns[flow]
    if s.rate[flow] > 0:
        needs_ns = (t.amount_bits[flow] - t.moved_bits[flow]) / s.rate[flow] * 1e9
        if needs_ns < due - since:
            due = since + max(np.int64(math.ceil(needs_ns)), 0)
    t.due_ns[flow] = due
    put(t.queue, flow, min(due, t.step_ns[flow]))
