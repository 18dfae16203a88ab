"""Max-min fair rates as flows come and go: only what a change reaches is solved anew (compiled).

Each link has a level: the lowest whole x = (capacity - rates below x) // (flows not below x), or
none where the link is not full. Each flow has the least of its own limit and the levels of its
links. Progressive filling (`maxmin`) gives such levels and rates, and they are the only ones: the
links and limits at the lowest level are the same in every solution, whatever the others are; take
them and their flows away, and the rest has the same form, with a higher lowest level.

So a change is exact if it ends with every link and flow in that state. A region of links is solved
by progressive filling, with the levels outside as limits; links outside whose level may no longer
be right join the region, until there are none. To let in one that was right costs time only.
The idea of a reach: Ros-Giralt et al., On the Bottleneck Structure of Congestion-Controlled
Networks, SIGMETRICS 2020.
"""

from __future__ import annotations

import numpy as np

from sentinel_sim.flowlevel.heap import clear, put, take_out
from sentinel_sim.flowlevel.jit import compiled
from sentinel_sim.flowlevel.limits import UNLIMITED

_FREE, _INSIDE = 0, 1


@compiled
def update(s, flow, there):
    """Give a flow that is `there` what its limit and its links allow, or take it off its links.

    Call it when the flow comes, when its limit has changed, and when it goes. Gives the flows whose
    rate changed, this one among them in any case, and their rates before.
    """
    came = there and s.place[s.first[flow]] < 0
    s.before[flow] = s.rate[flow]
    if not there:
        _set_rate(s, flow, 0)
    for hop in range(s.first[flow], s.first[flow + 1]):
        if came:
            _enter(s, hop)
        elif not there:
            _leave(s, hop)
    return _spread(s, flow, there)


@compiled
def _enter(s, hop):
    link = s.links[hop]
    slot = s.slot_first[link] + s.present[link]
    s.slots[slot] = hop
    s.place[hop] = slot
    s.present[link] += 1
    s.at_level[link] += np.int64(s.level[link] == 0)


@compiled
def _leave(s, hop):
    link, slot = s.links[hop], s.place[hop]
    last = s.slot_first[link] + s.present[link] - 1
    s.slots[slot] = s.slots[last]
    s.place[s.slots[slot]] = slot
    s.place[hop] = -1
    s.present[link] -= 1
    s.at_level[link] -= np.int64(s.level[link] == 0)


@compiled
def _spread(s, flow, there):
    """Solve the region, let in what that puts in doubt, until nothing is in doubt."""
    flows, region = np.empty(16, np.int64), np.empty(0, np.int64)
    flows[0] = flow
    known, begin, used = 1, -1, 0
    while begin < used:
        # A flow that has gone is looked at for the links that it left; it is solved no more.
        if there or used > 0:
            _solve(s, region, flows[np.int64(not there) : known])
        begin, region = used, _doubtful(s, region, flows[:known], flow)
        used = len(region)
        flows, known = _crossing(s, region, begin, flows, known)
    for link in region:
        s.inside[link] = _FREE
        _count(s, link)
    changed, rates = flows[:known], np.empty(known, np.int64)
    found = 0
    for one in changed:
        before = s.before[one]
        s.before[one] = -1
        if one == flow or s.rate[one] != before:
            changed[found] = one
            rates[found] = before
            found += 1
    return changed[:found], rates[:found]


@compiled
def _crossing(s, region, begin, flows, known):
    """Add the flows that cross the links of the region from number `begin` on."""
    for link in region[begin:]:
        start = s.slot_first[link]
        for slot in range(start, start + s.present[link]):
            flow = s.owner[s.slots[slot]]
            if s.before[flow] < 0:
                if known == len(flows):
                    flows = np.concatenate((flows, np.empty(known, np.int64)))
                s.before[flow] = s.rate[flow]
                flows[known] = flow
                known += 1
    return flows, known


@compiled
def _doubtful(s, region, flows, cause):
    """The region and the links beside it whose level may not hold with the rates of now."""
    larger = np.empty(len(region) + 16, np.int64)
    larger[: len(region)] = region
    used = len(region)
    for flow in flows:
        if s.rate[flow] == s.before[flow] and flow != cause:
            continue
        for hop in range(s.first[flow], s.first[flow + 1]):
            link = s.links[hop]
            if s.inside[link] == _INSIDE or _stays(s, link):
                continue
            s.inside[link] = _INSIDE
            if used == len(larger):
                larger = np.concatenate((larger, np.empty(used, np.int64)))
            larger[used] = link
            used += 1
    return larger[:used]


