"""What waits for one neighbour's stream: latest value wins, so it is bounded by flows and kinds.

Values are put from any thread and taken by the stream's writer on the event loop. Heartbeats go
first, then acknowledgements and other messages in the order their flow first had one waiting, then
what the sync source has to say, asked only when there is room: never a backlog.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from sentinel_node.core.control.codec import Message
from sentinel_node.core.control.messages import Digest, Heartbeat, Pull

Source = Callable[[], Message | None]
"""The next message to send, or None; called on the event loop."""

_SINGLE = (Heartbeat, Digest)


def key_of(message: Message) -> tuple[type, object]:
    """Messages of equal keys replace each other."""
    if isinstance(message, _SINGLE):
        return type(message), 0
    if isinstance(message, Pull):
        return Pull, message.buckets
    return type(message), getattr(message, "flow_id", message)


class Outbox:
    """At most `limit` waiting messages; `wake` is called after every put."""

    def __init__(self, limit: int, wake: Callable[[], None]) -> None:
        self._limit = limit
        self._wake = wake
        self._lock = threading.Lock()
        self._heartbeat: Heartbeat | None = None
        self._waiting: dict[tuple[type, object], Message] = {}

    def put(self, message: Message) -> bool:
        """Have it sent; False if it is full, which takes as many flows as the limit."""
        with self._lock:
            if isinstance(message, Heartbeat):
                self._heartbeat = message
            else:
                key = key_of(message)
                if key not in self._waiting and len(self._waiting) >= self._limit:
                    return False
                self._waiting[key] = message
        self._wake()
        return True

    def take(self) -> Message | None:
        """The next message; None if there is none."""
        with self._lock:
            if self._heartbeat is not None:
                heartbeat, self._heartbeat = self._heartbeat, None
                return heartbeat
            if self._waiting:
                return self._waiting.pop(next(iter(self._waiting)))
        return None

    def __len__(self) -> int:
        with self._lock:
            return len(self._waiting) + (self._heartbeat is not None)
