"""The runner: order, stop rule, retries, resume and interruption, on a network that is a fake."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from tests.unit.experiment.support import (
    FakeBackend,
    measurement,
    obliging,
    small_plan,
)

from sentinel_sim.backends.base import ProgressHook, RunMeasurement
from sentinel_sim.errors import EmulationError, MissingCapabilityError, ResultError
from sentinel_sim.experiment import results
from sentinel_sim.experiment.observer import Outlook, Silent
from sentinel_sim.experiment.runner import Job, Outcome, run_experiment
from sentinel_sim.experiment.schedule import in_order, remaining
from sentinel_sim.plan.model import RunSpec
from sentinel_sim.plan.plan import Plan

HOST = {"kernel": "6.1-fake", "commit": "abc", "topology_sha256": "00", "versions": {}}
NOON = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)


def job(
    tmp_path: Path, backend: FakeBackend, *, plan: Plan | None = None, **changes: object
) -> Job:
    given = Job(
        plan=plan or small_plan(),
        backend=lambda: backend,
        environment=HOST,
        out=tmp_path,
        now=lambda: NOON,
    )
    return dataclasses.replace(given, **changes)  # type: ignore[arg-type]


def scattered(run: RunSpec, attempt: int) -> RunMeasurement:
    """Split runs vary by half from repeat to repeat, the others hardly."""
    rate = 40e6 + 20e6 * run.repeat if run.arm == "split" else 80e6 + 1e4 * run.repeat
    return measurement(run, goodput_bps=rate)


def result_of(outcome: Outcome) -> results.Result:
    assert outcome.directory is not None
    return results.read_result(outcome.directory)


async def test_every_run_of_the_minimum_is_made_in_the_order_of_the_plan(tmp_path: Path) -> None:
    plan = small_plan()
    backend = FakeBackend()
    outcome = await run_experiment(job(tmp_path, backend, plan=plan))
    assert backend.asked == [run.key for repeat in (0, 1) for run in plan.runs(repeat)]
    assert backend.exited
    result = result_of(outcome)
    assert result["valid"] is True
    assert result["complete"] is True
    assert [run["key"] for run in result["runs"]] == backend.asked
    assert {one["n"] for one in result["summary"]} == {2}
    assert outcome.interrupted_by is None
    assert result == outcome.result


async def test_only_what_is_spread_too_widely_is_repeated_up_to_the_maximum(
    tmp_path: Path,
) -> None:
    backend = FakeBackend(scattered)
    await run_experiment(job(tmp_path, backend))
    assert sum(key.startswith("direct") for key in backend.asked) == 2 * 2
    assert sum(key.startswith("split") for key in backend.asked) == 2 * 4


async def test_the_directory_holds_result_plan_and_one_raw_file_per_run(tmp_path: Path) -> None:
    backend = FakeBackend()
    outcome = await run_experiment(job(tmp_path, backend))
    assert outcome.directory == tmp_path / "small-20260102T120000Z"
    raw = {path.name.removesuffix(".json.gz") for path in (outcome.directory / "raw").iterdir()}
    assert raw == set(backend.asked)
    processed = YAML(typ="safe").load((outcome.directory / "processed.yaml").read_text())
    assert processed["topology"]["name"] == "small"
    assert len(processed["plan"]["runs"]) == 2 * 2 * 4
    environment = result_of(outcome)["environment"]
    assert environment["wire_backend"] == "fake"
    assert environment["commit"] == "abc"


async def test_a_failed_run_is_tried_once_more_and_both_attempts_are_recorded(
    tmp_path: Path,
) -> None:
    def behave(run: RunSpec, attempt: int) -> RunMeasurement:
        if run.key == "direct_100km_r0" and attempt == 0:
            raise EmulationError("daemon on m died")
        return obliging(run, attempt)

    backend = FakeBackend(behave)
    result = result_of(await run_experiment(job(tmp_path, backend)))
    assert backend.asked.count("direct_100km_r0") == 2
    (run,) = [run for run in result["runs"] if run["key"] == "direct_100km_r0"]
    assert run["valid"] is True
    assert run["failed_attempts"] == ["daemon on m died"]
    assert result["valid"] is True


async def test_a_run_that_fails_twice_is_invalid_and_the_others_go_on(tmp_path: Path) -> None:
    def behave(run: RunSpec, attempt: int) -> RunMeasurement:
        if run.key == "direct_100km_r0":
            raise EmulationError(f"attempt {attempt}")
        return obliging(run, attempt)

    backend = FakeBackend(behave)
    result = result_of(await run_experiment(job(tmp_path, backend)))
    assert backend.asked.count("direct_100km_r0") == 2
    (run,) = [run for run in result["runs"] if run["key"] == "direct_100km_r0"]
    assert run["invalid_reasons"] == ["the run failed: attempt 1"]
    assert result["complete"] is True
    assert result["valid"] is False
    # The stop rule makes up for it: two valid runs there, as everywhere.
    (summary,) = [
        one for one in result["summary"] if (one["arm"], one["distance_km"]) == ("direct", 100.0)
    ]
    assert (summary["n"], summary["n_invalid"]) == (2, 1)


async def test_an_unexpected_end_keeps_what_was_measured_and_tears_down(tmp_path: Path) -> None:
    def behave(run: RunSpec, attempt: int) -> RunMeasurement:
        if run.repeat == 1:
            raise MissingCapabilityError("the kernel module went away")
        return obliging(run, attempt)

    backend = FakeBackend(behave)
    with pytest.raises(MissingCapabilityError):
        await run_experiment(job(tmp_path, backend))
    assert backend.exited
    result = results.read_result(tmp_path / "small-20260102T120000Z")
    assert len(result["runs"]) == 4
    assert result["complete"] is False
    assert result["valid"] is False


class Interrupting(FakeBackend):
    """Sends itself a signal in its third run and then waits for ever."""

    def __init__(self, send: Callable[[], None]) -> None:
        super().__init__()
        self._send = send

    async def run(self, run: RunSpec, progress: ProgressHook) -> RunMeasurement:
        if len(self.asked) == 2:
            self._send()
            await asyncio.Event().wait()
        return await super().run(run, progress)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_the_experiment_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    before = signal.getsignal(number)
    backend = Interrupting(lambda: os.kill(os.getpid(), number))
    outcome = await run_experiment(job(tmp_path, backend))
    assert outcome.interrupted_by == number.name
    assert backend.exited
    result = result_of(outcome)
    assert len(result["runs"]) == 2
    assert result["complete"] is False
    assert signal.getsignal(number) == before


async def test_a_second_signal_does_not_disturb_the_tear_down(tmp_path: Path) -> None:
    told: list[bool] = []
    heard = asyncio.Event()

    class Listener(Silent):
        def interrupted(self, signal_name: str, *, again: bool) -> None:
            told.append(again)
            if again:
                heard.set()

    class Patient(Interrupting):
        async def __aexit__(self, *exc: object) -> None:
            self._send()
            await heard.wait()
            self.exited = True

    backend = Patient(lambda: os.kill(os.getpid(), signal.SIGINT))
    outcome = await run_experiment(job(tmp_path, backend, observer=Listener()))
    assert backend.exited
    assert outcome.interrupted_by == "SIGINT"
    assert told == [False, True]


async def test_a_signal_after_the_last_run_changes_nothing(tmp_path: Path) -> None:
    heard = asyncio.Event()

    class Listener(Silent):
        def interrupted(self, signal_name: str, *, again: bool) -> None:
            heard.set()

    class Late(FakeBackend):
        async def __aexit__(self, *exc: object) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            await heard.wait()
            self.exited = True

    backend = Late()
    outcome = await run_experiment(job(tmp_path, backend, observer=Listener()))
    assert backend.exited
    assert outcome.interrupted_by is None
    assert result_of(outcome)["valid"] is True


async def test_resume_makes_only_what_is_missing(tmp_path: Path) -> None:
    first = Interrupting(lambda: os.kill(os.getpid(), signal.SIGINT))
    begun = await run_experiment(job(tmp_path, first))
    second = FakeBackend()
    outcome = await run_experiment(job(tmp_path, second, resume=begun.directory))
    assert outcome.directory == begun.directory
    assert set(second.asked).isdisjoint(first.asked)
    assert len(first.asked) + len(second.asked) == 8
    undisturbed = await run_experiment(job(tmp_path / "other", FakeBackend()))
    assert result_of(outcome)["valid"] is True
    assert _by_key(result_of(outcome)) == _by_key(result_of(undisturbed))


def _by_key(result: results.Result) -> dict[str, Any]:
    return {run["key"]: run for run in result["runs"]}


async def test_the_run_id_in_interface_names_does_not_make_sittings_unlike(
    tmp_path: Path,
) -> None:
    def sitting(run_id: str, raw_only: int) -> FakeBackend:
        offloads = {f"a:sn{run_id}0a": {"gro": "on"}}

        def behave(run: RunSpec, attempt: int) -> RunMeasurement:
            if len(backend.asked) > raw_only:
                raise EmulationError("died")
            return measurement(run, offloads=offloads)

        stands = {"wire_backend": "fake", "run_id": run_id, "offloads": offloads}
        backend = FakeBackend(behave, environment=stands)
        return backend

    plan = small_plan(repeats=2)
    begun = await run_experiment(job(tmp_path, sitting("0f3a", 4), plan=plan))
    again = await run_experiment(
        job(tmp_path, sitting("77bc", 99), plan=plan, resume=begun.directory)
    )
    result = result_of(again)
    assert result["valid"] is True
    assert {one["n"] for one in result["summary"]} == {2}


async def test_resume_repeats_a_failed_run_and_one_whose_specification_changed(
    tmp_path: Path,
) -> None:
    def behave(run: RunSpec, attempt: int) -> RunMeasurement:
        if run.key == "direct_100km_r0":
            raise EmulationError("died")
        return obliging(run, attempt)

    begun = await run_experiment(job(tmp_path, FakeBackend(behave), plan=small_plan(repeats=1)))
    again = FakeBackend()
    await run_experiment(job(tmp_path, again, plan=small_plan(repeats=1), resume=begun.directory))
    assert again.asked == ["direct_100km_r0"]
    other_seed = FakeBackend()
    changed = small_plan(repeats=1, seed=8)
    await run_experiment(job(tmp_path, other_seed, plan=changed, resume=begun.directory))
    assert len(other_seed.asked) == 4


@pytest.mark.parametrize(
    ("host", "network", "words"),
    [
        ({"kernel": "6.2"}, {}, "kernel was"),
        ({"commit": "def"}, {}, "commit was"),
        ({"topology_sha256": "11"}, {}, "topology_sha256 was"),
        ({}, {"wire_backend": "netem"}, "wire_backend was"),
        ({}, {"offloads": {"gro": False}}, "offloads was"),
    ],
)
async def test_resume_refuses_to_pool_unlike_runs(
    tmp_path: Path, host: Mapping[str, Any], network: Mapping[str, Any], words: str
) -> None:
    stands = {"wire_backend": "fake", "offloads": {"gro": True}}
    begun = await run_experiment(job(tmp_path, FakeBackend(environment=stands)))
    before = result_of(begun)
    other = FakeBackend(environment={**stands, **network})
    with pytest.raises(ResultError, match=words) as caught:
        await run_experiment(
            job(tmp_path, other, resume=begun.directory, environment={**HOST, **host})
        )
    assert caught.value.cure is not None
    assert other.entered == bool(network)
    assert other.asked == []
    assert result_of(begun) == before


async def test_the_observer_hears_of_every_run_and_of_what_is_left(tmp_path: Path) -> None:
    outlooks: list[Outlook] = []
    ended: list[str] = []

    class Listener(Silent):
        def run_started(self, spec: RunSpec, outlook: Outlook) -> None:
            outlooks.append(outlook)

        def run_ended(self, spec: RunSpec, record: Mapping[str, Any]) -> None:
            ended.append(spec.key)

    backend = FakeBackend()
    await run_experiment(job(tmp_path, backend, observer=Listener()))
    assert ended == backend.asked
    assert [outlook.done for outlook in outlooks] == list(range(8))
    assert [outlook.remaining for outlook in outlooks] == list(range(8, 0, -1))
    assert outlooks[-1].remaining_traffic_ns > 4_000_000_000


def test_a_further_repeat_counts_as_left_once_it_is_known_to_be_due() -> None:
    plan = small_plan()
    wild = {
        run.key: {"valid": True, "goodput_bps": 1e6 * (1 + 50 * run.repeat)}
        for run in in_order(plan)
        if run.repeat < 2
    }
    assert len(remaining(plan, {})) == 8
    assert len(remaining(plan, wild)) == 4
    calm = {key: {"valid": True, "goodput_bps": 1e6} for key in wild}
    assert remaining(plan, calm) == []
