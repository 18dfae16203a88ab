"""What faults and repairs do to the emulated network: signals, wires, new daemons."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from sentinel_node.errors import NodeCallError
from sentinel_sim.backends.emulated.daemons import Daemons
from sentinel_sim.backends.emulated.deployment import Deployment
from sentinel_sim.backends.emulated.fault_stages import FaultStages
from sentinel_sim.backends.emulated.kernel_parts import KernelParts
from sentinel_sim.backends.emulated.spare import Process
from sentinel_sim.faults.events import NO_DAEMON
from sentinel_sim.faults.operations import NodeAction, Operation, SetLink, SetNode
from sentinel_sim.host import namespaces, processes
from sentinel_sim.wire.names import NAMESPACE_DIRECTORY

KILL_GRACE_S = 2.0
SIGNALS = {
    NodeAction.KILL_DAEMON: signal.SIGKILL,
    NodeAction.FREEZE_DAEMON: signal.SIGSTOP,
    NodeAction.THAW_DAEMON: signal.SIGCONT,
}


@dataclass
class World:
    """The network that is disrupted. Signals go to processes that we started, and to no others."""

    deployment: Deployment
    parts: KernelParts
    daemons: Daemons
    stages: FaultStages
    repaired: bool
    """Somebody starts daemons again; else those of nodes that get power back are started here."""
    _frozen: dict[str, Process] = field(default_factory=dict)

    async def perform(self, operation: Operation) -> str:
        """Do it; says what was found or done. Raises SimError, NodeError or OSError."""
        if isinstance(operation, SetLink):
            return await self._set_link(operation)
        if operation.action is NodeAction.RESTART_DAEMON:
            died = self.daemons.processes[operation.node]
            await self.new_daemon(operation.node, died)
            return f"pid {died.pid} -> {self.daemons.processes[operation.node].pid}"
        if operation.action in SIGNALS:
            return self._signal(operation)
        return await self._set_power(operation)

    def _signal(self, operation: SetNode) -> str:
        node, action = operation.node, operation.action
        process = self.daemons.processes[node]
        if action is NodeAction.THAW_DAEMON and self._frozen.pop(node, None) is not process:
            return "the frozen daemon was gone before it could be thawed"
        number = SIGNALS[action]
        if not self.daemons.signal(node, number):
            return f"{NO_DAEMON} {number.name}"
        if action is NodeAction.FREEZE_DAEMON:
            self._frozen[node] = process
        return f"{number.name} to pid {process.pid}"

    async def _set_power(self, operation: SetNode) -> str:
        node = operation.node
        if operation.action is NodeAction.POWER_OFF:
            self.daemons.without_power.add(node)
            self.daemons.signal(node, signal.SIGKILL)
            return await asyncio.to_thread(self._kill_others, node)
        self.daemons.without_power.discard(node)
        if not self.repaired:
            await self.new_daemon(node, self.daemons.processes[node])
        return ""

    def _kill_others(self, node: str) -> str:
        """What else runs in the node; not the shell that holds its namespaces for the emulation."""
        home = namespaces.identity_of(NAMESPACE_DIRECTORY / self.deployment.layout.namespace(node))
        spared = {self.deployment.node_pids[node], *processes.own_lineage()}
        found = [
            one.identity
            for one in processes.living_processes()
            if home is not None and one.netns == home and one.identity.pid not in spared
        ]
        left = processes.kill(found, grace_s=KILL_GRACE_S)
        if left:
            raise OSError(f"{node}: processes survived SIGKILL: {[one.pid for one in left]}")
        return ""

    async def _set_link(self, operation: SetLink) -> str:
        link, side, condition = operation.link, operation.side, operation.condition
        before = self.stages.condition(link.name, side)
        if before.replay != condition.replay:
            # First: if the daemon is not there, the link stays as it was.
            said = await self._set_replay(operation)
        else:
            said = ""
        if before.rate_bps == condition.rate_bps:
            self.stages.set(link, side, condition, time.monotonic_ns)  # microseconds
        else:
            await asyncio.to_thread(self.stages.set, link, side, condition, time.monotonic_ns)
        return said

    async def _set_replay(self, operation: SetLink) -> str:
        """The node at that side replays what it sends over the link, or no longer does."""
        link, share = operation.link, operation.condition.replay
        node, peer = (link.a, link.b) if operation.side == "a" else (link.b, link.a)
        if not self.stages.has_control_plane:
            return "no control messages in this run"
        try:
            count = await self.daemons.clients[node].replay_control(peer, share, self.stages.seed)
        except NodeCallError as error:
            if share:
                raise
            return f"{node}: its daemon no longer replays: {error}"
        return f"{count} messages replayed by {node}" if not share else ""

    async def stand_by(self, nodes: Iterable[str]) -> None:
        """Have a spare daemon loaded in each of these nodes. Raises EmulationError."""
        maps = {node: self.parts.flow_maps(node) for node in nodes}
        try:
            await self.daemons.stand_by(self.deployment.net, maps)
        finally:
            for fd in (fd for found in maps.values() for one in found for fd in one.descriptors):
                os.close(fd)

    async def spare(self, node: str) -> None:
        """See to it that a spare daemon of the node is there or being loaded."""
        maps = self.parts.flow_maps(node)
        try:
            await self.daemons.provide_spare(self.deployment.net, node, maps)
        finally:
            for fd in (fd for one in maps for fd in one.descriptors):
                os.close(fd)

    async def new_daemon(self, node: str, died: Process) -> bool:
        """See to another daemon than `died`; False if there is one. Raises EmulationError."""
        maps = self.parts.flow_maps(node)
        try:
            return await self.daemons.replace(self.deployment.net, node, died, maps)
        finally:
            for fd in (fd for one in maps for fd in one.descriptors):
                os.close(fd)
