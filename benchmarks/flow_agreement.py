"""How near do rates alone come to packets? The same runs by both engines (no root).

    python benchmarks/flow_agreement.py            # about a minute, the engines compiled

Ratios are flow / packet: of goodput, of steady goodput, and of the median completion time of flows
where there are many. Cells are chosen so that each has one thing that limits.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass

from sentinel_sim.backends.base import Backend
from sentinel_sim.backends.simulated.backend import SimulatedBackend
from sentinel_sim.backends.simulated.flow_backend import FlowBackend
from sentinel_sim.experiment.figures import RunMetrics
from sentinel_sim.experiment.metrics import compute
from sentinel_sim.plan.expand import expand
from sentinel_sim.plan.model import RunSpec
from sentinel_sim.plan.settings import parse_settings, with_settings
from sentinel_sim.topology.reader import loads

FILE = """
name: cell
nodes:
  a: {role: sender}
  m: {role: intermediate}
  b: {role: receiver}
links:
  - {endpoints: [a, m], rate: 100 Mbit/s, delay_one_way: 10 ms, queue: 1 bdp}
  - {endpoints: [m, b], rate: 100 Mbit/s, delay_one_way: 10 ms, queue: 1 bdp}
experiment:
  arms: [tuned, split]
  congestion_control: cubic
  workload: {kind: bulk, duration: 30 s}
  repeat: {min: 3, max: 3, until: ci95 < 5 %}
  seed: 1
"""


@dataclass(frozen=True)
class Cell:
    """One comparison; `changes` are pairs of texts in `FILE`."""

    name: str
    arm: str
    changes: tuple[tuple[str, str], ...]
    settings: tuple[str, ...] = ()


BULK = "{kind: bulk, duration: 30 s}"
LONG = (BULK, "{kind: bulk, duration: 120 s}")
CELLS = (
    Cell("rate", "tuned", ()),
    Cell("window 64 KiB, RTT 40 ms", "tuned", (("seed: 1", "seed: 1\n  window: 64 KiB"),)),
    Cell("window 64 KiB, two of 20 ms", "split", (("seed: 1", "seed: 1\n  window: 64 KiB"),)),
    Cell("8 flows, one bottleneck", "tuned", ((BULK, "{kind: bulk, duration: 30 s, flows: 8}"),)),
    Cell("loss 0.1 %, RTT 40 ms", "tuned", (LONG,), ("loss=0.05 %",)),
    Cell("loss 0.01 %, RTT 40 ms", "tuned", (LONG,), ("loss=0.005 %",)),
    Cell("loss 0.1 %, reno", "tuned", (LONG,), ("loss=0.05 %", "congestion_control=reno")),
    Cell("loss 0.1 %, two of 20 ms", "split", (LONG,), ("loss=0.05 %",)),
    Cell("one transfer of 1 MB", "tuned", ((BULK, "{kind: transfer, sizes: [1 MB]}"),)),
    Cell("one transfer of 20 MB", "tuned", ((BULK, "{kind: transfer, sizes: [20 MB]}"),)),
    Cell("one transfer of 20 MB", "split", ((BULK, "{kind: transfer, sizes: [20 MB]}"),)),
    Cell(
        "200 of 500 kB, Poisson 15/s",
        "tuned",
        ((BULK, "{kind: many, flows: 200, size: 500 kB, arrival: poisson 15/s}"),),
    ),
)


def runs_of(cell: Cell) -> list[RunSpec]:
    """The repeats of a cell."""
    text = FILE
    for old, new in cell.changes:
        text = text.replace(old, new)
    topology = with_settings(loads(text, "cell.yaml"), parse_settings(list(cell.settings)))
    plan = expand(topology, arms=[cell.arm])
    return [run for repeat in range(plan.repeats.at_most) for run in plan.runs(repeat)]


def figures(backend: Backend, run: RunSpec) -> RunMetrics:
    """One run by one engine."""
    return compute(run, asyncio.run(backend.run(run, lambda phase, seconds: None)))


def mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) and known else None


def ratios(cell: Cell, repeats: int = 3) -> dict[str, float | None]:
    """Flow / packet of each figure that both have."""
    runs = runs_of(cell)[:repeats]
    packets = [figures(SimulatedBackend(), run) for run in runs]
    flows = [figures(FlowBackend(), run) for run in runs]

    def ratio(values: list[tuple[float | None, float | None]]) -> float | None:
        one, other = mean([a for a, _ in values]), mean([b for _, b in values])
        return one / other if one and other else None

    pairs = list(zip(flows, packets, strict=True))
    return {
        "goodput": ratio([(a.goodput_bps, b.goodput_bps) for a, b in pairs]),
        "steady": ratio([(a.steady_goodput_bps, b.steady_goodput_bps) for a, b in pairs]),
        "completion": ratio(
            [
                (
                    a.flow_completion_s.p50 if a.flow_completion_s else a.completion_s,
                    b.flow_completion_s.p50 if b.flow_completion_s else b.completion_s,
                )
                for a, b in pairs
            ]
        ),
    }


def main() -> int:
    """All cells, as a table in Markdown."""
    sys.stdout.write("| cell | arm | goodput | steady | completion |\n|---|---|---|---|---|\n")
    for cell in CELLS:
        found = ratios(cell)
        shown = " | ".join("" if value is None else f"{value:.3f}" for value in found.values())
        sys.stdout.write(f"| {cell.name} | `{cell.arm}` | {shown} |\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
