"""When to call a neighbour: while it is not heard, again and again, and never one call at a time.

After an outage the TCP connection of a standing session waits before it tries again, twice as long
after each failure (RFC 6298, section 5.5); so does a call that is being connected. A call made anew
costs a round trip or two. So a neighbour that fell silent is called beside the session that stands,
and the first call that proves itself takes its place.

Each direction waits for itself: a neighbour that is heard again over the old session may not hear
us for as long again. After a long silence it is called once more all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

CALLS_MOST = 3
"""Under way at once, to one neighbour."""
PAUSE_S = (0.05, 0.5)
OVERLAP_S = 0.15
"""A call that is not answered by then may have met a cut link: another one goes out beside it."""
LONG_SILENCE_S = 0.4
"""A neighbour that was only busy is mostly back before."""
EAGER_CALLS = 20
"""So many calls are made at the shortest pause before it grows: a neighbour that died is mostly
back within a second, and flows wait for it."""


def dial_pause_s(failures: int) -> float:
    """At most so long after so many calls in a row that came to nothing."""
    least_s, most_s = PAUSE_S
    return min(least_s * 2.0 ** min(max(0, failures - EAGER_CALLS), 10), most_s)


class Callee(Protocol):
    """A neighbour, as far as it matters here."""

    @property
    def is_heard(self) -> bool:
        """A session stands, and the neighbour speaks."""
        ...

    @property
    def has_session(self) -> bool:
        """A session stands, whether the neighbour speaks or not."""
        ...

    @property
    def sessions(self) -> int:
        """How many there were so far."""
        ...


class Dialler:
    """Keeps one session with one neighbour. On the event loop."""

    def __init__(
        self,
        callee: Callee,
        call: Callable[[], Awaitable[None]],
        *,
        share: Callable[[], float],
    ) -> None:
        """`call` returns when its session has ended, or came to nothing; `share` of a pause, drawn
        anew each time, keeps neighbours from calling each other in step."""
        self._callee = callee
        self._call = call
        self._share = share
        self._changed = asyncio.Event()

    def on_change(self) -> None:
        """The neighbour came, went, or fell silent."""
        self._changed.set()

    async def run(self) -> None:
        """Until cancelled."""
        calls: set[asyncio.Future[None]] = set()
        try:
            await self._keep(calls)
        finally:
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)

    async def _keep(self, calls: set[asyncio.Future[None]]) -> None:
        clock = asyncio.get_running_loop().time
        failures, next_s, heard = 0, clock(), self._callee.is_heard
        silent_s, session = clock(), self._callee.sessions
        while True:
            self._changed.clear()
            before, heard = heard, self._callee.is_heard
            if before and not heard:
                # One that is only busy speaks again soon; after the end of a session nobody does.
                failures, next_s = 0, clock() + (OVERLAP_S if self._callee.has_session else 0)
                silent_s, session = clock(), self._callee.sessions
            again = heard and not before and self._callee.sessions == session
            if again and clock() - silent_s >= LONG_SILENCE_S:
                calls.add(asyncio.ensure_future(self._call()))
            wait_s = None
            # The call of a session that stands is one of them.
            if not heard and len(calls) <= CALLS_MOST:
                if clock() >= next_s:
                    calls.add(asyncio.ensure_future(self._call()))
                    next_s = clock() + max(OVERLAP_S, dial_pause_s(failures))
                    failures += 1
                wait_s = next_s - clock()
            await self._wait(calls, wait_s)
            for ended in [call for call in calls if call.done()]:
                calls.discard(ended)
                ended.result()
                next_s = min(next_s, clock() + dial_pause_s(failures) * self._share())

    async def _wait(self, calls: set[asyncio.Future[None]], wait_s: float | None) -> None:
        changed = asyncio.ensure_future(self._changed.wait())
        waiting: set[asyncio.Future[Any]] = {changed, *calls}
        try:
            await asyncio.wait(waiting, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
