"""Ctrl-C in the middle of a benchmark: nothing is left behind, what was measured is kept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sentinel_sim.host import namespaces, processes

pytestmark = pytest.mark.lab


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_takes_everything_down(tmp_path: Path, number: signal.Signals) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("bench needs two CPUs")
    before = set(namespaces.list_namespaces())
    command = "from sentinel_sim.cli.main import main; main()"
    words = [sys.executable, "-c", command, "bench", "--quick", "--mode", "userspace"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    with subprocess.Popen(
        [*words, "--out", str(tmp_path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as bench:
        assert bench.stderr is not None
        said = ""
        for line in bench.stderr:
            said += line
            if "zero-loss rate" in line:
                break
        assert "zero-loss rate" in said, said
        bench.send_signal(number)
        rest = bench.stderr.read()
        assert bench.wait(timeout=60) == 130, rest
    [directory] = tmp_path.iterdir()
    result = json.loads((directory / "bench.json").read_text())
    assert result["complete"] is False
    assert result["costs"]
    left = set(namespaces.list_namespaces()) - before
    ours = {name for name in left if name.endswith(("-source", "-box", "-sink"))}
    assert not ours
    workers = [
        view for view in processes.living_processes() if "sentinel_sim.bench.worker" in view.command
    ]
    assert not workers
