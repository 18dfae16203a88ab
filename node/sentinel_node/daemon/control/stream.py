"""One gRPC stream with one neighbour, from the hellos to its end; the same at both ends.

It moves bytes between the transport and `core.control.endpoint`, sends heartbeats on a jittered
grid, and tells its owner when the peer has proved itself. It decides nothing else.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Protocol

from sentinel_node.core.control.codec import Message
from sentinel_node.core.control.endpoint import Endpoint, Handled, Opened
from sentinel_node.core.control.messages import Hello
from sentinel_node.core.control.refusals import Reason, Refusal
from sentinel_node.daemon.control.outbox import Outbox, Source


class Transport(Protocol):
    """A bidirectional stream of byte messages."""

    async def read(self) -> bytes | None:
        """The next message; None at the end."""
        ...

    async def write(self, data: bytes) -> None:
        """Send one; waits while the stream takes no more."""
        ...


class HelloRefusedError(Exception):
    """The first message of the peer is no hello for us; `refusal` says why."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.detail)
        self.refusal = refusal

    @property
    def is_version(self) -> bool:
        """It authenticated, but speaks another protocol."""
        return self.refusal.reason is Reason.BAD_VALUE


class Stream:
    """One stream. `beat` makes the next heartbeat and says how long to wait after it, in s;
    `again` says what to replay after a message (a fault)."""

    def __init__(
        self,
        transport: Transport,
        endpoint: Endpoint,
        *,
        outbox_limit: int,
        source: Source,
        beat: Callable[[], tuple[Message, float]],
        again: Callable[[bytes], bytes | None],
        on_confirmed: Callable[[Stream, Hello], bool],
        open_timeout_s: float,
    ) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._wakeup = asyncio.Event()
        self._opened = asyncio.Event()
        self._source = source
        self._beat = beat
        self._again = again
        self._on_confirmed = on_confirmed
        self._hello: Hello | None = None
        self._ended = asyncio.Event()
        self._limit = asyncio.timeout(open_timeout_s)
        self.endpoint = endpoint
        self.outbox = Outbox(outbox_limit, self.wake)
        self.confirmed = asyncio.Event()
        self.sent_messages = self.sent_bytes = 0
        self.received_messages = self.received_bytes = 0

    def wake(self) -> None:
        """There may be something to send. From any thread, while the loop lives."""
        if threading.get_ident() == self._thread:
            self._wakeup.set()  # without the system call that rouses the loop
        elif not self._wakeup.is_set():
            self._loop.call_soon_threadsafe(self._wakeup.set)

    def end(self) -> None:
        """End the stream; `run` returns soon. From the loop's thread."""
        self._ended.set()

    async def run(self) -> None:
        """Talk until either side ends.

        Raises HelloRefusedError, or ConnectionError if the transport broke or the peer did not
        prove itself in time.
        """
        failure: BaseException | None = None
        try:
            async with self._limit:
                await self._transport.write(self.endpoint.hello())
                await self._talk()
        except* (HelloRefusedError, ConnectionError) as failures:
            failure = failures.exceptions[0]
        except* TimeoutError:
            failure = ConnectionError("the neighbour did not prove itself in time")
        if failure is not None:
            raise failure

    async def _talk(self) -> None:
        async with asyncio.TaskGroup() as group:
            reader = group.create_task(self._read_all())
            reader.add_done_callback(lambda _: self._ended.set())
            others = [group.create_task(self._write_all()), group.create_task(self._beat_on())]
            await self._ended.wait()
            for task in (reader, *others):
                task.cancel()

    async def _read_all(self) -> None:
        while (data := await self._transport.read()) is not None:
            self.received_messages += 1
            self.received_bytes += len(data)
            self._take(data)

    def _take(self, data: bytes) -> None:
        result = self.endpoint.receive(data, now_ns=time.monotonic_ns())
        if isinstance(result, Opened):
            self._hello = result.hello
            self._opened.set()
        elif self._hello is None:
            assert isinstance(result, Refusal)  # nothing is handled before the hello
            raise HelloRefusedError(result)
        elif isinstance(result, Handled) or self.endpoint.confirmed:
            self._note_confirmed(self._hello)

    def _note_confirmed(self, hello: Hello) -> None:
        if not self.confirmed.is_set() and not self._limit.expired():  # else it is ending
            self.confirmed.set()
            self._limit.reschedule(None)
            if not self._on_confirmed(self, hello):
                self._ended.set()

    async def _write_all(self) -> None:
        await self._opened.wait()
        while True:
            message = self.outbox.take()
            if message is None and self.confirmed.is_set():
                message = self._source()
            if message is None:
                await self._wakeup.wait()
                self._wakeup.clear()
                continue
            data = self.endpoint.send(message)
            await self._transport.write(data)
            self.sent_messages += 1
            self.sent_bytes += len(data)
            if (old := self._again(data)) is not None:
                await self._transport.write(old)

    async def _beat_on(self) -> None:
        await self._opened.wait()
        while True:
            message, wait_s = self._beat()
            self.outbox.put(message)
            await asyncio.sleep(wait_s)
