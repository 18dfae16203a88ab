"""Evenly spaced relays, and why their spacing counts, not their number (pure)."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from sentinel_sim.planner.network import Offer
from sentinel_sim.planner.response import Loop, predict

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)


def evenly(offer: Offer, count: int) -> tuple[str, ...]:
    """`count` nodes of the cheapest way, as near as can be to equal delays between them.

    Fewer where the way passes fewer nodes. The sum of the squared errors is the least
    (dynamic programming over the nodes in order; of equal ones the first).
    """
    way = offer.way(offer.sender, offer.receiver)
    nodes = offer.nodes_on(offer.sender, offer.receiver)
    at_ns = list(itertools.accumulate((link.delay_one_way_ns for link in way), initial=0))
    inner = range(1, len(nodes) - 1)
    count = min(count, len(inner))
    best: dict[int, tuple[float, tuple[int, ...]]] = {0: (0.0, ())}
    for place in range(1, count + 1):
        target_ns = at_ns[-1] * place / (count + 1)
        best = {
            here: min(
                (error + (at_ns[here] - target_ns) ** 2, (*chosen, here))
                for last, (error, chosen) in best.items()
                if last < here
            )
            for here in inner
            if any(last < here for last in best)
        }
    _, chosen = min(best.values())
    return tuple(nodes[index] for index in chosen)


@dataclass(frozen=True, slots=True)
class SpacingRow:
    """One length of an ideal line; goodputs in bit/s."""

    rtt_ns: int
    unsplit_bps: float
    fixed_number: int
    fixed_number_bps: float
    fixed_spacing: int
    """Relays that keep the spacing which `fixed_number` has at factor 1."""
    fixed_spacing_bps: float


def line(loop: Loop, control: str, relays: int, window_bytes: int | None) -> list[SpacingRow]:
    """Stretch a path: the same loss per km and rate, relays at exactly equal distances.

    With a fixed number of relays goodput falls with the distance; with a fixed spacing it does not.
    """

    def goodput(factor: float, hops: int) -> float:
        share = factor / hops
        part = Loop(
            rtt_ns=round(loop.rtt_ns * share),
            loss=0.0 - math.expm1(share * math.log1p(-loop.loss)),
            rate_bps=loop.rate_bps,
            mtu=loop.mtu,
        )
        return predict(part, control, window_bytes).goodput_bps

    rows = []
    for factor in FACTORS:
        hops = math.ceil(factor * (relays + 1))
        rows.append(
            SpacingRow(
                rtt_ns=round(loop.rtt_ns * factor),
                unsplit_bps=goodput(factor, 1),
                fixed_number=relays,
                fixed_number_bps=goodput(factor, relays + 1),
                fixed_spacing=hops - 1,
                fixed_spacing_bps=goodput(factor, hops),
            )
        )
    return rows
