"""What the scheduler says of a process or kernel thread: time on a CPU, context switches."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class TaskReading:
    """Since the task began."""

    on_cpu_ns: int
    voluntary: int
    """It gave way: waited for something."""
    involuntary: int
    """It was made to give way."""


def parse_status(text: str) -> tuple[int, int]:
    """(voluntary, involuntary) context switches from /proc/PID/status (proc(5))."""
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return int(fields["voluntary_ctxt_switches"]), int(fields["nonvoluntary_ctxt_switches"])


def read_task(pid: int, proc: Path = PROC) -> TaskReading:
    """One thread's figures; for a process these are of its main thread."""
    task = proc / str(pid) / "task" / str(pid)
    on_cpu_ns = int((task / "schedstat").read_text().split()[0])
    voluntary, involuntary = parse_status((task / "status").read_text())
    return TaskReading(on_cpu_ns, voluntary, involuntary)


def parse_host_switches(text: str) -> int:
    """Context switches of the whole host since boot, from /proc/stat."""
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("ctxt "))


@dataclass(frozen=True, slots=True)
class Usage:
    """Between two moments. Shares are of one CPU."""

    seconds: float
    cpu_share: Mapping[str, float]
    cpu_ns: int
    """Of all tasks together."""
    voluntary_per_s: float
    involuntary_per_s: float
    host_switches_per_s: float
    """Of everything on the host: the only figure for work in soft interrupts."""


class Meter:
    """Reads named tasks now; `usage` reads them again."""

    def __init__(self, pids: Mapping[str, int], proc: Path = PROC) -> None:
        self._pids = dict(pids)
        self._proc = proc
        self._host = self._host_switches()
        self._before = {name: read_task(pid, proc) for name, pid in pids.items()}
        self._began_ns = time.monotonic_ns()

    def usage(self) -> Usage:
        """What was used since."""
        seconds = (time.monotonic_ns() - self._began_ns) / 1e9
        after = {name: read_task(pid, self._proc) for name, pid in self._pids.items()}
        spent = {n: after[n].on_cpu_ns - self._before[n].on_cpu_ns for n in after}
        voluntary = sum(after[n].voluntary - self._before[n].voluntary for n in after)
        involuntary = sum(after[n].involuntary - self._before[n].involuntary for n in after)
        return Usage(
            seconds=seconds,
            cpu_share={name: ns / 1e9 / seconds for name, ns in spent.items()},
            cpu_ns=sum(spent.values()),
            voluntary_per_s=voluntary / seconds,
            involuntary_per_s=involuntary / seconds,
            host_switches_per_s=(self._host_switches() - self._host) / seconds,
        )

    def _host_switches(self) -> int:
        return parse_host_switches((self._proc / "stat").read_text())
