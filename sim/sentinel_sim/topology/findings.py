"""What the feasibility check found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from sentinel_sim.errors import InfeasibleError


class Level(IntEnum):
    """How much a finding matters."""

    INFO = 0
    WARN = 1
    """It can be run; look at the validity of the result."""
    REFUSE = 2
    """It cannot be emulated faithfully here."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One figure of the plan against one limit."""

    level: Level
    code: str
    """Which check: `cpu`, `memory`, `delay` ..."""
    where: str
    """`FILE:LINE: key`."""
    figure: str
    """What is asked for and what there is, in numbers."""
    remedy: str
    subject: str = ""
    """What is judged (a link, a path); findings about the same are merged to the worst."""
    badness: float = 0.0
    """To find the worst among findings of one level: larger is worse."""

    def render(self) -> str:
        """One line: where, figure, remedy."""
        return f"{self.where}: {self.figure}" + (f"; {self.remedy}" if self.remedy else "")


@dataclass(frozen=True, slots=True)
class FeasibilityReport:
    """All findings, the gravest first."""

    findings: tuple[Finding, ...]

    def at(self, level: Level) -> tuple[Finding, ...]:
        """The findings of one level."""
        return tuple(finding for finding in self.findings if finding.level == level)

    @property
    def refused(self) -> tuple[Finding, ...]:
        """What makes the plan impossible on this host."""
        return self.at(Level.REFUSE)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """What may make results invalid."""
        return self.at(Level.WARN)

    def raise_if_refused(self) -> None:
        """Raises InfeasibleError (exit code 2) with every refusal, one line each."""
        if self.refused:
            lines = [finding.render() for finding in self.refused]
            raise InfeasibleError("\n".join(lines))


def merge(findings: Iterable[Finding]) -> FeasibilityReport:
    """Keep the worst finding about each subject; gravest first, then by check and figure."""
    worst: dict[tuple[str, str], Finding] = {}
    for finding in findings:
        key = (finding.code, finding.subject)
        known = worst.get(key)
        if known is None or (finding.level, finding.badness) > (known.level, known.badness):
            worst[key] = finding

    def rank(item: Finding) -> tuple[int, str, float]:
        return -item.level, item.code, item.badness

    return FeasibilityReport(tuple(sorted(worst.values(), key=rank)))
