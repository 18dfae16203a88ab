"""What the FSU costs where it works: the kernel's own run-time statistics of its programs.

With BPF_ENABLE_STATS the kernel times every run of every BPF program (run_time_ns / run_cnt), as
long as a descriptor is held: no sysctl is changed, and a killed controller leaves nothing on. Each
timed run holds about one reading of the kernel's clock. Nothing is subtracted for it; what an empty
program reads on the same host stands beside the figures.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from sentinel_bpf import syscalls, test_run
from sentinel_bpf.errors import BpfError
from sentinel_bpf.loader import ProgramStats, program_stats
from sentinel_sim.errors import MissingCapabilityError

METHOD = (
    "bpf_stats: run_time_ns / run_cnt of each FSU's program while the traffic ran, all its runs;"
    " nothing subtracted: about one clock reading of the kernel is in it, as in empty_program_ns."
    " A run of xdp is one wire packet; a run of tc is what the node hands over, super-packets whole"
)
EMPTY_RUNS = 20_000
_FRAME = bytes(64)

Statistics = Mapping[str, Mapping[str, ProgramStats]]
"""By kind of program (`xdp`, `tc`) and point (`node/link`)."""


def cost_of(before: Statistics, after: Statistics) -> dict[str, Any]:
    """By kind: ns per run at each point between two readings, and over all runs (pure).

    None where nothing ran. A program that was loaded in between had run nothing before.
    """
    return {kind: _cost(before.get(kind, {}), then) for kind, then in after.items()}


def _cost(before: Mapping[str, ProgramStats], after: Mapping[str, ProgramStats]) -> dict[str, Any]:
    points = {}
    runs_all = time_all_ns = 0
    for name, now in after.items():
        then = before.get(name)
        runs = now.run_count - (then.run_count if then else 0)
        time_ns = now.run_time_ns - (then.run_time_ns if then else 0)
        runs_all, time_all_ns = runs_all + runs, time_all_ns + time_ns
        points[name] = {"runs": runs, "ns_per_run": _mean(time_ns, runs)}
    return {"runs": runs_all, "ns_per_run": _mean(time_all_ns, runs_all), "points": points}


def _mean(time_ns: int, runs: int) -> float | None:
    return round(time_ns / runs, 1) if runs else None


class FsuCost:
    """The statistics are on from here to `close`."""

    def __init__(self, read: Callable[[], Statistics]) -> None:
        """`read`: the statistics of all FSUs now. Raises MissingCapabilityError."""
        try:
            self._switch: int | None = syscalls.enable_stats()
        except BpfError as error:
            raise MissingCapabilityError(
                f"--fsu-cost: the kernel does not time its programs: {error}",
                cure="leave --fsu-cost out, or boot Linux 5.8 or later",
            ) from error
        self._read = read
        self._before: Statistics = {}
        self._empty_ns = _empty_program_ns()

    def begin(self) -> None:
        """Count from here."""
        self._before = self._read()

    def end(self) -> dict[str, Any]:
        """Since `begin`, for the result."""
        found = cost_of(self._before, self._read())
        return {"method": METHOD, "empty_program_ns": self._empty_ns, **found}

    def close(self) -> None:
        """Switch the statistics off; harmless a second time."""
        if self._switch is not None:
            os.close(self._switch)
            self._switch = None


def _empty_program_ns() -> float | None:
    """What the statistics read for a program that does nothing."""
    program = test_run.load_empty_program()
    try:
        test_run.run(program, _FRAME, repeat=EMPTY_RUNS)
        found = program_stats(program)
    finally:
        os.close(program)
    return _mean(found.run_time_ns, found.run_count)
