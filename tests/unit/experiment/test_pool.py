"""Runs made several at a time: the same result in the same order, stop rule, and resume."""

from __future__ import annotations

import json
import threading
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
from tests.unit.experiment.support import FakeBackend, FakePool, measurement, small_plan

from sentinel_sim.backends.base import RunMeasurement
from sentinel_sim.backends.simulated.kernel import once
from sentinel_sim.errors import SimulationError
from sentinel_sim.experiment.runner import Job, run_experiment
from sentinel_sim.plan.model import RunSpec
from sentinel_sim.report.parquet import write_runs

NOON = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)
HOST = {"kernel": "none", "commit": None, "topology_sha256": "00", "versions": {}}


def scattered(run: RunSpec, attempt: int) -> RunMeasurement:
    rate = 40e6 + 20e6 * run.repeat if run.arm == "split" else 80e6 + 1e4 * run.repeat
    return measurement(run, goodput_bps=rate)


def virtual() -> FakeBackend:
    backend = FakeBackend(scattered, environment=HOST)
    backend.name = "simulated"
    return backend


async def result_of(
    out: Path, pool: FakePool | None, resume: Path | None = None
) -> tuple[dict[str, Any], Path]:
    job = Job(small_plan(), virtual, HOST, out, resume=resume, now=lambda: NOON)
    if pool is not None:
        job = Job(**{**vars(job), "pool": lambda: nullcontext(pool)})
    outcome = await run_experiment(job)
    assert outcome.result is not None
    assert outcome.directory is not None
    return outcome.result, outcome.directory


def comparable(result: dict[str, Any]) -> str:
    return json.dumps({**result, "environment": None})


async def test_the_result_does_not_depend_on_how_many_made_it(tmp_path: Path) -> None:
    one, here = await result_of(tmp_path / "a", None)
    pool = FakePool(scattered)
    other, there = await result_of(tmp_path / "b", pool)
    assert comparable(one) == comparable(other)
    assert other["environment"]["workers"] == {"count": 2, "scheduler": None}
    # The stop rule is kept: two distances of `split` spread too widely, `direct` does not.
    assert sum(key.startswith("direct") for key in pool.asked) == 4
    assert sum(key.startswith("split") for key in pool.asked) == 8
    assert write_runs([one], here).read_bytes() == write_runs([other], there).read_bytes()


async def test_what_was_finished_before_the_workers_died_is_not_made_again(tmp_path: Path) -> None:
    whole, _ = await result_of(tmp_path / "whole", None)
    with pytest.raises(SimulationError):
        await result_of(tmp_path / "part", FakePool(scattered, dies_after=5))
    (directory,) = (tmp_path / "part").iterdir()
    pool = FakePool(scattered)
    resumed, again = await result_of(tmp_path / "part", pool, resume=directory)
    assert again == directory
    assert len(pool.asked) == len(whole["runs"]) - 5
    assert comparable(resumed) == comparable(whole)


async def test_the_table_has_a_row_for_each_run_and_units_in_its_names(tmp_path: Path) -> None:
    result, directory = await result_of(tmp_path, None)
    for run in result["runs"]:
        run["params"]["links.0.loss"] = 0.01
        run["params"]["delay_one_way"] = "10 ms"
        run["params"]["queue"] = "1 bdp"
    table = pyarrow.parquet.read_table(write_runs([result], directory))
    assert table.num_rows == len(result["runs"])
    assert table["goodput_bps"].to_pylist() == [run["goodput_bps"] for run in result["runs"]]
    assert table["param_links_0_loss_share"].to_pylist()[0] == 0.01
    assert table["param_delay_one_way_s"].to_pylist()[0] == 0.01
    assert table["param_queue"].to_pylist()[0] == "1 bdp"
    assert table["exposure_max_bytes"].type == "int64"
    assert not {"cpu", "environment"} & set(table.column_names)


def test_of_many_that_need_it_one_compiles_and_the_others_wait(tmp_path: Path) -> None:
    gate, compiled, served = threading.Event(), [], []

    def work() -> None:
        assert gate.wait(10)
        compiled.append(1)

    def worker() -> None:
        once(tmp_path, "engine", work)
        served.append(len(compiled))

    threads = [threading.Thread(target=worker) for _ in range(4)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join()
    assert served == [1, 1, 1, 1]


def test_a_compilation_that_failed_is_tried_by_the_next(tmp_path: Path) -> None:
    def fails() -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        once(tmp_path, "engine", fails)
    done: list[int] = []
    once(tmp_path, "engine", lambda: done.append(1))
    assert done == [1]
