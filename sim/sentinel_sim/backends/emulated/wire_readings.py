"""What the wires of a run did: drops, loss, rate, stamps; and when they are empty."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

from sentinel_sim.backends.emulated.assemble import WireState
from sentinel_sim.backends.emulated.deployment import Deployment
from sentinel_sim.backends.emulated.fault_stages import FaultStages
from sentinel_sim.backends.emulated.kernel_parts import KernelParts
from sentinel_sim.backends.emulated.sampling import QueueSampler
from sentinel_sim.errors import EmulationError
from sentinel_sim.plan.model import RunSpec
from sentinel_sim.wire.wire import SIDES

DRAIN_TIMEOUT_S = 30.0
DRAIN_POLL_S = 0.01


@dataclass(frozen=True)
class WireReadings:
    """Reads all wires of a deployment."""

    deployment: Deployment
    parts: KernelParts
    stages: FaultStages

    def unplanned_drops(self) -> dict[tuple[str, str], dict[str, int]]:
        """Since the network was built, by link and source side, then by cause."""
        drops: dict[tuple[str, str], dict[str, int]] = {}
        tx_dropped = self.deployment.tx_dropped()
        for link, wire in self.deployment.wires.items():
            for source, causes in wire.stage.drops().items():
                drops[link, source] = {**causes, "node_interface": tx_dropped[link, source]}
        return drops

    async def drain(self) -> None:
        """Wait until no packet is left in any delay stage (twice, a moment apart)."""
        deadline = time.monotonic() + DRAIN_TIMEOUT_S
        empty = 0
        while empty < 2:
            if time.monotonic() > deadline:
                raise EmulationError(f"the wires did not drain within {DRAIN_TIMEOUT_S:g} s")
            empty = empty + 1 if self.deployment.held_packets() == 0 else 0
            await asyncio.sleep(DRAIN_POLL_S)

    def read(
        self,
        spec: RunSpec,
        sampler: QueueSampler,
        before: Mapping[tuple[str, str], Mapping[str, int]],
    ) -> list[WireState]:
        """Every direction of every wire since `prepare`; `before`: the unplanned drops then."""
        after = self.unplanned_drops()
        states = []
        for link in spec.links:
            wire = self.deployment.wires[link.name]
            for source in SIDES:
                key = (link.name, source)
                trace = sampler.traces[key]
                if trace.last is None:
                    raise EmulationError(f"link {link.name}: its queue was never read")
                unplanned = {c: after[key][c] - before[key][c] for c in after[key]}
                states.append(
                    WireState(
                        link=link,
                        direction=wire.direction(source),
                        base_cost_ns=wire.base_cost_ns[source],
                        probe=self.parts.read_probes(key),
                        loss=self.parts.read_loss(key),
                        rate=trace.last,
                        backlogged_bps=trace.backlogged_bps(link.rate_bps),
                        unplanned=unplanned,
                        fault=self.stages.reading(*key),
                        loss_periods=self.stages.loss_periods(*key),
                        rate_periods=trace.periods(link.rate_bps, self.stages.rate_changes(*key)),
                    )
                )
        return states
