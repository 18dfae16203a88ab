"""The node daemons of a deployment: started inside the nodes, reached over Unix sockets."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

from sentinel_node.daemon.client import NodeClient
from sentinel_node.errors import NodeUnavailableError
from sentinel_sim.backends.emulated.confinement import DAEMON_PRIVILEGES
from sentinel_sim.backends.emulated.layout import Layout
from sentinel_sim.backends.emulated.net import MininetNetwork
from sentinel_sim.backends.emulated.spare import SPARE_NICE, Process, Spare, pidfd_of
from sentinel_sim.errors import EmulationError
from sentinel_sim.host.ownership import Ownership

STARTUP_TIMEOUT_S = 20.0
REPAIR_TIMEOUT_S = 5.0
"""For a daemon that takes another's place: one that is stopped at its start is killed soon."""
SHUTDOWN_TIMEOUT_S = 5.0


class FlowMaps(NamedTuple):
    """Descriptors of the maps of one FSU, read-only, for a node's daemon to inherit."""

    link: str
    flows4: int
    flows6: int
    counters: int
    models: int

    @property
    def descriptors(self) -> tuple[int, ...]:
        """All of them."""
        return self.flows4, self.flows6, self.counters, self.models

    @property
    def argument(self) -> str:
        """As the daemon takes it."""
        return ":".join((self.link, *map(str, self.descriptors)))


def daemon_arguments(
    layout: Layout, node: str, socket: Path, flow_maps: Sequence[FlowMaps], data_cpus: set[int]
) -> tuple[str, ...]:
    """The command line of a node's daemon; its namespace's name marks it as ours."""
    return (
        *(sys.executable, "-m", "sentinel_node.daemon.main"),
        *("--role", layout.roles[node].value),
        *("--node", node),
        *("--control", f"unix:{socket}"),
        *("--run-id", layout.run_id),
        *("--data-cpus", ",".join(map(str, sorted(data_cpus)))),
        *(word for maps in flow_maps for word in ("--fsu-point", maps.argument)),
    )


