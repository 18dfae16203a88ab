"""Drive a backend through a plan: order, retries, stop rule, resume, interruption.

What a run means is decided elsewhere (`metrics`, `gate`); this module only sees to it that every
run is made, written down at once, and that the network is taken down whatever happens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sentinel_sim.backends.base import Backend, RunMeasurement
from sentinel_sim.errors import EmulationError
from sentinel_sim.experiment import results
from sentinel_sim.experiment.attempts import ATTEMPTS_MOST
from sentinel_sim.experiment.files import new_directory
from sentinel_sim.experiment.interrupts import Catching, Interrupts, catching
from sentinel_sim.experiment.journal import SIMULATED, Journal
from sentinel_sim.experiment.observer import Observer, Outlook, Silent
from sentinel_sim.experiment.pool import Pool
from sentinel_sim.experiment.rawlog import RawRun, raw_run
from sentinel_sim.experiment.resume import finished_runs, refuse_unlike
from sentinel_sim.experiment.schedule import is_due, remaining
from sentinel_sim.plan.model import RunSpec
from sentinel_sim.plan.plan import Plan

FAILURES_MOST = 2
"""Attempts at a run that cannot be carried out."""
HOST_KEYS = ("kernel", "commit", "topology_sha256")
"""What can be compared before the network stands."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


def one_at_a_time() -> AbstractAsyncContextManager[Pool | None]:
    """No pool: every run is made in this process, after the one before."""
    return nullcontext()


@dataclass(frozen=True)
class Job:
    """One experiment to run."""

    plan: Plan
    backend: Callable[[], Backend]
    environment: Mapping[str, Any]
    """Of this host and file (see `environment.host_environment`); the backend adds its part."""
    out: Path
    """Where the new result directory is made."""
    directory: Path | None = None
    """Exactly there, instead of in a new one named after plan and time."""
    resume: Path | None = None
    """The directory of an interrupted experiment, to be continued in place."""
    attempts: int = ATTEMPTS_MOST
    """At one run, while the host disturbs it (see `gate.timing_reasons`)."""
    observer: Observer = field(default_factory=Silent)
    now: Callable[[], datetime] = _utc_now
    pool: Callable[[], AbstractAsyncContextManager[Pool | None]] = one_at_a_time
    """Where runs are made if not by `backend` in this process; then `attempts` does not count."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an experiment ended."""

    directory: Path | None
    """None: interrupted before the network stood."""
    result: results.Result | None
    interrupted_by: str | None
    """Name of the signal; None: it ran to its end."""


async def run_experiment(job: Job, interruptible: Catching = catching) -> Outcome:
    """Run the plan. Raises SimError; what was measured until then is in the directory.

    SIGINT and SIGTERM end it early: the network is taken down, the result is written with
    `complete: false`, and the outcome names the signal. `interruptible` brings the signals.
    """
    if job.resume is not None:
        refuse_unlike(job.resume, job.environment, HOST_KEYS)
    sitting = _Sitting(job)

    def report(name: str, again: bool) -> None:
        job.observer.interrupted(name, again=again)

    with interruptible(report) as interrupts:
        try:
            await sitting.run(interrupts)
        except asyncio.CancelledError:
            if interrupts.signal_name is None:
                raise
            _uncancel()
        finally:
            result = sitting.close()
    directory = sitting.journal.directory if sitting.journal else None
    return Outcome(directory, result, interrupts.signal_name)


def _uncancel() -> None:
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()


