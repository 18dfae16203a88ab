"""What `sentinel-sim run` was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class BackendChoice(StrEnum):
    """What executes the runs."""

    EMULATED = "emulated"
    SIMULATED = "simulated"
    BOTH = "both"
    AUTO = "auto"


class WireChoice(StrEnum):
    """What delays packets."""

    AUTO = "auto"
    NETEM = "netem"
    DELAYLINE = "delayline"


class EngineChoice(StrEnum):
    """What the simulator moves."""

    PACKET = "packet"
    FLOW = "flow"


@dataclass(frozen=True, slots=True)
class RunFlags:
    """The flags of `run` as they were given."""

    file: Path
    backend: BackendChoice
    wire: WireChoice
    distances: str | None
    arms: str | None
    repeat: int | None
    attempts: int
    seed: int | None
    out: Path
    quick: bool
    resume: Path | None
    dry_run: bool
    fsu_cost: bool
    require: tuple[str, ...]
    settings: tuple[str, ...]
    """`KEY=VALUE,VALUE`, each for one swept key."""
    workers: int | None
    scheduler: str | None
    engine: EngineChoice = EngineChoice.PACKET
