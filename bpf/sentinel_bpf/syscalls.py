"""bpf(2) itself: one typed function per command used, raising readable errors.

Raw system calls, because the node daemons read maps without bcc or libbpf, and because one way is
easier to trust than two. Every descriptor the kernel returns is close-on-exec.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from collections.abc import Sequence

from sentinel_bpf.errors import BpfError, BpfUnavailableError, VerifierError
from sentinel_bpf.uapi import (
    NAME_BYTES,
    BatchAttr,
    BtfInfo,
    BtfLoadAttr,
    ElementAttr,
    EnableStatsAttr,
    FdByIdAttr,
    InfoAttr,
    LinkCreateAttr,
    LinkDetachAttr,
    LinkUpdateAttr,
    MapCreateAttr,
    ObjectAttr,
    ProgLoadAttr,
    TestRunAttr,
)
from sentinel_bpf.uapi import LinkInfo as LinkInfo
from sentinel_bpf.uapi import MapInfo as MapInfo
from sentinel_bpf.uapi import ProgInfo as ProgInfo

_NUMBER = {"x86_64": 321, "aarch64": 280}

MAP_CREATE = 0
MAP_LOOKUP = 1
MAP_UPDATE = 2
MAP_DELETE = 3
MAP_GET_NEXT_KEY = 4
PROG_LOAD = 5
OBJ_PIN = 6
OBJ_GET = 7
PROG_TEST_RUN = 10
PROG_GET_FD_BY_ID = 13
MAP_GET_FD_BY_ID = 14
OBJ_GET_INFO_BY_FD = 15
BTF_LOAD = 18
BTF_GET_FD_BY_ID = 19
MAP_LOOKUP_BATCH = 24
MAP_UPDATE_BATCH = 26
LINK_CREATE = 28
LINK_UPDATE = 29
ENABLE_STATS = 32
LINK_DETACH = 34

BPF_ANY = 0
BPF_NOEXIST = 1
BPF_EXIST = 2
BPF_F_RDONLY = 1 << 3
_LOG_BYTES = 1 << 20

_U32 = ctypes.c_uint32
_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint)
_syscall.restype = ctypes.c_long


def bpf(command: int, attributes: ctypes.Structure) -> int:
    """bpf(2). Returns its result; raises OSError with errno, or BpfUnavailableError.

    The caller keeps alive the buffers whose addresses stand in `attributes`.
    """
    number = _NUMBER.get(platform.machine())
    if number is None:
        raise BpfUnavailableError(f"bpf(2) has no known number on {platform.machine()}")
    result = _syscall(number, command, ctypes.addressof(attributes), ctypes.sizeof(attributes))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(result)


def _address(buffer: ctypes.Array[ctypes.c_char] | None) -> int:
    return 0 if buffer is None else ctypes.addressof(buffer)


def _refused(what: str, error: OSError) -> BpfError:
    """`error` in words; EPERM names the privilege."""
    if error.errno == errno.EPERM:
        return BpfUnavailableError(
            f"{what}: not permitted (needs CAP_BPF and CAP_NET_ADMIN)", cure="run as root"
        )
    name = errno.errorcode.get(error.errno or 0, str(error.errno))
    return BpfError(f"{what}: {error.strerror} ({name})")


def _name(name: str) -> bytes:
    """The kernel keeps 15 characters of a name."""
    return name.encode()[: NAME_BYTES - 1]


def map_create(info: MapInfo, name: str, *, max_entries: int, btf_fd: int | None = None) -> int:
    """A new, empty map of the same shape as the one `info` describes; returns its descriptor."""
    attributes = MapCreateAttr(
        map_type=info.type,
        key_size=info.key_size,
        value_size=info.value_size,
        max_entries=max_entries,
        map_flags=info.map_flags,
        map_name=_name(name),
    )
    if btf_fd is not None:
        attributes.btf_fd = btf_fd
        attributes.btf_key_type_id = info.btf_key_type_id
        attributes.btf_value_type_id = info.btf_value_type_id
    try:
        return bpf(MAP_CREATE, attributes)
    except OSError as error:
        raise _refused(f"map {name} with {max_entries} entries", error) from error


def prog_load(prog_type: int, instructions: bytes, name: str, *, license_name: str) -> int:
    """Load a program; returns its descriptor. Raises VerifierError with the telling lines."""
    code = ctypes.create_string_buffer(instructions, len(instructions))
    license_text = ctypes.create_string_buffer(license_name.encode())
    attributes = ProgLoadAttr(
        prog_type=prog_type,
        insn_cnt=len(instructions) // 8,
        insns=_address(code),
        license=_address(license_text),
        prog_name=_name(name),
    )
    try:
        return bpf(PROG_LOAD, attributes)
    except OSError as error:
        if error.errno == errno.EPERM:
            raise _refused(f"program {name}", error) from error
    # The log costs time: ask for it only now that it is needed.
    log = ctypes.create_string_buffer(_LOG_BYTES)
    attributes.log_level, attributes.log_size, attributes.log_buf = 1, _LOG_BYTES, _address(log)
    try:
        return bpf(PROG_LOAD, attributes)
    except OSError as error:
        text = log.value.decode(errors="replace")
        lines = [line for line in text.splitlines() if line.strip()]
        telling = "\n  ".join(lines[-8:]) or "(the verifier wrote no log)"
        raise VerifierError(
            f"program {name}: refused by the kernel: {error.strerror}:\n  {telling}", log=text
        ) from error


def obj_info(fd: int, info: ctypes.Structure) -> None:
    """Fill `info` (MapInfo or ProgInfo) for the object behind `fd`."""
    attributes = InfoAttr(bpf_fd=fd, info_len=ctypes.sizeof(info), info=ctypes.addressof(info))
    try:
        bpf(OBJ_GET_INFO_BY_FD, attributes)
    except OSError as error:
        raise _refused(f"information about descriptor {fd}", error) from error


def fd_by_id(command: int, object_id: int, *, open_flags: int = 0) -> int:
    """A new descriptor for a map or BTF object (MAP_GET_FD_BY_ID, BTF_GET_FD_BY_ID).

    The kernel grants this to CAP_SYS_ADMIN only.
    """
    attributes = FdByIdAttr(id=object_id, open_flags=open_flags)
    try:
        return bpf(command, attributes)
    except OSError as error:
        raise _refused(f"descriptor for object {object_id}", error) from error


def btf_raw(btf_id: int) -> bytes:
    """The type information with this id, as it was loaded. Raises BpfError."""
    fd = fd_by_id(BTF_GET_FD_BY_ID, btf_id)
    try:
        info = BtfInfo()
        obj_info(fd, info)
        raw = ctypes.create_string_buffer(int(info.btf_size))
        obj_info(fd, BtfInfo(btf=_address(raw), btf_size=len(raw)))
    finally:
        os.close(fd)
    return raw.raw


def btf_load(raw: bytes) -> int:
    """Load type information for maps; returns its descriptor. Raises BpfError."""
    buffer = ctypes.create_string_buffer(raw, len(raw))
    try:
        return bpf(BTF_LOAD, BtfLoadAttr(btf=_address(buffer), btf_size=len(raw)))
    except OSError as error:
        raise _refused(f"type information of {len(raw)} bytes", error) from error


def map_lookup(fd: int, key: bytes, value_bytes: int) -> bytes | None:
    """One value, None if the key is absent; `value_bytes` is for all CPUs of a per-CPU map."""
    key_buffer = ctypes.create_string_buffer(key, len(key))
    value = ctypes.create_string_buffer(value_bytes)
    attributes = ElementAttr(map_fd=fd, key=_address(key_buffer), value=_address(value))
    try:
        bpf(MAP_LOOKUP, attributes)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return None
        raise _refused(f"lookup in map descriptor {fd}", error) from error
    return value.raw


def map_update(fd: int, key: bytes, value: bytes, *, flags: int = BPF_ANY) -> None:
    """Write one value; a per-CPU map takes the values of all possible CPUs in a row."""
    key_buffer = ctypes.create_string_buffer(key, len(key))
    value_buffer = ctypes.create_string_buffer(value, len(value))
    attributes = ElementAttr(
        map_fd=fd, key=_address(key_buffer), value=_address(value_buffer), flags=flags
    )
    try:
        bpf(MAP_UPDATE, attributes)
    except OSError as error:
        raise _refused(f"update of map descriptor {fd}", error) from error


def map_lookup_batch(
    fd: int,
    token: ctypes.Array[ctypes.c_char],
    *,
    first: bool,
    keys: ctypes.Array[ctypes.c_char],
    values: ctypes.Array[ctypes.c_char],
    count: int,
) -> tuple[int, bool]:
    """Up to `count` entries into the buffers; (how many, whether that was the last of them).

    `token` is the kernel's place mark between calls. Raises OSError (ENOSPC: a hash bucket holds
    more than `count`; retry from the same place with more room).
    """
    attributes = BatchAttr(
        in_batch=0 if first else _address(token),
        out_batch=_address(token),
        keys=_address(keys),
        values=_address(values),
        count=count,
        map_fd=fd,
    )
    try:
        bpf(MAP_LOOKUP_BATCH, attributes)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return int(attributes.count), True
        raise
    return int(attributes.count), False


def map_update_batch(fd: int, keys: bytes, values: bytes, count: int) -> None:
    """Write `count` values at once (Linux >= 5.6). Raises BpfError."""
    key_buffer = ctypes.create_string_buffer(keys, len(keys))
    value_buffer = ctypes.create_string_buffer(values, len(values))
    attributes = BatchAttr(
        keys=_address(key_buffer), values=_address(value_buffer), count=count, map_fd=fd
    )
    try:
        bpf(MAP_UPDATE_BATCH, attributes)
    except OSError as error:
        raise _refused(f"batch update of map descriptor {fd}", error) from error


def map_delete(fd: int, key: bytes) -> bool:
    """Remove one entry; False if it was not there. Raises BpfError."""
    key_buffer = ctypes.create_string_buffer(key, len(key))
    attributes = ElementAttr(map_fd=fd, key=_address(key_buffer))
    try:
        bpf(MAP_DELETE, attributes)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return False
        raise _refused(f"deletion in map descriptor {fd}", error) from error
    return True


def link_create(prog_fd: int, ifindex: int, attach_type: int, flags: int) -> int:
    """Bind a program to an interface of the calling thread's network namespace.

    Raises OSError: attach.py knows what the codes mean there.
    """
    return bpf(
        LINK_CREATE,
        LinkCreateAttr(
            prog_fd=prog_fd, target_ifindex=ifindex, attach_type=attach_type, flags=flags
        ),
    )


def map_next_key(fd: int, key: bytes | None, key_bytes: int) -> bytes | None:
    """The key after `key` (None: the first), None at the end. Raises OSError."""
    given = None if key is None else ctypes.create_string_buffer(key, len(key))
    found = ctypes.create_string_buffer(key_bytes)
    attributes = ElementAttr(map_fd=fd, key=_address(given), value=_address(found))
    try:
        bpf(MAP_GET_NEXT_KEY, attributes)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return None
        raise
    return found.raw


def link_update(link_fd: int, new_prog_fd: int) -> None:
    """Swap the program behind a link, between two packets. Raises OSError."""
    bpf(LINK_UPDATE, LinkUpdateAttr(link_fd=link_fd, new_prog_fd=new_prog_fd))


def link_detach(link_fd: int) -> None:
    """Take the link's program off now; the link stays, and attaches nothing. Raises OSError."""
    bpf(LINK_DETACH, LinkDetachAttr(link_fd=link_fd))


