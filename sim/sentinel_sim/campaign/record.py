"""What one round of a campaign gave (pure)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from sentinel_sim.campaign.judging import Outcome
from sentinel_sim.faults.events import FaultEvent, RepairEvent


@dataclass(frozen=True)
class RoundRecord:
    """What a round gave."""

    outcomes: tuple[Outcome, ...]
    labels: tuple[str, ...]
    """Of the drawn faults, by their index."""
    faults: tuple[FaultEvent, ...]
    repairs: tuple[RepairEvent, ...]
    duplicate_bytes: int
    """Came again at the receivers, and were passed over."""
    replayed_bytes: int
    """Sent again by nodes, as far as their daemons lived to tell."""
    resumptions: int
    refused: Counter[str]
    """Control messages that nodes did not believe, by reason."""
    seconds: float
    flow_again_ns: dict[int, int] = field(default_factory=dict)
    """By a fault's index: see `flowing`. Only of faults that interrupted the flow by themselves."""
