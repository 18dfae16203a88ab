"""A verdict by counting: every run was checked, so no interval is needed (pure)."""

from __future__ import annotations

from collections.abc import Sequence

from sentinel_sim.evidence.verdict import Outcome, Verdict
from sentinel_sim.evidence.view import Group, Run, keys_of


def every_run(
    claim: str, part: str, group: Group, runs: Sequence[Run], right: int, why: str
) -> Verdict:
    """Holds if all of `runs` were right; one that was not refutes."""
    return Verdict(
        claim,
        Outcome.HOLDS if right == len(runs) else Outcome.FAILS,
        part=part,
        arm=group.arm,
        condition=group.condition,
        figure=right / len(runs),
        bound="every run",
        limit=1.0,
        text=f"{right} of {len(runs)}",
        n=len(runs),
        evidence=keys_of(runs),
        why=why,
    )
