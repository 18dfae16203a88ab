"""Fixtures: daemons that all tests share, daemons that a test may kill, and a run of one's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.unit.node.support import END_TIMEOUT_S, Daemon, Net, end_daemon, start_daemon

from sentinel_node.daemon.client import NodeClient


@pytest.fixture(scope="session")
def daemons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Daemon]]:
    """One daemon of each role for all tests; each test uses a run of its own."""
    folder = tmp_path_factory.mktemp("nodes")
    started = {role: start_daemon(role, folder) for role in ("sender", "intermediate", "receiver")}
    yield started
    codes = {role: end_daemon(daemon) for role, daemon in started.items()}
    assert codes == dict.fromkeys(started, 0)


@pytest.fixture
def new_daemon(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """Start daemons that a test may kill."""
    started: list[Daemon] = []

    def start(role: str, *extra: str) -> Daemon:
        folder = tmp_path / str(len(started))
        folder.mkdir()
        started.append(start_daemon(role, folder, *extra))
        return started[-1]

    yield start
    for daemon in started:
        daemon.process.kill()
        daemon.process.wait(END_TIMEOUT_S)


@pytest.fixture
async def net(daemons: dict[str, Daemon]) -> AsyncIterator[Net]:
    """The three daemons, connected; whatever the test's run left open is released."""
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(await NodeClient.connect(str(daemon.control)))
            for daemon in daemons.values()
        ]
        net = Net(*clients, daemons=daemons)
        yield net
        for client in clients:
            if net.run in (await client.hello()).runs:
                await client.release(net.run)
