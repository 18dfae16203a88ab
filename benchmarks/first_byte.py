"""When is the first byte there: is making ready ahead of data paid for by the data's waiting?

    python -m benchmarks.first_byte --km 100,1000,5000 --pairs 12      # root; about 3 minutes

The two links of topologies/chile-usa.yaml at each length, on one network. In each run a few
transfers of the arm follow one another, each long after the one before has ended: the first finds
every node cold, the others do not. Time to first byte is from the sender's first step for the flow
(for `fsu` its announcement, for `split` connect()) until the receiving application has payload.
`split` and `fsu` take turns (A B, B A, ...); the figure is the ratio of a pair's medians, its
mean over pairs the geometric one, its interval Student's t on logarithms.

Beside it, from the nodes' own reports: of the buffers adjusted before the first byte, the share
that was ready before it came, and the median lead over the one-way delay of the link before; both
have targets from 1,000 km on (0.99 and 0.5). `ideal` is what light and two handshakes would take
if programs took no time: split 3 one-way delays of each link, fsu 3 of the first and 1 of others.

Exit codes: 0 fsu is not later than split at any distance of 1,000 km or more (the whole interval is
at most 1) and both other targets are met, 5 not, 1 a flow was wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.fairness import geometric

from sentinel_sim.backends.base import RunMeasurement
from sentinel_sim.backends.emulated.backend import EmulatedBackend
from sentinel_sim.backends.emulated.options import EmulationOptions
from sentinel_sim.host.doctor import wire_backend
from sentinel_sim.plan.expand import expand
from sentinel_sim.plan.model import Arm, FlowPlan, RunSpec, WorkloadKind
from sentinel_sim.topology.reader import load

MS = 1_000_000
TURNS = (Arm.SPLIT, Arm.FSU)
TOPOLOGY = Path(__file__).resolve().parent.parent / "topologies" / "chile-usa.yaml"
SIZE_BYTES = 200_000
FAR_KM = 1_000
AHEAD_SHARE, LEAD_SHARE = 0.99, 0.5


@dataclass(frozen=True, slots=True)
class Seen:
    """One run. Times in ms; leads as shares of the one-way delay of the link before."""

    first_ms: float
    """Of the first flow."""
    later_ms: float
    """Median of the others."""
    leads: tuple[float, ...]
    ok: bool

    def wait_ms(self, which: str) -> float:
        """Of the `first` flow, or of `later` ones."""
        return self.first_ms if which == "first" else self.later_ms


def spec_of(arm: Arm, km: float, flows: int, pair: int, seed: int) -> RunSpec:
    """Small transfers, one after the other, over the main experiment's links."""
    plan = expand(load(TOPOLOGY), arms=[arm], distances_km=[km], repeats=1, seed=seed)
    base = plan.runs(0)[0]
    apart_ns = 8 * base.paths[0].rtt_base_ns + 200 * MS
    planned = tuple(FlowPlan(n + 1, 0, n * apart_ns, SIZE_BYTES, None) for n in range(flows))
    return replace(
        base,
        key=f"{arm}_{km:g}km_p{pair}",
        seed=seed + pair,
        repeat=pair,
        workload=WorkloadKind.MANY,
        flows=planned,
    )


def leads(spec: RunSpec, measured: RunMeasurement) -> Iterator[float]:
    """Of each adjusted buffer beyond the sender: lead over the delay of the link before."""
    path = spec.paths[0]
    delays = {link.name: link.delay_one_way_ns for link in spec.links}
    before = dict(zip(path.nodes[1:], (delays[name] for name in path.links), strict=True))
    control: dict[str, Any] = measured.extra.get("control") or {}
    for node, delay_ns in before.items():
        for one in control.get(node, {}).get("adjustments", ()):
            if one.get("first_byte_ns") and one["what"].endswith("buffer"):
                yield (one["first_byte_ns"] - one["ready_ns"]) / delay_ns


def ideal_ms(spec: RunSpec) -> float:
    """Without any work: handshake and data on the first link, then as the arm does."""
    delays = {link.name: link.delay_one_way_ns for link in spec.links}
    first, *others = (delays[name] / MS for name in spec.paths[0].links)
    return 3 * first + (1 if spec.arm is Arm.FSU else 3) * sum(others)


