"""A neighbour is called while it is not heard, and left in peace while it is."""

from __future__ import annotations

import asyncio

import pytest

from sentinel_node.daemon.control import dialling
from sentinel_node.daemon.control.dialling import (
    CALLS_MOST,
    EAGER_CALLS,
    PAUSE_S,
    Dialler,
    dial_pause_s,
)


class Line:
    """A neighbour, and the calls to it; each lasts until it is hung up."""

    def __init__(self) -> None:
        self.is_heard = self.has_session = False
        self.sessions = 0
        self.begun = 0
        self.under_way = 0
        self.hung_up = asyncio.Event()
        self.dialler = Dialler(self, self.call, share=lambda: 0.02)

    async def call(self) -> None:
        self.begun += 1
        self.under_way += 1
        try:
            await self.hung_up.wait()
        finally:
            self.under_way -= 1

    async def until_begun(self, count: int) -> None:
        async with asyncio.timeout(10):
            while self.begun < count:  # noqa: ASYNC110  turns of the loop, no time
                await asyncio.sleep(0)


async def test_several_calls_are_under_way_at_once_but_not_many() -> None:
    line = Line()
    running = asyncio.ensure_future(line.dialler.run())
    await line.until_begun(CALLS_MOST + 1)
    for _ in range(100):
        await asyncio.sleep(0)
    assert line.begun == CALLS_MOST + 1
    line.hung_up.set()
    await line.until_begun(CALLS_MOST + 2)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert line.under_way == 0


async def test_who_is_heard_is_not_called_until_it_falls_silent() -> None:
    line = Line()
    line.is_heard = True
    running = asyncio.ensure_future(line.dialler.run())
    for _ in range(100):
        await asyncio.sleep(0)
    assert line.begun == 0
    line.is_heard = False
    line.dialler.on_change()
    await line.until_begun(1)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert line.under_way == 0


@pytest.mark.parametrize(
    ("least_silence_s", "newer", "calls"), [(0.0, 0, 1), (0.0, 1, 0), (3600.0, 0, 0)]
)
async def test_who_is_heard_again_after_long_may_not_hear_us_and_is_called_once(
    monkeypatch: pytest.MonkeyPatch, least_silence_s: float, newer: int, calls: int
) -> None:
    """Not if a new session took the old one's place, nor after a moment's silence."""
    monkeypatch.setattr(dialling, "LONG_SILENCE_S", least_silence_s)
    line = Line()
    line.is_heard = line.has_session = True
    line.sessions = 1
    running = asyncio.ensure_future(line.dialler.run())
    for is_heard in (True, False, True):
        line.is_heard = is_heard
        line.sessions += newer if is_heard else 0
        line.dialler.on_change()
        for _ in range(100):
            await asyncio.sleep(0)
    assert line.begun == calls
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert line.under_way == 0


def test_a_neighbour_is_called_often_for_a_second_and_then_less_and_less() -> None:
    pauses = [dial_pause_s(failures) for failures in range(40)]
    least_s, most_s = PAUSE_S
    assert pauses[: EAGER_CALLS + 1] == [least_s] * (EAGER_CALLS + 1)
    assert pauses == sorted(pauses)
    assert pauses[-1] == most_s
