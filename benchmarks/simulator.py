"""What the simulator does per second on this host, and how long the main experiment takes.

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
from sentinel_sim.plan.model import RunSpec
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


def experiment(arguments: list[str], cache: Path | None) -> float:
    """Wall seconds of `sentinel-sim run`, start of Python to figures; raises if it failed."""
    environment = dict(os.environ)
    if cache is not None:
        environment["XDG_CACHE_HOME"] = str(cache)
    with tempfile.TemporaryDirectory() as out:
        program = str(Path(sys.executable).with_name("sentinel-sim"))
        command = [program, "run", *arguments, "--out", out]
        began = time.monotonic()
        subprocess.run(command, check=True, capture_output=True, env=environment)
        return time.monotonic() - began


def measure() -> dict[str, Any]:
    """All figures."""
    plan = expand(load(TOPOLOGIES / "chile-usa.yaml"))
    chosen = [spec for spec in plan.runs(0) if spec.distance_km in (100.0, 5000.0, 20000.0)]
    kernel_ready = Simulation(setup(plan.runs(0)[0]).network, kernel(), TICK_NS)
    kernel_ready.advance(1)
    words = [str(TOPOLOGIES / "chile-usa.yaml"), "--backend", "simulated", "--repeat", "2"]
    speeds = sorted((speed(spec) for spec in chosen), key=lambda found: str(found["run"]))
    with tempfile.TemporaryDirectory() as cache:
        first_s = experiment(words, Path(cache))
        second_s = experiment(words, Path(cache))
    return {
        "versions": versions(),
        "speeds": speeds,
        "chile_usa_first_s": round(first_s, 2),
        "chile_usa_s": round(second_s, 2),
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true")
    found = measure()
    if parser.parse_args().json:
        sys.stdout.write(json.dumps(found, indent=1) + "\n")
        return
    for one in found["speeds"]:
        sys.stdout.write(
            f"{one['run']:28} {one['packet_hops_per_s'] / 1e6:6.2f} M packet hops/s per core,"
            f" {one['simulated_s'] / one['cpu_s']:6.0f} x real time\n"
        )
    sys.stdout.write(
        "chile-usa, 5 distances x 3 arms x 2 repeats:"
        f" {found['chile_usa_s']} s, first time {found['chile_usa_first_s']} s\n"
    )


if __name__ == "__main__":
    main()
