"""Reads one connection of a flow in custody at its receiving end."""

from __future__ import annotations

import select
import time

from sentinel_node.core.framing import FlowHeader, FlowTrailer, StreamParser
from sentinel_node.daemon import sockets
from sentinel_node.daemon.connection import TrackedConnection
from sentinel_node.daemon.custody.receiver_flow import ReceiverFlow
from sentinel_node.daemon.custody.wake import FlowPoller
from sentinel_node.daemon.receiver import BUFFER_BYTES, Limiter
from sentinel_node.daemon.run import NodeRun


class FlowReader:
    """Reads one connection to its trailer."""

    def __init__(
        self,
        run: NodeRun,
        connection: TrackedConnection,
        header: FlowHeader,
        flow: ReceiverFlow,
        generation: int,
        *,
        window_clamp_bytes: int,
        read_rate_limit_bps: int,
    ) -> None:
        self._connection = connection
        self._flow = flow
        self._generation = generation
        self._stop = run.stop
        self._window = window_clamp_bytes
        self._limiter = Limiter(run, read_rate_limit_bps) if read_rate_limit_bps else None
        self._parser = StreamParser()
        self._parser.header = header
        self._memory = memoryview(bytearray(BUFFER_BYTES))

    def read(self, poller: FlowPoller) -> FlowTrailer | None:
        """The trailer; None: a newer attempt has begun. Raises FramingError, OSError."""
        sock = self._connection.sock
        while self._flow.is_current(self._generation):
            self._stop.raise_if_set()
            room = self._memory
            if self._limiter is not None:
                room = room[: self._limiter.wait_for_room()]
            try:
                count = sock.recv_into(room)
            except BlockingIOError:
                due_ns = self._flow.say_if_due(time.monotonic_ns())
                poller.wait({sock.fileno(): select.POLLIN}, due_ns)
                continue
            if not count:
                return self._parser.finish()
            if not self._take(count):
                return None
        return None

    def _take(self, count: int) -> bool:
        now_ns = time.monotonic_ns()
        self._connection.bytes_moved += count
        if self._limiter is not None:
            self._limiter.take(count)
        if self._window:
            sockets.hold_window(self._connection.sock, self._window)
        offset = self._parser.next_offset
        for piece in self._parser.feed(self._memory[:count]):
            view = memoryview(piece)
            if not self._flow.take(self._generation, offset, view, now_ns):
                return False
            offset += len(view)
        return True
