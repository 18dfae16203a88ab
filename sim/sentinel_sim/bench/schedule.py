"""The steps of a benchmark run, in order, and how long each should take (pure).

Trials at equal rate are made in blocks: every variant once, then once more in reverse order
(A B C C B A). Trials of the same half are compared pair by pair, so that whatever drifts slowly
falls on both sides of a ratio.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sentinel_sim.bench.lanes import (
    FORWARD,
    LANES_OF,
    USER_LANES,
    Lane,
    Mode,
    Variant,
    Work,
    variants_of,
)

EQUAL_PPS_MOST = 10_000
_SERIES = (1, 2, 5)


class Kind(StrEnum):
    """What a step does."""

    AGREEMENT = "agreement"
    COST = "program cost"
    COLD = "cold cost"
    LIVE = "live frames"
    GENERATOR = "generator maximum"
    THROUGHPUT = "zero-loss rate"
    TRIAL = "equal rate"
    SOFTIRQ = "equal rate, soft interrupts"
    FLOWS = "flow counts"


@dataclass(frozen=True, slots=True)
class Settings:
    """How much is measured. Recorded in the result: runs compare only if they are equal."""

    mode: Mode
    quick: bool
    equal_pps: int | None
    """Rate of the trials at equal rate; None: chosen from the slowest lane."""
    flows: tuple[int, ...]
    seed: int
    cost_samples: int
    cost_packets: int
    python_packets: int
    cold_samples: int
    live_samples: int
    live_packets: int
    passes: int
    passes_more_flows: int
    resolution: float
    search_trial_s: float
    blocks: int
    blocks_more_flows: int
    trial_s: float
    check_packets: int

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """What the mode measures."""
        return LANES_OF[self.mode]


def full_settings(mode: Mode, equal_pps: int | None, seed: int) -> Settings:
    """For figures that are to be believed: some seven minutes with all lanes."""
    return Settings(
        mode=mode, quick=False, equal_pps=equal_pps, flows=(1, 1_000, 64_000), seed=seed,
        cost_samples=10, cost_packets=300_000, python_packets=5_000, cold_samples=30,
        live_samples=6, live_packets=300_000, passes=3, passes_more_flows=2, resolution=0.05,
        search_trial_s=0.3, blocks=3, blocks_more_flows=2, trial_s=1.0, check_packets=15_000,
    )  # fmt: skip


def quick_settings(mode: Mode, equal_pps: int | None, seed: int) -> Settings:
    """To see that it works: under a minute."""
    return Settings(
        mode=mode, quick=True, equal_pps=equal_pps, flows=(1, 64_000), seed=seed,
        cost_samples=4, cost_packets=100_000, python_packets=2_000, cold_samples=5,
        live_samples=2, live_packets=100_000, passes=1, passes_more_flows=0, resolution=0.15,
        search_trial_s=0.1, blocks=1, blocks_more_flows=0, trial_s=0.2, check_packets=2_000,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do. `number` is a pass or block; `half` is 0 or 1 within a block."""

    kind: Kind
    seconds: float
    """Expected, on the machine this was written on."""
    variant: Variant = FORWARD
    flows: int = 1
    number: int = 0
    half: int = 0

    @property
    def title(self) -> str:
        """For people."""
        if self.kind in (Kind.GENERATOR, Kind.AGREEMENT):
            return str(self.kind)
        flows = "1 flow" if self.flows == 1 else f"{self.flows:,} flows"
        if self.kind is Kind.LIVE:
            return f"{self.kind}, {flows}"
        return f"{self.kind}: {self.variant.name}, {flows}"


def steps_of(settings: Settings) -> list[Step]:
    """The whole run."""
    return [
        Step(Kind.AGREEMENT, 2.0),
        *_cost_steps(settings),
        *_live_steps(settings),
        Step(Kind.GENERATOR, 1.0),
        *_throughput_steps(settings),
        *_trial_steps(settings),
        *_softirq_steps(settings),
        *_check_steps(settings),
    ]


