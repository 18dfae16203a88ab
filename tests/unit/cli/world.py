"""A host in which everything works, for tests of the command line."""

from __future__ import annotations

import dataclasses
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import UTC, datetime
from pathlib import Path

from tests.unit.experiment.support import SMALL_FILE, FakeBackend, FakePool
from typer.testing import CliRunner, Result

from sentinel_sim.backends.base import Backend
from sentinel_sim.backends.emulated.options import EmulationOptions
from sentinel_sim.cli.main import app
from sentinel_sim.cli.wiring import Wiring
from sentinel_sim.errors import InfeasibleError
from sentinel_sim.experiment.pool import Pool
from sentinel_sim.host.capabilities import CATALOGUE, Capability, Status
from sentinel_sim.host.clean import CleanReport
from sentinel_sim.plan.model import Arm
from sentinel_sim.plan.plan import Plan
from sentinel_sim.topology.budget import CpuBudget

NOON = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)
HOST = {"kernel": "6.1-fake", "commit": None, "versions": {}}
EVERYTHING = [Capability(e.name, Status.FOUND, "", need=e.need) for e in CATALOGUE]


class World:
    """A host on which everything works, until a test changes something."""

    def __init__(self, tmp_path: Path) -> None:
        self.tmp_path = tmp_path
        self.file = tmp_path / "small.yaml"
        self.file.write_text(SMALL_FILE)
        self.out = tmp_path / "results"
        self.backends: list[FakeBackend] = []
        self.wires: list[str] = []
        self.options: list[EmulationOptions] = []
        self.make = FakeBackend
        self.refusals: dict[Arm, InfeasibleError] = {}
        self.pools: list[tuple[int, str | None]] = []
        self.wiring = Wiring(
            emulated=self._emulated,
            simulated=self._simulated,
            unsimulated=lambda plan: dict(self.refusals),
            processors=lambda: 2,
            pool=self._pool,
            simulator_is_compiled=lambda: True,
            wire_backend=lambda: "delayline",
            missing_privileges=list,
            doctor=lambda: EVERYTHING,
            clean=lambda dry_run: CleanReport((), (), (), ()),
            budget=lambda: CpuBudget(cores=2, datagram_ns=2700.0),
            environment=lambda: dict(HOST),
            now=lambda: NOON,
            arguments=("/opt/sentinel-sim", "run", str(self.file)),
            variables={"SENTINEL_SEED": "8", "HOME": "/root"},
            log_directory=lambda: tmp_path / "log",
        )

    def _emulated(self, plan: Plan, options: EmulationOptions) -> Backend:
        backend = self.make()
        self.backends.append(backend)
        self.wires.append(options.wire_backend)
        self.options.append(options)
        return backend

    def _simulated(self, plan: Plan) -> Backend:
        backend = self.make()
        backend.name = "simulated"
        self.backends.append(backend)
        return backend

    def _pool(self, workers: int, scheduler: str | None) -> AbstractAsyncContextManager[Pool]:
        self.pools.append((workers, scheduler))
        return nullcontext(FakePool())

    def change(self, **parts: object) -> None:
        self.wiring = dataclasses.replace(self.wiring, **parts)  # type: ignore[arg-type]

    def call(self, *words: str, env: dict[str, str] | None = None) -> Result:
        return CliRunner().invoke(app, list(words), obj=self.wiring, env=env)

    def run(self, *flags: str, env: dict[str, str] | None = None) -> Result:
        return self.call("run", str(self.file), "--out", str(self.out), *flags, env=env)

    @property
    def directory(self) -> Path:
        (found,) = self.out.iterdir()
        return found
