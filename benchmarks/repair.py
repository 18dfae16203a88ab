"""How soon is a break noticed, how soon does data flow again, and is any break imagined?

    sudo .venv/bin/python -m benchmarks.repair                       # 20 of each fault, about 3 min
    sudo .venv/bin/python -m benchmarks.repair --kinds partition --arms fsu --faults 40
    sudo .venv/bin/python -m benchmarks.repair --minutes 10          # no fault: what is suspected?

Bulk flows in custody fill a chain of three links (topologies/faults.yaml: 100 Mbit/s, RTT 60 ms),
and every few seconds one intermediate, or one link, is struck:

  kill-daemon    SIGKILL to an intermediate's daemon
  freeze-daemon  SIGSTOP to it, for good: no FIN and no RST tells
  partition      a link carries nothing for a while: no FIN and no RST either

Printed for each kind, arm and custody:

  detect   from the fault (the signal was sent, the wire was cut) until the supervisor knew
  suspect  from the cut of a link until both its ends had missed the other's heartbeats (no target)
  again    from the fault (of a link: from its end) to the end of the longest pause in delivery to
           the receiving application before the next fault, of the flow that fared worst; 0 if no
           flow paused for 0.4 s, as nodes behind the break still had data, or it was mended sooner
  pause    how long that pause was, however short (no target)

Targets: detect p99 <= 150 ms (of links + one-way delay), again p99 <= 1 s + 2 RTT. Percentiles are
nearest rank: of 20 values the p99 is the largest. With --minutes nothing is struck: what the
supervisor takes for broken is imagined, and the target is none. What neighbours suspect is printed
beside it; it repairs nothing by itself. Exit codes: 0 all targets met, 5 not, 1 a flow was
incomplete or wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any

from sentinel_sim.backends.base import FlowMeasurement, RunMeasurement
from sentinel_sim.backends.emulated.backend import EmulatedBackend
from sentinel_sim.backends.emulated.options import EmulationOptions
from sentinel_sim.campaign.document import percentile
from sentinel_sim.host.doctor import wire_backend
from sentinel_sim.plan.expand import expand
from sentinel_sim.plan.model import (
    Arm,
    Custody,
    FaultKind,
    FaultPlan,
    FlowPlan,
    Role,
    RunSpec,
    WorkloadKind,
)
from sentinel_sim.topology.reader import load

MS = 1_000_000
NS_PER_S = 1_000_000_000
KINDS = (FaultKind.KILL_DAEMON, FaultKind.FREEZE_DAEMON, FaultKind.PARTITION)
FIRST_S = 2.0
"""The flows have found their rate."""
CUT_NS = 1_000 * MS
"""Long enough for TCP to wait long between its tries."""
PAUSE_NS = 400 * MS
"""Shorter pauses in delivery are not told from those of a machine that is busy: without any fault
the longest was 0.37 s in 12 s and 0.56 s in three minutes (--minutes prints it)."""
FAULTS_A_RUN = 10
DETECT_NS, AGAIN_NS = 150 * MS, 1_000 * MS
NEVER_S = 3600.0
"""When the one fault of a run without faults would come: the supervisor is there for it."""


@dataclass(frozen=True, slots=True)
class Blow:
    """One fault and what came of it. None: nobody knew, or delivery did not begin again."""

    kind: str
    target: str
    arm: str
    custody: str
    at_ns: int
    detect_ns: int | None
    suspected_ns: int | None
    """By the neighbours of a link."""
    again_ns: int | None
    pause_ns: int
    """The longest of any flow, until the next fault."""


# -- what is run -----------------------------------------------------------------------------


def base_spec(options: argparse.Namespace) -> RunSpec:
    """The chain, with bulk flows instead of the file's transfers."""
    plan = expand(load(options.topology), arms=["split", "fsu"], repeats=1)
    spec = plan.runs(0)[0]
    return replace(spec, workload=WorkloadKind.BULK, seed=options.seed, repair=True)


def targets(spec: RunSpec, kind: FaultKind) -> tuple[str, ...]:
    """What such a fault can strike: intermediates, or links."""
    if kind is FaultKind.PARTITION:
        return tuple(link.name for link in spec.links)
    return tuple(node for node, role in spec.roles.items() if role is Role.INTERMEDIATE)


