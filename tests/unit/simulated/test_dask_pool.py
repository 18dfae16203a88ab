"""Real Dask: a scheduler with two workers that the user already has, and a worker of our own."""

from __future__ import annotations

import json
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from dask.distributed import LocalCluster
from tests.unit.experiment.support import SMALL_FILE, spec

from sentinel_sim.backends.simulated.backend import SimulatedBackend
from sentinel_sim.backends.simulated.dask_pool import cluster_pool, local_pool
from sentinel_sim.backends.simulated.remote import identity, simulate
from sentinel_sim.errors import MissingCapabilityError
from sentinel_sim.experiment.pool import Pool
from sentinel_sim.experiment.runner import Job, one_at_a_time, run_experiment
from sentinel_sim.plan.expand import expand
from sentinel_sim.plan.settings import parse_settings, with_settings
from sentinel_sim.report.parquet import write_runs
from sentinel_sim.topology.reader import loads

# distributed 2026.8 itself uses what tornado and asyncio deprecate.
pytestmark = pytest.mark.filterwarnings("default")


async def outcome_of(
    out: Path, pool: AbstractAsyncContextManager[Pool | None]
) -> tuple[str, bytes, Any]:
    settings = parse_settings(["loss=0 %,1 %", "duration=1 s", "distance_km=100,300"])
    # The second repeat of fsu starts from what a run of a worker's own, made before it, remembers.
    arms = ["direct", "split", "fsu"]
    plan = expand(with_settings(loads(SMALL_FILE), settings), arms=arms, repeats=2)
    job = Job(
        plan=plan,
        backend=SimulatedBackend,
        environment={"kernel": "none"},
        out=out,
        pool=lambda: pool,
        now=lambda: datetime(2026, 1, 2, tzinfo=UTC),
    )
    outcome = await run_experiment(job)
    assert outcome.result is not None
    assert len(outcome.result["runs"]) == 24
    runs = [{**run, "cpu": None} for run in outcome.result["runs"]]
    text = json.dumps({**outcome.result, "environment": None, "runs": runs}, indent=1)
    return text, write_runs([outcome.result], out).read_bytes(), outcome.result["environment"]


async def test_any_number_of_workers_gives_the_same_bytes(tmp_path: Path) -> None:
    here = await outcome_of(tmp_path / "here", one_at_a_time())
    async with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=False,
        protocol="tcp://",
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        asynchronous=True,
    ) as theirs:
        address = theirs.scheduler_address
        there = await outcome_of(tmp_path / "there", cluster_pool(address))
        assert there[2]["workers"] == {"count": 2, "scheduler": address}
        assert len(theirs.scheduler.workers) == 2  # left running
    ours = await outcome_of(tmp_path / "ours", local_pool(1))
    ours_too = await outcome_of(tmp_path / "ours too", local_pool(2))
    assert here[:2] == there[:2] == ours[:2] == ours_too[:2]


async def test_a_scheduler_that_is_not_there_is_named_with_the_cure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sentinel_sim.backends.simulated.dask_pool.ANSWER_S", 0.2)
    with pytest.raises(MissingCapabilityError, match="no Dask scheduler answers") as caught:
        async with cluster_pool("tcp://127.0.0.1:9"):
            pass
    assert "dask worker" in str(caught.value.cure)


def test_a_worker_of_another_version_refuses_the_run() -> None:
    with pytest.raises(MissingCapabilityError, match="unlike this process in numpy"):
        simulate(spec(), {**identity(), "numpy": "0.1"})
