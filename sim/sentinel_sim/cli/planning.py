"""`sentinel-sim plan`: read the file, predict, simulate where asked, show."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path

from rich.text import Text

from sentinel_sim.cli import output
from sentinel_sim.cli.group import Invocation
from sentinel_sim.errors import EXIT_OK, TopologyError
from sentinel_sim.plan.seeds import derive
from sentinel_sim.planner.forecast import Forecast, forecast, offer_of
from sentinel_sim.planner.network import Offer
from sentinel_sim.planner.segmented import network_spec
from sentinel_sim.report import plan_tables
from sentinel_sim.report.plan_tables import Checks
from sentinel_sim.topology import sweep
from sentinel_sim.topology.model import Topology
from sentinel_sim.topology.reader import load
from sentinel_sim.topology.units import UnitError, parse_loss


@dataclass(frozen=True, slots=True)
class PlanFlags:
    """Every flag of `plan`."""

    file: Path
    intermediates: int
    sender: str | None
    receiver: str | None
    loss: str | None
    control: str | None
    check: bool
    check_seconds: int
    check_repeat: int


def plan(flags: PlanFlags, call: Invocation) -> int:
    """Predict and show. Raises TopologyError."""
    topology = _with_loss(load(flags.file), flags.loss)
    offer = offer_of(topology, flags.sender, flags.receiver, flags.control)
    found = forecast(offer, flags.intermediates)
    checks = _checks(found, flags, topology.experiment.seed, call) if flags.check else {}
    if call.as_json:
        output.print_json(plan_tables.as_json(topology.name, found, checks))
        return EXIT_OK
    console = output.console()
    for part in plan_tables.render(topology.name, found, checks):
        console.print(part, soft_wrap=isinstance(part, Text))
    return EXIT_OK


def _with_loss(topology: Topology, loss: str | None) -> Topology:
    if loss is None:
        return topology
    try:
        parse_loss(loss)
    except UnitError as error:
        raise TopologyError(f"--loss: {error}") from error
    document = topology.to_document()
    document["experiment"]["sweep"] = {}
    changed = sweep.apply(topology, document, {"loss": loss})
    changed.attach_source(topology.source, topology.lines)
    return changed


def _checks(found: Forecast, flags: PlanFlags, seed: int, call: Invocation) -> Checks:
    """Steady goodput of each row in bit/s, once for each repeat."""
    # Imported late: numba takes half a second.
    from sentinel_sim.backends.simulated.placements import steady_goodput_bps

    if not call.wiring.simulator_is_compiled():
        output.say("the simulator is compiled first, which takes up to a minute, once")
    duration_ns = flags.check_seconds * 1_000_000_000
    known: dict[tuple[Offer, tuple[str, ...]], list[float]] = {}
    checks: Checks = {}
    for row in found.rows:
        stock = row.what == "direct"
        key = (found.direct if stock else found.offer, row.relays)
        if key not in known:
            known[key] = [
                steady_goodput_bps(
                    network_spec(
                        found.offer,
                        row.relays,
                        stock=stock,
                        duration_ns=duration_ns,
                        seed=derive(seed, "plan", row.what, repeat),
                    ),
                    duration_ns,
                )
                for repeat in range(flags.check_repeat)
            ]
            output.say(f"simulated {row.what}: {statistics.fmean(known[key]) / 1e6:.1f} Mbit/s")
        checks[row.what] = known[key]
    return checks