def struck(base: RunSpec, options: argparse.Namespace, kind: FaultKind, count: int) -> RunSpec:
    """A run in which `count` such faults happen, one after the other, on all targets in turn."""
    at = [round((FIRST_S + n * options.gap) * NS_PER_S) for n in range(count)]
    for_ns = CUT_NS if kind is FaultKind.PARTITION else None
    hit = cycle(targets(base, kind))
    faults = tuple(
        FaultPlan(n, kind, target, at_ns=at_ns, for_ns=for_ns)
        for n, (at_ns, target) in enumerate(zip(at, hit, strict=False))
    )
    return replace(base, faults=faults, flows=flows(base, options, FIRST_S + count * options.gap))


def flows(base: RunSpec, options: argparse.Namespace, seconds: float) -> tuple[FlowPlan, ...]:
    """As many as asked for, all at once, over the paths in turn."""
    return tuple(
        FlowPlan(n + 1, n % len(base.paths), 0, None, round(seconds * NS_PER_S))
        for n in range(options.flows)
    )


def runs_of(base: RunSpec, options: argparse.Namespace) -> Iterator[RunSpec]:
    """Every run that was asked for, in turns over arms and custodies."""
    cases = [(arm, held) for arm in options.arms for held in options.custody]
    if options.minutes:
        node = targets(base, FaultKind.KILL_DAEMON)[0]
        for arm, held in cases:
            seconds = options.minutes * 60
            never = FaultPlan(
                0, FaultKind.KILL_DAEMON, node, at_ns=round((seconds + NEVER_S) * NS_PER_S)
            )
            made = replace(base, faults=(never,), flows=flows(base, options, seconds))
            yield replace(made, arm=arm, custody=held, key=f"calm-{arm}-{held}")
        return
    for kind in options.kinds:
        for arm, held in cases:
            for begin in range(0, options.faults, FAULTS_A_RUN):
                count = min(FAULTS_A_RUN, options.faults - begin)
                made = struck(base, options, kind, count)
                yield replace(made, arm=arm, custody=held, key=f"{kind}-{arm}-{held}-{begin}")


# -- what is read from it --------------------------------------------------------------------


def again_ns(flow: FlowMeasurement, at_ns: int, until_ns: int) -> int | None:
    """From `at_ns` to the end of the longest pause that ends before `until_ns`; 0: no pause.

    None: the pause had not ended by then. All of the measurement's clock.
    """
    marks = _marks(flow, at_ns, until_ns)
    length_ns, end_ns = max(((b - a, b) for a, b in pairwise(marks)), default=(0, at_ns))
    open_ns = until_ns - (marks[-1] if marks else at_ns)
    over = flow.last_byte_ns is not None and flow.last_byte_ns < until_ns
    if open_ns > max(length_ns, PAUSE_NS) and not over:
        return None
    return end_ns - at_ns if length_ns >= PAUSE_NS else 0


def pause_ns(flow: FlowMeasurement, at_ns: int, until_ns: int) -> int:
    """The longest pause in delivery in that time."""
    marks = _marks(flow, at_ns, until_ns)
    return max((b - a for a, b in pairwise(marks)), default=0)


def _marks(flow: FlowMeasurement, at_ns: int, until_ns: int) -> tuple[int, ...]:
    """When there was more, from the last time before `at_ns` to the last one before `until_ns`."""
    times = flow.delivered.times_ns
    return times[max(0, bisect_right(times, at_ns) - 1) : bisect_left(times, until_ns)]


def noticed_ns(found: RunMeasurement, target: str, at_ns: int, until_ns: int) -> int | None:
    """From a fault to the supervisor's notice of it; None: there was none. Times of the run."""
    known = [
        repair.failed_ns + repair.time_to_detect_ns
        for repair in found.repairs
        if repair.target == target
    ]
    later = [t for t in known if at_ns <= t < until_ns]
    return min(later) - at_ns if later else None


