"""The control plane of a node without a controller: an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from sentinel_node.daemon.control.flow_sync import FlowSync
from sentinel_node.daemon.control.holder import ControlHolder
from sentinel_node.daemon.control.plane import GrpcControlPlane
from sentinel_node.daemon.control.settings import ControlSettings
from sentinel_node.daemon.custody.hub import CustodyHub
from sentinel_node.daemon.runs import ChangeSignal


@dataclass(frozen=True, slots=True)
class Joined:
    """What stands. `port`: where neighbours are accepted, 0 for nowhere."""

    plane: GrpcControlPlane
    sync: FlowSync
    hub: CustodyHub
    port: int


class ControlThread:
    """A context manager; inside, the sessions with the neighbours are kept."""

    def __init__(self, settings: ControlSettings, role: str, on_change: Callable[[], None]) -> None:
        """`on_change`: called when a neighbour comes or goes; must not block."""
        self._settings = settings
        self._role = role
        self._on_change = on_change
        self._joined: Future[Joined] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="control")

    def __enter__(self) -> Joined:
        """Raises AddressError if it cannot listen."""
        self._thread.start()
        try:
            return self._joined.result()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *exc: object) -> None:
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            holder = ControlHolder(tasks, ChangeSignal(self._loop), self._role)
            try:
                port = await holder.connect(self._settings)
            except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
                self._joined.set_exception(error)
                return
            plane, sync = holder.plane, holder.sync
            assert plane is not None  # `connect` made both
            assert sync is not None
            plane.on_peer(lambda _event: self._on_change())
            self._joined.set_result(Joined(plane, sync, CustodyHub(plane), port))
            await self._over.wait()
            await holder.disconnect()
