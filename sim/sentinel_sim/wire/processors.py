"""What an experiment does with the host's processors: keeps them awake, and watches them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sentinel_sim.wire.awake import Awake
from sentinel_sim.wire.stalls import StallWatch


class Processors:
    """`Awake` and `StallWatch` for one experiment, until `close`."""

    def __init__(self, tag: str, env: dict[str, str], record: Callable[[int, str], None]) -> None:
        """`tag` marks the processes as ours; `record(pid, what)` is called for each."""
        self._awake = Awake(tag, env, record)
        try:
            self._watch = StallWatch(tag, env, record)
        except BaseException:
            self._awake.close()
            raise

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by name."""
        return {**self._awake.pids, **self._watch.pids}

    def reset(self) -> None:
        """Start to watch for stalls anew."""
        self._watch.reset()

    def stalls(self) -> dict[str, Any]:
        """By CPU, since the last reset; see `wire.stalls.CpuStalls`."""
        return self._watch.read()

    def describe(self) -> dict[str, Any]:
        """For the result's environment."""
        return self._awake.describe()

    def close(self) -> None:
        """Let them sleep again."""
        self._watch.close()
        self._awake.close()
