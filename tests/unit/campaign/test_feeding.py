"""A pipe gives its bytes once, to whoever opens it, and breaks with its reader."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from sentinel_sim.campaign.feeding import feeding, payload


def test_a_reader_gets_all_and_then_the_end(tmp_path: Path) -> None:
    data = payload(1, 2, 300_000)

    async def scene() -> bytes:
        async with feeding(tmp_path / "pipe", data) as feed:
            with (tmp_path / "pipe").open("rb") as reader:
                feed.hand_over()
                return await asyncio.to_thread(reader.read)

    assert asyncio.run(scene()) == data
    assert not (tmp_path / "pipe").exists()


def test_a_reader_that_dies_breaks_it(tmp_path: Path) -> None:
    async def scene() -> int:
        async with feeding(tmp_path / "pipe", payload(1, 2, 300_000)) as feed:
            reader = os.open(tmp_path / "pipe", os.O_RDONLY)
            feed.hand_over()
            await asyncio.to_thread(os.read, reader, 1000)
            os.close(reader)
            await asyncio.wait_for(feed.ended.wait(), 10)
            return feed.given

    assert 0 < asyncio.run(scene()) < 300_000


def test_one_that_nobody_opened_is_removed(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))

    async def scene() -> None:
        async with feeding(tmp_path / "pipe", b"abc"):
            pass

    asyncio.run(scene())
    assert not (tmp_path / "pipe").exists()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
