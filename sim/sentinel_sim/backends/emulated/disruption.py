"""One run with faults: what is broken, who repairs it, and that all is whole again afterwards."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from sentinel_node.errors import NodeError
from sentinel_sim.backends.emulated.injector import Injector
from sentinel_sim.backends.emulated.supervisor import Reopen, Supervisor, lay_routes
from sentinel_sim.backends.emulated.world import World
from sentinel_sim.errors import EmulationError
from sentinel_sim.faults.events import FaultEvent, RepairEvent, Resumption, with_replays
from sentinel_sim.faults.operations import NodeAction, Operation, SetNode
from sentinel_sim.plan.model import Custody, RunSpec

HEALTHY_WITHIN_S = 5.0


@dataclass
class Disruption:
    """Begins with the traffic, ends after its last byte. Then every node answers, every wire is as
    the topology has it, every path takes its own way. Does nothing in a run without faults."""

    spec: RunSpec
    world: World
    reopen: Reopen
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    _written: dict[str, int] = field(default_factory=dict)
    injector: Injector | None = None
    supervisor: Supervisor | None = None

    async def watch(self) -> None:
        """Have spare daemons loaded, and let the supervisor begin to watch; before the traffic."""
        if self.spec.faults and self.spec.repair:
            await self.world.stand_by(self.spec.roles)
            self.supervisor = await self._stack.enter_async_context(
                Supervisor(self.spec, self.world, self.reopen)
            )

    async def begin(self, start_ns: int) -> None:
        """`start_ns`: the zero of all faults' times."""
        if not self.spec.faults:
            return
        if self.supervisor is not None:
            self.supervisor.start_ns = start_ns
        self.injector = await self._stack.enter_async_context(
            Injector(
                self.spec.faults,
                self.spec.links,
                self,
                lambda: time.monotonic_ns() - start_ns,
            )
        )

    async def perform(self, operation: Operation) -> str:
        """For the injector: into the world, and the supervisor is told who has power again."""
        done = await self.world.perform(operation)
        if (
            self.supervisor is not None
            and isinstance(operation, SetNode)
            and operation.action is NodeAction.POWER_ON
        ):
            self.supervisor.on_power(operation.node)
        return done

    def on_bytes(self, sender: str, written: int) -> None:
        """A sender has written so many payload bytes by now."""
        self._written[sender] = max(written, self._written.get(sender, 0))
        if self.injector is not None:
            self.injector.on_bytes(sum(self._written.values()))

    async def end(self) -> None:
        """Lift all faults and make whole. Raises EmulationError if that cannot be done."""
        if not self.spec.faults:
            return
        await self._stack.aclose()
        if self.supervisor is not None:
            layout = self.world.deployment.layout
            while self.supervisor.detoured:
                index, taken = self.supervisor.detoured.popitem()
                lines = layout.retreat_lines(self.spec.paths[index], taken)
                await lay_routes(self.world, lines)
        await asyncio.gather(*(self._make_well(node) for node in self.spec.roles))
        struck = [f"{link.name} {side}" for link, side, _ in self.world.stages.struck()]
        if struck:
            raise EmulationError(f"run {self.spec.key}: faults still in force: {', '.join(struck)}")

    async def _make_well(self, node: str) -> None:
        process = self.world.daemons.processes[node]
        if process.poll() is not None:
            await self.world.new_daemon(node, process)
        try:
            async with asyncio.timeout(HEALTHY_WITHIN_S):
                await self.world.daemons.clients[node].hello()
        except (TimeoutError, NodeError):
            await self.world.new_daemon(node, process)

    @property
    def faults(self) -> tuple[FaultEvent, ...]:
        """What was injected."""
        return () if self.injector is None else self.injector.events

    def repairs(self, resumptions: Sequence[Resumption]) -> tuple[RepairEvent, ...]:
        """What the supervisor saw and did; in custody with the bytes that were sent again."""
        events = () if self.supervisor is None else tuple(self.supervisor.events)
        return events if self.spec.custody is Custody.NONE else with_replays(events, resumptions)
