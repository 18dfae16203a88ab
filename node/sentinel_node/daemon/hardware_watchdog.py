"""The hardware watchdog, /dev/watchdog (Linux: Documentation/watchdog/watchdog-api.rst).

Opening the device arms it: if it is not fed in time, the machine is reset. So it is used only
when its path is named on the command line, never by default, and only if it can be disarmed
again: a driver with `nowayout`, or without magic close, is refused before anything is opened.
Closing after a `V` disarms; a daemon that hangs or is killed does not write it, and that is the
point.

The device must be described as a watchdog in sysfs. The emulated backend never passes the flag,
and its nodes' root is no root of the host.
"""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

from sentinel_node.errors import PrivilegeError, RequestError, UnsupportedOptionError

SYSFS = Path("/sys/dev/char")
MAGIC_CLOSE = 0x0100  # WDIOF_MAGICCLOSE, linux/watchdog.h


class HardwareWatchdog:
    """An armed watchdog; `close` disarms it."""

    def __init__(self, fd: int, timeout_s: int) -> None:
        self._fd: int | None = fd
        self.timeout_s = timeout_s

    @classmethod
    def arm(cls, device: str, sysfs: Path = SYSFS) -> HardwareWatchdog:
        """Check, then open, which arms it. Raises RequestError, UnsupportedOptionError or
        PrivilegeError; the device is untouched then."""
        timeout_s = check_device(device, sysfs)
        try:
            return cls(os.open(device, os.O_WRONLY | os.O_CLOEXEC), timeout_s)
        except PermissionError as error:
            raise PrivilegeError(f"--hardware-watchdog {device}: no permission to open") from error
        except OSError as error:  # EBUSY: only one process can hold it
            raise UnsupportedOptionError(f"--hardware-watchdog {device}: {error}") from error

    def feed(self) -> None:
        """Give it its full time again."""
        if self._fd is not None:
            os.write(self._fd, b"1")

    async def keep_fed(self) -> None:
        """Feed it for ever, four times in its time; from the event loop, whose life it guards."""
        while True:
            self.feed()
            await asyncio.sleep(self.timeout_s / 4)

    def close(self) -> None:
        """Disarm and close. Harmless a second time."""
        if self._fd is not None:
            fd, self._fd = self._fd, None
            os.write(fd, b"V")
            os.close(fd)


def check_device(device: str, sysfs: Path = SYSFS) -> int:
    """The watchdog's time in s. Raises as `arm`, for anything that could not be disarmed."""
    try:
        status = Path(device).stat()
    except OSError as error:
        raise RequestError(f"--hardware-watchdog {device}: {error.strerror}") from error
    if not stat.S_ISCHR(status.st_mode):
        raise RequestError(f"--hardware-watchdog {device}: is not a character device")
    home = sysfs / f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    try:
        timeout_s = int((home / "timeout").read_text())
        nowayout = int((home / "nowayout").read_text())
        options = int((home / "options").read_text(), 16)
    except (OSError, ValueError) as error:
        raise UnsupportedOptionError(
            f"--hardware-watchdog {device}: the kernel does not describe it as a watchdog in"
            f" {home} (CONFIG_WATCHDOG_SYSFS), so it is not known whether it can be disarmed"
        ) from error
    if nowayout or not options & MAGIC_CLOSE:
        why = "nowayout is set" if nowayout else "its driver has no magic close"
        raise UnsupportedOptionError(
            f"--hardware-watchdog {device}: once armed it cannot be disarmed ({why}), and the"
            " machine would be reset when the daemon ends; it is not opened"
        )
    return timeout_s
