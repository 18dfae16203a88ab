"""The incoming connection of an open-ended flow: what may be committed while nothing more comes."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator

import pytest

from sentinel_node.core.custody.memory import ChunkPool, FlowBuffer
from sentinel_node.core.framing import TRAILER_MAGIC, FlowHeader, FlowTrailer, flow_token
from sentinel_node.daemon.connection import TrackedConnection
from sentinel_node.daemon.custody.uplink import Uplink
from sentinel_node.errors import TruncatedError

TOKEN = flow_token("run", 7)
HEADER = FlowHeader(7, TOKEN, None, custody=True)


class Incoming:
    """An uplink that reads what is sent to it into small chunks."""

    def __init__(self) -> None:
        self.sender, near = socket.socketpair()
        near.setblocking(False)
        self.connection = TrackedConnection(near, "in", 0)
        self.uplink = Uplink(self.connection, HEADER)
        self.buffer = FlowBuffer(ChunkPool(4096, 1, 64))

    def read(self) -> int:
        """Read all that came; gives how far it is committed."""
        while True:
            try:
                upto = self.uplink.read(self.buffer)
            except BlockingIOError:
                return self.buffer.end
            assert upto is not None
            self.buffer.commit(upto)
            if self.uplink.ended:
                return self.buffer.end


@pytest.fixture
def incoming() -> Iterator[Incoming]:
    found = Incoming()
    with found.sender, found.connection.sock:
        yield found


def test_all_that_came_is_committed_though_the_sender_says_no_more(incoming: Incoming) -> None:
    """It may be dead, and its bytes confirmed: nothing must wait for what never comes."""
    incoming.sender.sendall(b"x" * 500)
    assert incoming.read() == 500


@pytest.mark.parametrize("part", [TRAILER_MAGIC[:1], TRAILER_MAGIC[:5], TRAILER_MAGIC + b"abc"])
def test_what_may_be_the_trailer_waits_for_what_follows(incoming: Incoming, part: bytes) -> None:
    incoming.sender.sendall(b"x" * 500 + part)
    assert incoming.read() == 500
    incoming.sender.sendall(b"y" * 100)
    assert incoming.read() == 500 + len(part) + 100


def test_the_trailer_is_never_committed(incoming: Incoming) -> None:
    payload = b"x" * 130 + TRAILER_MAGIC + b"x" * 20
    digest = hashlib.sha256(payload).digest()
    for byte in payload + FlowTrailer(TOKEN, len(payload), digest).encode():
        incoming.sender.sendall(bytes((byte,)))
        assert incoming.read() <= len(payload)
    incoming.sender.shutdown(socket.SHUT_WR)
    assert incoming.read() == len(payload)
    assert incoming.uplink.trailer == FlowTrailer(TOKEN, len(payload), digest)


def test_a_connection_that_ends_within_its_trailer_gives_no_trailer(incoming: Incoming) -> None:
    incoming.sender.sendall(b"x" * 90 + TRAILER_MAGIC)
    incoming.sender.shutdown(socket.SHUT_WR)
    with pytest.raises(TruncatedError):
        incoming.read()
    assert incoming.buffer.end == 90
