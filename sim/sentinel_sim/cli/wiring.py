"""What the commands use of the outside world, handed in: tests hand in something else."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs

from sentinel_sim.backends.base import Backend
from sentinel_sim.backends.emulated.options import EmulationOptions
from sentinel_sim.errors import InfeasibleError
from sentinel_sim.experiment.environment import host_environment
from sentinel_sim.experiment.pool import Pool
from sentinel_sim.host import capabilities, doctor
from sentinel_sim.host import clean as cleaning
from sentinel_sim.host.capabilities import Capability
from sentinel_sim.host.clean import CleanReport
from sentinel_sim.plan.model import Arm, RunSpec
from sentinel_sim.plan.plan import Plan
from sentinel_sim.topology.budget import CpuBudget, measure_budget

if TYPE_CHECKING:
    from sentinel_sim.backends.emulated.backend import EmulatedBackend
    from sentinel_sim.bench.runner import Bench
    from sentinel_sim.fsu.registry import Registry

ENVIRONMENT_PREFIX = "SENTINEL_"


def _emulated(plan: Plan, options: EmulationOptions) -> Backend:
    # Imported late: `validate`, `report` and `--help` need neither gRPC nor the kernel parts.
    from sentinel_sim.backends.emulated.backend import EmulatedBackend

    return EmulatedBackend(plan.runs(0)[0], options)


def _scene(
    spec: RunSpec, options: EmulationOptions
) -> AbstractAsyncContextManager[EmulatedBackend]:
    from sentinel_sim.backends.emulated.backend import EmulatedBackend

    return EmulatedBackend(spec, options)


def _bench(bench: Bench) -> dict[str, Any]:
    # Imported late, as above.
    from sentinel_sim.bench.runner import run

    return run(bench)


def _simulated(plan: Plan) -> Backend:
    # Imported late: numba takes half a second.
    from sentinel_sim.backends.simulated.backend import SimulatedBackend
    from sentinel_sim.backends.simulated.translate import setup

    for spec in plan.runs(0):
        setup(spec)  # raises for what is not simulated, before anything runs
    return SimulatedBackend()


def _flows(plan: Plan) -> Backend:
    # Imported late, as above.
    from sentinel_sim.backends.simulated.flow_backend import FlowBackend
    from sentinel_sim.backends.simulated.flow_translate import refuse

    for spec in plan.runs(0):
        refuse(spec)
    return FlowBackend()


def _unsimulated(plan: Plan) -> dict[Arm, InfeasibleError]:
    from sentinel_sim.backends.simulated.translate import setup

    found: dict[Arm, InfeasibleError] = {}
    for spec in plan.runs(0):
        if spec.arm not in found:
            try:
                setup(spec)
            except InfeasibleError as error:
                found[spec.arm] = error
    return found


def _pool(workers: int, scheduler: str | None) -> AbstractAsyncContextManager[Pool]:
    # Imported late: Dask takes a second.
    from sentinel_sim.backends.simulated.dask_pool import cluster_pool, local_pool

    return local_pool(workers) if scheduler is None else cluster_pool(scheduler)


def _simulator_is_compiled() -> bool:
    from sentinel_sim.backends.simulated.kernel import is_compiled

    return is_compiled()


def _missing_privileges() -> list[str]:
    return capabilities.missing_privileges(Path("/proc/self/status").read_text())


def _clean(dry_run: bool) -> CleanReport:
    return cleaning.clean(dry_run=dry_run)


def _registry() -> Registry:
    from sentinel_sim.fsu.registry import Registry

    return Registry()


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Wiring:
    """The real world by default."""

    emulated: Callable[[Plan, EmulationOptions], Backend] = _emulated
    scene: Callable[[RunSpec, EmulationOptions], AbstractAsyncContextManager[EmulatedBackend]] = (
        _scene
    )
    """The network of a run, for what is done on it by hand."""
    bench: Callable[[Bench], dict[str, Any]] = _bench
    simulated: Callable[[Plan], Backend] = _simulated
    """Raises InfeasibleError for a plan that cannot be simulated."""
    flows: Callable[[Plan], Backend] = _flows
    """The same without packets."""
    unsimulated: Callable[[Plan], dict[Arm, InfeasibleError]] = _unsimulated
    """The arms that cannot be simulated, each with the reason."""
    pool: Callable[[int, str | None], AbstractAsyncContextManager[Pool]] = _pool
    """Takes the number of workers of this host, or the address of a scheduler."""
    processors: Callable[[], int] = lambda: len(os.sched_getaffinity(0))
    """That this process may use."""
    simulator_is_compiled: Callable[[], bool] = _simulator_is_compiled
    wire_backend: Callable[[], str] = doctor.wire_backend
    missing_privileges: Callable[[], list[str]] = _missing_privileges
    doctor: Callable[[], list[Capability]] = doctor.run_doctor
    clean: Callable[[bool], CleanReport] = _clean
    """Takes `dry_run`."""
    budget: Callable[[], CpuBudget] = measure_budget
    environment: Callable[[], dict[str, Any]] = host_environment
    registry: Callable[[], Registry] = _registry
    """The FSUs of this host."""
    now: Callable[[], datetime] = _utc_now
    arguments: Sequence[str] = field(default_factory=lambda: tuple(sys.argv))
    """The command as it was typed, program first."""
    variables: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    log_directory: Callable[[], Path] = lambda: platformdirs.user_log_path("sentinel-sim")


def as_root(wiring: Wiring) -> str:
    """The same command once more, with sudo: flags given as variables included."""
    program = str(Path(wiring.arguments[0]).absolute())
    variables = [
        f"{name}={value}"
        for name, value in sorted(wiring.variables.items())
        if name.startswith(ENVIRONMENT_PREFIX)
    ]
    return shlex.join(["sudo", *variables, program, *wiring.arguments[1:]])
