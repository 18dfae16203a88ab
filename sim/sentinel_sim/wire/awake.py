"""Keeps the CPUs from sleeping while something is measured: waking takes time that varies.

On bare metal the kernel is asked not to use deep sleep states (/dev/cpu_dma_latency, for as long
as it is held open). In a virtual machine it is the hypervisor that puts a halted CPU to sleep, and
it cannot be asked: there a program of the lowest priority keeps each CPU from halting.

Lowest must hold between sessions, too: where the kernel shares CPUs out by session first
(sched_autogroup_enabled), a program of class SCHED_IDLE in a session of its own gets as much as
any other session, half a CPU against one busy program. So its session is made the least as well.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from sentinel_sim.wire.build import delayline_program
from sentinel_sim.wire.delayline_stage import DelayLineProcess

LATENCY_DEVICE = Path("/dev/cpu_dma_latency")
LEAST_NICE = 19
CPUS_AWAKE_MOST = 8
"""More CPUs than that are not needed by an experiment, and are left alone."""


def is_virtual(cpuinfo: str) -> bool:
    """Whether /proc/cpuinfo tells of a hypervisor."""
    return any(
        "hypervisor" in line.split() for line in cpuinfo.splitlines() if line.startswith("flags")
    )


def set_session_nice(pid: int, nice: int) -> None:
    """Weight of the session of `pid` among sessions (sched(7)); nothing where there is no such."""
    try:
        Path(f"/proc/{pid}/autogroup").write_text(str(nice))
    except FileNotFoundError:
        return  # a kernel without CONFIG_SCHED_AUTOGROUP


class Awake:
    """Holds the CPUs awake until `close`."""

    def __init__(self, tag: str, env: dict[str, str], record: Callable[[int, str], None]) -> None:
        """`tag` marks the processes as ours; `record(pid, what)` is called for each."""
        self._stack = ExitStack()
        self.pids: dict[str, int] = {}
        self._latency = self._hold_latency()
        if is_virtual(Path("/proc/cpuinfo").read_text()):
            for cpu in sorted(os.sched_getaffinity(0))[:CPUS_AWAKE_MOST]:
                self._keep(cpu, tag, env, record)

    def _hold_latency(self) -> bool:
        try:
            fd = os.open(LATENCY_DEVICE, os.O_WRONLY | os.O_CLOEXEC)
        except OSError:
            return False
        self._stack.callback(os.close, fd)
        os.write(fd, struct.pack("i", 0))
        return True

    def _keep(
        self, cpu: int, tag: str, env: dict[str, str], record: Callable[[int, str], None]
    ) -> None:
        words = ("--tag", f"{tag}-awake{cpu}", "--keep-awake", str(cpu))
        process = DelayLineProcess.start((str(delayline_program()), *words), env)
        self._stack.callback(process.kill)
        record(process.pid, f"keeps CPU {cpu} awake")
        set_session_nice(process.pid, LEAST_NICE)
        self.pids[f"awake cpu{cpu}"] = process.pid

    def describe(self) -> dict[str, Any]:
        """For the result's environment."""
        return {"cpu_dma_latency_held": self._latency, "cpus_kept_awake": len(self.pids)}

    def close(self) -> None:
        """Let them sleep again."""
        self._stack.close()
