"""How node daemons are started."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.emulated.specs import line

from sentinel_node.daemon.client import NodeClient
from sentinel_node.daemon.fsu import FsuPoint
from sentinel_node.daemon.main import daemon_config, main, make_parser
from sentinel_sim.backends.emulated.daemons import FlowMaps, daemon_arguments
from sentinel_sim.backends.emulated.layout import Layout
from sentinel_sim.backends.emulated.spare import Spare, pidfd_of

LAYOUT = Layout.of("ab12", line())


def spare_of(node: str, control: Path) -> Spare:
    ours, theirs = socket.socketpair()
    with theirs:
        fd = theirs.fileno()
        words = ("--role", "receiver", "--node", node, "--control", f"unix:{control}")
        arguments = (sys.executable, "-m", main.__module__, *words, "--standby", str(fd))
        return Spare(subprocess.Popen(arguments, pass_fds=[fd]), ours)


def option(arguments: tuple[str, ...], name: str) -> str:
    return arguments[arguments.index(name) + 1]


def test_a_daemon_is_told_its_role_its_name_and_where_to_listen() -> None:
    arguments = daemon_arguments(LAYOUT, "m", Path("/run/x/m.sock"), [], {1, 0})
    assert option(arguments, "--role") == "intermediate"
    assert option(arguments, "--node") == "m"
    assert option(arguments, "--control") == "unix:/run/x/m.sock"
    assert option(arguments, "--run-id") == "ab12"
    assert option(arguments, "--data-cpus") == "0,1"
    assert "--fsu-point" not in arguments


def test_the_maps_of_every_link_are_handed_over_as_the_daemon_reads_them() -> None:
    handed = [FlowMaps("s--m", 7, 8, 9, 10), FlowMaps("m--r", 11, 12, 13, 10)]
    arguments = daemon_arguments(LAYOUT, "m", Path("/s"), handed, {0})
    options = make_parser().parse_args(arguments[3:])
    assert daemon_config(options).fsu_points == (
        FsuPoint("s--m", 7, 8, 9, 10),
        FsuPoint("m--r", 11, 12, 13, 10),
    )
    assert arguments[1:3] == ("-m", main.__module__)


async def test_a_spare_is_loaded_once_and_copied_whenever_it_is_needed(tmp_path: Path) -> None:
    control = tmp_path / "socket"
    spare = spare_of("m", control)
    async with asyncio.timeout(30):
        await spare.loaded()
        await spare.loaded()  # once is enough for it to say so
    assert not control.exists(), "it was not needed yet"
    for _ in range(2):
        copy = spare.fork()
        assert copy is not None
        async with await NodeClient.connect(f"unix:{control}", timeout_s=30) as client:
            assert client.identity.pid == copy.pid != spare.process.pid
            assert os.getsid(copy.pid) == copy.pid
            assert copy.poll() is None
            await client.shutdown()
        assert copy.wait(30) == 0
    spare.line.close()
    assert spare.process.wait(30) == 0


async def test_a_copy_is_killed_by_nobody_elses_id(tmp_path: Path) -> None:
    spare = spare_of("m", tmp_path / "socket")
    copy = spare.fork()  # also while it is still being loaded
    assert copy is not None
    fd = pidfd_of(copy)
    with pytest.raises(subprocess.TimeoutExpired):
        copy.wait(0.0)
    copy.kill()
    copy.wait(30)
    copy.kill()  # harmless
    with pytest.raises(ProcessLookupError):
        signal.pidfd_send_signal(fd, signal.SIGKILL)
    os.close(fd)
    spare.line.close()
    assert spare.process.wait(30) == 0


async def test_a_spare_that_died_is_not_used(tmp_path: Path) -> None:
    spare = spare_of("x", tmp_path / "socket")
    spare.process.kill()
    spare.process.wait(30)
    with pytest.raises(ConnectionError):
        await spare.loaded()
    assert spare.fork() is None
    spare.line.close()