def expected_s(settings: Settings) -> float:
    """Of the whole run, compiling and building included."""
    return sum(step.seconds for step in steps_of(settings)) + 6.0


def _cost_steps(settings: Settings) -> Iterable[Step]:
    for lane in settings.lanes:
        packets = settings.python_packets if lane in USER_LANES else settings.cost_packets
        each_ns = 10_000 if lane in USER_LANES else 250
        seconds = 0.1 + settings.cost_samples * packets * each_ns / 1e9
        for flows in settings.flows:
            yield Step(Kind.COST, seconds, Variant(lane), flows)
        yield Step(Kind.COLD, settings.cold_samples * 0.02, Variant(lane))


def _live_steps(settings: Settings) -> Iterable[Step]:
    if Lane.XDP_NATIVE in settings.lanes:
        seconds = 0.2 + settings.live_samples * settings.live_packets * 3 * 500e-9
        for flows in settings.flows:
            yield Step(Kind.LIVE, seconds, flows=flows)


def _placed(variant: Variant) -> float:
    """Putting a lane in place and taking it out, in seconds."""
    return 0.1 if variant.in_kernel else 0.4


def _throughput_steps(settings: Settings) -> Iterable[Step]:
    for flows in settings.flows:
        first = flows == settings.flows[0]
        full_only = settings.quick or not first
        passes = settings.passes if first else settings.passes_more_flows
        for number in range(passes):
            for variant in _turned(_chosen(settings, full_only), number):
                seconds = 9 * (settings.search_trial_s + 0.1) + _placed(variant)
                yield Step(Kind.THROUGHPUT, seconds, variant, flows, number)


def _trial_steps(settings: Settings) -> Iterable[Step]:
    for flows in settings.flows:
        first = flows == settings.flows[0]
        blocks = settings.blocks if first else settings.blocks_more_flows
        for block in range(blocks):
            for half in (0, 1):
                for variant in _turned(_chosen(settings, not first), half):
                    seconds = settings.trial_s + 0.05 + _placed(variant)
                    yield Step(Kind.TRIAL, seconds, variant, flows, block, half)


def _softirq_steps(settings: Settings) -> Iterable[Step]:
    kernel = [v for v in _chosen(settings, True) if v.in_kernel]
    if len(kernel) < 2:
        return
    for block in range(settings.blocks):
        for half in (0, 1):
            for variant in _turned(kernel, half):
                yield Step(Kind.SOFTIRQ, settings.trial_s + 0.1, variant, 1, block, half)


def _check_steps(settings: Settings) -> Iterable[Step]:
    for lane in settings.lanes:
        works = (Work.FULL,) if lane in USER_LANES else (Work.EMPTY, Work.FULL)
        for flows in settings.flows:
            for work in works:
                seconds = 0.8 + settings.check_packets / EQUAL_PPS_MOST
                yield Step(Kind.FLOWS, seconds, Variant(lane, work), flows)


def _chosen(settings: Settings, full_only: bool) -> list[Variant]:
    return [
        variant
        for variant in variants_of(settings.lanes)
        if not full_only or variant == FORWARD or variant.work is Work.FULL
    ]


def _turned(variants: Sequence[Variant], number: int) -> Sequence[Variant]:
    return variants if number % 2 == 0 else variants[::-1]


def equal_rate(slowest_pps: float) -> int:
    """A round rate (1, 2 or 5 times a power of ten) that every lane carries with ease.

    At most half of what the slowest one can, and at most EQUAL_PPS_MOST. Raises ValueError below 2.
    """
    if slowest_pps < 2:
        raise ValueError(f"the slowest lane carries {slowest_pps:g} packets/s: no rate is left")
    allowed = min(slowest_pps / 2, EQUAL_PPS_MOST)
    round_rates = [factor * int(10**power) for power in range(6) for factor in _SERIES]
    return max(rate for rate in round_rates if rate <= allowed)
