"""Injects the faults of a run: the clock and the doing; what is due says `faults.schedule`."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Protocol

from sentinel_node.errors import NodeError
from sentinel_sim.errors import SimError
from sentinel_sim.faults.events import FaultEvent
from sentinel_sim.faults.operations import Operation, SetLink, operations_of
from sentinel_sim.faults.record import FaultEntry
from sentinel_sim.faults.schedule import Action, FaultSchedule
from sentinel_sim.plan.model import FaultPlan, LinkPlan

logger = logging.getLogger(__name__)


class Breakable(Protocol):
    """Whatever faults are injected into."""

    async def perform(self, operation: Operation) -> str:
        """Do it; says what was found or done. Raises SimError, NodeError or OSError."""
        ...


class Injector:
    """The faults of one run. Use as an async context manager around the traffic.

    Leaving it lifts every fault that is still in force, whatever happened. Faults can be added
    while it runs (`add`), as random campaigns do. Operations on one target keep their order;
    those on different targets do not wait for each other.
    """

    def __init__(
        self,
        faults: Sequence[FaultPlan],
        links: Sequence[LinkPlan],
        world: Breakable,
        now_ns: Callable[[], int],
    ) -> None:
        """`now_ns`: nanoseconds since the start of the run's traffic."""
        self._schedule = FaultSchedule()
        self._entries: dict[int, FaultEntry] = {}
        self._links = tuple(links)
        self._world = world
        self._now_ns = now_ns
        self._bytes = 0
        self._wake = asyncio.Event()
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._doing: set[asyncio.Task[None]] = set()
        self._clockwork: asyncio.Task[None] | None = None
        for fault in faults:
            self.add(fault)

    @property
    def events(self) -> tuple[FaultEvent, ...]:
        """Every fault in the order of the plan, as far as things went."""
        return tuple(entry.event() for entry in self._entries.values())

    def add(self, fault: FaultPlan) -> int:
        """One more fault; gives its number. Raises ValueError after the end."""
        number = self._schedule.add(fault)
        self._entries[number] = FaultEntry(fault, number)
        self._wake.set()
        return number

    def on_bytes(self, total: int) -> None:
        """The senders have written `total` payload bytes in all."""
        self._bytes = max(self._bytes, total)
        self._begin(self._schedule.on_bytes(total, self._now_ns()))

    async def __aenter__(self) -> Injector:
        self._clockwork = asyncio.ensure_future(self._run())
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.finish()

    async def finish(self) -> None:
        """Nothing begins any more, and everything is lifted. Harmless a second time."""
        if self._clockwork is not None:
            self._clockwork.cancel()
            await asyncio.gather(self._clockwork, return_exceptions=True)
            self._clockwork = None
        self._begin(self._schedule.finish())
        while self._doing:
            await asyncio.gather(*self._doing)

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            self._begin(self._schedule.on_timer(self._now_ns()))
            deadline_ns = self._schedule.next_deadline_ns()
            wait_s = None if deadline_ns is None else (deadline_ns - self._now_ns()) / 1e9
            try:
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def _begin(self, actions: Sequence[Action]) -> None:
        for action in actions:
            operations = operations_of(action, self._schedule.in_force, self._links)
            task = asyncio.ensure_future(self._act(action, operations))
            self._doing.add(task)
            task.add_done_callback(self._doing.discard)

    async def _act(self, action: Action, operations: Sequence[Operation]) -> None:
        entry = self._entries[action.number]
        done_ns = await asyncio.gather(*(self._do(entry, one) for one in operations))
        at_ns = max(done_ns, default=self._now_ns())
        entry.note(action, at_ns, self._bytes)
        logger.info("%s", action)

    async def _do(self, entry: FaultEntry, operation: Operation) -> int:
        name = operation.link.name if isinstance(operation, SetLink) else operation.node
        async with self._locks[name]:
            try:
                detail = await self._world.perform(operation)
            except (SimError, NodeError, OSError) as error:
                detail = str(error)
                entry.failed = True
            if detail and detail not in entry.details:
                entry.details.append(detail)
            return self._now_ns()
