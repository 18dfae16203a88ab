"""The delay stage on kernels that have netem."""

from __future__ import annotations

import json
from typing import Any

from sentinel_sim.plan.model import LinkPlan
from sentinel_sim.wire.names import WireNames, other
from sentinel_sim.wire.netem import netem_line, parse_drops
from sentinel_sim.wire.shell import Shell, batch


class NetemStage:
    """Both directions' delay of one wire, as netem qdiscs on the wire's outer interfaces."""

    backend = "netem"

    def __init__(self, names: WireNames, shell: Shell) -> None:
        self._names = names
        self._shell = shell

    def _outer(self, source: str) -> str:
        return self._names.outer(other(source))

    def start(self) -> int | None:
        """Nothing to start: the kernel does it all."""
        return None

    def set(self, source: str, link: LinkPlan, delay_ns: int, seed: int) -> None:
        """Delay what comes from `source` by `delay_ns` (base cost already subtracted)."""
        line = netem_line(self._outer(source), link, delay_ns)
        batch(self._shell, "tc", self._names.namespace, [line])

    def _show(self, source: str) -> str:
        namespace = self._names.namespace
        return self._shell.run(
            ("tc", "-n", namespace, "-s", "-j", "qdisc", "show", "dev", self._outer(source))
        )

    def held_packets(self) -> int:
        """Packets inside the stage now."""
        return sum(
            int(entry["qlen"])
            for source in ("a", "b")
            for entry in json.loads(self._show(source))
            if entry["kind"] == "netem"
        )

    def drops(self) -> dict[str, dict[str, int]]:
        """Unplanned drops since start, by source side and cause."""
        return {source: {"netem": parse_drops(self._show(source))} for source in ("a", "b")}

    def describe(self) -> dict[str, Any]:
        """For the result's environment and raw log."""
        return {"backend": self.backend}

    def stop(self) -> None:
        """Nothing to stop: the qdiscs go with the namespace."""
