"""The network as it stands between runs: what traffic and faults are put on."""

from __future__ import annotations

from dataclasses import dataclass

from sentinel_sim.backends.emulated.control_links import ControlLinks
from sentinel_sim.backends.emulated.custody import CustodyDisk
from sentinel_sim.backends.emulated.daemons import Daemons
from sentinel_sim.backends.emulated.deployment import Deployment
from sentinel_sim.backends.emulated.disruption import Disruption
from sentinel_sim.backends.emulated.fault_stages import FaultStages
from sentinel_sim.backends.emulated.kernel_parts import KernelParts
from sentinel_sim.backends.emulated.layout import Layout
from sentinel_sim.backends.emulated.traffic import Traffic
from sentinel_sim.backends.emulated.world import World
from sentinel_sim.plan.model import RunSpec


@dataclass(frozen=True)
class Scene:
    """Of one deployment."""

    layout: Layout
    deployment: Deployment
    parts: KernelParts
    daemons: Daemons
    stages: FaultStages
    disk: CustodyDisk
    control: ControlLinks

    def disruption(self, spec: RunSpec, traffic: Traffic, *, controlled: bool) -> Disruption:
        """What breaks and mends this run; `controlled`: its nodes have a control plane."""
        world = World(self.deployment, self.parts, self.daemons, self.stages, repaired=spec.repair)

        async def reopen(node: str) -> None:
            if controlled:
                await self.control.rejoin(spec, node)  # before the runs that use it
            await traffic.reopen(node)

        return Disruption(spec, world, reopen)
