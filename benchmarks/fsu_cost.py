"""What the FSU costs per packet, stage by stage: BPF_PROG_TEST_RUN minus an empty program.

    python benchmarks/fsu_cost.py [--rounds N] [--packets N] [--json FILE]      (as root)

Lanes take turns (sentinel_bpf.cost). `bare` takes the time, looks the flow up and touches the same
cache lines as the FSU; for 64,000 flows in random order packets of one flow are 50 ms and more
apart, so that each ends a rate interval, an interval of the predictor, and an RTT sample.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sentinel_bpf import test_run
from sentinel_bpf.cost import cost_above, flow_lanes, interleave, one_frame_lane
from sentinel_bpf.errors import BpfError
from sentinel_bpf.loader import CompiledSource, ProgramSet, compile_drive, compile_flow_math

PROGRAM = "flow_stabilization_unit"
STAGES = ("GUARD", "RATE", "RTT", "PREDICT", "BDP")
WITHOUT = {f"without {stage.lower()}": (f"-DSENTINEL_WITHOUT_{stage}",) for stage in STAGES}
VARIANTS = {
    "fsu": (),
    **WITHOUT,
    "count only": tuple(f"-DSENTINEL_WITHOUT_{stage}" for stage in STAGES),
}
FLOWS = (1, 1_000, 64_000)
MAP_ENTRIES = 4 * 65_536


def _load(stack: ExitStack) -> tuple[CompiledSource, dict[str, int]]:
    """The driver, and a descriptor of every program that is measured."""
    drive = stack.enter_context(compile_drive())
    programs = {"empty": test_run.load_empty_program()}
    stack.callback(os.close, programs["empty"])
    for name, flags in (("bare", ()), ("bare, all lines", ("-DSENTINEL_DRIVE_SPARSE",))):
        source = stack.enter_context(compile_drive(flags))
        sizes = {"drive_bare_flows": MAP_ENTRIES}
        bare = stack.enter_context(source.instantiate(["drive_bare"], max_entries=sizes))
        programs[name] = bare.prog_fd("drive_bare")
    for name, flags in VARIANTS.items():
        source = stack.enter_context(compile_flow_math(flags))
        programs[name] = _instance(stack, source).prog_fd(PROGRAM)
    return drive, programs


def _instance(stack: ExitStack, source: CompiledSource) -> ProgramSet:
    return stack.enter_context(source.instantiate(max_entries={"flow_metrics_map": MAP_ENTRIES}))


def measure(rounds: int, packets: int) -> dict[str, Any]:
    """All lanes, ns above the empty program: {flows: {program: {least, median, p90}}}."""
    table: dict[str, Any] = {}
    with ExitStack() as stack:
        drive, programs = _load(stack)
        one = {name: one_frame_lane(fd) for name, fd in programs.items()}
        table["one frame"] = _costs(interleave(one, rounds=rounds, packets=packets))
        for flows in FLOWS:
            with flow_lanes(drive, programs, flows) as lanes:
                table[f"{flows:,} flows"] = _costs(
                    interleave(lanes, rounds=rounds, packets=packets)
                )
    return table


def _costs(samples: dict[str, list[int]]) -> dict[str, dict[str, float]]:
    costs = {}
    for name in samples:
        found = cost_above(samples, name, "empty")
        costs[name] = {"least": found.least, "median": found.median, "p90": found.p90}
    costs["empty"] = {"least": float(min(samples["empty"])), "median": 0.0, "p90": 0.0}
    return costs


def render(table: dict[str, Any]) -> str:
    """The table as text."""
    lines = ["ns per packet above the empty program: least / median of paired rounds", ""]
    lines.append(f"{'':18}" + "".join(f"{column:>16}" for column in table))
    for name in ("bare", "bare, all lines", *VARIANTS):
        cells = [f"{c[name]['least']:.0f} / {c[name]['median']:.0f}" for c in table.values()]
        lines.append(f"{name:18}" + "".join(f"{cell:>16}" for cell in cells))
    lines.append("")
    for bare in ("bare", "bare, all lines"):
        ratios = [f"{c['fsu']['least'] / c[bare]['least']:.2f}" for c in table.values()]
        lines.append(f"{'fsu / ' + bare:22}" + "".join(f"{ratio:>16}" for ratio in ratios)[4:])
    rates = [f"{1000 / c['fsu']['least']:.1f}" for c in table.values()]
    lines.append(f"{'Mpackets/s, one core':22}" + "".join(f"{rate:>16}" for rate in rates)[4:])
    return "\n".join(lines)


def main() -> int:
    """The command line; exit code 3 without the privilege or the packages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--packets", type=int, default=100_000, help="per lane and round")
    parser.add_argument("--json", type=Path, help="also write the figures there")
    options = parser.parse_args()
    try:
        table = measure(options.rounds, options.packets)
    except BpfError as error:
        sys.stderr.write(f"{error}\n")
        return 3
    sys.stdout.write(render(table) + "\n")
    if options.json is not None:
        options.json.write_text(json.dumps(table, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
