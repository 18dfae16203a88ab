"""Does an unannounced CUBIC flow get its share beside the arm `fsu`? Paired with `split`.

    python benchmarks/fairness.py --pairs 5 --out fairness.jsonl    # root; measures, then judges
    python benchmarks/fairness.py --judge fairness.jsonl            # only judges what was measured

One bulk flow of the arm under test over a line of two links; four seconds later another program's
flow begins: CUBIC, end to end through the same nodes, never announced to anybody, and the same in
both arms. Its share is what it delivered, over what both delivered, from its first byte to its
planned end. `split` and `fsu` take turns (A B, B A, ...); the figure is the ratio of the two shares
of a pair, its mean over pairs the geometric one, its interval Student's t on logarithms.

Rule: *holds* if the interval of fsu / split lies above 0.9, *fails* if below, else *undecided*.
Exit codes: 0 holds, 5 fails or undecided, 1 a flow did not complete with its hash right.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import sys
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from scipy import stats

from sentinel_node.daemon.client import NodeClient
from sentinel_proto.v1 import node_control_pb2 as pb
from sentinel_sim.backends.emulated.backend import EmulatedBackend
from sentinel_sim.backends.emulated.options import EmulationOptions
from sentinel_sim.host.doctor import wire_backend
from sentinel_sim.plan.model import (
    Arm,
    FlowPlan,
    LinkPlan,
    OuterEnd,
    PathPlan,
    Role,
    RunSpec,
    WorkloadKind,
)

MS = 1_000_000
NS_PER_S = 1_000_000_000
NODES = ("near", "middle", "far")
HEAD_START_S = 4.0
COMPETITOR = "competitor"
BOUND = 0.9
CONFIDENCE = 0.95
TURNS = (Arm.SPLIT, Arm.FSU)


def line(options: argparse.Namespace) -> RunSpec:
    """One bulk flow over two equal links with a queue of one BDP of the path each."""
    rate_bps, delay_ns = int(options.rate_mbit * 1e6), int(options.delay_ms * MS)
    rtt_ns = 4 * delay_ns
    queue = rate_bps * rtt_ns // (8 * NS_PER_S)
    links = tuple(
        LinkPlan(f"{a}--{b}", a, b, None, delay_ns, rate_bps, queue, 0.0, 0, False, 1500)
        for a, b in pairwise(NODES)
    )
    path = PathPlan(0, NODES, tuple(x.name for x in links), rtt_ns, rate_bps, 0.0, queue)
    duration_ns = int((HEAD_START_S + options.seconds) * NS_PER_S)
    return RunSpec(
        key="fairness",
        arm=Arm.SPLIT,
        distance_km=None,
        params={},
        repeat=0,
        seed=options.seed,
        congestion_control=options.congestion_control,
        window_bytes=None,
        workload=WorkloadKind.BULK,
        flows=(FlowPlan(1, 0, 0, None, duration_ns),),
        paths=(path,),
        links=links,
        roles=dict(zip(NODES, (Role.SENDER, Role.INTERMEDIATE, Role.RECEIVER), strict=True)),
        control_band=True,
        xdp=True,
        fsu_outer=OuterEnd.TC,
    )


class Competitor:
    """The other flow: two daemons of the network carry it, no node is told of it."""

    def __init__(self, backend: EmulatedBackend, spec: RunSpec, seconds: float) -> None:
        self._clients: Mapping[str, NodeClient] = backend.clients
        self._ends = NODES[0], NODES[-1]
        self._addresses = tuple(backend.layout.address(node, 0) for node in self._ends)
        self._spec = spec
        self._duration_ns = int(seconds * NS_PER_S)
        self._task: asyncio.Task[pb.FlowReport] | None = None

    def on_progress(self, phase: str, done: float) -> None:
        """The traffic of the flow under test has begun: begin as well, after the head start."""
        if phase == "traffic" and self._task is None:
            self._task = asyncio.ensure_future(self._run(max(0.0, HEAD_START_S - done)))

    async def _run(self, wait_s: float) -> pb.FlowReport:
        sender, receiver = (self._clients[node] for node in self._ends)
        tcp = pb.TcpOptions(congestion_control="cubic")
        port = await receiver.listen(
            pb.ListenRequest(run=COMPETITOR, address=self._addresses[1], tcp=tcp)
        )
        flow = pb.FlowSpec(
            flow_id=2,
            seed=self._spec.seed + 1,
            source_address=self._addresses[0],
            target_address=self._addresses[1],
            target_port=port,
            start_offset_ns=int(wait_s * NS_PER_S),
            duration_ns=self._duration_ns,
        )
        await sender.send_to_end(pb.SendRequest(run=COMPETITOR, flows=[flow], tcp=tcp))
        reply = await receiver.collect(COMPETITOR, expect_flows=1, wait_s=60)
        for client in (sender, receiver):
            await client.release(COMPETITOR)
        return reply.flows[0]

    async def report(self) -> pb.FlowReport:
        """What the receiver says of the flow, once it has ended."""
        if self._task is None:
            raise RuntimeError("the run ended before its traffic was reported to have begun")
        return await self._task


def bytes_until(times_ns: Sequence[int], values: Sequence[int], at_ns: int) -> int:
    """Cumulative bytes of a series at a time."""
    index = bisect_right(times_ns, at_ns)
    return int(values[index - 1]) if index else 0


async def measure_one(
    backend: EmulatedBackend, spec: RunSpec, pair: int, seconds: float
) -> dict[str, Any]:
    """One run of one arm with its competitor: what both delivered while it was there."""
    rival = Competitor(backend, spec, seconds)
    measured = await backend.run(spec, rival.on_progress)
    other = await rival.report()
    flow = measured.flows[0]
    begin_ns = other.first_byte_ns
    end_ns = begin_ns + int(seconds * NS_PER_S)
    mine, theirs = (
        bytes_until(times, values, end_ns) - bytes_until(times, values, begin_ns)
        for times, values in (
            (flow.delivered.times_ns, flow.delivered.values),
            (other.series.times_ns, other.series.values),
        )
    )
    return {
        "pair": pair,
        "arm": str(spec.arm),
        "share": theirs / (mine + theirs),
        "competitor_bps": theirs * 8 / seconds,
        "total_bps": (mine + theirs) * 8 / seconds,
        "ok": bool(flow.sha256_ok and other.sha256_ok),
        "stalls": measured.cpu.get("stalls"),
    }


def record(path: str, row: Mapping[str, Any]) -> None:
    """Append one run, so that a later interruption loses none."""
    with Path(path).open("a") as out:
        out.write(json.dumps(row) + "\n")


async def measure(options: argparse.Namespace) -> list[dict[str, Any]]:
    """All pairs on one network; each run is written down when it is over."""
    base = line(options)
    rows = []
    backend = EmulatedBackend(base, EmulationOptions(wire_backend()))
    async with backend:
        for pair in range(options.first, options.first + options.pairs):
            for arm in TURNS if pair % 2 == 0 else TURNS[::-1]:
                spec = replace(
                    base, arm=arm, seed=options.seed + pair, repeat=pair, key=f"{arm}_p{pair}"
                )
                row = await measure_one(backend, spec, pair, options.seconds)
                rows.append(row)
                record(options.out, row)
                sys.stderr.write(f"pair {pair} {arm}: share {100 * row['share']:.1f} %\n")
    return rows


def geometric(ratios: Sequence[float]) -> tuple[float, float, float]:
    """Geometric mean and its 95 % interval; needs two values or more."""
    logs = [math.log(ratio) for ratio in ratios]
    mean = sum(logs) / len(logs)
    spread = math.sqrt(sum((x - mean) ** 2 for x in logs) / (len(logs) - 1))
    half = stats.t.ppf((1 + CONFIDENCE) / 2, len(logs) - 1) * spread / math.sqrt(len(logs))
    return math.exp(mean), math.exp(mean - half), math.exp(mean + half)


def verdict(low: float, high: float) -> str:
    """By the interval of the ratio of shares."""
    if low >= BOUND:
        return "holds"
    return "fails" if high < BOUND else "undecided"


def judge(rows: Iterable[Mapping[str, Any]]) -> tuple[str, int]:
    """A table with the verdict, and the exit code."""
    pairs: dict[int, dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        pairs.setdefault(int(row["pair"]), {})[str(row["arm"])] = row
    whole = {n: arms for n, arms in sorted(pairs.items()) if len(arms) == len(TURNS)}
    lines = ["pair   split   fsu  fsu/split   both, Mbit/s: split   fsu"]
    ratios = []
    for number, arms in whole.items():
        split, fsu = arms["split"], arms["fsu"]
        ratios.append(fsu["share"] / split["share"])
        lines.append(
            f"{number:4}{100 * split['share']:7.1f}%{100 * fsu['share']:5.1f}%{ratios[-1]:10.2f}"
            f"{split['total_bps'] / 1e6:22.1f}{fsu['total_bps'] / 1e6:6.1f}"
        )
    broken = [n for n, arms in whole.items() if not all(row["ok"] for row in arms.values())]
    if broken or len(ratios) < 2:
        why = f"pairs {broken} did not complete" if broken else "fewer than two whole pairs"
        return "\n".join([*lines, f"no verdict: {why}"]), 1
    mean, low, high = geometric(ratios)
    found = verdict(low, high)
    lines.append(
        f"the competitor's share beside fsu is {mean:.2f} [{low:.2f}, {high:.2f}] of that beside "
        f"split (95 %, n = {len(ratios)}); at least {BOUND}: {found}"
    )
    return "\n".join(lines), 0 if found == "holds" else 5


def main(argv: list[str]) -> int:
    """Measure and judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="number of the first pair")
    parser.add_argument("--seconds", type=float, default=20.0, help="of the competitor")
    parser.add_argument("--rate-mbit", type=float, default=200.0, help="of both links")
    parser.add_argument("--delay-ms", type=float, default=20.0, help="one way, of each link")
    parser.add_argument("--congestion-control", default="cubic", help="of the flow under test")
    parser.add_argument("--seed", type=int, default=20_261_123)
    parser.add_argument("--out", default="fairness.jsonl", help="runs are appended here")
    parser.add_argument("--judge", metavar="FILE", default="", help="measure nothing")
    options = parser.parse_args(argv)
    if not options.judge and os.geteuid() != 0:
        parser.exit(3, f"{parser.prog}: emulation needs root: sudo {' '.join(sys.argv)}\n")
    if not options.judge:
        asyncio.run(measure(options))
    source = Path(options.judge or options.out)
    text, code = judge(json.loads(line) for line in source.read_text().splitlines())
    sys.stdout.write(text + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
