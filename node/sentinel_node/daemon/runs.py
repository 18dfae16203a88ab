"""All runs of this node, and how a coroutine waits for the threads that work on them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from sentinel_node.daemon.control.interface import ControlPlane
from sentinel_node.daemon.run import NodeRun
from sentinel_node.daemon.sampler import Sampler
from sentinel_node.errors import ShuttingDownError, UnknownRunError

if TYPE_CHECKING:
    from sentinel_node.daemon.control.flow_sync import FlowSync


class ChangeSignal:
    """Lets worker threads wake coroutines of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiters: set[asyncio.Future[None]] = set()

    def notify(self) -> None:
        """Something changed. From any thread, while the loop lives."""
        self._loop.call_soon_threadsafe(self._wake)

    async def wait_for(self, condition: Callable[[], bool], timeout_s: float | None) -> bool:
        """Wait until `condition()` holds after some change; False after the timeout."""
        try:
            async with asyncio.timeout(timeout_s):
                while not condition():
                    await self.next_change()
        except TimeoutError:
            return condition()
        return True

    async def next_change(self) -> None:
        """Return at the next change."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters.add(waiter)
        try:
            await waiter
        finally:
            self._waiters.discard(waiter)

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)


class NodeRuns:
    """The runs by name. Used from the event loop's thread only."""

    def __init__(
        self, sampler: Sampler, changed: ChangeSignal, data_cpus: frozenset[int] = frozenset()
    ) -> None:
        self.changed = changed
        self._sampler = sampler
        self._data_cpus = data_cpus
        self._runs: dict[str, NodeRun] = {}
        self._closed = False
        self.control: ControlPlane | None = None
        """What runs that are opened from now on reach their neighbours by."""
        self.sync: FlowSync | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The runs that were begun and not released."""
        return tuple(self._runs)

    def open(self, name: str) -> NodeRun:
        """The run of that name, made if it is new. Raises ShuttingDownError."""
        if self._closed:
            raise ShuttingDownError
        if name not in self._runs:
            self._runs[name] = NodeRun(
                name,
                self._sampler,
                self.changed.notify,
                control=self.control,
                sync=self.sync,
                data_cpus=self._data_cpus,
            )
        return self._runs[name]

    def get(self, name: str) -> NodeRun:
        """An existing run. Raises UnknownRunError."""
        if name not in self._runs:
            raise UnknownRunError(name, self.names)
        return self._runs[name]

    async def release(self, name: str) -> int:
        """End a run and forget it; gives how many connections were still open."""
        run = self.get(name)
        del self._runs[name]
        return await asyncio.to_thread(run.close)

    async def close(self) -> None:
        """End every run; no new one can be opened."""
        self._closed = True
        for name in self.names:
            await self.release(name)