def obj_pin(fd: int, path: str) -> None:
    """Give a program, map or link a name in a bpffs, which keeps it alive. Raises OSError."""
    name = ctypes.create_string_buffer(os.fsencode(path))
    bpf(OBJ_PIN, ObjectAttr(pathname=_address(name), bpf_fd=fd))


def obj_get(path: str, *, flags: int = 0) -> int:
    """A new descriptor of what is pinned at `path`. Raises OSError."""
    name = ctypes.create_string_buffer(os.fsencode(path))
    return bpf(OBJ_GET, ObjectAttr(pathname=_address(name), file_flags=flags))


def prog_map_ids(fd: int) -> list[int]:
    """The ids of the maps that a loaded program uses."""
    info = ProgInfo()
    obj_info(fd, info)
    ids = (_U32 * int(info.nr_map_ids))()
    again = ProgInfo(nr_map_ids=len(ids), map_ids=ctypes.addressof(ids))
    obj_info(fd, again)
    return list(ids)


def enable_stats() -> int:
    """Let the kernel time every program run until the returned descriptor is closed.

    Needs no sysctl to be changed (Linux >= 5.8). Costs two clock readings a run, which are part of
    ProgInfo.run_time_ns: compare with an empty program. Raises BpfError.
    """
    try:
        return bpf(ENABLE_STATS, EnableStatsAttr(type=0))
    except OSError as error:
        raise _refused("run-time statistics", error) from error


def prog_test_run(
    prog_fd: int,
    data: bytes,
    *,
    repeat: int,
    context: Sequence[int] | None = None,
    flags: int = 0,
    batch_size: int = 0,
) -> tuple[int, int]:
    """(return value, mean ns per run) of `repeat` runs over one frame. Raises OSError.

    `context` is a struct xdp_md or __sk_buff as 32-bit numbers.
    """
    frame = ctypes.create_string_buffer(data, len(data))
    words = None if context is None else (_U32 * len(context))(*context)
    attributes = TestRunAttr(
        prog_fd=prog_fd,
        data_size_in=len(data),
        data_in=_address(frame),
        repeat=repeat,
        flags=flags,
        batch_size=batch_size,
        ctx_size_in=0 if words is None else ctypes.sizeof(words),
        ctx_in=0 if words is None else ctypes.addressof(words),
    )
    bpf(PROG_TEST_RUN, attributes)
    return int(attributes.retval), int(attributes.duration)
