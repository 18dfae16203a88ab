"""Reading and writing BPF maps by descriptor, with nothing but the standard library.

Node daemons use this on descriptors they inherited: reading needs no capability and no bcc.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sentinel_bpf import syscalls
from sentinel_bpf.errors import BpfError

_PER_CPU_TYPES = frozenset({5, 6, 10, 21})
"""BPF_MAP_TYPE_PERCPU_HASH, PERCPU_ARRAY, LRU_PERCPU_HASH, PERCPU_CGROUP_STORAGE."""
_BATCH = 1024
_ENOTSUPP = 524
"""Of the kernel alone, not of errno(3): what map types without batches answer."""
_NO_BATCH = frozenset({errno.EINVAL, errno.EOPNOTSUPP, _ENOTSUPP})

logger = logging.getLogger(__name__)


class BatchUnsupportedError(BpfError):
    """The kernel has no batch lookup for this map."""


@dataclass(frozen=True, slots=True)
class MapShape:
    """What the kernel says of a map in /proc/self/fdinfo; sizes in bytes."""

    map_type: int
    key_bytes: int
    value_bytes: int
    """As declared: of one CPU for per-CPU maps."""
    max_entries: int

    @property
    def per_cpu(self) -> bool:
        """Whether every CPU has a value of its own."""
        return self.map_type in _PER_CPU_TYPES

    @property
    def transfer_bytes(self) -> int:
        """Size of a value between kernel and user space: all CPUs, each rounded up to 8."""
        if not self.per_cpu:
            return self.value_bytes
        return _round_up(self.value_bytes) * possible_cpus()


def _round_up(size: int) -> int:
    return (size + 7) // 8 * 8


@functools.cache
def possible_cpus() -> int:
    """How many CPUs this kernel could ever run; per-CPU maps have a value for each."""
    text = Path("/sys/devices/system/cpu/possible").read_text(encoding="ascii").strip()
    return int(text.replace(",", "-").split("-")[-1]) + 1


def shape(fd: int) -> MapShape:
    """The shape of the map behind `fd`. Raises BpfError if it is no map."""
    path = Path(f"/proc/self/fdinfo/{fd}")
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError as error:
        raise BpfError(f"descriptor {fd}: {error.strerror}") from error
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    try:
        return MapShape(
            map_type=int(fields["map_type"]),
            key_bytes=int(fields["key_size"]),
            value_bytes=int(fields["value_size"]),
            max_entries=int(fields["max_entries"]),
        )
    except KeyError as error:
        raise BpfError(f"descriptor {fd} is not a BPF map") from error


def lookup(fd: int, key: bytes) -> bytes | None:
    """The value at `key` (of all CPUs in a row for a per-CPU map), None if there is none."""
    return syscalls.map_lookup(fd, key, shape(fd).transfer_bytes)


def lookup_per_cpu(fd: int, key: bytes) -> list[bytes]:
    """The values of every possible CPU, in order. Raises BpfError if the key is absent."""
    form = shape(fd)
    if not form.per_cpu:
        raise BpfError(f"map descriptor {fd} has one value for all CPUs, not one for each")
    raw = syscalls.map_lookup(fd, key, form.transfer_bytes)
    if raw is None:
        raise BpfError(f"map descriptor {fd} has no key {key.hex()}")
    return split_per_cpu(raw, form.value_bytes)


def split_per_cpu(raw: bytes, value_bytes: int) -> list[bytes]:
    """A per-CPU value as transferred, cut into the values of the CPUs."""
    step = _round_up(value_bytes)
    return [raw[start : start + value_bytes] for start in range(0, len(raw), step)]


def update(fd: int, key: bytes, value: bytes) -> None:
    """Write the value at `key`. Raises BpfError if the sizes are not those of the map."""
    form = shape(fd)
    if len(key) != form.key_bytes or len(value) != form.transfer_bytes:
        raise BpfError(
            f"map descriptor {fd} takes {form.key_bytes}-byte keys and {form.transfer_bytes}-byte "
            f"values, got {len(key)} and {len(value)}"
        )
    syscalls.map_update(fd, key, value)


def index_key(index: int) -> bytes:
    """The key of an array map."""
    return index.to_bytes(4, "little")


def items(fd: int) -> Iterator[tuple[bytes, bytes]]:
    """Every (key, value) of a map, by batches; reading is no use in the sense of an LRU map.

    Entries that come, go or move while the map is read may be missed or come twice.
    """
    form = shape(fd)
    try:
        for keys, values, count in _batches(fd, form):
            for index in range(count):
                key, value = index * form.key_bytes, index * form.transfer_bytes
                yield (
                    keys[key : key + form.key_bytes],
                    values[value : value + form.transfer_bytes],
                )
    except BatchUnsupportedError as error:
        # Before Linux 5.6, or a kind of map that has it not: before the first entry was given.
        logger.warning("%s; reading entry by entry, which is slow", error)
        yield from items_one_by_one(fd)


def items_one_by_one(fd: int) -> Iterator[tuple[bytes, bytes]]:
    """`items` by two system calls an entry: for kernels without batches.

    Iteration starts again where the entry that was last seen has gone, and ends after as many
    steps as the map has room for.
    """
    form = shape(fd)
    key: bytes | None = None
    for _ in range(form.max_entries):
        key = syscalls.map_next_key(fd, key, form.key_bytes)
        if key is None:
            return
        value = syscalls.map_lookup(fd, key, form.transfer_bytes)
        if value is not None:
            yield key, value


def array_values(fd: int, count: int, start: int = 0) -> bytes:
    """`count` values of an array map in a row (each of all CPUs for a per-CPU array)."""
    form = shape(fd)
    parts: list[bytes] = []
    got = 0
    if count == 0:
        return b""
    for _, values, more in _batches(fd, form, start):
        parts.append(values[: more * form.transfer_bytes])
        got += more
        if got >= count:
            break
    return b"".join(parts)[: count * form.transfer_bytes]


def _batches(fd: int, form: MapShape, start: int = 0) -> Iterator[tuple[bytes, bytes, int]]:
    """(keys, values, how many of them are filled), until the end of the map.

    `start`: in an array map, the index to begin at. The place mark is the key before.
    """
    before = index_key(start - 1) if start else b""
    token = ctypes.create_string_buffer(before, max(form.key_bytes, 8))
    count, first, last = min(_BATCH, form.max_entries), start == 0, False
    while not last:
        keys = ctypes.create_string_buffer(count * form.key_bytes)
        values = ctypes.create_string_buffer(count * form.transfer_bytes)
        try:
            got, last = syscalls.map_lookup_batch(
                fd, token, first=first, keys=keys, values=values, count=count
            )
        except OSError as error:
            if first and error.errno in _NO_BATCH:
                raise BatchUnsupportedError(
                    f"map descriptor {fd}: this kernel has no batch lookup for it"
                ) from error
            if error.errno == errno.ENOSPC and count < form.max_entries:
                count = min(2 * count, form.max_entries)  # a bucket larger than the batch
                continue
            raise BpfError(f"batch read of map descriptor {fd}: {error.strerror}") from error
        first = False
        yield keys.raw, values.raw, got


def reopen_readonly(fd: int) -> int:
    """A second descriptor of the same map through which nothing can be written.

    For handing to a node daemon. Needs CAP_SYS_ADMIN; the caller closes it.
    """
    info = syscalls.MapInfo()
    syscalls.obj_info(fd, info)
    return syscalls.fd_by_id(
        syscalls.MAP_GET_FD_BY_ID, int(info.id), open_flags=syscalls.BPF_F_RDONLY
    )
