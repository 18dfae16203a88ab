"""Runs that a busy host disturbed: made again, kept aside, told; nothing else is."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jsonschema
import pytest
from tests.unit.experiment.support import FakeBackend, measurement, obliging, spec, wire
from tests.unit.experiment.test_runner import job, result_of

from sentinel_sim.backends.base import RunMeasurement
from sentinel_sim.experiment import rawlog, results
from sentinel_sim.experiment.rawlog import raw_run
from sentinel_sim.experiment.records import disturbed
from sentinel_sim.experiment.runner import run_experiment
from sentinel_sim.plan.model import RunSpec
from sentinel_sim.report.table import notes_of

KEY = "direct_100km_r0"
LATE_NS = tuple(range(0, 30_000_000, 30_000))
STALLS = {"cpu1": {"wakeups": 900, "late_p99_s": 4e-3, "late_max_s": 19e-3, "stalled_share": 0.03}}


def late(run: RunSpec) -> RunMeasurement:
    """Lateness beyond its limit, on a host that stalled; slower than it should be."""
    good = measurement(run, goodput_bps=70e6)
    wires = (dataclasses.replace(good.wires[0], lateness_ns=LATE_NS), *good.wires[1:])
    return dataclasses.replace(good, wires=wires, cpu={"steal_share": 0.04, "stalls": STALLS})


def late_at_first(times: int) -> FakeBackend:
    def behave(run: RunSpec, attempt: int) -> RunMeasurement:
        return late(run) if run.key == KEY and attempt < times else obliging(run, attempt)

    return FakeBackend(behave)


async def test_a_disturbed_run_is_made_again_after_its_block_and_both_attempts_are_kept(
    tmp_path: Path,
) -> None:
    backend = late_at_first(1)
    outcome = await run_experiment(job(tmp_path, backend))
    result = result_of(outcome)
    assert backend.asked.count(KEY) == 2
    assert backend.asked[4] == KEY  # the block of the first repeat has four runs
    assert result["valid"] is True
    (run,) = [run for run in result["runs"] if run["key"] == KEY]
    (earlier,) = run["discarded_attempts"]
    assert "lateness p99" in earlier["invalid_reasons"][0]
    assert earlier["goodput_bps"] < run["goodput_bps"]
    assert outcome.directory is not None
    (raw,) = rawlog.read_discarded(outcome.directory, KEY)
    assert raw.spec.key == KEY
    assert set(rawlog.read_all(outcome.directory)) == set(backend.asked)
    jsonschema.validate(result, json.loads(results.SCHEMA_PATH.read_text()))


async def test_what_stays_disturbed_is_invalid_after_the_last_attempt(tmp_path: Path) -> None:
    backend = late_at_first(99)
    result = result_of(await run_experiment(job(tmp_path, backend, attempts=3)))
    assert backend.asked.count(KEY) == 3
    (run,) = [run for run in result["runs"] if run["key"] == KEY]
    assert run["valid"] is False
    assert len(run["discarded_attempts"]) == 2
    assert result["valid"] is False


async def test_one_attempt_means_no_repetition(tmp_path: Path) -> None:
    backend = late_at_first(1)
    result = result_of(await run_experiment(job(tmp_path, backend, attempts=1)))
    assert backend.asked.count(KEY) == 1
    assert result["valid"] is False


async def test_resume_gives_a_disturbed_run_its_remaining_attempts(tmp_path: Path) -> None:
    first = await run_experiment(job(tmp_path, late_at_first(99), attempts=2))
    again = FakeBackend()
    result = result_of(
        await run_experiment(job(tmp_path, again, attempts=3, resume=first.directory))
    )
    assert again.asked == [KEY]
    assert result["valid"] is True
    (run,) = [run for run in result["runs"] if run["key"] == KEY]
    assert len(run["discarded_attempts"]) == 2


@pytest.mark.parametrize(
    "fault",
    ["hash", "unplanned", "unaccounted", "loss"],
)
def test_a_fault_is_never_made_again_whatever_else_is_wrong(fault: str) -> None:
    """A second attempt would hide it, or bias the loss."""
    run = spec()
    bad = late(run)
    if fault == "hash":
        bad = dataclasses.replace(
            bad, flows=tuple(dataclasses.replace(one, sha256_ok=False) for one in bad.flows)
        )
    else:
        changes = {
            "unplanned": {"drops_unplanned": {"queue": 1}},
            "unaccounted": {"packets_out": 99_990},
            "loss": {"loss_dropped": 500, "packets_out": 99_500},
        }[fault]
        changed = wire(run.links[1], **changes)
        bad = dataclasses.replace(bad, wires=(*bad.wires[:2], changed, *bad.wires[3:]))
    assert disturbed(raw_run(run, late(run)))
    assert not disturbed(raw_run(run, bad))
    assert not disturbed(raw_run(run, measurement(run)))
    assert not disturbed(raw_run(run, None, ("died",)))


async def test_the_table_tells_of_what_was_made_again_and_of_the_host(tmp_path: Path) -> None:
    result = result_of(await run_experiment(job(tmp_path, late_at_first(1))))
    (note,) = [note for note in notes_of(result) if note.startswith("made again")]
    assert KEY in note
    assert "held cpu1 up for 3.0% of the time, at worst for 19.0 ms" in note
    assert "4.0% of the CPU time went to other guests" in note


async def test_an_invalid_run_says_whether_the_host_was_there(tmp_path: Path) -> None:
    result = result_of(await run_experiment(job(tmp_path, late_at_first(99))))
    (note,) = [note for note in notes_of(result) if note.startswith("invalid")]
    assert "held cpu1 up" in note
