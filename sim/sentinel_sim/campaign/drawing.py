"""Which faults strike what and when, and what is sent meanwhile. Drawn from one seed (pure)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from sentinel_sim.plan.model import FaultKind, FaultPlan, FlowPlan, RunSpec

MS = 1_000_000
FIRST_FAULT_NS = 300 * MS
GAP_NS = (150 * MS, 750 * MS)
"""Between one fault and the next: some strike while the one before is still being repaired."""
SAME_NODE_NS = 1_500 * MS
"""Between two faults at one node: a daemon that is dead already cannot be killed."""
LASTS_NS = (100 * MS, 1_500 * MS)
"""Of what lasts: some freezes end before they are noticed, others after the daemon was replaced."""
FOR_GOOD_SHARE = 0.5
"""Of the freezes: they last until somebody repairs them."""
CORRUPT_SHARE = 0.2
REPLAY_SHARE = 0.5
SIZE_BYTES = (500_000, 6_000_000)
TRANSFERS_MOST = 64
"""In one round."""


class Source(StrEnum):
    """Where a transfer's bytes come from."""

    PIPE = "pipe"
    """They can be read once: what the sender has of them dies with it."""
    SEED = "seed"
    """They can be made anew at any offset, as of a file."""


@dataclass(frozen=True, slots=True)
class Blow:
    """A kind of fault at one target."""

    kind: FaultKind
    target: str
    control_only: bool = False

    @property
    def label(self) -> str:
        """As tables name it."""
        return f"{self.kind} (control)" if self.control_only else self.kind.value


NODE_KINDS = (FaultKind.KILL_DAEMON, FaultKind.FREEZE_DAEMON, FaultKind.RESTART_DAEMON)


def blows(spec: RunSpec) -> tuple[Blow, ...]:
    """All that can strike: every daemon in every way, every link as a whole and its control."""
    nodes = [Blow(kind, node) for kind in NODE_KINDS for node in spec.roles]
    links = [
        blow
        for link in spec.links
        for blow in (
            Blow(FaultKind.PARTITION, link.name),
            Blow(FaultKind.PARTITION, link.name, control_only=True),
            Blow(FaultKind.CORRUPT_CONTROL, link.name),
            Blow(FaultKind.REPLAY_CONTROL, link.name),
        )
    ]
    return (*nodes, *links)


class Deck:
    """Deals all blows in random order, again and again: all strike equally often."""

    def __init__(self, cards: tuple[Blow, ...], choice: random.Random) -> None:
        if not cards:
            raise ValueError("a deck needs at least one blow")
        self._cards = cards
        self._choice = choice
        self._left: list[Blow] = []

    def deal(self) -> Blow:
        """The next one."""
        if not self._left:
            self._left = list(self._cards)
            self._choice.shuffle(self._left)
        return self._left.pop()


def draw_faults(
    deck: Deck, count: int, choice: random.Random, calm_ns: int = 0
) -> tuple[FaultPlan, ...]:
    """`count` faults, one after the other; each is left to itself for `calm_ns` more."""
    at_ns, struck_ns = FIRST_FAULT_NS, dict[str, int]()
    found = []
    for index in range(count):
        blow = deck.deal()
        at_ns = max(at_ns, struck_ns.get(blow.target, 0))
        fault = _fault(index, blow, at_ns, choice)
        struck_ns[blow.target] = at_ns + SAME_NODE_NS + (fault.for_ns or 0)
        found.append(fault)
        at_ns += calm_ns + choice.randint(*GAP_NS)
    return tuple(found)


def _fault(index: int, blow: Blow, at_ns: int, choice: random.Random) -> FaultPlan:
    for_ns: int | None = None
    if blow.kind is FaultKind.FREEZE_DAEMON:
        for_ns = None if choice.random() < FOR_GOOD_SHARE else choice.randint(*LASTS_NS)
    elif blow.kind not in NODE_KINDS:
        for_ns = choice.randint(*LASTS_NS)
    return FaultPlan(
        index,
        blow.kind,
        blow.target,
        at_ns=at_ns,
        for_ns=for_ns,
        control_only=blow.control_only,
        corrupt=CORRUPT_SHARE if blow.kind is FaultKind.CORRUPT_CONTROL else 0.0,
        replay=REPLAY_SHARE if blow.kind is FaultKind.REPLAY_CONTROL else 0.0,
    )


def blow_of(fault: FaultPlan) -> Blow:
    """What a drawn fault was."""
    return Blow(fault.kind, fault.target, fault.control_only)


def draw_transfers(paths: int, choice: random.Random) -> tuple[FlowPlan, ...]:
    """As many as a round may need, over all paths in turn."""
    return tuple(
        FlowPlan(number, (number - 1) % paths, 0, choice.randint(*SIZE_BYTES), None)
        for number in range(1, TRANSFERS_MOST + 1)
    )


def sources(choice: random.Random) -> Iterator[Source]:
    """Endless; every second one is a pipe for sure, so that at least half are."""
    while True:
        yield Source.PIPE
        yield Source.PIPE if choice.random() < 0.2 else Source.SEED
