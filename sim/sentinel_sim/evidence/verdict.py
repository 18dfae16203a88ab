"""A verdict on one part of a claim, and what several say together (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sentinel_sim.evidence.registry import BY_ID, CLAIMS, Claim

Json = dict[str, Any]


class Outcome(StrEnum):
    """What is said of a claim."""

    HOLDS = "holds"
    FAILS = "fails"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One judged figure. None: not measured, or no interval possible."""

    claim: str
    verdict: Outcome
    part: str = ""
    """What the figure is."""
    arm: str | None = None
    condition: str = ""
    """Other swept keys, as `loss 0.1 %`; empty where nothing else varies."""
    figure: float | None = None
    ci: tuple[float, float] | None = None
    unit: str = ""
    bound: str = ""
    """The claim's limit in words."""
    limit: float | None = None
    """The limit as a number, in `unit`."""
    text: str = "not measured"
    """Figure and interval in words."""
    n: int = 0
    """Runs behind the figure."""
    evidence: tuple[str, ...] = ()
    """Keys of those runs."""
    why: str = ""

    def as_json(self) -> Json:
        """For `result.json` (design: section 9, and more keys)."""
        return {
            "claim": self.claim,
            "verdict": self.verdict.value,
            "part": self.part,
            "arm": self.arm,
            "condition": self.condition,
            "figure": self.figure,
            "ci": None if self.ci is None else list(self.ci),
            "unit": self.unit,
            "bound": self.bound,
            "limit": self.limit,
            "text": self.text,
            "n": self.n,
            "evidence": list(self.evidence),
            "why": self.why,
        }


@dataclass(frozen=True, slots=True)
class Headline:
    """What is said of a claim as a whole."""

    claim: Claim
    verdict: Outcome
    arm: str | None
    """Whose runs spoke for it."""
    why: str
    parts: tuple[Json, ...]
    """Every part, those of other arms too."""


def together(outcomes: Iterable[str]) -> Outcome:
    """Fails if one part fails, holds if all hold, undecided otherwise."""
    found = set(outcomes)
    if Outcome.FAILS in found:
        return Outcome.FAILS
    return Outcome.HOLDS if found == {Outcome.HOLDS} else Outcome.UNDECIDED


def headlines(verdicts: Sequence[Json]) -> list[Headline]:
    """One per claim of the registry, from the `verdicts` of a result."""
    return [headline(claim, verdicts) for claim in CLAIMS]


def headline(claim: Claim, verdicts: Sequence[Json], arm: str | None = None) -> Headline:
    """The claim as a whole; with `arm` as demanded of that arm.

    Else the first of the claim's arms that was run speaks for it: `tuned` being flat does not
    make the FSU's claim hold.
    """
    parts = tuple(one for one in verdicts if one["claim"] == claim.id)
    arms = (arm,) if arm is not None else claim.arms
    seen = {one["arm"] for one in parts}
    own = next((name for name in arms if name in seen), None)
    if arms and own is None:
        why = f"arm {' or '.join(arms)} has no result" if seen - {None} else _why(parts)
        return Headline(claim, Outcome.UNDECIDED, None, why, parts)
    mine = [one for one in parts if one["arm"] == own]
    verdict = together(one["verdict"] for one in mine)
    return Headline(claim, verdict, own, _why(mine, verdict), parts)


def _why(parts: Sequence[Json], verdict: Outcome | None = None) -> str:
    """The reason of the first part that decided."""
    for one in parts:
        if verdict is None or one["verdict"] == verdict:
            return str(one.get("why", ""))
    return ""


def demanded(words: str) -> tuple[Claim, str | None]:
    """`CLAIM` or `CLAIM:ARM` of --require. Raises KeyError with the unknown id."""
    name, _, arm = words.partition(":")
    return BY_ID[name], arm or None


def unmet(words: Sequence[str], verdicts: Sequence[Json]) -> list[str]:
    """Which of the demanded claims do not hold, each with its verdict and reason."""
    found = []
    for one in words:
        claim, arm = demanded(one)
        said = headline(claim, verdicts, arm)
        if said.verdict is not Outcome.HOLDS:
            found.append(f"{one}: {said.verdict}: {said.why}")
    return found


def changed(before: Sequence[Json], after: Sequence[Json]) -> list[str]:
    """Which verdicts differ between two judgements of the same runs, and what they were.

    Parts that only one of the two has are left out: they are new, or of a version that had others.
    """
    keys = ("claim", "arm", "part", "condition")
    known = {tuple(one.get(key) for key in keys): one.get("verdict") for one in before}
    found = []
    for one in after:
        was = known.get(tuple(one[key] for key in keys))
        if was is not None and was != one["verdict"]:
            words = " ".join(str(one[key]) for key in ("claim", "arm", "condition") if one[key])
            found.append(f"{words} was {was}, is {one['verdict']}: {one['why']}")
    return found
