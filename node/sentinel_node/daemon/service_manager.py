"""Tells a service manager that the daemon is ready and alive: systemd's protocol, sd_notify(3).

Does nothing where nobody listens (`NOTIFY_SOCKET` is not set), as in the emulated network. The
watchdog's sign of life is sent from the event loop, at half of the time that systemd allows, so a
loop that hangs is killed and started again (`WatchdogSec=` and `Restart=on-watchdog` in the unit).
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Mapping

logger = logging.getLogger(__name__)


def notify(text: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Send one state, such as `READY=1`; False if nobody listens, or the send fails (logged)."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        try:
            sock.sendto(text.encode(), "\0" + address[1:] if address[0] == "@" else address)
        except OSError as error:
            logger.warning("NOTIFY_SOCKET %s: %s was not sent: %s", address, text, error)
            return False
    return True


def watchdog_interval_s(environ: Mapping[str, str] = os.environ) -> float | None:
    """Half of WATCHDOG_USEC, as sd_watchdog_enabled(3) advises; None if it is not for us."""
    usec, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not usec.isdecimal() or int(usec) == 0 or (pid and pid != str(os.getpid())):
        return None
    return int(usec) / 2e6


async def keep_alive(environ: Mapping[str, str] = os.environ) -> None:
    """Send `WATCHDOG=1` for ever, if a watchdog is set; returns at once if not."""
    interval_s = watchdog_interval_s(environ)
    while interval_s is not None:
        notify("WATCHDOG=1", environ)
        await asyncio.sleep(interval_s)
