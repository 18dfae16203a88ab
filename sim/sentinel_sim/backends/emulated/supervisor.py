"""The supervisor of a run with faults: watches daemons, links and FSUs from outside, and repairs.

What is broken and what is done about it says `faults.supervision`; here are the clock, the
sockets and the signals. It runs beside the traffic in the controller's event loop.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from sentinel_bpf.errors import BpfError
from sentinel_node.core.health.repair import Perform, RepairEffect, RepairRecord, Step
from sentinel_node.errors import NodeError
from sentinel_sim.backends.emulated.layout import path_way
from sentinel_sim.backends.emulated.link_echo import LinkEcho
from sentinel_sim.backends.emulated.spare import Process, pidfd_of
from sentinel_sim.backends.emulated.world import World
from sentinel_sim.errors import SimError
from sentinel_sim.faults.events import RepairEvent
from sentinel_sim.faults.supervision import Supervision, SupervisorSettings
from sentinel_sim.host.processes import is_stopped
from sentinel_sim.plan.model import LinkPlan, PathPlan, RunSpec
from sentinel_sim.topology.graph import ways
from sentinel_sim.wire.shell import batch

logger = logging.getLogger(__name__)

FSU_INTERVAL_S = 0.5
WATCH_PRIORITY = 1
"""SCHED_RR, below all that carries packets: whoever watches must not wait for who is watched. So
for all threads: one that holds the interpreter's lock and waits for a CPU keeps the watcher."""
Reopen = Callable[[str], Awaitable[None]]
"""Tell a new daemon of this node what the old one had been told for the run."""


def echo_slack_ns(spec: RunSpec, link: LinkPlan) -> int:
    """How much later than the one before an echo may come: jitter both ways, and queues if the
    control band does not lead it past them."""
    queue_ns = 0 if spec.control_band else 2 * link.queue_bytes * 8_000_000_000 // link.rate_bps
    return 2 * link.jitter_ns + queue_ns


def ways_of(spec: RunSpec) -> dict[str, tuple[tuple[str, ...], ...]]:
    """By path, every way it can take, its own first.

    Empty where TCP ends at the nodes of the path: packets led around them would find no
    connection, and the flow resumes when the link is back.
    """
    found: dict[str, tuple[tuple[str, ...], ...]] = {}
    for path in spec.paths:
        own = path_way(path)
        others = ways(spec.roles, spec.links, path.nodes[0], path.nodes[-1])
        found[path_name(path)] = (own, *(way for way in others if way != own))
    return {} if spec.arm.splits else found


def path_name(path: PathPlan) -> str:
    """As it stands in events."""
    return f"path {path.index}"


