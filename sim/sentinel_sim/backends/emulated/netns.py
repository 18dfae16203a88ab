"""Do something inside a named network namespace, from this process."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sentinel_sim.errors import EmulationError

T = TypeVar("T")
NAMESPACE_DIRECTORY = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def call_in_namespace(namespace: str, work: Callable[[], T]) -> T:
    """Run `work` in a short-lived thread that has entered the namespace; return its result.

    Sockets that it opens stay in that namespace wherever they are used later.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def enter_and_work() -> None:
        try:
            fd = os.open(NAMESPACE_DIRECTORY / namespace, os.O_RDONLY | os.O_CLOEXEC)
            try:
                if _libc.setns(fd, _CLONE_NEWNET):
                    number = ctypes.get_errno()
                    raise EmulationError(f"namespace {namespace}: {os.strerror(number)}")
            finally:
                os.close(fd)
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
            errors.append(error)

    thread = threading.Thread(target=enter_and_work, name=f"in-{namespace}")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
