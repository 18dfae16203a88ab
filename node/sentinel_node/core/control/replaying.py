"""A fault: control messages that were sent already are sent again (pure).

What an attacker on the wire would do who can record and insert, but has no key. It is done by the
sending node itself, since a TCP in between takes no copy of a segment it has seen. Messages of
earlier sessions are kept, too. The neighbour must refuse each one, count it, and change nothing.
"""

from __future__ import annotations

import random
from collections import deque

KEPT_MOST = 64
MESSAGE_BYTES_MOST = 4096
"""A larger one is not recorded, so what is kept stays within 256 KiB."""


class Replayer:
    """Records what one neighbour is sent while a share of it is to be replayed."""

    def __init__(self) -> None:
        self._share = 0.0
        self._choice = random.Random(0)
        self._kept: deque[bytes] = deque(maxlen=KEPT_MOST)
        self.replayed = 0
        """Messages that were sent again."""

    def set(self, share: float, seed: int) -> None:
        """From now on, after this share of messages an older one is sent again; 0: none.

        Raises ValueError for a share that is none.
        """
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"a share of messages to replay is from 0 to 1, got {share}")
        self._share = share
        self._choice = random.Random(seed)
        if not share:
            self._kept.clear()

    def after(self, sent: bytes) -> bytes | None:
        """`sent` was sent: what to send again now, if anything."""
        if not self._share:
            return None
        if len(sent) <= MESSAGE_BYTES_MOST:
            self._kept.append(sent)
        if not self._kept or self._choice.random() >= self._share:
            return None
        self.replayed += 1
        return self._choice.choice(self._kept)
