"""Is the planner's choice that of the packet engine, and how near are its figures? (no root)

Simulates every placement of exactly N relays on a network, whether the planner likes it or not,
and ranks the planner's choice among them. Slow on purpose: `plan --check` simulates five rows.

    python benchmarks/placement.py topologies/abilene.yaml --intermediates 1 2 --seconds 120
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from sentinel_sim.backends.simulated.placements import steady_goodput_bps
from sentinel_sim.planner.forecast import offer_of
from sentinel_sim.planner.network import Offer
from sentinel_sim.planner.placement import all_placements, place, value_bps
from sentinel_sim.planner.segmented import network_spec
from sentinel_sim.topology.reader import load


@dataclass(frozen=True)
class Settings:
    """How long and how often each placement is simulated."""

    duration_ns: int
    seeds: int


def simulated_bps(offer: Offer, relays: tuple[str, ...], settings: Settings) -> float:
    """Mean steady goodput over the seeds."""
    return statistics.fmean(
        steady_goodput_bps(
            network_spec(
                offer, relays, stock=False, duration_ns=settings.duration_ns, seed=seed + 1
            ),
            settings.duration_ns,
        )
        for seed in range(settings.seeds)
    )


def examine(offer: Offer, count: int, settings: Settings) -> str:
    """One line: the choice, its rank by simulation, predicted and simulated gain."""
    started = time.monotonic()
    chosen = place(offer, count).relays
    tuned = simulated_bps(offer, (), settings)
    every = [one for one in all_placements(offer, count) if len(one) == count]
    found = {relays: simulated_bps(offer, relays, settings) for relays in {*every, chosen}}
    best = max(found, key=lambda relays: found[relays])
    rank = sorted(found.values(), reverse=True).index(found[chosen]) + 1
    predicted = value_bps(offer, chosen) / value_bps(offer, ())
    measured = found[chosen] / tuned
    return (
        f"N={count}: planner {', '.join(chosen)}: rank {rank} of {len(found)} by simulation"
        f" ({found[chosen] / 1e6:.1f} Mbit/s; best {', '.join(best)} {found[best] / 1e6:.1f});"
        f" gain predicted {predicted:.2f}, simulated {measured:.2f} ({measured / predicted:.2f});"
        f" {time.monotonic() - started:.0f} s"
    )


def main() -> int:
    """Examine one network."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--intermediates", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--from", dest="sender")
    parser.add_argument("--to", dest="receiver")
    parser.add_argument("--seconds", type=int, default=120, help="simulated, per placement")
    parser.add_argument("--seeds", type=int, default=2)
    words = parser.parse_args()
    offer = offer_of(load(words.file), words.sender, words.receiver)
    settings = Settings(words.seconds * 1_000_000_000, words.seeds)
    for count in words.intermediates:
        sys.stdout.write(examine(offer, count, settings) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
