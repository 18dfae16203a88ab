"""Simulated runs on Dask: worker processes of this host, or a cluster that is there already.

The only importer of dask and distributed, and imported late: it takes a second. Dask rather than
a pool of processes of our own, because the same code then reaches a cluster.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import tempfile
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from dask.distributed import Client, LocalCluster, as_completed
from distributed.client import FutureCancelledError
from distributed.scheduler import KilledWorker

from sentinel_sim.backends.simulated.remote import identity, simulate
from sentinel_sim.errors import MissingCapabilityError, SimError, SimulationError
from sentinel_sim.experiment.pool import Finished, Pool
from sentinel_sim.plan.model import RunSpec

ANSWER_S = 10
"""How long a scheduler may take to answer."""
WORKERS_S = 60
"""How long the first worker may take to be there: a local one starts in two seconds."""


@asynccontextmanager
async def local_pool(workers: int) -> AsyncIterator[Pool]:
    """So many worker processes on this host, one run at a time in each, ended with the context."""
    with tempfile.TemporaryDirectory(prefix="sentinel-sim-dask-") as scratch:
        with _signals_held_back():
            cluster = await LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",  # any free port: None takes 8787
                memory_limit=0,  # else a run that needs much would be killed, and tried again
                local_directory=scratch,
                silence_logs=logging.CRITICAL,
                asynchronous=True,
            )
        async with cluster, Client(cluster, asynchronous=True, set_as_default=False) as client:
            yield DaskPool(client, {"count": workers, "scheduler": None})


@asynccontextmanager
async def cluster_pool(address: str) -> AsyncIterator[Pool]:
    """The workers of the Dask scheduler at `address`; they are left running."""
    try:
        client = await Client(
            address, asynchronous=True, set_as_default=False, timeout=ANSWER_S, name="sentinel-sim"
        )
    except (OSError, TimeoutError, ValueError) as error:
        words = " ".join(str(error).split())[:120] or type(error).__name__
        raise MissingCapabilityError(
            f"--scheduler {address}: no Dask scheduler answers there: {words}",
            cure=f"start one (`dask scheduler`) and workers (`dask worker {address}`), "
            "or leave --scheduler out",
        ) from error
    async with client:
        try:
            await client.wait_for_workers(1, timeout=WORKERS_S)
        except TimeoutError as error:
            raise MissingCapabilityError(
                f"--scheduler {address}: the scheduler has had no worker for {WORKERS_S} s",
                cure=f"start some where sentinel-sim is installed: dask worker {address}",
            ) from error
        count = len(client.scheduler_info(n_workers=-1)["workers"])
        yield DaskPool(client, {"count": count, "scheduler": address})


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Processes started meanwhile never hear Ctrl-C, which a terminal sends to all of them.

    Blocked signals stay pending for this process, and are heard afterwards. Who gives up what is
    this process's business alone.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class DaskPool:
    """A `Pool` on a connected client."""

    def __init__(self, client: Client, description: dict[str, Any]) -> None:
        self._client = client
        self._description = description
        # Of this sitting: two users of one scheduler must not be given each other's runs.
        self._name = f"sentinel-sim-{os.getpid()}-{uuid.uuid4().hex[:12]}"

    def describe(self) -> dict[str, Any]:
        """Number of workers at the beginning, and the scheduler's address if it is not ours."""
        return dict(self._description)

    async def make(self, specs: Sequence[RunSpec]) -> AsyncGenerator[Finished, None]:
        """As `Pool.make` has it. A run whose worker dies is made again elsewhere by Dask."""
        keys = [f"{self._name}-{spec.key}" for spec in specs]
        futures = self._client.map(
            simulate, list(specs), expected=identity(), key=keys, pure=False, retries=0
        )
        try:
            async for future in as_completed(futures, loop=self._client.loop):
                yield await _result(future)
                future.release()
        finally:
            await asyncio.shield(self._client.cancel(futures, asynchronous=True, force=True))


async def _result(future: Any) -> Finished:  # noqa: ANN401  distributed has no types
    """What a task gave; its failure as an error that says what to do."""
    try:
        found: Finished = await future
    except SimError:
        raise
    except KilledWorker as error:
        raise SimulationError(
            f"run {future.key.rpartition('-')[2]}: each worker that tried it died: {error}"
        ) from error
    except (ModuleNotFoundError, AttributeError) as error:
        raise MissingCapabilityError(
            f"a worker has no sentinel-sim of this version: {error}",
            cure="install the same version of sentinel-sim with requirements.txt on all workers",
        ) from error
    except (FutureCancelledError, OSError) as error:
        raise MissingCapabilityError(
            f"the Dask scheduler is gone: {' '.join(str(error).split())}",
            cure="finished runs are kept: go on with --resume when it is back",
        ) from error
    return found