@dataclass
class Supervisor:
    """Use as an async context manager. `events` are complete after leaving it."""

    spec: RunSpec
    world: World
    reopen: Reopen
    start_ns: int = 0
    """Of the run's traffic: the zero of the events' times."""
    settings: SupervisorSettings = field(default_factory=SupervisorSettings)
    events: list[RepairEvent] = field(default_factory=list)
    detoured: dict[int, list[Sequence[str]]] = field(default_factory=dict)
    """By path, the ways it was led along and must be led back from."""

    async def __aenter__(self) -> Supervisor:
        now_ns = time.monotonic_ns()
        slack_ns = {link.name: echo_slack_ns(self.spec, link) for link in self.spec.links}
        self._mind = Supervision(
            self.settings, tuple(self.spec.roles), slack_ns, ways_of(self.spec), now_ns=now_ns
        )
        self._asked_ns = now_ns
        self._wake = asyncio.Event()
        self._steps: set[asyncio.Task[None]] = set()
        self._pidfds: dict[str, int] = {}
        self._known: dict[str, Process] = {}
        self._echoes = {link.name: self._open_echo(link) for link in self.spec.links}
        for node in self.spec.roles:
            self._watch(node)
        loops = [self._decide(), self._send_echoes(), self._look_at_fsus(), self._look_at_states()]
        loops += [self._ask(node) for node in self.spec.roles]
        self._loops = [asyncio.ensure_future(loop) for loop in loops]
        self._policy = os.sched_getscheduler(0), os.sched_getparam(0)
        _schedule_threads(os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(WATCH_PRIORITY))
        return self

    async def __aexit__(self, *exc: object) -> None:
        _schedule_threads(*self._policy)
        for task in self._loops:
            task.cancel()
        results = await asyncio.gather(*self._loops, return_exceptions=True)
        while self._steps:
            await asyncio.gather(*self._steps, return_exceptions=True)
        for echo in self._echoes.values():
            echo.close()
        for node in list(self._pidfds):
            self._unwatch(node)
        failed = [one for one in results if isinstance(one, Exception)]
        if failed and exc[0] is None:
            raise failed[0]

    @property
    def is_idle(self) -> bool:
        """Nothing is under repair."""
        return not self._mind.open

    def on_power(self, node: str) -> None:
        """The node can be started again."""
        self._mind.on_startable(node, now_ns=time.monotonic_ns())
        self._wake.set()

    def _open_echo(self, link: LinkPlan) -> LinkEcho:
        layout = self.world.deployment.layout
        names = layout.wire_names(link.name)
        echo = LinkEcho(layout.namespace(link.a), names.address("a"), names.address("b"))
        asyncio.get_running_loop().add_reader(echo, self._echoed, link.name, echo)
        return echo

    def _echoed(self, link: str, echo: LinkEcho) -> None:
        if echo.received():
            self._apply(self._mind.on_echo(link, now_ns=time.monotonic_ns()))
            if self._mind.open:
                self._wake.set()

    def _watch(self, node: str) -> None:
        """Learn of the death of the node's daemon from the kernel, at once."""
        self._unwatch(node)
        process = self._known[node] = self.world.daemons.processes[node]
        if process.poll() is not None:
            self._died(node)
            return
        self._pidfds[node] = pidfd_of(process)
        asyncio.get_running_loop().add_reader(self._pidfds[node], self._died, node)

    def _unwatch(self, node: str) -> None:
        if (fd := self._pidfds.pop(node, None)) is not None:
            asyncio.get_running_loop().remove_reader(fd)
            os.close(fd)

    def _died(self, node: str) -> None:
        self._unwatch(node)
        self._mind.on_death(node, now_ns=time.monotonic_ns())
        self._wake.set()

    async def _ask(self, node: str) -> None:
        """Ask the daemon for a sign of life, at intervals; no answer is for the detector."""
        interval_s = self.settings.health_interval_ns / 1e9
        while True:
            try:
                async with asyncio.timeout(interval_s * self.settings.health_misses):
                    await self.world.daemons.clients[node].hello()
            except (TimeoutError, NodeError):
                pass
            else:
                self._apply(self._mind.on_health(node, now_ns=time.monotonic_ns()))
            await asyncio.sleep(interval_s)

    async def _send_echoes(self) -> None:
        interval_ns = self.settings.echo_interval_ns
        next_ns = time.monotonic_ns()
        while True:
            for echo in self._echoes.values():
                echo.send()
            self._asked_ns = time.monotonic_ns()
            next_ns += interval_ns
            late_ns = time.monotonic_ns() - next_ns
            if late_ns > interval_ns:
                # We were kept from asking, so silence proves nothing.
                self._mind.on_stall(now_ns=time.monotonic_ns())
                next_ns = time.monotonic_ns()
            await asyncio.sleep(max(0, next_ns - time.monotonic_ns()) / 1e9)

    async def _look_at_states(self) -> None:
        """Ask the kernel whether a daemon is stopped: nothing else tells that from being busy."""
        interval_s = self.settings.state_interval_ns / 1e9
        while True:
            await asyncio.sleep(interval_s)
            for node, process in self._known.items():
                stopped = process.poll() is None and is_stopped(process.pid)
                self._mind.on_state(node, stopped=stopped, now_ns=time.monotonic_ns())
            if self._mind.open:
                self._wake.set()

    async def _look_at_fsus(self) -> None:
        fsu = self.world.parts.fsu
        while True:
            await asyncio.sleep(FSU_INTERVAL_S)
            # Threads that were begun since.
            _schedule_threads(os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(WATCH_PRIORITY))
            for unit in await asyncio.to_thread(fsu.broken):
                self._mind.on_detached(unit, now_ns=time.monotonic_ns())
                self._wake.set()

    async def _decide(self) -> None:
        while True:
            self._wake.clear()
            self._make_up_for_stalls()
            self._apply(self._mind.on_timer(time.monotonic_ns()))
            deadline_ns = self._mind.next_deadline_ns()
            wait_s = None if deadline_ns is None else (deadline_ns - time.monotonic_ns()) / 1e9
            try:
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _make_up_for_stalls(self) -> None:
        """What came while we were held up was no silence, nor was what we did not ask for."""
        for link, echo in self._echoes.items():
            self._echoed(link, echo)
        now_ns = time.monotonic_ns()
        if now_ns - self._asked_ns > 2 * self.settings.echo_interval_ns:
            self._mind.on_stall(now_ns=now_ns)

    def _apply(self, effects: Sequence[RepairEffect]) -> None:
        for effect in effects:
            if isinstance(effect, RepairRecord):
                self.events.append(self._event(effect))
            else:
                task = asyncio.ensure_future(self._carry_out(effect))
                self._steps.add(task)
                task.add_done_callback(self._steps.discard)

    async def _carry_out(self, order: Perform) -> None:
        try:
            await self._step(order)
            ok = True
        except (SimError, NodeError, BpfError, OSError):
            ok = False
        self._apply(self._mind.on_done(order.number, ok=ok, now_ns=time.monotonic_ns()))
        self._wake.set()

    async def _step(self, order: Perform) -> None:
        target = order.incident.target
        if order.step is Step.RESTART_DAEMON:
            await self.world.new_daemon(target, self._known[target])
            self._watch(target)
        elif order.step is Step.RECONNECT:
            await self.reopen(target)
            self._provide_spare(target)
        elif order.step is Step.REATTACH_XDP:
            await asyncio.to_thread(self.world.parts.fsu.reattach, target)
        elif order.step is Step.REROUTE:
            await self._reroute(target, order.path)
        else:
            raise SimError(f"the supervisor cannot {order.step}")

    def _provide_spare(self, node: str) -> None:
        """Have another spare loaded; not before data flows again, whose CPU it would take."""
        task = asyncio.ensure_future(self._spare(node))
        self._steps.add(task)
        task.add_done_callback(self._steps.discard)

    async def _spare(self, node: str) -> None:
        try:
            await self.world.spare(node)
        except (SimError, OSError) as error:
            logger.warning("%s: no spare daemon, the next repair takes longer: %s", node, error)

    async def _reroute(self, target: str, way: Sequence[str]) -> None:
        path = next(one for one in self.spec.paths if path_name(one) == target)
        layout = self.world.deployment.layout
        self.detoured.setdefault(path.index, []).append(way)
        await lay_routes(self.world, layout.detour_lines(path, way))

    def _event(self, record: RepairRecord) -> RepairEvent:
        incident = record.incident
        return RepairEvent(
            fault=incident.fault.value,
            target=incident.target,
            failed_ns=record.failed_ns - self.start_ns,
            time_to_detect_ns=record.time_to_detect_ns,
            time_to_repair_ns=record.time_to_repair_ns,
            repaired=record.repaired,
            steps=tuple((step.value, ok) for step, ok in record.steps),
            bytes_replayed=None,
            path=tuple(self._mind.routes.get(incident.target, ())),
            detail=record.detail,
        )


async def lay_routes(world: World, lines: dict[str, list[str]]) -> None:
    """Change addresses and routes of several nodes at once. Raises EmulationError."""
    deployment = world.deployment
    await asyncio.gather(
        *(
            asyncio.to_thread(
                batch, deployment.shell, "ip", deployment.layout.namespace(node), found
            )
            for node, found in lines.items()
        )
    )


def _schedule_threads(policy: int, param: os.sched_param) -> None:
    """Give every thread of this process this class; of Python's, others never hold its lock."""
    for thread in threading.enumerate():
        with suppress(ProcessLookupError):  # it has ended
            if thread.native_id is not None:
                os.sched_setscheduler(thread.native_id, policy, param)
