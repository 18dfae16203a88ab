"""`sentinel-sim run`: from flags to a finished, reported experiment."""

from __future__ import annotations

from sentinel_sim.backends.emulated.options import EmulationOptions
from sentinel_sim.cli import dryrun, output
from sentinel_sim.cli.both import run_both
from sentinel_sim.cli.conclude import Task, execute_task, finish
from sentinel_sim.cli.demands import refuse_unknown
from sentinel_sim.cli.group import Invocation
from sentinel_sim.cli.options import distances_of, words_of
from sentinel_sim.cli.run_flags import BackendChoice, EngineChoice, RunFlags, WireChoice
from sentinel_sim.cli.simulating import simulate
from sentinel_sim.cli.wiring import as_root
from sentinel_sim.errors import EXIT_OK, MissingCapabilityError, TopologyError
from sentinel_sim.plan.expand import expand
from sentinel_sim.plan.plan import Plan
from sentinel_sim.plan.settings import parse_settings, with_settings
from sentinel_sim.topology import feasibility
from sentinel_sim.topology.findings import FeasibilityReport
from sentinel_sim.topology.reader import load


def run(flags: RunFlags, invocation: Invocation) -> int:
    """Carry the flags out. Returns the exit code; raises SimError for codes 2 and 3."""
    refuse_unknown(flags.require)
    plan = _plan(flags)
    chosen = _chosen(flags, invocation)
    if chosen is BackendChoice.SIMULATED:
        return simulate(flags, plan, invocation)
    _refuse_simulation_flags(flags)
    report = feasibility.check(plan, invocation.wiring.budget())
    if flags.dry_run:
        return _dry_run(flags, plan, report, invocation)
    report.raise_if_refused()
    for finding in report.warnings:
        output.say(f"warning: {finding.render()}")
    _demand_privileges(invocation)
    wire = _wire(flags, invocation)
    if flags.backend is BackendChoice.AUTO or flags.wire is WireChoice.AUTO:
        output.say(f"backend: emulated on this kernel, wires by {wire}")
    options = EmulationOptions(wire_backend=wire, fsu_cost=flags.fsu_cost)
    task = Task(plan, lambda: invocation.wiring.emulated(plan, options), resume=flags.resume)
    if chosen is BackendChoice.BOTH:
        return run_both(task, flags, invocation)
    return finish(execute_task(task, flags, invocation), flags, invocation)


def _plan(flags: RunFlags) -> Plan:
    settings = parse_settings(flags.settings)
    if flags.distances is not None and "distance_km" in settings:
        raise TopologyError(
            "--distances and --set distance_km: both say which distances; give one of them"
        )
    return expand(
        with_settings(load(flags.file), settings),
        arms=words_of(flags.arms),
        distances_km=distances_of(flags.distances),
        repeats=flags.repeat,
        quick=flags.quick,
        seed=flags.seed,
    )


def _chosen(flags: RunFlags, invocation: Invocation) -> BackendChoice:
    """As asked; `auto` falls back to simulation for want of privileges, and says so."""
    if flags.backend is not BackendChoice.AUTO:
        return flags.backend
    missing = invocation.wiring.missing_privileges()
    if not missing:
        return BackendChoice.EMULATED
    output.say(
        "backend: simulated, since emulation needs root and this process lacks "
        + ", ".join(missing)
    )
    return BackendChoice.SIMULATED


def _refuse_simulation_flags(flags: RunFlags) -> None:
    """Two emulated runs at a time would take the CPUs from each other, and both be wrong."""
    if flags.engine is not EngineChoice.PACKET:
        raise TopologyError(
            f"--engine {flags.engine}: is of the simulator alone",
            cure="add --backend simulated, or leave --engine out",
        )
    asked = "--workers" if flags.workers is not None else "--scheduler"
    if flags.workers is not None or flags.scheduler is not None:
        raise TopologyError(
            f"{asked}: emulated runs are made one after the other: at a time, they would disturb "
            "each other on the same CPUs",
            cure=f"leave {asked} out, or use --backend simulated",
        )


def _dry_run(flags: RunFlags, plan: Plan, report: FeasibilityReport, invocation: Invocation) -> int:
    # Without root the kernel cannot be asked, so `auto` shows the usual one.
    wire = "netem" if flags.wire is WireChoice.AUTO else flags.wire.value
    if flags.wire is WireChoice.AUTO and not invocation.wiring.missing_privileges():
        wire = invocation.wiring.wire_backend()
    if invocation.as_json:
        output.print_json(dryrun.as_json(plan, report, wire))
    else:
        dryrun.show(output.console(), plan, report, wire)
    report.raise_if_refused()
    return EXIT_OK


def _demand_privileges(invocation: Invocation) -> None:
    missing = invocation.wiring.missing_privileges()
    if missing:
        raise MissingCapabilityError(
            "emulation needs root: this process lacks "
            + ", ".join(missing)
            + "; --backend simulated needs none",
            cure=as_root(invocation.wiring),
        )


def _wire(flags: RunFlags, invocation: Invocation) -> str:
    best = invocation.wiring.wire_backend()
    if flags.wire is WireChoice.NETEM and best != WireChoice.NETEM.value:
        raise MissingCapabilityError(
            "--wire netem: this kernel has no netem",
            cure="use --wire delayline, or boot a kernel with sch_netem: sentinel-sim doctor",
        )
    return best if flags.wire is WireChoice.AUTO else flags.wire.value
