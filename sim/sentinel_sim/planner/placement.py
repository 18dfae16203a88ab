"""Where at most N relays should stand so that the slowest connection is as fast as can be (pure).

The objective: a split path is as fast as the slowest of its connections (the min law; Stanford,
USENIX ATC'25, found the real figure at 0.977 of it in the median). Of equally good placements the
one with the fewest relays is taken, of these the one with the least delay, then by name.

The search is dynamic programming over (relays used, node): it is exact, in O(N V^2), as long as
connections do not have to share a link. It leaves that rule out, so its value is an upper bound
with it. Where its answer keeps the rule, which is nearly always, the answer is the optimum. Where
it does not, all placements are tried if they are few (`MOST_TRIED`), else relays are added one by
one, greedily, and the upper bound is told beside the result.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from sentinel_sim.planner.network import Offer

MOST_TRIED = 20_000
"""Placements; a second of work."""

_Rank = tuple[float, int, int, tuple[str, ...]]


class Method(StrEnum):
    """How a placement was found."""

    EXACT = "exact"
    ENUMERATED = "enumerated"
    GREEDY = "greedy"


@dataclass(frozen=True, slots=True)
class Placement:
    """Relays in the order of the way, and what to hold of them."""

    relays: tuple[str, ...]
    goodput_bps: float
    """Of the slowest connection, predicted."""
    bound_bps: float
    """No placement of so many relays is predicted to be faster."""
    method: Method

    @property
    def optimal(self) -> bool:
        """Is it proven that none is better?"""
        return self.method is not Method.GREEDY or self.goodput_bps >= self.bound_bps


def stops(offer: Offer, relays: tuple[str, ...]) -> tuple[str, ...]:
    """Where connections end: sender, relays, receiver."""
    return (offer.sender, *relays, offer.receiver)


def value_bps(offer: Offer, relays: tuple[str, ...]) -> float:
    """The objective: the slowest connection."""
    return min(offer.goodput_bps(a, b) for a, b in itertools.pairwise(stops(offer, relays)))


def is_sound(offer: Offer, relays: tuple[str, ...]) -> bool:
    """Is every node a stop at most once, and every link used by one connection at most?"""
    if len(set(stops(offer, relays))) != len(relays) + 2:
        return False
    used = [
        link.name for a, b in itertools.pairwise(stops(offer, relays)) for link in offer.way(a, b)
    ]
    return len(set(used)) == len(used)


def place(offer: Offer, most: int) -> Placement:
    """The best placement of at most `most` relays."""
    relays, bound_bps = _relaxed(offer, most)
    if is_sound(offer, relays):
        return Placement(relays, value_bps(offer, relays), bound_bps, Method.EXACT)
    if _placements(offer, most) <= MOST_TRIED:
        relays = brute_force(offer, most)
        value = value_bps(offer, relays)
        return Placement(relays, value, value, Method.ENUMERATED)
    relays = _greedy(offer, most, place(offer, most - 1).relays)
    return Placement(relays, value_bps(offer, relays), bound_bps, Method.GREEDY)


def _placements(offer: Offer, most: int) -> int:
    return sum(math.perm(len(offer.candidates), count) for count in range(most + 1))


def all_placements(offer: Offer, most: int) -> Iterator[tuple[str, ...]]:
    """Every sound placement of at most `most` relays."""
    for count in range(min(most, len(offer.candidates)) + 1):
        for relays in itertools.permutations(offer.candidates, count):
            if is_sound(offer, relays):
                yield relays


def brute_force(offer: Offer, most: int) -> tuple[str, ...]:
    """The best of all sound placements; for few nodes and relays, and for tests."""
    return min(all_placements(offer, most), key=lambda relays: _rank(offer, relays))


def _rank(offer: Offer, relays: tuple[str, ...]) -> _Rank:
    delay_ns = sum(offer.loop(a, b).rtt_ns for a, b in itertools.pairwise(stops(offer, relays)))
    return -value_bps(offer, relays), len(relays), delay_ns, relays


def _relaxed(offer: Offer, most: int) -> tuple[tuple[str, ...], float]:
    """(relays, value) of the best walk, in which connections may share links."""
    bound_bps = _widest(offer, most)
    # Then the fewest relays, the least delay, the first by name, at no less than that value.
    Walk = tuple[int, tuple[str, ...]]
    reached: dict[str, Walk] = {offer.sender: (0, ())}
    for _ in range(most + 1):
        following: dict[str, Walk] = {}
        for here, (delay_ns, relays) in reached.items():
            for there in (*offer.candidates, offer.receiver):
                if there == here or offer.goodput_bps(here, there) < bound_bps:
                    continue
                passed = (*relays, here) if here != offer.sender else ()
                walk = (delay_ns + offer.loop(here, there).rtt_ns, passed)
                following[there] = min(following.get(there, walk), walk)
        if offer.receiver in following:
            return following[offer.receiver][1], bound_bps
        reached = following
    raise AssertionError("the widest walk was not found again")


def _widest(offer: Offer, most: int) -> float:
    """The greatest least goodput of a walk from sender to receiver over at most `most` relays."""
    best = {node: offer.goodput_bps(offer.sender, node) for node in offer.candidates}
    answer = offer.goodput_bps(offer.sender, offer.receiver)
    for _ in range(min(most, len(offer.candidates))):
        at_end = (min(value, offer.goodput_bps(a, offer.receiver)) for a, value in best.items())
        answer = max(answer, max(at_end, default=0.0))
        best = {
            there: max(
                value,
                max(
                    (min(best[a], offer.goodput_bps(a, there)) for a in best if a != there),
                    default=0.0,
                ),
            )
            for there, value in best.items()
        }
    return answer


def _greedy(offer: Offer, most: int, relays: tuple[str, ...]) -> tuple[str, ...]:
    """Add the relay that helps the slowest connections most, until none helps or all stand.

    It begins with the best of fewer relays and keeps what that reaches: more are never worse.
    """
    for _ in range(most - len(relays)):
        longer = [
            (*relays[:at], node, *relays[at:])
            for node in offer.candidates
            if node not in relays
            for at in range(len(relays) + 1)
        ]
        sound = [one for one in longer if is_sound(offer, one)]
        best = max(sound, key=lambda one: _profile(offer, one), default=relays)
        if value_bps(offer, best) < value_bps(offer, relays):
            break
        relays = best
    return relays


def _profile(offer: Offer, relays: tuple[str, ...]) -> list[float]:
    """Goodputs of the connections, the slowest first, so that ties are told apart."""
    pairs = itertools.pairwise(stops(offer, relays))
    return sorted(offer.goodput_bps(a, b) for a, b in pairs)
