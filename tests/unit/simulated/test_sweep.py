"""A sweep is the same whether it ran through, was killed, interrupted, or ran on a cluster.

The thousand settings of `python benchmarks/sweep.py`, in small: real processes, real signals, and a
Dask scheduler with two worker processes, which the benchmark starts on loopback and ends.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
SETTINGS = 50


def test_killed_interrupted_and_on_two_dask_workers_a_sweep_gives_the_same_bytes() -> None:
    words = (sys.executable, "-m", "benchmarks.sweep", "--settings", str(SETTINGS))
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("all results are the same bytes\n")
    kept = dict(re.findall(r"(SIG\w+) after (\d+) runs, workers gone; resumed", done.stdout))
    assert kept.keys() == {"SIGKILL", "SIGINT"}
    for how, runs in kept.items():
        assert SETTINGS // 3 <= int(runs) < SETTINGS, f"{how} came after the end"
    assert "on a Dask scheduler with two workers" in done.stdout