async def exit_of(pidfd: int) -> None:
    """Return when that process has ended."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(pidfd, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(pidfd)


@dataclass
class Daemons:
    """One `sentinel-node` for each node of the topology."""

    layout: Layout
    ownership: Ownership
    log_directory: Path
    env: Mapping[str, str]
    cpus_of: Callable[[str], set[int]]
    """On which CPUs a node sends its payload."""
    directory_of: Callable[[str], Path]
    """The node's own directory, the only one of the run that its processes see."""
    clients: dict[str, NodeClient] = field(default_factory=dict)
    processes: dict[str, Process] = field(default_factory=dict)
    without_power: set[str] = field(default_factory=set)
    """Nodes in which nothing can be started now."""
    _pidfds: dict[str, int] = field(default_factory=dict)
    _spares: dict[str, Spare] = field(default_factory=dict)
    _answering: dict[str, Process] = field(default_factory=dict)
    """The process that the node's client was connected to."""
    _logs: list[IO[bytes]] = field(default_factory=list)
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict)
    _replaced: list[NodeClient] = field(default_factory=list)

    def _socket(self, node: str) -> Path:
        return self.directory_of(node) / "control.sock"

    def _launch(
        self,
        net: MininetNetwork,
        node: str,
        flow_maps: Sequence[FlowMaps],
        standby_fd: int | None = None,
    ) -> subprocess.Popen[bytes]:
        log = (self.log_directory / f"{node}.log").open("ab")
        self._logs.append(log)
        descriptors = [fd for maps in flow_maps for fd in maps.descriptors]
        arguments = daemon_arguments(
            self.layout, node, self._socket(node), flow_maps, self.cpus_of(node)
        )
        if standby_fd is not None:
            descriptors.append(standby_fd)
            arguments = (*arguments, "--standby", str(standby_fd))
        process = net.popen(
            self.layout.namespace(node),
            (*DAEMON_PRIVILEGES, *arguments),
            env=self.env,
            output=log,
            pass_fds=descriptors,
        )
        self.ownership.record_child(process.pid, f"daemon of {node}")
        return process

    def _start(self, net: MininetNetwork, node: str, flow_maps: Sequence[FlowMaps]) -> None:
        """The node's daemon from now on: a copy of its spare, if it has one, else a new process."""
        spare = self._spares.get(node)
        process: Process | None = None if spare is None else spare.fork()
        if process is None:
            process = self._launch(net, node, flow_maps)
        else:
            self.ownership.record_child(process.pid, f"daemon of {node}")
        self._take(node, process)

    def _take(self, node: str, process: Process) -> None:
        self.processes[node] = process
        if node in self._pidfds:
            os.close(self._pidfds[node])
        self._pidfds[node] = pidfd_of(process)

    async def stand_by(
        self, net: MininetNetwork, flow_maps: Mapping[str, Sequence[FlowMaps]]
    ) -> None:
        """Have a spare daemon loaded in every one of these nodes. Raises EmulationError.

        A daemon takes most of a second to load, more under traffic: a repair would wait for it.
        """
        for node, maps in flow_maps.items():
            self._provide_spare(net, node, maps)
        for node in flow_maps:
            try:
                async with asyncio.timeout(STARTUP_TIMEOUT_S):
                    await self._spares[node].loaded()
            except (TimeoutError, OSError) as error:
                raise EmulationError(
                    f"the spare daemon of {node} was not loaded within {STARTUP_TIMEOUT_S:g} s:"
                    f" {self.last_words(node)}"
                ) from error

    def _provide_spare(self, net: MininetNetwork, node: str, flow_maps: Sequence[FlowMaps]) -> None:
        spare = self._spares.get(node)
        if spare is not None and spare.process.poll() is None:
            return
        ours, theirs = socket.socketpair()
        with theirs:
            process = self._launch(net, node, flow_maps, theirs.fileno())
        if spare is not None:
            spare.line.close()
        os.setpriority(os.PRIO_PROCESS, process.pid, SPARE_NICE)
        self._spares[node] = Spare(process, ours)

    def lives(self, node: str) -> bool:
        """The node has a daemon that we are connected to."""
        process = self.processes[node]
        return process is self._answering.get(node) and process.poll() is None

    def signal(self, node: str, number: signal.Signals) -> bool:
        """Send a signal to a node's daemon; False if it is dead. It can hit nobody else."""
        if self.processes[node].poll() is not None:
            return False
        try:
            signal.pidfd_send_signal(self._pidfds[node], number)
        except ProcessLookupError:
            return False
        return True

    def launch(self, net: MininetNetwork, flow_maps: Mapping[str, Sequence[FlowMaps]]) -> None:
        """Start all daemons at once; `connect` waits for them."""
        self.ownership.record_directory(self.log_directory)
        self.log_directory.mkdir(parents=True, exist_ok=True)
        for node in self.layout.nodes:
            self._start(net, node, flow_maps.get(node, ()))

    async def connect(self) -> None:
        """Wait until each daemon answers. Raises EmulationError."""
        for node in self.layout.nodes:
            await self._connect(node, STARTUP_TIMEOUT_S)

    async def _connect(self, node: str, timeout_s: float) -> None:
        """Wait for the node's daemon, as long as it lives. Raises EmulationError."""
        process = self.processes[node]
        control = f"unix:{self._socket(node)}"
        connecting = asyncio.ensure_future(NodeClient.connect(control, timeout_s=timeout_s))
        dying = asyncio.ensure_future(exit_of(self._pidfds[node]))
        try:
            await asyncio.wait((connecting, dying), return_when=asyncio.FIRST_COMPLETED)
            if not connecting.done():
                raise EmulationError(
                    f"{node}: the daemon died at its start: {self.last_words(node)}"
                )
            self.clients[node] = connecting.result()
            self._answering[node] = process
        except NodeUnavailableError as error:
            raise EmulationError(
                f"the daemon of {node} did not answer within {timeout_s:g} s:"
                f" {self.last_words(node)}"
            ) from error
        finally:
            for task in (connecting, dying):
                task.cancel()
            await asyncio.gather(connecting, dying, return_exceptions=True)

    async def replace(
        self,
        net: MininetNetwork,
        node: str,
        died: Process,
        flow_maps: Sequence[FlowMaps],
    ) -> bool:
        """See to it that a node has another daemon than `died`, which is killed if it lives.

        Returns when the new one answers; False if there was another already. Raises
        EmulationError, also while the node has no power. The new daemon knows of no run.
        """
        async with self._locks.setdefault(node, asyncio.Lock()):
            if self.processes[node] is not died and self.lives(node):
                return False
            if node in self.without_power:
                raise EmulationError(f"{node}: has no power; no daemon can be started")
            self.signal(node, signal.SIGKILL)
            await asyncio.to_thread(self.processes[node].wait)
            # Closing it would cancel the calls that still wait for the dead daemon.
            if self.clients[node] not in self._replaced:
                self._replaced.append(self.clients[node])
            await asyncio.to_thread(self._start, net, node, flow_maps)
            await self._connect(node, REPAIR_TIMEOUT_S)
            return True

    async def provide_spare(
        self, net: MininetNetwork, node: str, flow_maps: Sequence[FlowMaps]
    ) -> None:
        """Have a spare loaded in the node, unless it has one; does not wait for it."""
        async with self._locks.setdefault(node, asyncio.Lock()):
            if node not in self.without_power:
                await asyncio.to_thread(self._provide_spare, net, node, flow_maps)

    def last_words(self, node: str) -> str:
        """The end of a daemon's log, for error messages."""
        text = (self.log_directory / f"{node}.log").read_text(errors="replace").strip()
        return text.rpartition("\n")[2] or "it wrote nothing"

    async def stop(self) -> None:
        """Ask every daemon to end; those that do not are left to the ownership record."""
        await asyncio.gather(*(self._shut_down(node) for node in self.clients))
        for process in self.processes.values():
            await self._end(process)
        while self._spares:
            spare = self._spares.popitem()[1]
            spare.line.close()
            await self._end(spare.process)
        for log in self._logs:
            log.close()
        while self._replaced:
            await self._replaced.pop().close()
        self.clients.clear()
        self.processes.clear()
        self._logs.clear()
        while self._pidfds:
            os.close(self._pidfds.popitem()[1])

    async def _end(self, process: Process) -> None:
        try:
            await asyncio.to_thread(process.wait, SHUTDOWN_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait)

    async def _shut_down(self, node: str) -> None:
        client = self.clients[node]
        if self.processes[node].poll() is None:
            await client.shutdown()
        await client.close()
