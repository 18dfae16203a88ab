"""A stream that is given up at the very moment at which its peer proves itself."""

from __future__ import annotations

import asyncio

import pytest

from sentinel_node.core.control.endpoint import Endpoint
from sentinel_node.core.control.messages import NONCE_BYTES, Heartbeat, Hello, Version
from sentinel_node.core.control.sessions import PROTOCOL
from sentinel_node.daemon.control.stream import Stream


class Deaf:
    """A transport on which nothing comes."""

    async def read(self) -> bytes | None:
        await asyncio.Event().wait()
        return None

    async def write(self, data: bytes) -> None:
        del data


def hello_of(node: str, peer: str) -> Hello:
    return Hello(node, peer, 1, bytes(NONCE_BYTES), PROTOCOL, 1)


async def test_who_is_given_up_is_not_taken_after_all() -> None:
    taken = []
    stream = Stream(
        Deaf(),
        Endpoint(b"s" * 32, hello_of("a", "b"), {}),
        outbox_limit=4,
        source=lambda: None,
        beat=lambda: (Heartbeat(Version(1, 1), 1, 1), 1.0),
        again=lambda data: None,
        on_confirmed=lambda stream, hello: bool(taken.append(hello)),
        open_timeout_s=0.0,
    )

    async def until_given_up() -> None:
        async with stream._limit:
            try:
                await asyncio.Event().wait()
            finally:
                # As when the peer's word was read, but not handled yet.
                stream._note_confirmed(hello_of("b", "a"))

    with pytest.raises(TimeoutError):
        await until_given_up()
    assert not taken
    assert not stream.confirmed.is_set()
