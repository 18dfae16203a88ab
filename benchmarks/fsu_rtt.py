"""How near the FSU's passive RTT comes to what the kernel's TCP says of the same flows.

    sudo .venv/bin/python benchmarks/fsu_rtt.py                 # all: about 6 minutes
    sudo .venv/bin/python benchmarks/fsu_rtt.py --quick         # a minute: does it work?
    sudo .venv/bin/python benchmarks/fsu_rtt.py --rtt 1 --flows 1000 --traffic requests --json

Builds two nodes and one of the product's wires (real kernel TCP, a real delay), attaches the FSU at
both ends of each node's interface, opens that many connections, and looks several times at both: at
TCP_INFO of every socket (one dump by sock_diag) and at the FSU's map, within milliseconds. They are
paired by addresses and ports, each direction apart. Per pair: error of the smoothed RTT, error of
the least RTT. Limits, for the smoothed one: median of the errors within max(1 %, 50 us), 95th
percentile within max(5 %, 0.5 ms), and no flow without an RTT.

Traffic:
  requests  one segment there, one back, at 20/s a flow or less. At node `near` the round trip ends
            with the answer; at node `far` with the request after it, or with an acknowledgement
            that TCP delays by up to 40 ms: both are in both figures.
  stream    bytes without end, paced (8 Mbit/s a flow or less), two segments at a time.
  bursts    the same with as many segments at a time as the kernel likes: 10 or more at 1 ms. The
            kernel may take several samples from one burst. With `--outer xdp` the node cuts bursts
            itself, which takes some 100 us that TCP counts and that the FSU, behind it, cannot see.
  bulk      as fast as TCP can, through a queue of one bandwidth-delay product at 100 Mbit/s. At
            most 100 flows: of more, each would have less than one segment under way.

The limits are judged for the first two, where both figures mean the same; for the others the
verdict is in brackets. The FSU's figure is below the kernel's by what lies between TCP and the wire
inside the node: this is the column `bias`. The kernel averages a sample from each acknowledgement
(RFC 6298, gain 1/8), the FSU one from each round trip, which counts by the window behind it as so
many acknowledgements would (sentinel_rtt.h), but is up to a round trip old.

Exit code 0: all limits that are judged are met; 1: one is missed; 3: a privilege or a package is
missing.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import json
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict

from rich.console import Console

from sentinel_bpf.errors import BpfUnavailableError
from sentinel_sim.bench.rtt.agreement import MEDIAN_LIMIT, P95_LIMIT
from sentinel_sim.bench.rtt.cases import BULK_FLOWS_MOST, FLOWS_MOST, Case, Outcome, Traffic
from sentinel_sim.bench.rtt.display import as_json, table
from sentinel_sim.bench.rtt.measuring import Laboratory, Timing
from sentinel_sim.errors import EmulationError, MissingCapabilityError
from sentinel_sim.host.doctor import wire_backend
from sentinel_sim.plan.model import OuterEnd

RTTS_MS, FLOWS = (1.0, 50.0, 200.0), (10, 100, 1_000)
QUICK_RTTS_MS, QUICK_FLOWS = (1.0, 50.0), (100,)
QUICK = Timing(moments=4)


def cases(options: argparse.Namespace) -> Iterator[Case]:
    """Every combination, by RTT: the wire is set as seldom as possible."""
    for rtt_ms in options.rtt or (QUICK_RTTS_MS if options.quick else RTTS_MS):
        for flows in options.flows or (QUICK_FLOWS if options.quick else FLOWS):
            for traffic in options.traffic or Traffic:
                case = Case(Traffic(traffic), rtt_ms, flows)
                if case.possible:
                    yield case


async def measure(options: argparse.Namespace, say: Console) -> list[Outcome]:
    """All cases on one network."""
    outcomes: list[Outcome] = []
    timing = QUICK if options.quick else Timing()
    set_ms = None
    async with Laboratory(
        options.wire or wire_backend(), options.seed, OuterEnd(options.outer)
    ) as laboratory:
        for case in cases(options):
            if case.rtt_ms != set_ms:
                set_ms = case.rtt_ms
                idle_ms = await laboratory.set_rtt(set_ms)
                say.print(f"RTT {set_ms:g} ms: {idle_ms:.3f} ms while idle")
            say.print(f"  {case.flows:,} flows, {case.traffic.value}")
            outcomes += await laboratory.run(case, timing)
    return outcomes


def report(options: argparse.Namespace, outcomes: list[Outcome]) -> dict[str, object]:
    """The whole measurement, to be believed in a year."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "kernel": platform.release(),
        "cpus": len(os.sched_getaffinity(0)),
        "outer": options.outer,
        "limits": {"median": asdict(MEDIAN_LIMIT), "p95": asdict(P95_LIMIT)},
        "outcomes": [as_json(outcome) for outcome in outcomes],
        "met": all(o.within for o in outcomes if o.case.traffic.judged),
    }


def parse_arguments() -> argparse.Namespace:
    """The command line above."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )

    def numbers(kind: type) -> object:
        return lambda text: [kind(word) for word in text.split(",")]

    names = [traffic.value for traffic in Traffic]
    parser.add_argument("--rtt", type=numbers(float), metavar="MS,...", help="default 1,50,200")
    parser.add_argument("--flows", type=numbers(int), metavar="N,...", help="default 10,100,1000")
    parser.add_argument("--traffic", type=numbers(str), metavar="KIND,...", help=",".join(names))
    parser.add_argument("--seed", type=int, default=1, help="of sizes and moments of requests")
    parser.add_argument("--wire", default="", help="netem or delayline (default: by probing)")
    parser.add_argument("--outer", choices=("tc", "xdp"), default="tc", help="fsu_outer of runs")
    parser.add_argument("--quick", action="store_true", help="two RTTs, 100 flows, short")
    parser.add_argument("--json", action="store_true", help="everything, to standard output")
    options = parser.parse_args()
    if unknown := set(options.traffic or ()) - set(names):
        parser.error(f"--traffic: no {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    if any(not 1 <= flows <= FLOWS_MOST for flows in options.flows or ()):
        parser.error(f"--flows: 1 to {FLOWS_MOST:,}, which is what the maps here are made for")
    if not any(True for _ in cases(options)):
        parser.error(f"--traffic bulk: with at most {BULK_FLOWS_MOST} flows")
    return options


def main() -> int:
    """Measure and print; the exit code says whether the limits are met."""
    options = parse_arguments()
    try:
        outcomes = asyncio.run(measure(options, Console(stderr=True)))
    except (BpfUnavailableError, MissingCapabilityError) as error:
        sys.stderr.write(f"{error}" + (f"; {error.cure}" if error.cure else "") + "\n")
        return 3
    except EmulationError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    found = report(options, outcomes)
    if options.json:
        sys.stdout.write(json.dumps(found, indent=1) + "\n")
    else:
        Console(width=160).print(table(outcomes))
    return 0 if found["met"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
