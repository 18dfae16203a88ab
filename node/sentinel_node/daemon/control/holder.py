"""The control plane of this daemon, if it has one: made by Connect, ended by Disconnect."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque

from sentinel_node.daemon.control import slope
from sentinel_node.daemon.control.flow_sync import FlowSync
from sentinel_node.daemon.control.interface import PeerEvent
from sentinel_node.daemon.control.plane import GrpcControlPlane
from sentinel_node.daemon.control.settings import ControlSettings
from sentinel_node.daemon.runs import ChangeSignal
from sentinel_node.errors import RequestError

logger = logging.getLogger(__name__)

EVENTS_MAX = 1000


def load_ahead(role: str) -> None:
    """What takes a moment to load must not do so when a flow waits for it."""
    if role == "sender":
        slope.load_network()


class ControlHolder:
    """At most one control plane at a time, run by the daemon's task group."""

    def __init__(self, tasks: asyncio.TaskGroup, changed: ChangeSignal, role: str) -> None:
        self._role = role
        self._tasks = tasks
        self._changed = changed
        self._running: list[asyncio.Task[None]] = []
        self._epoch = 0
        self.plane: GrpcControlPlane | None = None
        self.sync: FlowSync | None = None
        self.events: deque[str] = deque(maxlen=EVENTS_MAX)

    async def connect(self, settings: ControlSettings) -> int:
        """Leave the plane that stands, and join with a new one. Gives its port.

        Raises AddressError if it cannot listen.
        """
        await self.disconnect()
        await asyncio.to_thread(load_ahead, self._role)
        # Wall-clock nanoseconds grow over restarts of the daemon and of the host.
        self._epoch = max(self._epoch + 1, time.time_ns())
        plane = GrpcControlPlane(settings, self._epoch)
        plane.on_peer(self._note)
        sync = FlowSync(plane, settings.flows_max, self._changed.notify)
        task = self._tasks.create_task(plane.run())
        try:
            port = await plane.ready()
        except BaseException:
            plane.close()
            await asyncio.wait([task])
            raise
        self.plane, self.sync = plane, sync
        self._running = [task, self._tasks.create_task(sync.run())]
        return port

    async def disconnect(self) -> None:
        """End every session. Idempotent."""
        plane, self.plane, self.sync = self.plane, None, None
        running, self._running = self._running, []
        if plane is None:
            return
        plane.close()
        running[1].cancel()
        await asyncio.wait(running)
        self.events.clear()

    def replay(self, peer: str, share: float, seed: int) -> int:
        """See `GrpcControlPlane.replay`. Raises RequestError, without a control plane too."""
        if self.plane is None:
            raise RequestError("there is no control plane to replay messages on: call Connect")
        try:
            return self.plane.replay(peer, share, seed)
        except ValueError as error:
            raise RequestError(str(error)) from error

    def _note(self, event: PeerEvent) -> None:
        text = f"{event.at_ns} {event.peer} {event.change.value}"
        if event.restarted:
            text += " restarted"
        if event.silent_ns:
            text += f" after {event.silent_ns / 1e6:.1f} ms"
        if event.detail:
            text += f": {event.detail}"
        self.events.append(text)
        logger.info("control: %s", text)
        self._changed.notify()
