"""The connections that a network offers between its nodes (pure)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from sentinel_sim.errors import TopologyError
from sentinel_sim.plan.model import LinkPlan
from sentinel_sim.planner.response import Loop, Prediction, predict
from sentinel_sim.topology.graph import cheapest_ways


@dataclass(frozen=True)
class Offer:
    """A network with two endpoints, in which relays may stand.

    Between any two nodes packets take the cheapest way (`cost`). Nodes in `closed` (other senders
    and receivers of the file) forward nothing, and no relay stands there.
    """

    links: tuple[LinkPlan, ...]
    sender: str
    receiver: str
    control: str
    closed: frozenset[str] = frozenset()
    window_bytes: int | None = None
    """Fixed socket window of every connection; None: never the limit."""
    _known: dict[tuple[str, str], Prediction] = field(
        default_factory=dict, init=False, repr=False, compare=False, hash=False
    )

    @cached_property
    def open_links(self) -> tuple[LinkPlan, ...]:
        """The links that forward traffic between these endpoints."""
        shut = self.closed - {self.sender, self.receiver}
        return tuple(link for link in self.links if not shut & set(link.ends))

    @cached_property
    def _ways(self) -> dict[tuple[str, str], tuple[int, ...]]:
        ways = cheapest_ways(self.open_links)
        if (self.sender, self.receiver) not in ways:
            raise TopologyError(
                f"there is no way from {self.sender} to {self.receiver}; choose other endpoints"
            )
        return ways

    @cached_property
    def candidates(self) -> tuple[str, ...]:
        """Where a relay may stand, by name."""
        ends = {self.sender, self.receiver}
        return tuple(sorted(b for a, b in self._ways if a == self.sender and b not in ends))

    def way(self, a: str, b: str) -> tuple[LinkPlan, ...]:
        """The links from `a` to `b`, in order."""
        return tuple(self.open_links[index] for index in self._ways[a, b])

    def nodes_on(self, a: str, b: str) -> tuple[str, ...]:
        """The nodes passed from `a` to `b`, both included."""
        nodes = [a]
        for link in self.way(a, b):
            nodes.append(link.b if nodes[-1] == link.a else link.a)
        return tuple(nodes)

    def loop(self, a: str, b: str) -> Loop:
        """What one connection from `a` to `b` sees."""
        return loop_of(self.way(a, b))

    def predict(self, a: str, b: str) -> Prediction:
        """Steady goodput of one connection from `a` to `b`."""
        if (a, b) not in self._known:
            self._known[a, b] = predict(self.loop(a, b), self.control, self.window_bytes)
        return self._known[a, b]

    def goodput_bps(self, a: str, b: str) -> float:
        """As `predict`, the figure alone."""
        return self.predict(a, b).goodput_bps


def loop_of(links: Sequence[LinkPlan]) -> Loop:
    """What a connection over these links sees."""
    return Loop(
        rtt_ns=2 * sum(link.delay_one_way_ns for link in links),
        loss=0.0 - math.expm1(math.fsum(math.log1p(-link.loss) for link in links)),
        rate_bps=min(link.rate_bps for link in links),
        mtu=min(link.mtu for link in links),
    )
