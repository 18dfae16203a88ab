"""Named network namespaces, as iproute2 keeps them: bind mounts under /run/netns."""

from __future__ import annotations

import ctypes
import os
import re
from pathlib import Path

NETNS_DIRECTORY = Path("/run/netns")
PREFIX = "sentinel-"
RUN_ID_PATTERN = re.compile(r"[a-z0-9]{4}")
_MNT_DETACH = 2
_OWN_NAME = re.compile(rf"{PREFIX}(?P<run_id>{RUN_ID_PATTERN.pattern})-.+")
_DOCTOR_NAME = re.compile(rf"{PREFIX}doctor-(?P<pid>\d+)")


def namespace_name(run_id: str, node: str) -> str:
    """The name of a node's or wire's namespace: `sentinel-<run_id>-<node>`."""
    return f"{PREFIX}{run_id}-{node}"


def run_id_of(name: str) -> str | None:
    """The run that a namespace belongs to, by its name; None: not a run of ours."""
    match = _OWN_NAME.fullmatch(name)
    return match["run_id"] if match else None


def doctor_pid_of(name: str) -> int | None:
    """The process that made this scratch namespace of `sentinel-sim doctor`; None: not one."""
    match = _DOCTOR_NAME.fullmatch(name)
    return int(match["pid"]) if match else None


def list_namespaces(directory: Path = NETNS_DIRECTORY) -> list[str]:
    """All named namespaces of this host, ours or not, in alphabetical order."""
    try:
        return sorted(entry.name for entry in directory.iterdir())
    except FileNotFoundError:
        return []


def identity_of(path: Path) -> tuple[int, int] | None:
    """Device and inode of the namespace mounted at `path`; None if there is none.

    Between creation and mount the file is an ordinary empty one: its inode number means nothing.
    """
    try:
        status = path.stat()
        parent = path.parent.stat()
    except FileNotFoundError:
        return None
    return None if status.st_dev == parent.st_dev else (status.st_dev, status.st_ino)


def unmount(path: Path) -> None:
    """Lazy umount(2). A path that is no mount point, or is gone, is not an error.

    Raises OSError, with the path, for anything else (most often EPERM).
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.umount2.argtypes = [ctypes.c_char_p, ctypes.c_int]
    libc.umount2.restype = ctypes.c_int
    while path_is_mounted(path):
        if libc.umount2(os.fsencode(path), _MNT_DETACH) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(path))


def path_is_mounted(path: Path) -> bool:
    """Whether something is mounted exactly at `path` (files included, by /proc/self/mountinfo)."""
    target = os.fspath(path.parent.resolve() / path.name)
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return any(_unescape(line.split(" ")[4]) == target for line in lines)


def _unescape(field: str) -> str:
    """Undo the octal escapes of proc(5) mountinfo."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)
