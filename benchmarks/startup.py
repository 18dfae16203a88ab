"""How long a large topology takes to stand, by stage.

    sudo .venv/bin/python benchmarks/startup.py [--nodes 20] [--cold]

A chain of 20 nodes with an FSU at both ends of every link. Prints seconds for each stage, how often
bcc compiled, and whether every FSU is attached. Target: 15 s in all. `--cold`: as on a host that
never compiled these sources.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sentinel_bpf import compiling, object_cache
from sentinel_bpf.bpffs import PinDirectory
from sentinel_bpf.compiling import Compilation, start_compiler
from sentinel_bpf.unit import end_report, read_records
from sentinel_sim.backends.emulated.backend import EmulatedBackend
from sentinel_sim.backends.emulated.daemons import Daemons
from sentinel_sim.backends.emulated.deployment import Deployment
from sentinel_sim.backends.emulated.fsu_points import FsuPoints
from sentinel_sim.backends.emulated.kernel_parts import KernelParts
from sentinel_sim.backends.emulated.options import EmulationOptions
from sentinel_sim.host.doctor import wire_backend
from sentinel_sim.host.release import RUN_ROOT
from sentinel_sim.plan.model import Arm, RunSpec

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

TARGET_S = 15.0


class Stages:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.calls: dict[str, int] = {}

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - start
            self.calls[name] = self.calls.get(name, 0) + 1

    def watch(self, owner: type, method: str, name: str) -> None:
        """Time every call of a method from here on."""
        original: Callable[..., Any] = getattr(owner, method)
        if asyncio.iscoroutinefunction(original):

            async def timed_async(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
                with self.of(name):
                    return await original(*args, **kwargs)

            setattr(owner, method, timed_async)
            return

        def timed(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            with self.of(name):
                return original(*args, **kwargs)

        setattr(owner, method, timed)


def chain(nodes: int) -> RunSpec:
    """One flow over a line of equal links."""
    from tests.lab.emulated.runs import bulk

    return bulk(Arm.TUNED, hops=nodes - 1, delay_ms=5)


async def measure(nodes: int) -> dict[str, Any]:
    """Build the network, look at it, take it down."""
    stages = Stages()
    started: list[str] = []

    def start_counted(name: str) -> subprocess.Popen[str]:
        started.append(name)
        return start_compiler(name)

    compiling.start_compiler = start_counted
    for owner, method, name in (
        (Compilation, "source", "bcc: waited for"),
        (Deployment, "build_nodes", "namespaces"),
        (Deployment, "build_links", "links, wires"),
        (FsuPoints, "load", "FSU: load and pin"),
        (FsuPoints, "attach", "FSU: attach"),
        (KernelParts, "load_wires", "wire programs"),
        (Daemons, "launch", "daemons: launch"),
        (Daemons, "connect", "daemons: wait"),
        (EmulatedBackend, "_calibrate", "calibration"),
        (Deployment, "configure", "configure a run"),
    ):
        stages.watch(owner, method, name)
    spec = chain(nodes)
    backend = EmulatedBackend(spec, EmulationOptions(wire_backend()))
    with stages.of("total, until ready"):
        await backend.__aenter__()
    try:
        with stages.of("first run prepared"):
            await backend.prepare(spec)
        reports = [
            end_report(PinDirectory(Path(record.pins)), end)
            for record in read_records(RUN_ROOT / backend.layout.run_id / "fsu")
            for end in record.ends
        ]
    finally:
        with stages.of("taken down"):
            await backend.__aexit__(None, None, None)
    return {
        "nodes": nodes,
        "seconds": {name: round(value, 2) for name, value in stages.seconds.items()},
        "bcc_compilations": len(started),
        "ends_attached": sum(report.state == "attached" for report in reports),
        "ends_expected": 4 * (nodes - 1),
        "target_s": TARGET_S,
        "met": stages.seconds["total, until ready"] <= TARGET_S,
    }


def main() -> int:
    """Print the measurement; 1 if an FSU is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=20)
    parser.add_argument("--cold", action="store_true", help="let bcc compile in any case")
    given = parser.parse_args()
    if given.cold:
        os.environ[object_cache.SWITCH_VARIABLE] = "off"
    found = asyncio.run(measure(given.nodes))
    sys.stdout.write(json.dumps(found, indent=1) + "\n")
    return 0 if found["ends_attached"] == found["ends_expected"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
