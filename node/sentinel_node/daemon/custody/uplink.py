"""The incoming connection of a flow in custody: from header to trailer, into the flow's memory."""

from __future__ import annotations

import socket
import time

from sentinel_node.core.custody.memory import FlowBuffer
from sentinel_node.core.framing import (
    HEADER_BYTES,
    TRAILER_BYTES,
    FlowHeader,
    FlowTrailer,
    flow_token,
    trailer_part_bytes,
)
from sentinel_node.daemon.connection import TrackedConnection
from sentinel_node.daemon.run import NodeRun
from sentinel_node.daemon.stop import SocketWaiter
from sentinel_node.errors import HeaderError, StalledError, TrailerError, TruncatedError

HEADER_TIMEOUT_NS = 60_000_000_000
_SCRATCH_BYTES = 256 * 1024


def read_header(run: NodeRun, connection: TrackedConnection) -> FlowHeader:
    """The first bytes of a connection, and not one more.

    Raises FramingError for what is no flow in custody of this run, StalledError, Stopped, OSError.
    """
    sock, data = connection.sock, b""
    waiter = SocketWaiter(sock, run.stop)
    deadline_ns = time.monotonic_ns() + HEADER_TIMEOUT_NS
    while len(data) < HEADER_BYTES:
        try:
            piece = sock.recv(HEADER_BYTES - len(data))
        except BlockingIOError:
            if not waiter.readable(max(0, deadline_ns - time.monotonic_ns())):
                raise StalledError(f"{connection.name}: no flow header within 60 s") from None
            continue
        if not piece:
            raise TruncatedError(f"{connection.name}: closed before its flow header was complete")
        data += piece
    header = FlowHeader.decode(data)
    if not header.custody:
        raise HeaderError(
            f"flow header: flow {header.flow_id} is not in custody, and this node takes no other; "
            "send with custody"
        )
    if header.token != flow_token(run.name, header.flow_id):
        raise HeaderError(
            f"flow header: flow {header.flow_id} does not belong to run {run.name!r}; "
            "it comes from another run"
        )
    connection.flow_id = header.flow_id
    return header


class Uplink:
    """Reads one connection into a FlowBuffer; bytes that are there already are passed over.

    The end of an open-ended flow can only be told when the connection ends, so bytes that may be
    its trailer stay uncommitted until more come. Small reads cost nothing more for it.
    """

    def __init__(self, connection: TrackedConnection, header: FlowHeader) -> None:
        self.connection = connection
        self.header = header
        self.trailer: FlowTrailer | None = None
        self._position = header.start_offset
        self._trailer_bytes = b""
        self._scratch: memoryview | None = None

    @property
    def ended(self) -> bool:
        """The trailer was read: nothing follows."""
        return self.trailer is not None

    def read(self, buffer: FlowBuffer) -> int | None:
        """Read once. Gives how far the buffer may be committed now; None: no room for more.

        Raises BlockingIOError if nothing came, OSError, TruncatedError at the connection's end,
        TrailerError.
        """
        size = self.header.size_bytes
        if self._position < buffer.fill:
            return self._pass_over(buffer)
        if size is not None and self._position == size:
            return self._read_trailer(buffer)
        room = buffer.room()
        if room is None:
            return None
        if size is not None:
            room = room[: size - self._position]
        count = self._recv(room)
        if not count:
            return self._end(buffer)
        buffer.filled(count)
        self._position += count
        if size is not None:
            return buffer.fill
        begin = max(buffer.end, buffer.fill - TRAILER_BYTES)
        return buffer.fill - trailer_part_bytes(_bytes(buffer, begin))

    def _recv(self, room: memoryview) -> int:
        count = self.connection.sock.recv_into(room)
        self.connection.bytes_moved += count
        return count

    def _pass_over(self, buffer: FlowBuffer) -> int:
        if self._scratch is None:
            self._scratch = memoryview(bytearray(_SCRATCH_BYTES))
        count = self._recv(self._scratch[: buffer.fill - self._position])
        if not count:
            return self._end(buffer)
        self._position += count
        return buffer.end

    def _read_trailer(self, buffer: FlowBuffer) -> int:
        sock: socket.socket = self.connection.sock
        piece = sock.recv(TRAILER_BYTES - len(self._trailer_bytes))
        self._trailer_bytes += piece
        if not piece:
            return self._end(buffer)
        if len(self._trailer_bytes) == TRAILER_BYTES:
            self._take_trailer(self._trailer_bytes, buffer)
        return buffer.end

    def _end(self, buffer: FlowBuffer) -> int:
        """The connection ended: in an open-ended flow, what was held back may be the trailer."""
        held_back = _bytes(buffer, buffer.end)
        if self.header.size_bytes is not None or len(held_back) != TRAILER_BYTES:
            raise TruncatedError(f"the connection ended at byte {self._position} of the flow")
        buffer.rewind()
        self._take_trailer(held_back, buffer)
        return buffer.end

    def _take_trailer(self, data: bytes, buffer: FlowBuffer) -> None:
        trailer = FlowTrailer.decode(data)
        if trailer.token != self.header.token or trailer.payload_bytes != buffer.end:
            raise TrailerError(
                f"flow trailer: of {trailer.payload_bytes} payload bytes, {buffer.end} arrived"
            )
        self.trailer = trailer


def _bytes(buffer: FlowBuffer, begin: int) -> bytes:
    """A copy of what lies from `begin` on, over the edges of its chunks."""
    found = b""
    while len(found) < buffer.fill - begin:
        found += buffer.view(begin + len(found), buffer.fill)
    return found
