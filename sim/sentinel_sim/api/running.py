"""`ss.run`: what `sentinel-sim run` does, from Python, in a script or in a notebook."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import hashlib
import shlex
import sys
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from sentinel_sim.api import notebook
from sentinel_sim.api.result import Result, load
from sentinel_sim.api.words import cures_in_python
from sentinel_sim.backends.base import Backend
from sentinel_sim.backends.emulated.options import EmulationOptions
from sentinel_sim.cli.options import words_of
from sentinel_sim.cli.wiring import Wiring
from sentinel_sim.errors import MissingCapabilityError, TopologyError
from sentinel_sim.experiment.attempts import ATTEMPTS_MOST
from sentinel_sim.experiment.files import write_atomically
from sentinel_sim.experiment.interrupts import Remote
from sentinel_sim.experiment.observer import Observer, Silent
from sentinel_sim.experiment.runner import Job, Outcome, execute, run_experiment
from sentinel_sim.plan.expand import expand
from sentinel_sim.plan.plan import Plan
from sentinel_sim.report.progress import ProgressDisplay
from sentinel_sim.report.status_line import Line, StatusLine
from sentinel_sim.topology import feasibility, reader
from sentinel_sim.topology.model import Topology
from sentinel_sim.topology.units import UnitError, parse_distance_km

BackendName = Literal["simulated", "emulated", "auto"]
WireName = Literal["auto", "netem", "delayline"]
Source = str | PathLike[str] | Mapping[str, Any]
Progress = bool | Observer | None
TOPOLOGY_FILE = "topology.yaml"
"""In the result directory: the file of a topology that was given as a mapping."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """The arguments of `run` that the execution needs."""

    backend: str
    wire: str
    out: Path
    resume: Path | None
    attempts: int
    progress: Progress
    command: str


def run(
    topology: Source,
    backend: BackendName = "simulated",
    *,
    arms: str | Sequence[str] | None = None,
    distances: Sequence[float | str] | None = None,
    repeat: int | None = None,
    seed: int | None = None,
    quick: bool = False,
    wire: WireName = "auto",
    out: str | PathLike[str] = "results",
    resume: str | PathLike[str] | None = None,
    attempts: int = ATTEMPTS_MOST,
    progress: Progress = None,
    wiring: Wiring | None = None,
) -> Result:
    """Run an experiment and give its result. Blocks until it is done.

    The same as `sentinel-sim run`: the same plan, seeds, result directory and `result.json`
    (but for `environment` and `cpu`).

    topology   a topology file, or a mapping of what it would hold
    backend    `simulated` (no root), `emulated` (root), or `auto`: emulated where it can be
    arms       of direct, tuned, split, fsu; else those of the file
    distances  of the whole path, in km, or as text with a unit; else those of the file
    repeat     so many repeats, without a stop rule
    seed       of losses, jitter, payload and order; else that of the file
    quick      fewer points, short runs, one repeat: to see that it works, not for claims
    wire       what delays packets when emulated
    out        a new directory NAME-TIME is made here, never reused
    resume     the directory of an interrupted experiment, to be continued in place
    attempts   at one run, while a busy host makes it invalid by timing alone
    progress   None: a bar in a notebook or terminal, nothing elsewhere; True: lines elsewhere;
               False: nothing; or an `Observer`
    wiring     for tests: what is used of the outside world

    Raises TopologyError, InfeasibleError, MissingCapabilityError, ResultError, EmulationError;
    `error.cure` says what helps. An interrupt (Ctrl-C, or the notebook's stop button) takes the
    network down, keeps what was measured, and raises KeyboardInterrupt, which names the directory.
    An invalid run is no exception: see `Result.valid`.
    """
    with cures_in_python():
        read = _read(topology)
        plan = expand(
            read,
            arms=words_of(arms) if isinstance(arms, str) else arms,
            distances_km=_distances_km(distances),
            repeats=repeat,
            quick=quick,
            seed=seed,
        )
        wiring = wiring or Wiring()
        chosen = _chosen(backend, wiring)
        flags = {
            "arms": ",".join(plan.arms) if arms is not None else None,
            "distances": ",".join(map(str, distances)) if distances is not None else None,
            "repeat": repeat,
            "seed": seed,
            "wire": wire if wire != "auto" else None,
        }
        place = TOPOLOGY_FILE if isinstance(topology, Mapping) else str(topology)
        command = _command(place, chosen, flags, quick=quick)
        resumed = None if resume is None else Path(resume)
        asked = _Asked(chosen, wire, Path(out), resumed, attempts, progress, command)
        return _carried_out(topology, read, plan, asked, wiring)


def _read(topology: Source) -> Topology:
    if isinstance(topology, Mapping):
        return reader.from_mapping(topology)
    return reader.load(Path(topology))


def _distances_km(given: Sequence[float | str] | None) -> list[float] | None:
    if given is None:
        return None
    if isinstance(given, str | int | float):
        raise TopologyError(
            f"distances: is not a list, got {given!r}", cure="for example distances=[100, 20_000]"
        )
    try:
        return [parse_distance_km(one) for one in given]
    except UnitError as error:
        raise TopologyError(
            f"distances: {error}", cure="for example distances=[100, '1000 km'] (bare: km)"
        ) from error


def _chosen(backend: str, wiring: Wiring) -> str:
    if backend not in ("simulated", "emulated", "auto"):
        raise TopologyError(
            f"backend: no backend is named {backend!r}",
            cure="backend='simulated', 'emulated' or 'auto'",
        )
    missing = wiring.missing_privileges() if backend != "simulated" else []
    if backend == "auto":
        return "simulated" if missing else "emulated"
    if missing:
        raise MissingCapabilityError(
            "emulation needs root: this process lacks " + ", ".join(missing),
            cure="start Python (or Jupyter) as root, or use --backend simulated",
        )
    return backend


def _command(place: str, backend: str, flags: Mapping[str, object], *, quick: bool) -> str:
    """The command line that does the same: the report names it under *reproduce*."""
    words = ["sentinel-sim", "run", place, "--backend", backend]
    for name, value in flags.items():
        words += [] if value is None else [f"--{name}", str(value)]
    return shlex.join([*words, *(["--quick"] if quick else [])])


def _carried_out(
    topology: Source, read: Topology, plan: Plan, asked: _Asked, wiring: Wiring
) -> Result:
    given = None if isinstance(topology, Mapping) else Path(topology)
    text = reader.dumps(read).encode() if given is None else given.read_bytes()
    environment = {
        **wiring.environment(),
        "topology_file": TOPOLOGY_FILE if given is None else str(given),
        "topology_sha256": hashlib.sha256(text).hexdigest(),
        "command": asked.command,
    }
    backend = _backend(plan, asked, wiring)
    with contextlib.ExitStack() as stack:
        outcome = _executed(
            Job(
                plan=plan,
                backend=backend,
                environment=environment,
                out=asked.out,
                resume=asked.resume,
                attempts=asked.attempts,
                observer=_observer(asked, wiring, stack),
                now=wiring.now,
            )
        )
    if outcome.directory is not None and given is None:
        write_atomically(outcome.directory / TOPOLOGY_FILE, text)
    return _result_of(outcome)


def _backend(plan: Plan, asked: _Asked, wiring: Wiring) -> Callable[[], Backend]:
    if asked.backend == "simulated":
        if asked.wire != "auto":
            raise TopologyError(
                f"wire={asked.wire!r}: the simulator has no wires of that kind",
                cure="leave wire out, or use --backend emulated",
            )
        simulated = wiring.simulated(plan)
        return lambda: simulated
    report = feasibility.check(plan, wiring.budget())
    report.raise_if_refused()
    if report.warnings:
        warnings.warn("\n".join(one.render() for one in report.warnings), stacklevel=4)
    best = wiring.wire_backend()
    if asked.wire not in ("auto", "delayline", best):
        raise MissingCapabilityError(
            f"wire={asked.wire!r}: this kernel has none of that kind",
            cure="use --wire delayline, or see what is there with: sentinel-sim doctor",
        )
    options = EmulationOptions(wire_backend=best if asked.wire == "auto" else asked.wire)
    return lambda: wiring.emulated(plan, options)


def _observer(asked: _Asked, wiring: Wiring, stack: contextlib.ExitStack) -> Observer:
    given = asked.progress
    if given is not None and not isinstance(given, bool):
        return given
    line: Callable[[str], Line]
    if given is False:
        return Silent()
    if notebook.is_notebook():
        line = notebook.NotebookLine
    elif given or sys.stderr.isatty():
        line = partial(StatusLine, Console(stderr=True, highlight=False))
    else:
        return Silent()
    simulated = asked.backend == "simulated"
    display = stack.enter_context(ProgressDisplay(line, real_time=not simulated))
    if simulated and not wiring.simulator_is_compiled():
        display.note("compiling the simulator once for this version, about half a minute")
    return display


def _executed(job: Job) -> Outcome:
    """In an event loop of its own; in a thread of its own where this one's is somebody else's."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        if threading.current_thread() is threading.main_thread():
            return execute(job)
    remote = Remote()
    coroutine = run_experiment(job, remote.catching)
    # With this cell's context: IPython sends output to the cell that a thread was started in.
    context = contextvars.copy_context()
    with concurrent.futures.ThreadPoolExecutor(1, "sentinel-sim") as pool:
        running = pool.submit(context.run, asyncio.run, coroutine)
        while True:
            try:
                return running.result()
            except KeyboardInterrupt:
                remote.trip("SIGINT")  # and wait on: the network has to be taken down


def _result_of(outcome: Outcome) -> Result:
    if outcome.interrupted_by is not None:
        kept = (
            "nothing had been measured"
            if outcome.directory is None
            else f"what was measured is in {outcome.directory}: look at it with ss.load(...),"
            f" continue with the same ss.run(...) and resume={str(outcome.directory)!r}"
        )
        raise KeyboardInterrupt(f"{outcome.interrupted_by}: the network is taken down; {kept}")
    if outcome.directory is None:
        raise AssertionError("an experiment that ran to its end has a directory")
    return load(outcome.directory)