@compiled
def _stays(s, link):
    """Is the link's level certainly still right? False: it is not, or nobody knows.

    A full link: the level is (capacity - rates below) // (flows at it), and no lower x is; that
    could only be if many flows lie very near below it. Else: not full at any x.
    """
    count, level = s.present[link], s.level[link]
    spare = s.capacity[link] - s.load[link]
    if level == UNLIMITED:
        return spare >= count
    if not 0 <= spare < s.at_level[link]:
        return False
    start = s.slot_first[link]
    for slot in range(start, start + count):
        rate = s.rate[s.owner[s.slots[slot]]]
        if level - count - 1 <= rate < level:
            return False
    return True


@compiled
def _set_rate(s, flow, rate):
    old = s.rate[flow]
    if rate == old:
        return
    s.rate[flow] = rate
    for hop in range(s.first[flow], s.first[flow + 1]):
        link = s.links[hop]
        s.load[link] += rate - old
        if s.level[link] != UNLIMITED:
            s.at_level[link] += np.int64(rate == s.level[link]) - np.int64(old == s.level[link])


@compiled
def _count(s, link):
    """`at_level` of a link whose level is new."""
    s.at_level[link] = 0
    if s.level[link] == UNLIMITED:
        return
    start = s.slot_first[link]
    for slot in range(start, start + s.present[link]):
        s.at_level[link] += np.int64(s.rate[s.owner[s.slots[slot]]] == s.level[link])


@compiled
def _bounds(s, flows):
    """What each flow is allowed by itself and by the links outside the region."""
    bounds = np.empty(len(flows), np.int64)
    for index, flow in enumerate(flows):
        bound = s.limit[flow]
        for hop in range(s.first[flow], s.first[flow + 1]):
            link = s.links[hop]
            if s.inside[link] != _INSIDE:
                bound = min(bound, s.level[link])
        bounds[index] = bound
    return bounds


@compiled
def _open(s, region, flows):
    """Nothing is fixed in the region yet."""
    for link in region:
        s.left[link] = s.capacity[link]
        s.open_flows[link] = s.present[link]
        s.level[link] = UNLIMITED
        if s.present[link] > 0:
            put(s.heap, link, s.left[link] // s.open_flows[link])
    for flow in flows:
        s.fixed[flow] = 0


@compiled
def _solve(s, region, flows):
    """Progressive filling of the region, as in `maxmin`."""
    bounds = _bounds(s, flows)
    order = np.argsort(bounds, kind="mergesort")
    full = np.empty(len(region), np.int64)
    _open(s, region, flows)
    at = 0
    while True:
        while at < len(flows) and s.fixed[flows[order[at]]]:
            at += 1
        if at == len(flows):
            clear(s.heap)
            return
        level = bounds[order[at]]
        found = 0
        while s.heap.size[0] > 0 and s.heap.key[s.heap.order[0]] <= level:
            level, found = _look(s, full, level, found)
        for link in full[:found]:
            s.level[link] = level
            start = s.slot_first[link]
            for slot in range(start, start + s.present[link]):
                _fix(s, s.owner[s.slots[slot]], level)
        while at < len(flows) and bounds[order[at]] == level:
            _fix(s, flows[order[at]], level)
            at += 1


@compiled
def _look(s, full, level, found):
    """Look at the link that comes next: the lowest level now, and how many links are `full` at it.

    Levels only rise, so a key is a lower bound: it is looked at again when it comes up.
    """
    link = s.heap.order[0]
    take_out(s.heap, link)
    if s.open_flows[link] == 0:
        return level, found
    now = s.left[link] // s.open_flows[link]
    if now > level:
        put(s.heap, link, now)
        return level, found
    if now < level:
        for other in full[:found]:
            put(s.heap, other, level)
        found = 0
    full[found] = link
    return now, found + 1


@compiled
def _fix(s, flow, level):
    if s.fixed[flow]:
        return
    s.fixed[flow] = 1
    _set_rate(s, flow, level)
    for hop in range(s.first[flow], s.first[flow + 1]):
        link = s.links[hop]
        if s.inside[link] == _INSIDE:
            s.left[link] -= level
            s.open_flows[link] -= 1