def suspected_ns(found: RunMeasurement, spec: RunSpec, name: str, at_ns: int) -> int | None:
    """From a link's cut until both its ends suspected each other; None: one did not.

    By their own logs. An end that suspected the other before the cut counts as 0.
    """
    link = next((one for one in spec.links if one.name == name), None)
    if link is None:
        return None
    latest_ns, cut_ns = 0, at_ns + found.traffic_start_ns
    for watcher, peer in (link.ends, link.ends[::-1]):
        plane = found.extra["control"][watcher]["plane"]
        events = [event.split(" ", 3) for event in plane.get("events", [])]
        changes = [(int(at), what.rstrip(":")) for at, who, what, *_ in events if who == peer]
        before = [what for t, what in changes if t < cut_ns]
        after = [t for t, what in changes if t >= cut_ns and what in ("suspected", "down")]
        if before and before[-1] in ("suspected", "down"):
            continue
        if not after or after[0] > cut_ns + CUT_NS:
            return None
        latest_ns = max(latest_ns, after[0] - cut_ns)
    return latest_ns


def blows_of(found: RunMeasurement, spec: RunSpec) -> list[Blow]:
    """Every fault of a run. Raises RuntimeError if one could not be injected."""
    begun = sorted((event for event in found.faults), key=lambda event: event.actual_ns or 0)
    blows = []
    for place, event in enumerate(begun):
        if not event.struck or event.actual_ns is None:
            raise RuntimeError(f"{spec.key}: fault {event.number} did not strike: {event.detail}")
        following = begun[place + 1].actual_ns if place + 1 < len(begun) else None
        zero_ns = found.traffic_start_ns
        until_ns = found.traffic_end_ns - zero_ns if following is None else following
        from_ns = event.actual_ns
        if event.kind == FaultKind.PARTITION and event.ended_ns is not None:
            from_ns = event.ended_ns
        after = [again_ns(flow, from_ns + zero_ns, until_ns + zero_ns) for flow in found.flows]
        blows.append(
            Blow(
                kind=event.kind,
                target=event.target,
                arm=spec.arm.value,
                custody=spec.custody.value,
                at_ns=event.actual_ns,
                detect_ns=noticed_ns(found, event.target, event.actual_ns, until_ns),
                suspected_ns=suspected_ns(found, spec, event.target, event.actual_ns),
                again_ns=None if None in after else max(one for one in after if one is not None),
                pause_ns=max(
                    pause_ns(flow, event.actual_ns + zero_ns, until_ns + zero_ns)
                    for flow in found.flows
                ),
            )
        )
    return blows


def imagined(found: RunMeasurement) -> dict[str, int]:
    """By whom: how often something was suspected in a run where nothing broke."""
    planes = found.extra["control"]
    suspicions = sum(one["plane"].get("suspicions", 0) for one in planes.values())
    return {"by the supervisor": len(found.repairs), "by neighbours": suspicions}


def longest_pause_ns(found: RunMeasurement) -> int:
    """Of any flow, between its first and its last byte."""
    return max(b - a for flow in found.flows for a, b in pairwise(flow.delivered.times_ns))


# -- what is said of it ----------------------------------------------------------------------


def row(name: str, values: Sequence[int | None], limit_ns: int | None) -> tuple[str, bool]:
    """p50, p99 and the largest in ms, and whether the target is met, if there is one."""
    known = [value / MS for value in values if value is not None]
    missing = len(values) - len(known)
    if not known:
        return f"  {name:8} never, {missing} times", False
    p50, p99 = percentile(known, 0.5), percentile(known, 0.99)
    text = f"  {name:8} n {len(known):3}  p50 {p50:7.1f}  p99 {p99:7.1f}  max {max(known):7.1f} ms"
    met = not missing
    if limit_ns is not None:
        met &= p99 <= limit_ns / MS
        text += f"  target {limit_ns / MS:6.0f}  {'met' if met else 'MISSED'}"
    return text + (f", never {missing} times" if missing else ""), met


