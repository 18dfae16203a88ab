"""Our packet engine beside ns-3: the same flow in both, what it reaches and how fast it is.

    .venv/bin/python benchmarks/ns3/compare.py                        # over ten minutes, no root
    .venv/bin/python benchmarks/ns3/compare.py --only bbr --pairs 2   # a part of it
    .venv/bin/python benchmarks/ns3/compare.py --traces DIR           # cwnd over time, CSV and SVG

One bulk flow, sender - router - receiver, two equal links with a drop-tail queue each; MSS 1448,
SACK, delayed ACKs, ten segments at first, 66 bytes of headers in a packet; one core each. Needs
Debian's ns-3: apt-get install --no-install-recommends libns3-dev. The scenario (bulk_flow.cc) is
built anew each time. The two take turns, and who begins changes from pair to pair.

steady    payload bit/s in the second half of the run; target: within 3 %
start-up  seconds until eight bandwidth-delay products were delivered; target: within 10 %
speed     data packets that reached the receiver per second of wall time, ns-3's inside
          Simulator::Run; the ratio is that of each pair, its mean geometric, with Student's 95 %
          interval on the logarithms; target: 200. Beside it the same of CPU time, since on a
          busy host others take wall time away

Exit code 0; 1 if steady goodput or speed misses its target; 3 if ns-3 is missing.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ours
import peer
from cases import Case, all_cases
from outcome import DROPS, TIMEOUTS, Outcome
from rich.console import Console
from rich.table import Table
from traces import write_traces

from sentinel_sim.backends.simulated.kernel import versions
from sentinel_sim.bench.estimates import Figure, ratio

STEADY_TOLERANCE = 0.03
STARTUP_TOLERANCE = 0.10
SPEED_TARGET = 200.0
MISSED, MISSING = 1, 3


@dataclass
class Pairs:
    """All runs of one case; the figures but for the speed are equal in all of them."""

    case: Case
    ours: list[Outcome] = field(default_factory=list)
    theirs: list[Outcome] = field(default_factory=list)

    @property
    def speed(self) -> Figure:
        """Ours / theirs, pair by pair."""
        return self._ratio(lambda run: run.packets_per_s)

    @property
    def cpu_speed(self) -> Figure:
        """The same, of CPU time."""
        return self._ratio(lambda run: run.packets_per_cpu_s)

    def _ratio(self, figure: Callable[[Outcome], float]) -> Figure:
        found = ratio(*([figure(run) for run in runs] for runs in (self.ours, self.theirs)))
        if found is None:
            raise RuntimeError(f"{self.case.name}: a run without packets")
        return found

    @property
    def steady(self) -> float:
        """Ours / theirs."""
        return self.ours[0].series.steady_bps() / self.theirs[0].series.steady_bps()

    @property
    def startup(self) -> float:
        """Ours / theirs."""
        size = self.case.startup_bytes
        return self.ours[0].series.time_to_s(size) / self.theirs[0].series.time_to_s(size)

    @property
    def meets_targets(self) -> bool:
        """Steady goodput and speed; a start-up that differs is to be explained."""
        return abs(self.steady - 1) <= STEADY_TOLERANCE and self.speed.mean >= SPEED_TARGET

    def as_json(self) -> dict[str, Any]:
        """For --json."""
        return {
            "case": self.case.name,
            "queue_bytes": self.case.queue_bytes,
            "steady_ratio": self.steady,
            "startup_ratio": self.startup,
            "speed_ratio": self.speed.as_json(),
            "cpu_speed_ratio": self.cpu_speed.as_json(),
            **{
                name: {
                    "packets_per_s": [run.packets_per_s for run in runs],
                    "packets_per_cpu_s": [run.packets_per_cpu_s for run in runs],
                    "steady_bps": runs[0].series.steady_bps(),
                    "startup_s": runs[0].series.time_to_s(self.case.startup_bytes),
                    "queue_drops": runs[0].series.total(DROPS),
                    "timeouts": runs[0].series.total(TIMEOUTS),
                }
                for name, runs in (("ours", self.ours), ("ns3", self.theirs))
            },
        }


def measure(program: Path, cases: Sequence[Case], pairs: int) -> list[Pairs]:
    """All pairs of all cases. Raises RuntimeError if a simulator contradicts itself."""
    found = [Pairs(case) for case in cases]
    ours.warm_up(cases[0])
    for number in range(pairs):
        for one in found:
            if number % 2 == 0:
                one.theirs.append(peer.measure(program, one.case))
            one.ours.append(ours.measure(one.case))
            if number % 2 == 1:
                one.theirs.append(peer.measure(program, one.case))
            sys.stderr.write(
                f"pair {number + 1}, {one.case.name}: {one.ours[-1].packets_per_s:,.0f} data"
                f" packets/s, ns-3 {one.theirs[-1].packets_per_s:,.0f}\n"
            )
    for one in found:
        for runs in (one.ours, one.theirs):
            if len({run.series.rows.tobytes() for run in runs}) != 1:
                raise RuntimeError(f"{one.case.name}: equal runs gave different series")
    return found


def table(found: Sequence[Pairs]) -> Table:
    """A row for each case; ours / ns-3 where two figures stand."""
    made = Table(title="sentinel-sim / ns-3")
    for name in ("case", "steady Mbit/s", "ratio", "start-up s", "ratio", "drops", "timeouts"):
        made.add_column(name, justify="left" if name == "case" else "right")
    for name in ("k data packets/s", "ratio, 95 %", "of CPU time"):
        made.add_column(name, justify="right")
    for one in found:
        a, b = one.ours[0].series, one.theirs[0].series
        size = one.case.startup_bytes
        best = max(run.packets_per_s for run in one.ours)
        best_ns3 = max(run.packets_per_s for run in one.theirs)
        made.add_row(
            one.case.name,
            f"{a.steady_bps() / 1e6:.2f} / {b.steady_bps() / 1e6:.2f}",
            _judged(one.steady, STEADY_TOLERANCE),
            f"{a.time_to_s(size):.4g} / {b.time_to_s(size):.4g}",
            _judged(one.startup, STARTUP_TOLERANCE),
            f"{a.total(DROPS)} / {b.total(DROPS)}",
            f"{a.total(TIMEOUTS)} / {b.total(TIMEOUTS)}",
            f"{best / 1e3:,.0f} / {best_ns3 / 1e3:.1f}",
            _interval(one.speed) + ("" if one.speed.mean >= SPEED_TARGET else " !"),
            _interval(one.cpu_speed),
        )
    made.caption = (
        f"! beyond the target: steady within {STEADY_TOLERANCE:.0%}, start-up within"
        f" {STARTUP_TOLERANCE:.0%}, {SPEED_TARGET:.0f} times the speed. Packets/s: the best of"
        f" {len(found[0].ours)} runs; the ratio is that of the pairs."
    )
    return made


def _interval(found: Figure) -> str:
    bounds = "" if found.ci95 is None else f" [{found.ci95[0]:.0f}, {found.ci95[1]:.0f}]"
    return f"{found.mean:.0f}{bounds}"


def _judged(value: float, tolerance: float) -> str:
    return f"{value:.4f}" + ("" if abs(value - 1) <= tolerance else " !")


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=5, help="runs of each, taking turns (5)")
    parser.add_argument("--only", default="", help="cases whose name contains this word")
    parser.add_argument(
        "--queue-bdp", type=float, default=1.0, help="queue in bandwidth-delay products (1)"
    )
    parser.add_argument("--json", type=Path, help="write figures and versions to this file")
    parser.add_argument("--traces", type=Path, help="write both cwnd traces into this directory")
    given = parser.parse_args()
    if given.pairs < 1:
        parser.error(f"--pairs: at least one is needed, got {given.pairs}")
    if given.queue_bdp <= 0:
        parser.error(f"--queue-bdp: must be positive, got {given.queue_bdp}")
    return given


def main() -> int:
    """Measure, print, say whether the targets are met."""
    given = parse()
    cases = [case for case in all_cases(given.queue_bdp) if given.only in case.name]
    if not cases:
        names = ", ".join(case.name for case in all_cases(1.0))
        sys.stderr.write(f"--only: no case contains {given.only!r}; there are {names}\n")
        return 2
    try:
        ns3_version = peer.version()
        with tempfile.TemporaryDirectory() as folder:
            found = measure(peer.build(Path(folder)), cases, given.pairs)
    except peer.PeerMissingError as missing:
        sys.stderr.write(f"{missing}\n")
        return MISSING
    Console(width=160).print(table(found))
    if given.traces is not None:
        for one in found:
            write_traces(given.traces, one.case, one.ours[0].series, one.theirs[0].series)
    if given.json is not None:
        answer = {
            "measured": datetime.now(UTC).isoformat(timespec="seconds"),
            "ns3": ns3_version,
            "sentinel_sim": versions(),
            "cases": [one.as_json() for one in found],
        }
        given.json.write_text(json.dumps(answer, indent=1) + "\n")
    return 0 if all(one.meets_targets for one in found) else MISSED


if __name__ == "__main__":
    sys.exit(main())
