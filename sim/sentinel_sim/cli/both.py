"""`run --backend both`: the same file emulated, then simulated, and how far the two agree.

The emulated experiment is the result, with `agreement` in it; the simulated one is a result of its
own in `simulated/` below it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from rich.text import Text

from sentinel_sim.backends.base import RunMeasurement
from sentinel_sim.cli import output
from sentinel_sim.cli.conclude import (
    Task,
    demanded_code,
    execute_task,
    exit_code,
    finish,
    plot_width,
    present_json,
    say_interrupted,
    show,
)
from sentinel_sim.cli.group import Invocation
from sentinel_sim.cli.run_flags import RunFlags
from sentinel_sim.cli.simulating import say_compiling
from sentinel_sim.errors import InfeasibleError
from sentinel_sim.experiment import agreement, rawlog, results
from sentinel_sim.experiment.results import Result
from sentinel_sim.experiment.salvage import Salvaged
from sentinel_sim.plan.model import Arm
from sentinel_sim.plan.plan import Plan
from sentinel_sim.report.agreement_table import agreement_table

SIMULATED_FOLDER = "simulated"


def run_both(emulated: Task, flags: RunFlags, invocation: Invocation) -> int:
    """Run both and compare. Returns the exit code; raises SimError, before anything ran if an
    arm cannot be simulated and no other can."""
    unsimulated = invocation.wiring.unsimulated(emulated.plan)
    plan = _simulated_plan(emulated.plan, unsimulated)
    backend = invocation.wiring.simulated(plan)
    for error in unsimulated.values():
        output.say(f"not simulated, so not compared: {error}")
    outcome = execute_task(emulated, flags, invocation)
    if outcome.interrupted_by is not None or outcome.directory is None or outcome.result is None:
        return finish(outcome, flags, invocation)
    folder = outcome.directory / SIMULATED_FOLDER
    say_compiling(invocation)
    task = Task(
        plan,
        lambda: backend,
        real_time=False,
        directory=folder,
        resume=folder if (folder / results.RESULT_FILE).exists() else None,
    )
    virtual = execute_task(task, flags, invocation)
    if virtual.interrupted_by is not None or virtual.result is None:
        say_interrupted(virtual.interrupted_by or "stopped", outcome.directory, invocation)
        return exit_code(virtual)
    result = _with_agreement(outcome.result, outcome.directory, virtual.result, folder, unsimulated)
    code = max(exit_code(outcome), exit_code(virtual))
    code = demanded_code(code, replace(outcome, result=result), flags)
    _present(result, virtual.result, outcome.directory, invocation, code)
    return code


def _simulated_plan(plan: Plan, unsimulated: Mapping[Arm, InfeasibleError]) -> Plan:
    """The same runs, without the arms that the simulator does not model."""
    arms = tuple(arm for arm in plan.arms if arm not in unsimulated)
    if not arms:
        raise next(iter(unsimulated.values()))
    by_repeat = tuple(tuple(spec for spec in runs if spec.arm in arms) for runs in plan.by_repeat)
    return replace(plan, arms=arms, by_repeat=by_repeat)


def _with_agreement(
    emulated: Result,
    directory: Path,
    simulated: Result,
    folder: Path,
    unsimulated: Mapping[Arm, InfeasibleError],
) -> Result:
    """The emulated result with `agreement`, also on disk."""
    found = agreement.compare(
        emulated["runs"], simulated["runs"], _measured(directory), _measured(folder)
    )
    missing = agreement.only_on_one_side(emulated["runs"], simulated["runs"])
    reasons = {arm.value: str(error) for arm, error in unsimulated.items()}
    document = {
        "simulated": f"{SIMULATED_FOLDER}/{results.RESULT_FILE}",
        **agreement.as_json(found, {**missing, "not_simulated": reasons}),
    }
    result = {**emulated, "agreement": document}
    results.write_result(directory, result)
    return result


def _measured(directory: Path) -> dict[str, RunMeasurement]:
    raw = rawlog.read_all(directory)
    return {key: one.measurement for key, one in raw.items() if one.measurement is not None}


def _present(
    emulated: Result, simulated: Result, directory: Path, invocation: Invocation, code: int
) -> None:
    from sentinel_sim.report.html.writing import write_report
    from sentinel_sim.report.parquet import write_runs

    table = write_runs([emulated, simulated], directory)
    report = write_report(directory, Salvaged(dict(emulated), ()))
    if invocation.as_json:
        present_json(emulated, directory, code, figures=(), table=table, report=report)
        return
    console = output.console()
    for one in (emulated, simulated):
        console.print(Text(f"{one['backend']}:"))
        show(one, width=plot_width())
    console.print(agreement_table(emulated["agreement"]))
    for text in (
        f"result: {directory / results.RESULT_FILE}",
        f"table: {table}",
        f"report: {report}",
    ):
        console.print(Text(text), soft_wrap=True)
