"""Twenty nodes: one compilation for all FSUs, every end attached, nothing left behind.

How long it takes is measured by benchmarks/startup.py (target: 15 s).
"""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest
from tests.lab.emulated.runs import bulk

from sentinel_bpf import compiling
from sentinel_bpf.bpffs import PinDirectory
from sentinel_bpf.compiling import start_compiler
from sentinel_bpf.object_cache import SWITCH_VARIABLE
from sentinel_bpf.unit import end_report, read_records
from sentinel_sim.backends.emulated.backend import EmulatedBackend
from sentinel_sim.backends.emulated.options import EmulationOptions
from sentinel_sim.host import namespaces, processes
from sentinel_sim.host.doctor import wire_backend
from sentinel_sim.host.release import RUN_ROOT
from sentinel_sim.plan.model import Arm

pytestmark = pytest.mark.lab

NODES = 20


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every source that a compiler is started for, in order; nothing is found in the cache."""
    found: list[str] = []

    def counted(name: str) -> subprocess.Popen[str]:
        found.append(name)
        return start_compiler(name)

    monkeypatch.setenv(SWITCH_VARIABLE, "off")
    monkeypatch.setattr(compiling, "start_compiler", counted)
    return found


def test_twenty_nodes_share_one_compilation_and_leave_nothing(compiled: list[str]) -> None:
    spec = bulk(Arm.TUNED, hops=NODES - 1)
    backend = EmulatedBackend(spec, EmulationOptions(wire_backend()))

    async def stand() -> tuple[str, list[tuple[str, str, str]], list[Path]]:
        async with backend:
            await backend.prepare(spec)
            run_id = backend.layout.run_id
            records = read_records(RUN_ROOT / run_id / "fsu")
            states = [
                (record.node, end.name, end_report(PinDirectory(Path(record.pins)), end).state)
                for record in records
                for end in record.ends
            ]
            return run_id, states, [Path(record.pins) for record in records]

    run_id, states, pins = asyncio.run(stand())
    assert compiled == ["flow_math", "flow_math_tc", "wire"]
    # Two link ends at each of the nodes between, one at the outermost two; each from both sides.
    wanted = {f"n{i}": 1 if i in (0, NODES - 1) else 2 for i in range(NODES)}
    for side in ("inner", "outer"):
        attached = [node for node, end, state in states if (end, state) == (side, "attached")]
        assert {node: attached.count(node) for node in wanted} == wanted
    assert len(states) == 2 * sum(wanted.values())

    assert not any(directory.exists() for directory in pins)
    assert not (RUN_ROOT / run_id).exists()
    assert [n for n in namespaces.list_namespaces() if namespaces.run_id_of(n) == run_id] == []
    assert [v for v in processes.living_processes() if v.run_id == run_id] == []
