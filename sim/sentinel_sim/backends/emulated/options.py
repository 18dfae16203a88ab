"""How runs are emulated, where the run itself does not say."""

from __future__ import annotations

import os
from dataclasses import dataclass, field


def keep_awake_by_default() -> bool:
    """Unless SENTINEL_KEEP_AWAKE=0: for guests whose clock counts the instructions executed."""
    return os.environ.get("SENTINEL_KEEP_AWAKE", "1") != "0"


@dataclass(frozen=True)
class EmulationOptions:
    """How to emulate; everything else stands in the run."""

    wire_backend: str
    """`netem` or `delayline`."""
    keep_awake: bool = field(default_factory=keep_awake_by_default)
    """Keep the CPUs from sleeping, and watch them; see `wire.processors`."""
    fsu_cost: bool = False
    """Let the kernel time every run of every FSU while traffic runs; see `fsu_cost`."""
    hashed: bool = True
    """False: payload is not verified, so every run is invalid; for capacity benchmarks."""
