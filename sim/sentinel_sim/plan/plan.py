"""A plan: all runs of an experiment, their order, and when there are enough of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sentinel_sim.plan.model import Arm, ParamValue, RunSpec
from sentinel_sim.plan.stats import estimate
from sentinel_sim.topology.arrival import StopRule
from sentinel_sim.topology.model import Topology


@dataclass(frozen=True, slots=True)
class Combination:
    """One point of the sweep: what the arms are compared at."""

    index: int
    distance_km: float | None
    """As in `RunSpec.distance_km`."""
    params: dict[str, ParamValue] = field(hash=False)
    """As in `RunSpec.params`."""
    slug: str
    """Readable and unique in the plan; part of the run keys."""
    topology: Topology = field(repr=False, hash=False, compare=False)
    """The topology with this combination's values set."""


@dataclass(frozen=True, slots=True)
class Repeats:
    """At least `at_least`, then until the rule is met, `at_most`."""

    at_least: int
    at_most: int
    until: StopRule


@dataclass(frozen=True, slots=True)
class Plan:
    """What `run` will do. Made by `plan.expand.expand`."""

    topology: Topology = field(repr=False)
    """As it was read, before any sweep."""
    arms: tuple[Arm, ...]
    combinations: tuple[Combination, ...]
    repeats: Repeats
    seed: int
    quick: bool
    notes: tuple[str, ...]
    """What was changed against the file (flags, `--quick`); belongs into report and result."""
    by_repeat: tuple[tuple[RunSpec, ...], ...] = field(repr=False)
    _combination_by_key: dict[str, Combination] = field(
        init=False, repr=False, compare=False, hash=False
    )

    def __post_init__(self) -> None:
        by_key = {
            run_key(arm, combination, repeat): combination
            for combination in self.combinations
            for arm in self.arms
            for repeat in range(self.repeats.at_most)
        }
        object.__setattr__(self, "_combination_by_key", by_key)

    @property
    def name(self) -> str:
        """The topology's name."""
        return self.topology.name

    def runs(self, repeat: int) -> tuple[RunSpec, ...]:
        """All runs of one repeat, in the order in which they are to be executed.

        The order is random, drawn from the seed, and different in every repeat, so that drift
        of the host does not look like an effect of distance or arm.
        """
        return self.by_repeat[repeat]

    def combination_of(self, run: RunSpec) -> Combination:
        """The combination that a run of this plan belongs to. Raises KeyError."""
        return self._combination_by_key[run.key]

    def needs_more(self, arm: Arm, combination: Combination, goodputs: Sequence[float]) -> bool:
        """Is another repeat due, given the goodputs of this arm's *valid* runs there?

        An invalid run adds no goodput, so it is made up for by a later repeat; there are
        `repeats.at_most` repeats in all, however many were invalid.
        """
        if arm not in self.arms or combination not in self.combinations:
            return False
        n = len(goodputs)
        if n < self.repeats.at_least:
            return True
        if n >= self.repeats.at_most:
            return False
        share = estimate(goodputs).half_width_share
        return share is None or share >= self.repeats.until.ci95_share

    @property
    def traffic_ns(self) -> int:
        """Time of traffic of one repeat, at best: for time left and `--dry-run`."""
        return sum(run.expected_duration_ns for run in self.by_repeat[0])


def run_key(arm: Arm, combination: Combination, repeat: int) -> str:
    """The stable identity of a run, readable: `tuned_20000km_loss0.001_r0`."""
    return "_".join(part for part in (str(arm), combination.slug, f"r{repeat}") if part)