def tell(spec: RunSpec, blows: Sequence[Blow]) -> bool:
    """Print the table; True if every target is met."""
    rtt_ns = max(path.rtt_base_ns for path in spec.paths)
    one_way_ns = {link.name: link.delay_one_way_ns for link in spec.links}
    met = True
    for kind, arm, held in dict.fromkeys((b.kind, b.arm, b.custody) for b in blows):
        same = [b for b in blows if (b.kind, b.arm, b.custody) == (kind, arm, held)]
        sys.stdout.write(f"{kind}, {arm}, custody {held}\n")
        slack_ns = max(one_way_ns.get(b.target, 0) for b in same)
        rows = [
            row("detect", [b.detect_ns for b in same], DETECT_NS + slack_ns),
            row("again", [b.again_ns for b in same], AGAIN_NS + 2 * rtt_ns),
            row("pause", [b.pause_ns for b in same], None),
        ]
        met &= all(ok for _, ok in rows)
        if any(b.suspected_ns is not None for b in same):
            rows.append(row("suspect", [b.suspected_ns for b in same], None))
        sys.stdout.writelines(text + "\n" for text, _ in rows)
    return met


def whole(found: RunMeasurement, spec: RunSpec) -> bool:
    """Every flow arrived with its hash right; else say which did not."""
    bad = [f"flow {flow.flow_id}: {flow.error}" for flow in found.flows if not flow.sha256_ok]
    for text in bad:
        sys.stdout.write(f"{spec.key}: {text}\n")
    return not bad


async def measure(
    base: RunSpec, options: argparse.Namespace, take: Callable[[RunSpec, RunMeasurement], None]
) -> None:
    """All runs on one network."""
    emulation = EmulationOptions(wire_backend())
    async with EmulatedBackend(
        replace(base, flows=flows(base, options, 1.0)), emulation
    ) as backend:
        for spec in runs_of(base, options):
            take(spec, await backend.run(spec, lambda phase, done: None))
            if options.logs:
                kept = options.logs / spec.key
                shutil.copytree(backend.scene.daemons.log_directory, kept, dirs_exist_ok=True)


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    here = Path(__file__).resolve().parent.parent
    add = parser.add_argument
    add("--topology", type=Path, default=here / "topologies" / "faults.yaml")
    add("--kinds", default=",".join(KINDS), help="of kill-daemon, freeze-daemon, partition")
    add("--arms", default="fsu", help="of split, fsu")
    add("--custody", default="memory", help="of memory, durable")
    add("--faults", type=int, default=20, help="of each kind, in each arm and custody")
    add("--gap", type=float, default=3.0, metavar="S", help="between two faults")
    add("--flows", type=int, default=2, help="bulk flows that share the path")
    add("--minutes", type=float, default=0.0, help="without any fault: is anything suspected?")
    add("--seed", type=int, default=1)
    add("--out", type=Path, help="write every fault there, as JSON")
    add("--logs", type=Path, help="keep what the daemons said in this folder")
    options = parser.parse_args(argv)
    options.kinds = [FaultKind(word) for word in options.kinds.split(",")]
    options.arms = [Arm(word) for word in options.arms.split(",")]
    options.custody = [Custody(word) for word in options.custody.split(",")]
    return options


def main(argv: list[str]) -> int:
    """Measure, print, judge."""
    options = _arguments(argv)
    base = base_spec(options)
    blows: list[Blow] = []
    calm: list[dict[str, Any]] = []
    correct = True

    def take(spec: RunSpec, found: RunMeasurement) -> None:
        nonlocal correct
        correct &= whole(found, spec)
        if options.minutes:
            calm.append({"run": spec.key, "minutes": options.minutes, **imagined(found)})
            sys.stdout.write(json.dumps(calm[-1]) + "\n")
            for repair in found.repairs:
                sys.stdout.write(f"  imagined: {repair}\n")
            sys.stdout.write(
                f"  longest pause in delivery: {longest_pause_ns(found) / MS:.0f} ms\n"
            )
        else:
            blows.extend(blows_of(found, spec))

    asyncio.run(measure(base, options, take))
    if options.out:
        options.out.write_text(json.dumps([asdict(blow) for blow in blows] or calm, indent=1))
    none_imagined = not any(one["by the supervisor"] for one in calm)
    met = (tell(base, blows) if blows else True) and none_imagined
    return 1 if not correct else 0 if met else 5


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
