"""Is it worth it? Completion of a transfer, start-up, and goodput under loss, arm against arm.

    python -m benchmarks.worth_it --rounds 6 --out worth.jsonl          # root; about 7 minutes
    python -m benchmarks.worth_it --part loss --rounds 5 --out loss.jsonl
    python -m benchmarks.worth_it --judge worth.jsonl loss.jsonl        # measures nothing

`--part transfer`: 1 Gbit/s over two links of 38 ms (RTT 152 ms), no loss. Each round has a network
of its own, whose nodes remember nothing, and on it, in this order and then in a random one:

  cold        fsu, the first flow of its nodes: it starts slowly, and says so
  bulk, cold  fsu for some seconds: what it finds is remembered
  then, shuffled: 10 MB by tuned, split, oracle, fsu (remembered) and fsu managed, and bulk by fsu
  remembered and managed. *oracle* is tuned with both start windows set by hand to one BDP, and
  buffers to hold it.

Targets: 10 MB by fsu in at most 50 % of tuned's time, 65 % of split's and 110 % of the oracle's;
bulk at 90 % of its steady rate after at most 4 RTT, managed 2.

`--part wrong`: two links of 10 ms, 200 Mbit/s. Under way the second link falls to a tenth of its
rate for a third of the time, or loses 0.1 % from then on: what was predicted is wrong. Target:
goodput of fsu at least 95 % of split's.

`--part loss`: four links of 10 ms and 0.1 % loss each way, 200 Mbit/s; bulk by tuned, split and fsu
in turns. Target: steady goodput of fsu at least 3 times tuned's.

Ratios are of the same round; their mean over rounds is the geometric one, its interval Student's t
on logarithms. A rule *holds* if the whole 95 % interval is on the right side, *fails* if it is on
the other, else it is *undecided*. Exit codes: 0 all rules hold, 5 not, 1 a flow was wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.fairness import geometric, record

from sentinel_bpf.netns import run_in_netns
from sentinel_node.core.start.outgoing import packets
from sentinel_node.daemon.control.routes import clear_start_window, set_start_window
from sentinel_sim.backends.emulated.backend import EmulatedBackend
from sentinel_sim.backends.emulated.options import EmulationOptions
from sentinel_sim.experiment.metrics import compute
from sentinel_sim.host.doctor import wire_backend
from sentinel_sim.plan.model import (
    Arm,
    FaultKind,
    FaultPlan,
    FlowPlan,
    LinkPlan,
    OuterEnd,
    PathPlan,
    Role,
    RunSpec,
    WorkloadKind,
)
from sentinel_sim.wire.names import NAMESPACE_DIRECTORY

MS = 1_000_000
NS_PER_S = 1_000_000_000
TRANSFER_BYTES = 10_000_000


def chain(
    links: int, *, delay_ns: int, rate_bps: int, loss: float, options: argparse.Namespace
) -> RunSpec:
    """One flow over equal links, each with a queue of one BDP of the path."""
    nodes = ("sender", *(f"relay{n}" for n in range(1, links)), "receiver")
    rtt_ns = 2 * links * delay_ns
    bdp = rate_bps * rtt_ns // (8 * NS_PER_S)
    plans = tuple(
        LinkPlan(f"{a}--{b}", a, b, None, delay_ns, rate_bps, bdp, loss, 0, False, 1500)
        for a, b in pairwise(nodes)
    )
    path_loss = 1 - (1 - loss) ** links
    path = PathPlan(0, nodes, tuple(x.name for x in plans), rtt_ns, rate_bps, path_loss, bdp)
    roles = (Role.SENDER, *[Role.INTERMEDIATE] * (links - 1), Role.RECEIVER)
    return RunSpec(
        key="worth",
        arm=Arm.FSU,
        distance_km=None,
        params={},
        repeat=0,
        seed=options.seed,
        congestion_control=options.congestion_control,
        window_bytes=None,
        workload=WorkloadKind.TRANSFER,
        flows=(FlowPlan(1, 0, 0, TRANSFER_BYTES, None),),
        paths=(path,),
        links=plans,
        roles=dict(zip(nodes, roles, strict=True)),
        control_band=True,
        xdp=True,
        fsu_outer=OuterEnd.TC,
    )


def bulk(spec: RunSpec, seconds: float) -> RunSpec:
    """As much as goes in that time."""
    flow = FlowPlan(1, 0, 0, None, int(seconds * NS_PER_S))
    return replace(spec, workload=WorkloadKind.BULK, flows=(flow,))


@contextmanager
def windows_by_hand(backend: EmulatedBackend, spec: RunSpec) -> Iterator[None]:
    """Both ends of the path start with one BDP, as an operator sets it with ip-route(8)."""
    path, layout = spec.paths[0], backend.layout
    count = packets(path.bdp_bytes)
    ends = path.nodes[0], path.nodes[-1]
    pairs = [(ends[0], ends[1]), (ends[1], ends[0])]

    def each(call: Callable[[str], None]) -> None:
        for here, there in pairs:
            address = layout.address(there, path.index)
            run_in_netns(NAMESPACE_DIRECTORY / layout.namespace(here), partial(call, address))

    each(lambda a: set_start_window(a, cwnd_packets=count, rwnd_packets=2 * count))
    try:
        yield
    finally:
        each(clear_start_window)


async def measure_one(
    backend: EmulatedBackend, spec: RunSpec, name: str, round_: int
) -> dict[str, Any]:
    """One run: completion, start-up, steady rate."""
    spec = replace(spec, key=f"{name.replace(' ', '-')}_r{round_}", seed=spec.seed + round_)
    if name == "10 MB oracle":
        with windows_by_hand(backend, spec):
            measured = await backend.run(spec, lambda phase, done: None)
    else:
        measured = await backend.run(spec, lambda phase, done: None)
    found = compute(spec, measured)
    return {
        "round": round_,
        "what": name,
        "congestion_control": spec.congestion_control,
        "completion_s": found.completion_s,
        "startup_rtt": found.startup_s and found.startup_s * NS_PER_S / spec.paths[0].rtt_base_ns,
        "steady_bps": found.steady_goodput_bps,
        "goodput_bps": found.goodput_bps,
        "starts": list(found.starts),
        "ok": bool(found.sha256_ok),
        "stalls": measured.cpu.get("stalls"),
    }


async def transfers(options: argparse.Namespace) -> None:
    """Every round on its own network."""
    rate_bps = int(options.rate_mbit * 1e6)
    base = chain(2, delay_ns=38 * MS, rate_bps=rate_bps, loss=0.0, options=options)
    tuned = replace(base, arm=Arm.TUNED)
    managed = replace(base, managed=True)
    shuffled = {
        "10 MB tuned": tuned,
        "10 MB split": replace(base, arm=Arm.SPLIT),
        "10 MB oracle": replace(tuned, window_bytes=2 * base.paths[0].bdp_bytes),
        "10 MB fsu": base,
        "10 MB managed": managed,
        "bulk fsu": bulk(base, options.seconds),
        "bulk managed": bulk(managed, options.seconds),
    }
    shuffle = random.Random(options.seed)
    for round_ in range(options.first, options.first + options.rounds):
        names = list(shuffled)
        shuffle.shuffle(names)
        settings = [
            ("10 MB cold", base),
            ("bulk cold", bulk(base, options.seconds)),
            *((name, shuffled[name]) for name in names),
        ]
        async with EmulatedBackend(base, EmulationOptions(wire_backend())) as backend:
            for name, spec in settings:
                note(options.out, await measure_one(backend, spec, name, round_))


async def losses(options: argparse.Namespace) -> None:
    """All rounds on one network; arms take turns."""
    base = bulk(
        chain(4, delay_ns=10 * MS, rate_bps=200_000_000, loss=0.001, options=options),
        4 * options.seconds,
    )
    arms = [Arm.TUNED, Arm.SPLIT, Arm.FSU]
    async with EmulatedBackend(base, EmulationOptions(wire_backend())) as backend:
        for round_ in range(options.first, options.first + options.rounds):
            for arm in arms[round_ % 3 :] + arms[: round_ % 3]:
                spec = replace(base, arm=arm)
                note(options.out, await measure_one(backend, spec, f"loss {arm}", round_))


async def wrong_predictions(options: argparse.Namespace) -> None:
    """All rounds on one network; arms take turns."""
    base = bulk(
        chain(2, delay_ns=10 * MS, rate_bps=200_000_000, loss=0.0, options=options),
        2 * options.seconds,
    )
    third_ns = int(2 * options.seconds * NS_PER_S) // 3
    second = base.links[1].name
    faults = {
        "rate": FaultPlan(
            0, FaultKind.RATE, second, at_ns=third_ns, for_ns=third_ns, rate_bps=20_000_000
        ),
        "lossy": FaultPlan(0, FaultKind.LOSS, second, at_ns=third_ns, loss=0.001),
    }
    arms = [Arm.SPLIT, Arm.FSU]
    async with EmulatedBackend(base, EmulationOptions(wire_backend())) as backend:
        for round_ in range(options.first, options.first + options.rounds):
            for name, fault in faults.items():
                for arm in arms if round_ % 2 == 0 else arms[::-1]:
                    spec = replace(base, arm=arm, faults=(fault,), repair=False)
                    note(options.out, await measure_one(backend, spec, f"{name} {arm}", round_))


def note(out: str, row: Mapping[str, Any]) -> None:
    """Written down at once, and said."""
    record(out, row)
    figures = [f"{row['completion_s']:.3f} s"] if row["completion_s"] is not None else []
    if row["startup_rtt"] is not None:
        figures.append(f"start-up {row['startup_rtt']:.2f} RTT")
    if row["steady_bps"] is not None:
        figures.append(f"steady {row['steady_bps'] / 1e6:.1f} Mbit/s")
    sys.stderr.write(f"round {row['round']} {row['what']}: {', '.join(figures)}\n")


@dataclass(frozen=True, slots=True)
class Rule:
    """`figure` of `one`, over that of `other` (or itself), against a bound."""

    one: str
    other: str
    figure: str
    bound: float
    at_least: bool = False

    @property
    def text(self) -> str:
        """For the table."""
        sign = ">=" if self.at_least else "<="
        over = f" / {self.other}" if self.other else ""
        return f"{self.figure}: {self.one}{over} {sign} {self.bound:g}"

    def verdict(self, low: float, high: float) -> str:
        """By the interval."""
        inside, outside = (low, high) if self.at_least else (-high, -low)
        bound = self.bound if self.at_least else -self.bound
        if inside >= bound:
            return "holds"
        return "fails" if outside < bound else "undecided"


RULES = (
    *(
        Rule(one, other, "completion_s", bound)
        for one in ("10 MB fsu", "10 MB managed", "10 MB cold")
        for other, bound in (("10 MB tuned", 0.5), ("10 MB split", 0.65), ("10 MB oracle", 1.1))
    ),
    Rule("bulk cold", "", "startup_rtt", 4.0),
    Rule("bulk fsu", "", "startup_rtt", 4.0),
    Rule("bulk managed", "", "startup_rtt", 2.0),
    Rule("loss fsu", "loss tuned", "steady_bps", 3.0, at_least=True),
    Rule("loss fsu", "loss split", "steady_bps", 0.95, at_least=True),
    Rule("rate fsu", "rate split", "goodput_bps", 0.95, at_least=True),
    Rule("lossy fsu", "lossy split", "goodput_bps", 0.95, at_least=True),
)


def judge(rows: Sequence[Mapping[str, Any]]) -> tuple[str, int]:
    """Medians, the rules with their verdicts, and the exit code."""
    wrong = [row for row in rows if not row["ok"]]
    if wrong:
        return f"{len(wrong)} flows did not complete with their hash right: {wrong[0]}", 1
    by_name: dict[str, dict[int, Mapping[str, Any]]] = {}
    for row in rows:
        by_name.setdefault(row["what"], {})[int(row["round"])] = row
    lines, code = ["what             n  completion   start-up      steady   starts"], 0
    for name, found in by_name.items():
        lines.append(f"{name:14}{len(found):4}  {_medians(list(found.values()))}")
    lines.append("")
    for rule in RULES:
        ones, others = by_name.get(rule.one, {}), by_name.get(rule.other, {})
        ratios = [
            row[rule.figure] / (others[n][rule.figure] if rule.other else 1)
            for n, row in ones.items()
            if row[rule.figure] is not None and (not rule.other or n in others)
        ]
        if len(ratios) < 2:
            continue
        mean, low, high = geometric(ratios)
        verdict = rule.verdict(low, high)
        code = code if verdict == "holds" else 5
        lines.append(f"{rule.text:52} {mean:.2f} [{low:.2f}, {high:.2f}] n={len(ratios)} {verdict}")
    return "\n".join(lines), code


def _medians(rows: Sequence[Mapping[str, Any]]) -> str:
    def of(figure: str) -> float | None:
        values = [row[figure] for row in rows if row[figure] is not None]
        return median(values) if values else None

    completion, startup, steady = of("completion_s"), of("startup_rtt"), of("steady_bps")
    cells = (
        f"{completion:8.3f} s" if completion is not None else " " * 10,
        f"{startup:7.2f} RTT" if startup is not None else " " * 11,
        f"{steady / 1e6:6.1f} Mbit/s" if steady is not None else " " * 13,
    )
    starts = sorted({start for row in rows for start in row["starts"]})
    return "  ".join((*cells, ", ".join(starts)))


PARTS: dict[str, Callable[[argparse.Namespace], Coroutine[Any, Any, None]]] = {
    "transfer": transfers,
    "loss": losses,
    "wrong": wrong_predictions,
}


def main(argv: list[str]) -> int:
    """Measure and judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=tuple(PARTS), default="transfer")
    parser.add_argument("--rounds", type=int, default=6, help="2 or more for an interval")
    parser.add_argument("--first", type=int, default=0, help="number of the first round")
    parser.add_argument("--seconds", type=float, default=5.0, help="of bulk; under loss 4 times it")
    parser.add_argument("--rate-mbit", type=float, default=1000.0, help="with --part transfer")
    parser.add_argument("--congestion-control", default="cubic")
    parser.add_argument("--seed", type=int, default=20_261_123)
    parser.add_argument("--out", default="worth.jsonl", help="runs are appended here")
    parser.add_argument("--judge", metavar="FILE", nargs="+", default=[], help="measure nothing")
    options = parser.parse_args(argv)
    if not options.judge and os.geteuid() != 0:
        parser.exit(3, f"{parser.prog}: emulation needs root: sudo {' '.join(sys.argv)}\n")
    if not options.judge:
        asyncio.run(PARTS[options.part](options))
    sources = [Path(name) for name in options.judge or [options.out]]
    rows = [json.loads(line) for path in sources for line in path.read_text().splitlines()]
    text, code = judge(rows)
    sys.stdout.write(text + "\n")
    return code


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
