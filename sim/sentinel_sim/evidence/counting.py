"""A verdict by counting: every one was checked (pure).

What was counted is exact, and one that was wrong refutes. That all were right says less: three out
of three are quite likely where every third goes wrong. So such a claim holds only after so many
that `ERROR` is left for a share of right ones below `SHARE_MIN`: 44 of 44. The interval is Clopper
and Pearson's (Biometrika 26, 1934), one-sided; where all were right it has a closed form. It takes
what was counted as independent.

Power: a share of 0.999 holds with 44 in 96 % of experiments, 0.99 in 64 %, 0.95 in 10 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sentinel_sim.evidence.coverage import Measured, covered
from sentinel_sim.evidence.statistics import ERROR
from sentinel_sim.evidence.verdict import Outcome, Verdict
from sentinel_sim.evidence.view import Group, Run, counted, keys_of

SHARE_MIN = 0.9
"""Of the right ones in the long run; ours, as the source names none."""
ENOUGH = math.ceil(math.log(ERROR) / math.log(SHARE_MIN))
"""So many right ones, and none wrong, show it."""


@dataclass(frozen=True, slots=True)
class Count:
    """How many of how many were right, and the words around it."""

    claim: str
    part: str
    right: int
    of: int
    noun: str
    """What was counted, singular."""
    why: str = ""

    @property
    def outcome(self) -> Outcome:
        """One that was wrong refutes; all right hold once there are enough."""
        if self.right < self.of:
            return Outcome.FAILS
        return Outcome.HOLDS if self.of >= ENOUGH else Outcome.UNDECIDED

    @property
    def interval(self) -> tuple[float, float] | None:
        """Of the share of right ones in the long run; None where one was wrong."""
        return (ERROR ** (1 / self.of), 1.0) if self.right == self.of else None

    @property
    def reason(self) -> str:
        """Why, and what lacks where there are too few."""
        if self.outcome is not Outcome.UNDECIDED:
            return self.why
        few = f"only {counted(self.of, self.noun)}, {ENOUGH} are needed"
        return f"{few}; {self.why}" if self.why else few


def verdict_of(group: Group, runs: Sequence[Run], count: Count, measured: Measured) -> Verdict:
    """That every single one was right, in `runs`: those of the group that were `measured`."""
    outcome, why = covered(group, measured, count.outcome, count.reason)
    return Verdict(
        count.claim,
        outcome,
        part=count.part,
        arm=group.arm,
        condition=group.condition,
        figure=count.right / count.of,
        ci=count.interval,
        bound="every one",
        limit=1.0,
        text=f"{count.right:,} of {count.of:,}",
        n=len(runs),
        evidence=keys_of(runs),
        why=why,
    )