class _Sitting:
    """One go at an experiment, from building the network to taking it down."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._complete = False
        self._run_id = ""
        self.journal: Journal | None = None

    async def run(self, interrupts: Interrupts) -> None:
        async with self._job.backend() as backend, self._job.pool() as pool:
            try:
                self.journal = self._open(backend, pool)
                if pool is None:
                    await self._all_runs(backend, self.journal)
                else:
                    await self._all_runs_in(pool, self.journal)
                self._complete = True
            finally:
                # A signal must not cancel the tear-down: what it left would need `clean`.
                interrupts.close()

    async def _all_runs(self, backend: Backend, journal: Journal) -> None:
        plan = self._job.plan
        for repeat in range(plan.repeats.at_most):
            for spec in plan.runs(repeat):
                if spec.key not in journal.records and is_due(plan, spec, journal.records):
                    await self._make(backend, spec, journal)
            await self._again(backend, plan.runs(repeat), journal)

    async def _all_runs_in(self, pool: Pool, journal: Journal) -> None:
        """Repeat by repeat: whether one more is due is known when the one before is done."""
        plan = self._job.plan
        for repeat in range(plan.repeats.at_most):
            due = [
                spec
                for spec in plan.runs(repeat)
                if spec.key not in journal.records and is_due(plan, spec, journal.records)
            ]
            if due:
                await self._make_in(pool, due, journal)

    async def _make_in(self, pool: Pool, due: Sequence[RunSpec], journal: Journal) -> None:
        observer = self._job.observer
        specs = {spec.key: spec for spec in due}
        left = {spec.key: spec for spec in remaining(self._job.plan, journal.records)}
        traffic_ns = sum(spec.expected_duration_ns for spec in left.values())
        observer.progressed(Outlook(len(journal.records), len(left), traffic_ns))
        async with aclosing(pool.make(due)) as made:
            async for run in made:
                journal.add_finished(run)
                spec = specs[run.key]
                observer.run_ended(spec, run.record)
                if left.pop(run.key, None) is not None:
                    traffic_ns -= spec.expected_duration_ns
                observer.progressed(Outlook(len(journal.records), len(left), traffic_ns))

    async def _again(self, backend: Backend, block: Sequence[RunSpec], journal: Journal) -> None:
        """Repeat what the host disturbed; not at once, for what disturbs often lasts a while."""
        # The same run in virtual time would only end in the same way.
        attempts = 1 if backend.name == SIMULATED else self._job.attempts
        while due := [spec for spec in block if journal.may_be_repeated(spec.key, attempts)]:
            for spec in due:
                self._job.observer.run_repeated(spec, journal.records[spec.key])
                journal.discard(spec.key)
                await self._make(backend, spec, journal)

    def close(self) -> results.Result | None:
        return self.journal.save(complete=self._complete) if self.journal else None

    def _open(self, backend: Backend, pool: Pool | None) -> Journal:
        job = self._job
        started = job.now()
        environment = {
            **job.environment,
            **backend.environment(),
            **({} if pool is None else {"workers": pool.describe()}),
            "started_utc": f"{started:%Y-%m-%dT%H:%M:%SZ}",
        }
        self._run_id = str(environment.get("run_id", ""))
        reused: dict[str, RawRun] = {}
        if job.resume is not None:
            refuse_unlike(job.resume, environment)
            reused = finished_runs(job.resume, job.plan)
        directory = job.resume or job.directory
        directory = directory or new_directory(job.out, job.plan.name, started)
        journal = Journal(directory, job.plan, backend.name, environment, reused)
        job.observer.opened(directory, len(reused))
        return journal

    async def _make(self, backend: Backend, spec: RunSpec, journal: Journal) -> None:
        raw = await self._attempt(backend, spec, journal)
        self._job.observer.run_ended(spec, journal.add(raw))

    async def _attempt(self, backend: Backend, spec: RunSpec, journal: Journal) -> RawRun:
        errors: list[str] = []
        measured: RunMeasurement | None = None
        observer = self._job.observer
        while measured is None and len(errors) < FAILURES_MOST:
            left = remaining(self._job.plan, journal.records)
            traffic_ns = sum(run.expected_duration_ns for run in left)
            observer.run_started(spec, Outlook(len(journal.records), len(left), traffic_ns))
            try:
                measured = await backend.run(spec, observer.phase)
            except EmulationError as error:
                errors.append(str(error))
                observer.run_failed(spec, str(error), retry=len(errors) < FAILURES_MOST)
        return raw_run(spec, measured, tuple(errors), self._run_id)


def execute(job: Job) -> Outcome:
    """`run_experiment` in an event loop of its own."""
    return asyncio.run(run_experiment(job))
