"""`sentinel-sim campaign`: from flags to a judged fault campaign."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sentinel_sim.backends.emulated.options import EmulationOptions
from sentinel_sim.cli import output
from sentinel_sim.cli.group import EXIT_INTERRUPTED, Invocation
from sentinel_sim.cli.options import words_of
from sentinel_sim.cli.wiring import as_root
from sentinel_sim.errors import EXIT_INVALID, EXIT_OK, MissingCapabilityError, TopologyError
from sentinel_sim.experiment.files import new_directory
from sentinel_sim.plan.expand import expand
from sentinel_sim.plan.model import Arm
from sentinel_sim.plan.plan import Plan
from sentinel_sim.topology import feasibility
from sentinel_sim.topology.reader import load

if TYPE_CHECKING:
    from sentinel_sim.campaign.drawing import Blow

OUTPUT_SCHEMA = "sentinel-sim/campaign-run/1"


@dataclass(frozen=True, slots=True)
class CampaignFlags:
    """The flags of `campaign` as they were given."""

    file: Path
    faults: int
    seed: int
    arms: str
    kinds: str | None
    targets: str | None
    lanes: int
    calm_s: float
    out: Path


def campaign(flags: CampaignFlags, invocation: Invocation) -> int:
    """Carry the flags out. Returns the exit code; raises SimError for codes 2 and 3."""
    # Imported late: they take gRPC and the kernel parts with them.
    from sentinel_sim.campaign.display import CampaignProgress, tables_of, where
    from sentinel_sim.campaign.runner import CampaignSettings, run_campaign

    wiring = invocation.wiring
    plan, arms = _plan(flags)
    base = min(plan.runs(0), key=lambda spec: spec.distance_km or 0.0)
    blows = _blows(flags, plan)
    feasibility.check(plan, wiring.budget()).raise_if_refused()
    if missing := wiring.missing_privileges():
        raise MissingCapabilityError(
            "a campaign needs root: this process lacks " + ", ".join(missing), cure=as_root(wiring)
        )
    options = EmulationOptions(wire_backend=wiring.wire_backend())
    directory = new_directory(flags.out, f"campaign-{plan.name}", wiring.now())
    environment = {**wiring.environment(), "command": shlex.join(wiring.arguments)}
    settings = CampaignSettings(
        name=plan.name,
        base=base,
        arms=arms,
        faults=flags.faults,
        seed=flags.seed,
        lanes=flags.lanes,
        calm_ns=round(flags.calm_s * 1e9),
        blows=blows,
        directory=directory,
        environment=environment,
    )
    with CampaignProgress(output.error_console(), flags.faults) as progress:
        found = run_campaign(settings, lambda spec: wiring.scene(spec, options), progress)
    code = EXIT_OK if found["valid"] else EXIT_INVALID
    if found["interrupted"]:
        code = EXIT_INTERRUPTED
    if invocation.as_json:
        whole = {"schema": OUTPUT_SCHEMA, "directory": str(directory), "exit_code": code}
        output.print_json({**whole, "result": found})
    else:
        console = output.console()
        console.print(tables_of(found))
        console.print(where(directory), soft_wrap=True)
    return code


def _plan(flags: CampaignFlags) -> tuple[Plan, tuple[Arm, ...]]:
    words = words_of(flags.arms) or []
    plan = expand(load(flags.file), arms=words, repeats=1)
    for arm in plan.arms:
        if not arm.splits:
            raise TopologyError(
                f"--arms {arm}: nobody confirms bytes for others in {arm}, so none can be lost",
                cure="--arms split,fsu",
            )
    return plan, plan.arms


def _blows(flags: CampaignFlags, plan: Plan) -> tuple[Blow, ...]:
    """Those asked for. Raises TopologyError for names that strike nothing."""
    from sentinel_sim.campaign.drawing import blows

    found = blows(plan.runs(0)[0])
    for flag, wanted, names in (
        ("--kinds", words_of(flags.kinds), {blow.kind.value for blow in found}),
        ("--targets", words_of(flags.targets), {blow.target for blow in found}),
    ):
        for word in wanted or ():
            if word not in names:
                raise TopologyError(f"{flag} {word}: none of {', '.join(sorted(names))}")
    kinds, targets = words_of(flags.kinds), words_of(flags.targets)
    chosen = tuple(
        blow
        for blow in found
        if (kinds is None or blow.kind.value in kinds)
        and (targets is None or blow.target in targets)
    )
    if not chosen:
        raise TopologyError("--kinds and --targets: none of these kinds strikes these targets")
    return chosen
