"""What the simulator does per second on this host, and how long the main experiment takes.

The experiment is run twice, in processes with different hash seeds; the first one compiles. The
two results must be the same bytes but for `environment` and `cpu`, else the exit code is 1.

    .venv/bin/python benchmarks/simulator.py            # a minute, no root
    .venv/bin/python benchmarks/simulator.py --json

One event is one packet over one link. Speeds are of one core; compilation is timed by itself, in
an empty cache directory. The experiment is run as a user runs it, by the command line.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from sentinel_sim.backends.simulated.kernel import kernel, versions
from sentinel_sim.backends.simulated.translate import TICK_NS, setup
from sentinel_sim.engine.simulation import Simulation
from sentinel_sim.plan.expand import expand
from sentinel_sim.plan.model import Arm, RunSpec
from sentinel_sim.topology.reader import load

TOPOLOGIES = Path(__file__).parents[1] / "topologies"
REPEATS = 3
SLICE_TICKS = 100


def speed(spec: RunSpec) -> dict[str, Any]:
    """The fastest of a few simulations of one run: what the engine does when left alone."""
    best: dict[str, Any] = {}
    for _ in range(REPEATS):
        simulation = Simulation(setup(spec).network, kernel(), TICK_NS)
        began = time.process_time()
        while not simulation.done:
            simulation.advance(SLICE_TICKS)
        seconds = time.process_time() - began
        simulation.verify()
        rate = simulation.packet_hops / seconds
        if rate > best.get("packet_hops_per_s", 0):
            best = {
                "run": spec.key,
                "packet_hops": simulation.packet_hops,
                "cpu_s": round(seconds, 4),
                "packet_hops_per_s": round(rate),
                "simulated_s": round(simulation.now_ns / 1e9, 2),
            }
    return best


def experiment(arguments: list[str], cache: Path, hash_seed: str) -> tuple[float, str]:
    """Wall seconds of `sentinel-sim run`, start of Python to figures, and what may not differ.

    Raises if it failed.
    """
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "PYTHONHASHSEED": hash_seed}
    with tempfile.TemporaryDirectory() as out:
        program = "from sentinel_sim.cli.main import main; main()"
        command = [sys.executable, "-c", program, "run", *arguments, "--out", out]
        began = time.monotonic()
        subprocess.run(command, check=True, capture_output=True, env=environment)
        seconds = time.monotonic() - began
        (found,) = Path(out).glob("*/result.json")
        return seconds, comparable(json.loads(found.read_text()))


def comparable(result: dict[str, Any]) -> str:
    """A result without what may differ between equal runs."""
    runs = [{key: value for key, value in run.items() if key != "cpu"} for run in result["runs"]]
    return json.dumps({**result, "runs": runs, "environment": None}, indent=1)


ARMS = (Arm.DIRECT, Arm.TUNED, Arm.SPLIT)
"""Those that are simulated."""


def measure() -> dict[str, Any]:
    """All figures."""
    plan = expand(load(TOPOLOGIES / "chile-usa.yaml"))
    chosen = [
        spec
        for spec in plan.runs(0)
        if spec.arm in ARMS and spec.distance_km in (100.0, 5000.0, 20000.0)
    ]
    kernel_ready = Simulation(setup(plan.runs(0)[0]).network, kernel(), TICK_NS)
    kernel_ready.advance(1)
    words = [str(TOPOLOGIES / "chile-usa.yaml"), "--backend", "simulated", "--repeat", "2"]
    words += ["--arms", ",".join(ARMS)]
    speeds = sorted((speed(spec) for spec in chosen), key=lambda found: str(found["run"]))
    with tempfile.TemporaryDirectory() as cache:
        first_s, first = experiment(words, Path(cache), "1")
        second_s, second = experiment(words, Path(cache), "2")
    return {
        "versions": versions(),
        "speeds": speeds,
        "chile_usa_first_s": round(first_s, 2),
        "chile_usa_s": round(second_s, 2),
        "identical": first == second,
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    found = measure()
    if parser.parse_args().json:
        sys.stdout.write(json.dumps(found, indent=1) + "\n")
        sys.exit(0 if found["identical"] else 1)
    for one in found["speeds"]:
        sys.stdout.write(
            f"{one['run']:28} {one['packet_hops_per_s'] / 1e6:6.2f} M packet hops/s per core,"
            f" {one['simulated_s'] / one['cpu_s']:6.0f} x real time\n"
        )
    sys.stdout.write(
        "chile-usa, 5 distances x 3 arms x 2 repeats:"
        f" {found['chile_usa_s']} s, first time {found['chile_usa_first_s']} s; the two results are"
        f" {'the same bytes' if found['identical'] else 'DIFFERENT'}\n"
    )
    sys.exit(0 if found["identical"] else 1)


if __name__ == "__main__":
    main()
