"""Were the processors there when they were needed? Measured during every run, beside the traffic.

On each CPU a program wakes every two milliseconds, before everybody else (SCHED_FIFO), and notes
how late that was. Late by 0.5 ms and more is a *stall*: the hypervisor ran somebody else, or the
kernel could not be interrupted. Nothing in this process can prevent either, and both make packets
late; so a run that the validity gate refuses can be told from a wire that does not work.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

from sentinel_sim.wire.build import delayline_program
from sentinel_sim.wire.delayline_stage import REAL_TIME_PRIORITY, DelayLineProcess

CPUS_WATCHED_MOST = 8
PRIORITY = REAL_TIME_PRIORITY + 10
SECOND_NS = 1e9


@dataclass(frozen=True, slots=True)
class CpuStalls:
    """What one CPU's watch saw since the last reset."""

    wakeups: int
    late_p50_s: float
    late_p99_s: float
    late_max_s: float
    stalled_share: float
    """Share of the time that was lost in stalls."""

    @classmethod
    def parse(cls, text: str) -> CpuStalls:
        """From the program's answer to `stats`."""
        raw = json.loads(text)
        return cls(
            wakeups=int(raw["wakeups"]),
            late_p50_s=raw["late_p50_ns"] / SECOND_NS,
            late_p99_s=raw["late_p99_ns"] / SECOND_NS,
            late_max_s=raw["late_max_ns"] / SECOND_NS,
            stalled_share=round(raw["stalled_ns"] / max(1, raw["watched_ns"]), 6),
        )


class StallWatch:
    """Watches the CPUs until `close`."""

    def __init__(self, tag: str, env: dict[str, str], record: Callable[[int, str], None]) -> None:
        """`tag` marks the processes as ours; `record(pid, what)` is called for each."""
        self._stack = ExitStack()
        self._watches: dict[str, DelayLineProcess] = {}
        try:
            for cpu in sorted(os.sched_getaffinity(0))[:CPUS_WATCHED_MOST]:
                self._start(cpu, tag, env, record)
        except BaseException:
            self.close()
            raise

    def _start(
        self, cpu: int, tag: str, env: dict[str, str], record: Callable[[int, str], None]
    ) -> None:
        words = ("--tag", f"{tag}-watch{cpu}", "--priority", str(PRIORITY), "--watch", str(cpu))
        process = DelayLineProcess.start((str(delayline_program()), *words), env)
        self._stack.callback(process.stop)
        record(process.pid, f"watches CPU {cpu}")
        self._watches[f"cpu{cpu}"] = process

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by name."""
        return {f"watch {name}": process.pid for name, process in self._watches.items()}

    def reset(self) -> None:
        """Forget what was seen."""
        for process in self._watches.values():
            process.command("reset")

    def read(self) -> dict[str, dict[str, Any]]:
        """`CpuStalls` by CPU, as JSON values."""
        return {
            name: asdict(CpuStalls.parse(process.command("stats")))
            for name, process in self._watches.items()
        }

    def close(self) -> None:
        """End the programs."""
        self._stack.close()
