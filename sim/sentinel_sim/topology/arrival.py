"""When the flows of a `many` workload start, and when an experiment has enough repeats."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from sentinel_sim.topology.units import (
    UnitError,
    format_share,
    format_time,
    parse_frequency,
    parse_share,
    parse_time,
    shorten,
)

_FORMS = "'all at once', 'every 50 ms' or 'poisson 20 /s'"
_UNTIL = re.compile(r"\s*ci95\s*<\s*(.+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Arrival:
    """An arrival process of flows."""

    kind: Literal["at_once", "every", "poisson"]
    interval_ns: int = 0
    """Between two starts, for `every`."""
    rate_per_s: float = 0.0
    """Mean number of starts per second, for `poisson`."""

    def __str__(self) -> str:
        if self.kind == "at_once":
            return "all at once"
        if self.kind == "every":
            return f"every {format_time(self.interval_ns)}"
        return f"poisson {self.rate_per_s!r} /s"


def parse_arrival(value: object) -> Arrival:
    """Read an arrival process. Raises UnitError."""
    if not isinstance(value, str):
        raise UnitError(f"must be {_FORMS}, got {shorten(value)}")
    words = value.split(maxsplit=1)
    if value.split() == ["all", "at", "once"]:
        return Arrival("at_once")
    if len(words) == 2 and words[0] == "every":
        interval_ns = parse_time(words[1])
        if interval_ns == 0:
            raise UnitError(f"must be more than zero, got {shorten(value)}")
        return Arrival("every", interval_ns=interval_ns)
    if len(words) == 2 and words[0] == "poisson":
        return Arrival("poisson", rate_per_s=parse_frequency(words[1]))
    raise UnitError(f"is no arrival process, got {shorten(value)}; write {_FORMS}")


@dataclass(frozen=True, slots=True)
class StopRule:
    """Stop repeating when the 95 % interval's half-width is below this share of the mean."""

    ci95_share: float

    def __str__(self) -> str:
        return f"ci95 < {format_share(self.ci95_share)}"


def parse_until(value: object) -> StopRule:
    """Read a stop rule such as "ci95 < 5 %". Raises UnitError."""
    match = _UNTIL.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise UnitError(f"is no stop rule, got {shorten(value)}; write 'ci95 < 5 %'")
    share = parse_share(match[1])
    if share == 0.0:
        raise UnitError(f"can never be met, got {shorten(value)}; write 'ci95 < 5 %'")
    return StopRule(share)
