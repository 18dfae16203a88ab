"""`run --backend simulated`: in this process, or on workers where there is much to do."""

from __future__ import annotations

import re

from rich.text import Text

from sentinel_sim.cli import dryrun, output
from sentinel_sim.cli.conclude import PoolMaker, Task, execute_task, finish
from sentinel_sim.cli.group import Invocation
from sentinel_sim.cli.run_flags import EngineChoice, RunFlags, WireChoice
from sentinel_sim.errors import EXIT_OK, TopologyError
from sentinel_sim.plan.plan import Plan

MANY_RUNS = 64
"""From here on starting workers (some seconds) pays, whatever a run costs."""
ADDRESS = re.compile(r"[a-z]+://\S+")


def simulate(flags: RunFlags, plan: Plan, invocation: Invocation) -> int:
    """Simulate the plan. Returns the exit code; raises SimError."""
    _refuse_emulation_flags(flags)
    if flags.engine is EngineChoice.FLOW:
        _refuse_workers_for_flows(flags)
        pool, backend = None, invocation.wiring.flows(plan)
    else:
        pool = pool_for(flags, plan, invocation)
        backend = invocation.wiring.simulated(plan)
    if flags.dry_run:
        return _dry_run(plan, invocation)
    if flags.engine is EngineChoice.PACKET:
        say_compiling(invocation)
    task = Task(plan, lambda: backend, real_time=False, pool=pool, resume=flags.resume)
    return finish(execute_task(task, flags, invocation), flags, invocation)


def pool_for(flags: RunFlags, plan: Plan, invocation: Invocation) -> PoolMaker | None:
    """Where the runs are made; None: in this process. Raises TopologyError."""
    wiring, scheduler = invocation.wiring, flags.scheduler
    if scheduler is not None:
        if not ADDRESS.fullmatch(scheduler):
            raise TopologyError(
                f"--scheduler {scheduler}: must be the address of a Dask scheduler",
                cure="for example: --scheduler tcp://10.0.0.1:8786",
            )
        if flags.workers is not None:
            raise TopologyError(
                f"--workers {flags.workers}: the scheduler at {scheduler} has workers of its own",
                cure="leave --workers or --scheduler out",
            )
        return lambda: wiring.pool(0, scheduler)
    runs = len(plan.runs(0)) * plan.repeats.at_least
    workers = flags.workers or (wiring.processors() if runs >= MANY_RUNS else 1)
    return None if workers == 1 else lambda: wiring.pool(workers, None)


def say_compiling(invocation: Invocation) -> None:
    """So that nobody wonders about the first half minute."""
    if not invocation.wiring.simulator_is_compiled():
        output.say("simulator: compiling once for this version, about half a minute")


def _refuse_workers_for_flows(flags: RunFlags) -> None:
    asked = "--workers" if flags.workers is not None else "--scheduler"
    if flags.workers is not None or flags.scheduler is not None:
        raise TopologyError(
            f"{asked}: the flow engine makes its runs in this process, most in milliseconds",
            cure=f"leave {asked} out, or use --engine packet",
        )


def _refuse_emulation_flags(flags: RunFlags) -> None:
    if flags.wire is not WireChoice.AUTO:
        raise TopologyError(
            f"--wire {flags.wire}: the simulator has no wires of that kind",
            cure="leave --wire out, or use --backend emulated",
        )
    if flags.fsu_cost:
        raise TopologyError(
            "--fsu-cost: the simulator runs no kernel program whose cost could be read",
            cure="leave --fsu-cost out, or use --backend emulated",
        )


def _dry_run(plan: Plan, invocation: Invocation) -> int:
    if invocation.as_json:
        output.print_json(dryrun.plan_json(plan))
    else:
        output.console().print(dryrun.plan_table(plan))
        output.console().print(Text("simulated: no wires, no commands, no root"))
    return EXIT_OK
