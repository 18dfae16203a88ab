"""A sweep of 1,000 settings: killed, interrupted, resumed, on a cluster; always the same result?

    python benchmarks/sweep.py                  # no root; about three minutes on two CPUs
    python benchmarks/sweep.py --settings 40    # to see that it works

Runs `sentinel-sim run` as a user would, five times: on local workers; the same killed with SIGKILL
after a third of the runs and resumed; the same ended with Ctrl-C and resumed; and on a Dask
scheduler with two worker processes, which this program starts on loopback and ends. Then the
result files are compared byte for byte, without `environment` and `cpu`. Exit 1 if they differ.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

FILE = """
name: sweep
nodes:
  a: {role: sender}
  m: {role: intermediate}
  b: {role: receiver}
links:
  - {endpoints: [a, m], rate: 50 Mbit/s, delay_one_way: 5 ms, queue: 1 bdp}
  - {endpoints: [m, b], rate: 50 Mbit/s, delay_one_way: 5 ms, queue: 1 bdp}
experiment:
  arms: [tuned]
  congestion_control: cubic
  workload: {kind: bulk, duration: 1 s}
  repeat: {min: 1, max: 1, until: ci95 < 5 %}
  seed: 1
"""
CLI = (sys.executable, "-c", "from sentinel_sim.cli.main import main; main()")
PATIENCE_S = 600
WAYS = ("SIGKILL", "SIGINT", "cluster")


def command(file: Path, out: Path, settings: int, *more: str) -> list[str]:
    """Losses times delays: so many settings."""
    losses = ",".join(f"{0.1 * n / 25:.3g} %" for n in range(25))
    delays = ",".join(f"{1 + n} ms" for n in range(settings // 25))
    sweep = ("--set", f"links.0.loss={losses}", "--set", f"links.1.delay_one_way={delays}")
    return [*CLI, "run", str(file), "--backend", "simulated", "--out", str(out), *sweep, *more]


def timed(words: list[str], log: Path) -> float:
    """Seconds of a command that must come to its end.

    Exit code 4 will do: of a thousand honest runs about one is outside the 99.9 % interval of loss.
    """
    began = time.perf_counter()
    with log.open("w") as target:
        done = subprocess.run(words, stdout=target, stderr=target, timeout=PATIENCE_S, check=False)
    if done.returncode not in (0, 4):
        raise SystemExit(f"exit code {done.returncode}: {log.read_text()[-2000:]}")
    return time.perf_counter() - began


def runs_in(out: Path) -> int:
    """Raw files written so far."""
    return len(list(out.glob("*/raw/*.json.gz")))


def stopped(words: list[str], out: Path, after: int, how: signal.Signals, log: Path) -> int:
    """Start it, send the signal after so many runs, wait until its processes are gone.

    Gives the number of runs that were kept.
    """
    with log.open("w") as target:
        process = subprocess.Popen(words, stdout=target, stderr=target, start_new_session=True)
        deadline = time.monotonic() + PATIENCE_S
        while runs_in(out) < after:
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"it ended before {after} runs were made: {log.read_text()}")
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
        workers = psutil.Process(process.pid).children(recursive=True)
        os.kill(process.pid, how)
        code = process.wait(PATIENCE_S)
    _, left = psutil.wait_procs(workers, timeout=60)
    wanted = 130 if how is signal.SIGINT else -how
    if code != wanted or left:
        raise SystemExit(f"{how.name}: exit code {code}, not {wanted}; left running: {left}")
    return runs_in(out)


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[str]:
    """The address of a scheduler with two workers, all of them processes on loopback."""
    found = folder / "scheduler.json"
    dask = (sys.executable, "-m", "dask")
    local = ("--scheduler-file", str(found))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with contextlib.ExitStack() as stack:

        def start(*words: str) -> subprocess.Popen[bytes]:
            made = subprocess.Popen([*dask, *words, *local], cwd=folder, **quiet)  # type: ignore[call-overload]
            stack.callback(made.wait, 30)
            stack.callback(made.terminate)
            return made  # type: ignore[no-any-return]

        scheduler = start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        deadline = time.monotonic() + 60
        while not found.exists() or not found.read_text():
            if scheduler.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("the Dask scheduler did not start")
            with contextlib.suppress(subprocess.TimeoutExpired):
                scheduler.wait(0.1)
        for _ in range(2):
            start("worker", "--nthreads", "1", "--host", "127.0.0.1", "--no-dashboard")
        address = json.loads(found.read_text())["address"]
        from dask.distributed import Client

        with Client(address, timeout=30, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
        yield address


def comparable(out: Path) -> bytes:
    """The result without what may differ between equal runs."""
    (path,) = out.glob("*/result.json")
    result = json.loads(path.read_text())
    runs = [{**run, "cpu": None} for run in result["runs"]]
    return json.dumps({**result, "environment": None, "runs": runs}).encode()


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    """All five; one line each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--settings", type=int, default=1_000, help="a multiple of 25")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS, help="beside the whole")
    given = parser.parse_args()
    workers = ("--workers", str(given.workers))
    with tempfile.TemporaryDirectory(prefix="sentinel-sim-sweep-") as name:
        folder = Path(name)
        file = folder / "sweep.yaml"
        file.write_text(FILE)
        outs = {key: folder / key for key in ("whole", *given.ways)}
        words = {key: command(file, out, given.settings, *workers) for key, out in outs.items()}
        seconds = timed(words["whole"], folder / "whole.log")
        say(f"{runs_in(outs['whole'])} settings on {given.workers} local workers: {seconds:.1f} s")
        result = json.loads(comparable(outs["whole"]))
        say(f"of them invalid: {sum(not run['valid'] for run in result['runs'])}")
        (report,) = outs["whole"].glob("*/report.html")
        seconds = timed([*CLI, "report", str(report.parent)], folder / "report.log")
        say(f"report: {report.stat().st_size / 1e6:.1f} MB, written anew in {seconds:.1f} s")
        for how in (signal.Signals[way] for way in given.ways if way != "cluster"):
            out, log = outs[how.name], folder / f"{how.name}.log"
            kept = stopped(words[how.name], out, given.settings // 3, how, log)
            (directory,) = out.iterdir()
            seconds = timed([*words[how.name], "--resume", str(directory)], log)
            say(f"{how.name} after {kept} runs, workers gone; resumed in {seconds:.1f} s")
        if "cluster" in given.ways:
            with cluster(folder) as address:
                on = command(file, outs["cluster"], given.settings, "--scheduler", address)
                seconds = timed(on, folder / "cluster.log")
            say(f"on a Dask scheduler with two workers: {seconds:.1f} s")
        unlike = [key for key in outs if comparable(outs[key]) != comparable(outs["whole"])]
    say("results differ: " + ", ".join(unlike) if unlike else "all results are the same bytes")
    return 1 if unlike else 0


if __name__ == "__main__":
    sys.exit(main())
