"""The BPF file system: where pins keep links, programs and maps alive without a process.

A bpffs that the host has mounted is used through a directory of our own. Where there is none, one
is mounted on a directory of our own, and made private there, so that the mount reaches no other
mount namespace. Mounts that are not ours are never touched. Pins belong to user 0: whoever must not
remove them must not see them (see the nodes' private mounts).
"""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sentinel_bpf import syscalls
from sentinel_bpf.errors import BpfError, BpfUnavailableError

HOST_BPFFS = Path("/sys/fs/bpf")
_MOUNT_FLAGS = 0x2 | 0x4 | 0x8  # nosuid, nodev, noexec
_MS_PRIVATE = 1 << 18
_MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_ulong,
    ctypes.c_char_p,
)
_libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)


def is_bpffs(path: Path, mountinfo: Path = Path("/proc/self/mountinfo")) -> bool:
    """Whether the topmost file system mounted exactly at `path` is a bpffs."""
    kind = None
    for line in mountinfo.read_text(errors="replace").splitlines():
        before, _, after = line.partition(" - ")
        if before.split(" ")[4] == os.fspath(path):
            kind = after.split(" ")[0]
    return kind == "bpf"


def _mount(source: str, target: Path, kind: str, flags: int, data: str) -> None:
    done = _libc.mount(
        source.encode(), os.fsencode(target), kind.encode(), flags, data.encode() or None
    )
    if done != 0:
        code = ctypes.get_errno()
        kind_of_error = BpfUnavailableError if code == errno.EPERM else BpfError
        raise kind_of_error(
            f"{target}: cannot mount a bpffs: {os.strerror(code)}",
            cure="run as root" if code == errno.EPERM else None,
        )


def mount_bpffs(target: Path) -> None:
    """Mount a new, empty bpffs on a directory of ours (made if absent); nothing if there is one."""
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    if is_bpffs(target):
        return
    _mount("bpf", target, "bpf", _MOUNT_FLAGS, "mode=0700")
    _mount("none", target, "", _MS_PRIVATE, "")


def unmount_bpffs(target: Path) -> None:
    """Unmount what `mount_bpffs` mounted; harmless where nothing is."""
    if not is_bpffs(target):
        return
    if _libc.umount2(os.fsencode(target), _MNT_DETACH) != 0:
        code = ctypes.get_errno()
        raise BpfError(f"{target}: cannot unmount: {os.strerror(code)}")


class PinDirectory:
    """A directory in a bpffs and the pins in it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def make(self) -> None:
        """Create it, for user 0 only. Raises BpfError if it is there already."""
        try:
            self.path.parent.mkdir(mode=0o700, exist_ok=True)
            self.path.mkdir(mode=0o700)
        except OSError as error:
            raise _pin_error(error, self.path) from error

    def pin(self, fd: int, name: str) -> Path:
        """Pin the object behind `fd`; returns its path."""
        path = self.path / name
        try:
            syscalls.obj_pin(fd, os.fspath(path))
        except OSError as error:
            raise _pin_error(error, path) from error
        return path

    def open(self, name: str, *, read_only: bool = False) -> int:
        """A descriptor of what is pinned there; the caller closes it."""
        path = self.path / name
        flags = syscalls.BPF_F_RDONLY if read_only else 0
        try:
            return syscalls.obj_get(os.fspath(path), flags=flags)
        except OSError as error:
            raise _pin_error(error, path) from error

    @contextmanager
    def opened(self, name: str, *, read_only: bool = False) -> Iterator[int]:
        """`open`, closed at the end of the block."""
        fd = self.open(name, read_only=read_only)
        try:
            yield fd
        finally:
            os.close(fd)

    def names(self) -> list[str]:
        """What is pinned, in alphabetical order; empty if the directory is gone."""
        try:
            return sorted(entry.name for entry in self.path.iterdir())
        except FileNotFoundError:
            return []

    def remove(self) -> None:
        """Remove all pins and the directory: what nobody else holds is unloaded. Repeatable."""
        for name in self.names():
            (self.path / name).unlink(missing_ok=True)
        if self.path.exists():
            self.path.rmdir()


def _pin_error(error: OSError, path: Path) -> BpfError:
    if error.errno in (errno.EPERM, errno.EACCES):
        return BpfUnavailableError(f"{path}: pins are not permitted", cure="run as root")
    if error.errno == errno.ENOENT:
        return BpfError(f"{path}: nothing is pinned there")
    if error.errno == errno.EEXIST:
        return BpfError(f"{path}: something is pinned there already")
    return BpfError(f"{path}: {error.strerror}")
