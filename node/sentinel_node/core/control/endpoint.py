"""One neighbour's stream: bytes in, checked, and handed to the core they concern.

Every message takes the same way: parse, session, replay window, tag, ranges, then the route for
its kind, which may refuse it too (not newer, not the next hop's to say, beyond what was sent).
Whatever refuses changes nothing but a counter here, by reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sentinel_node.core.control.codec import Message
from sentinel_node.core.control.messages import Hello
from sentinel_node.core.control.refusals import Reason, Refusal, RefusalCounter
from sentinel_node.core.control.sessions import (
    Session,
    check_secret,
    open_hello,
    parse_envelope,
    seal_hello,
)

Route = Callable[[str, Any, int], object]
"""(peer, message, now_ns) -> what the core gave; a Refusal if it does not take the message."""


@dataclass(frozen=True, slots=True)
class Opened:
    """The session stands; the driver may send from now on."""

    hello: Hello


@dataclass(frozen=True, slots=True)
class Handled:
    """A message was taken; `result` is what its core gave."""

    message: Message
    result: object


class Endpoint:
    """This side of the stream with `peer`. One per stream: a new stream has a new endpoint.

    `routes` is looked up for every message: what the caller adds to it later holds too.
    """

    def __init__(self, secret: bytes, own: Hello, routes: Mapping[type[Any], Route]) -> None:
        check_secret(secret)
        self._secret = secret
        self._own = own
        self._routes = routes
        self._session: Session | None = None
        self.refused = RefusalCounter()

    @property
    def peer(self) -> str:
        """The node at the other end."""
        return self._own.peer

    @property
    def session(self) -> Session | None:
        """The keys; None before the peer's hello."""
        return self._session

    @property
    def confirmed(self) -> bool:
        """The peer has proved that it is here, now, and knows the secret."""
        return self._session is not None and self._session.confirmed

    def hello(self) -> bytes:
        """The first thing to send."""
        return seal_hello(self._secret, self._own)

    def send(self, message: Message) -> bytes:
        """An envelope for the peer. Raises ValueError before the peer's hello came."""
        if self._session is None:
            raise ValueError(f"no session with {self.peer} yet: its hello has not come")
        return self._session.seal(message)

    def receive(self, data: bytes, *, now_ns: int) -> Opened | Handled | Refusal:
        """One envelope as it came."""
        result = self._receive(data, now_ns)
        return self.refused.note(result) if isinstance(result, Refusal) else result

    def _receive(self, data: bytes, now_ns: int) -> Opened | Handled | Refusal:
        envelope = parse_envelope(data)
        if isinstance(envelope, Refusal):
            return envelope
        if self._session is None:
            hello = open_hello(self._secret, envelope, node=self._own.node, peer=self.peer)
            if isinstance(hello, Refusal):
                return hello
            if hello.nonce == self._own.nonce:
                return Refusal(Reason.REPLAYED, "a hello with this node's own nonce")
            self._session = Session(self._secret, own=self._own, peer=hello)
            return Opened(hello)
        message = self._session.open(envelope)
        if isinstance(message, Refusal):
            return message
        return self._route(message, now_ns)

    def _route(self, message: Message, now_ns: int) -> Handled | Refusal:
        route = self._routes.get(type(message))
        if route is None:
            return Refusal(Reason.UNEXPECTED, f"no use for {type(message).__name__} here")
        result = route(self.peer, message, now_ns)
        return result if isinstance(result, Refusal) else Handled(message, result)