async def measure_one(backend: EmulatedBackend, spec: RunSpec) -> Seen:
    """One run."""
    measured = await backend.run(spec, lambda phase, done: None)
    waits = [
        (flow.first_byte_ns - flow.start_ns) / MS
        for flow in measured.flows
        if flow.first_byte_ns is not None
    ]
    ok = len(waits) == len(spec.flows) and all(f.sha256_ok for f in measured.flows)
    if not ok:
        return Seen(0, 0, (), ok=False)
    return Seen(waits[0], median(waits[1:]), tuple(leads(spec, measured)), ok)


async def measure(km: float, pairs: int, flows: int, seed: int) -> list[dict[Arm, Seen]]:
    """All pairs at one distance, on one network."""
    found: list[dict[Arm, Seen]] = []
    base = spec_of(Arm.FSU, km, flows, 0, seed)
    async with EmulatedBackend(base, EmulationOptions(wire_backend())) as backend:
        for pair in range(pairs):
            one: dict[Arm, Seen] = {}
            for arm in TURNS if pair % 2 == 0 else TURNS[::-1]:
                spec = spec_of(arm, km, flows, pair, seed)
                one[arm] = await measure_one(backend, spec)
            found.append(one)
    return found


def judge(km: float, pairs: Sequence[dict[Arm, Seen]], ideal: dict[Arm, float]) -> tuple[str, bool]:
    """The lines of one distance, and whether its targets are met."""
    lines, met = [], True
    for which in ("first", "later"):
        columns = {arm: [pair[arm].wait_ms(which) for pair in pairs] for arm in TURNS}
        ratios = [f / s for s, f in zip(columns[Arm.SPLIT], columns[Arm.FSU], strict=True)]
        mean, low, high = geometric(ratios)
        met &= high <= 1
        lines.append(
            f"{km:7g} km {which}: split {median(columns[Arm.SPLIT]):7.1f} ms "
            f"(ideal {ideal[Arm.SPLIT]:.1f})  fsu {median(columns[Arm.FSU]):7.1f} ms "
            f"(ideal {ideal[Arm.FSU]:.1f})  ratio {mean:.2f} [{low:.2f}, {high:.2f}]"
        )
    ahead = [lead for pair in pairs for lead in pair[Arm.FSU].leads]
    share = sum(lead > 0 for lead in ahead) / len(ahead)
    met &= share >= AHEAD_SHARE and median(ahead) >= LEAD_SHARE
    lines.append(
        f"{km:7g} km buffers ready before the first byte: {100 * share:.1f} % of {len(ahead)}, "
        f"median lead {median(ahead):.2f} one-way delays of the link before"
    )
    return "\n".join(lines), met or km < FAR_KM


def main(argv: list[str]) -> int:
    """Measure and judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--km", default="100,1000,5000", help="distances, km")
    parser.add_argument("--pairs", type=int, default=12, help="at each distance; 2 or more")
    parser.add_argument("--flows", type=int, default=5, help="transfers in each run; 2 or more")
    parser.add_argument("--seed", type=int, default=20_261_123)
    options = parser.parse_args(argv)
    if options.pairs < 2 or options.flows < 2:
        parser.error("--pairs and --flows must be 2 or more")
    if os.geteuid() != 0:
        parser.exit(3, f"{parser.prog}: emulation needs root: sudo {' '.join(sys.argv)}\n")
    all_met = True
    for km in map(float, options.km.split(",")):
        pairs = asyncio.run(measure(km, options.pairs, options.flows, options.seed))
        if not all(seen.ok for pair in pairs for seen in pair.values()):
            sys.stdout.write(f"{km:7g} km: a flow did not complete with its hash right\n")
            return 1
        ideal = {arm: ideal_ms(spec_of(arm, km, 2, 0, options.seed)) for arm in TURNS}
        text, met = judge(km, pairs, ideal)
        all_met &= met
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    return 0 if all_met else 5


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
