"""`sentinel-sim doctor`: every capability of this host, what it costs to lack, the exact cure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from rich.table import Table
from rich.text import Text

from sentinel_sim.host import probes
from sentinel_sim.host.capabilities import (
    CATALOGUE,
    Capability,
    Need,
    Status,
    Verdict,
    choose_wire_backend,
    draw_verdict,
    judge,
)
from sentinel_sim.host.commands import CommandRunner, run_command

_STYLES = {
    Status.FOUND: "green",
    Status.DEGRADED: "yellow",
    Status.MISSING: "red",
    Status.UNKNOWN: "magenta",
}


def run_doctor(run: CommandRunner = run_command) -> list[Capability]:
    """Try everything, in the order of the catalogue: 1 to 2 s. Works without root, seeing less."""
    return _probe([entry.name for entry in CATALOGUE], run)


def wire_backend(run: CommandRunner = run_command) -> str:
    """`netem` or `delayline`, by trying what the two need.

    Raises MissingCapabilityError, with the cure, when neither works or root is lacking.
    """
    needs = (Need.NETEM, Need.DELAYLINE)
    return choose_wire_backend(_probe([e.name for e in CATALOGUE if e.need in needs], run))


def nfqueue_iptables(run: CommandRunner = run_command) -> str:
    """The iptables program whose NFQUEUE target works: `iptables-nft` or `iptables-legacy`.

    Raises MissingCapabilityError if there is none.
    """
    [capability] = _probe(["NFQUEUE"], run)
    return require(capability).value


def require_user_namespaces(run: CommandRunner = run_command) -> None:
    """Raise MissingCapabilityError, with the cure, where a node cannot have one of its own."""
    [capability] = _probe(["user namespaces"], run)
    require(capability)


def require(capability: Capability) -> Capability:
    """The capability itself if it can be used; else raises MissingCapabilityError with its cure."""
    if not capability.usable:
        raise capability.error()
    return capability


def _probe(names: Iterable[str], run: CommandRunner) -> list[Capability]:
    with probes.scratch(run) as lab:
        return [judge(name, probes.PROBES[name](lab)) for name in names]


def render(capabilities: Iterable[Capability]) -> Table:
    """The table a person reads."""
    table = Table(title="sentinel-sim doctor", title_justify="left", show_lines=False)
    for column in ("capability", "status", "detail", "without it", "cure"):
        table.add_column(column, overflow="fold")
    for capability in capabilities:
        table.add_row(
            capability.name,
            Text(capability.status, style=_STYLES[capability.status]),
            Text(capability.detail),
            Text(capability.costs),
            Text(capability.cure),
        )
    return table


def as_json(capabilities: Iterable[Capability]) -> dict[str, Any]:
    """What `doctor --json` prints: the verdict and all capabilities."""
    capabilities = list(capabilities)
    return {
        "schema": "sentinel-sim/doctor/1",
        "verdict": asdict(verdict(capabilities)),
        "capabilities": [asdict(capability) for capability in capabilities],
    }


def verdict(capabilities: Iterable[Capability]) -> Verdict:
    """Whether the emulated backend can run here: `.ready`, `.text`, `.wire_backend`, `.cure`."""
    return draw_verdict(capabilities)
