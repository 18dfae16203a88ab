"""systemd's protocol on a socket of our own; a hardware watchdog that no accident arms."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sentinel_node.daemon import service_manager
from sentinel_node.daemon.hardware_watchdog import MAGIC_CLOSE, HardwareWatchdog, check_device
from sentinel_node.daemon.main import make_parser
from sentinel_node.errors import RequestError, UnsupportedOptionError


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(5)
        yield sock


def test_a_state_reaches_the_manager(manager: socket.socket) -> None:
    assert service_manager.notify("READY=1", {"NOTIFY_SOCKET": manager.getsockname()})
    assert manager.recv(100) == b"READY=1"


def test_nobody_to_tell_and_a_socket_that_is_gone_are_no_errors(tmp_path: Path) -> None:
    assert not service_manager.notify("READY=1", {})
    assert not service_manager.notify("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "gone")})
    assert not service_manager.notify("READY=1", {"NOTIFY_SOCKET": "vsock:2:1234"})


@pytest.mark.parametrize(
    ("environ", "interval_s"),
    [
        ({"WATCHDOG_USEC": "3000000"}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_signs_of_life_are_sent_at_half_of_the_time(
    environ: dict[str, str], interval_s: float | None
) -> None:
    assert service_manager.watchdog_interval_s(environ) == interval_s


async def test_the_event_loop_gives_signs_of_life(manager: socket.socket) -> None:
    environ = {"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "2000"}
    task = asyncio.ensure_future(service_manager.keep_alive(environ))
    received = [await asyncio.to_thread(manager.recv, 100) for _ in range(3)]
    task.cancel()
    assert received == [b"WATCHDOG=1"] * 3


async def test_without_a_watchdog_there_is_nothing_to_do() -> None:
    await service_manager.keep_alive({})


def sysfs_of(tmp_path: Path, device: str, nowayout: int, options: int) -> Path:
    """A sysfs that describes `device` (here: a harmless one) as a watchdog."""
    number = Path(device).stat().st_rdev
    home = tmp_path / f"{os.major(number)}:{os.minor(number)}"
    home.mkdir()
    (home / "timeout").write_text("60\n")
    (home / "nowayout").write_text(f"{nowayout}\n")
    (home / "options").write_text(f"{options:#x}\n")
    return tmp_path


def test_a_watchdog_is_fed_and_disarmed(tmp_path: Path) -> None:
    sysfs = sysfs_of(tmp_path, "/dev/null", 0, MAGIC_CLOSE)
    watchdog = HardwareWatchdog.arm("/dev/null", sysfs)
    assert watchdog.timeout_s == 60
    watchdog.feed()
    watchdog.close()
    watchdog.close()
    watchdog.feed()


@pytest.mark.parametrize(
    ("nowayout", "options", "why"), [(1, MAGIC_CLOSE, "nowayout"), (0, 0x8000, "no magic close")]
)
def test_what_could_not_be_disarmed_is_not_opened(
    tmp_path: Path, nowayout: int, options: int, why: str
) -> None:
    with pytest.raises(UnsupportedOptionError, match=why):
        HardwareWatchdog.arm("/dev/null", sysfs_of(tmp_path, "/dev/null", nowayout, options))


def test_what_is_no_watchdog_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for device in (str(tmp_path / "file"), str(tmp_path / "none")):
        with pytest.raises(RequestError):
            check_device(device, tmp_path)
    with pytest.raises(UnsupportedOptionError, match="does not describe it"):
        check_device("/dev/null", tmp_path)


def test_no_watchdog_is_armed_unless_it_is_named() -> None:
    assert make_parser().parse_args(["--role", "sender"]).hardware_watchdog == ""
