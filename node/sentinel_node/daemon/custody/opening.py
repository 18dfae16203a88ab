"""How the connections of an announced flow begin: adopted, paced, held to what may be in flight."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from sentinel_node.core.start.gate import Gate
from sentinel_node.core.start.outgoing import Outgoing
from sentinel_node.daemon.connection import TrackedConnection
from sentinel_node.daemon.control.gate import SocketTcp
from sentinel_node.daemon.control.starting import Prepared, observe_end, sending_profile
from sentinel_node.daemon.sockets import TcpProfile


class Opening:
    """Of one flow at one node; without a forecast it changes nothing. Used by the flow's thread."""

    def __init__(
        self, prepared: Callable[[], Prepared | None], note: Callable[[str], None]
    ) -> None:
        """`note` is told what the kernel refuses."""
        self._prepared = prepared
        self._note = note
        self._gate: Gate | None = None
        self.look_at_ns: int | None = None
        """When there may be room again; None: nothing is held back."""

    @property
    def _outgoing(self) -> Outgoing | None:
        prepared = self._prepared()
        return None if prepared is None else prepared.outgoing

    def adopt(self) -> TrackedConnection | None:
        """The connection that waits for the flow, if it still stands."""
        prepared = self._prepared()
        connection = None if prepared is None else prepared.connection
        if prepared is None or connection is None or not connection.is_open:
            return None
        self._gate = prepared.begin(SocketTcp(connection.sock, self._note))
        return connection

    def profile(self, base: TcpProfile) -> TcpProfile:
        """Of a connection that is made now."""
        outgoing = self._outgoing
        return base if outgoing is None else sending_profile(base, outgoing.plan)

    def begin(self, sock: socket.socket) -> None:
        """This connection was made with `profile`."""
        prepared = self._prepared()
        if prepared is not None:
            prepared.connecting(sock, time.monotonic_ns(), self._note)
            self._gate = prepared.begin(SocketTcp(sock, self._note))

    def established(self, sock: socket.socket) -> None:
        """The connection that was begun stands."""
        prepared = self._prepared()
        if prepared is not None:
            prepared.established(sock)

    def room(self, now_ns: int) -> int | None:
        """Bytes that may be sent now; None: as many as the kernel takes."""
        if self._gate is None:
            return None
        room = self._gate.room(now_ns)
        if room is None:
            self._gate = None
        elif room <= 0:
            self.look_at_ns = now_ns + self._gate.look_ns
        return room

    def sent(self, count_bytes: int) -> None:
        """The connection took so much."""
        if self._gate is not None:
            self._gate.sent(count_bytes)

    def close(self, connection: TrackedConnection | None, *, well: bool) -> None:
        """The connection has ended; `well`: what it found is kept for the next one."""
        outgoing = self._outgoing
        if well and outgoing is not None:
            observe_end(outgoing, connection)
        if self._gate is not None:
            self._gate.close()
        self._gate = self.look_at_ns = None
