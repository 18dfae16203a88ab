"""Do something inside another network namespace, without moving the calling thread there."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sentinel_bpf.errors import BpfError

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_libc.setns.argtypes = (ctypes.c_int, ctypes.c_int)
_libc.setns.restype = ctypes.c_int

T = TypeVar("T")


class NamespaceGoneError(BpfError):
    """The namespace does not exist (any more)."""


def _enter(path: Path) -> None:
    """Move the calling thread; it must not be used for anything else afterwards."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise NamespaceGoneError(f"{path}: no such network namespace") from error
    try:
        if _libc.setns(fd, _CLONE_NEWNET) != 0:
            code = ctypes.get_errno()
            raise BpfError(f"{path}: cannot enter the network namespace: {os.strerror(code)}")
    finally:
        os.close(fd)


def run_in_netns(path: Path | str | None, action: Callable[[], T]) -> T:
    """`action()` in the namespace at `path` (/run/netns/X, /proc/PID/ns/net); None: right here.

    Runs in a thread of its own that ends afterwards, because a namespace belongs to a thread.
    Blocks meanwhile; what `action` raises is raised here.
    """
    if path is None:
        return action()
    results: list[T] = []
    errors: list[BaseException] = []

    def inside() -> None:
        try:
            _enter(Path(path))
            results.append(action())
        except BaseException as error:  # noqa: BLE001 - carried over to the calling thread
            errors.append(error)

    thread = threading.Thread(target=inside, name=f"netns {path}")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
