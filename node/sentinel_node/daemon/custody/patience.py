"""How long the connections of flows in custody wait for their peers."""

from __future__ import annotations

NS_PER_S = 1_000_000_000
BACKOFF_MIN_NS = 20_000_000
BACKOFF_MAX_NS = NS_PER_S
ASK_AGAIN_NS = NS_PER_S
"""Longer than any round trip on Earth; a new session asks at once anyway."""
ASK_AGAIN_MOST_NS = 30 * NS_PER_S
END_GRACE_NS = 200_000_000
"""After the peer closed behind the trailer: for its word that all is delivered, before we ask."""


class Unanswered:
    """When to ask downstream again although nothing is known to be wrong.

    Acknowledgements may be lost, and without them nobody may have anything new to say. Asked again,
    in the same attempt, the next node says all of it once more. A flow that is read slowly has news
    seldom: to ask a thousand such ones every second would be most of what the nodes do. So it waits
    four times as long as news usually takes, a second at least, and twice as long after each time.
    """

    def __init__(self) -> None:
        self.due_ns: int | None = None
        self._since_ns = 0
        self._progress = 0
        self._usual_ns = 0
        self._asked = 0

    def is_due(self, progress: int | None, now_ns: int) -> bool:
        """`progress` grows with every word that says something new; None: nothing is awaited."""
        if progress is None:
            self.due_ns = None
            return False
        if self.due_ns is None or progress != self._progress:
            if self.due_ns is not None:
                self._usual_ns += (now_ns - self._since_ns - self._usual_ns) // 8
            self._progress, self._since_ns, self._asked = progress, now_ns, 0
            self._wait(now_ns)
            return False
        if now_ns < self.due_ns:
            return False
        self._asked += 1
        self._wait(now_ns)
        return True

    def _wait(self, now_ns: int) -> None:
        wait_ns = max(ASK_AGAIN_NS, 4 * self._usual_ns) << min(self._asked, 16)
        self.due_ns = now_ns + min(wait_ns, ASK_AGAIN_MOST_NS)
