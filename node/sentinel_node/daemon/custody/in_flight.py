"""Acknowledgements that are faster than our own books.

send(2) returns before the ledger hears how much was sent, and on a short link the next node can
answer in between. Such a word is true, and must not be refused as beyond what was sent: it waits
until the books are up to date.
"""

from __future__ import annotations

from collections import deque

from sentinel_node.core.control.custody_messages import CustodyAck, DeliveredAck

Ack = CustodyAck | DeliveredAck


class InFlight:
    """The slice that is being handed to the connection; one thread sends, another hears."""

    def __init__(self) -> None:
        self._slice: tuple[int, int] | None = None
        self._early: deque[tuple[str, Ack]] = deque()

    def sending(self, start: int, end: int) -> None:
        """send(2) is called now."""
        self._slice = (start, end)

    def booked(self) -> None:
        """The ledger knows what was sent."""
        self._slice = None

    def is_early(self, peer: str, ack: Ack) -> bool:
        """True: keep it for `take`, and wake the flow's thread."""
        sending = self._slice
        if sending is None or not sending[0] < ack.offset <= sending[1]:
            return False
        self._early.append((peer, ack))
        return True

    def take(self) -> list[tuple[str, Ack]]:
        """What waited; for the flow's thread, when nothing is being sent."""
        early = []
        while self._early:
            early.append(self._early.popleft())
        return early
