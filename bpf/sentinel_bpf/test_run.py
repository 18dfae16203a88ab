"""BPF_PROG_TEST_RUN: run a loaded program on a frame, without an interface.

Used by tests (what does the program do with this frame?) and by benchmarks (what does it cost?).
"""

from __future__ import annotations

import errno
from dataclasses import dataclass

from sentinel_bpf import syscalls
from sentinel_bpf.errors import BpfError, BpfUnavailableError

XDP_DROP = 1
XDP_PASS = 2
FRAME_MIN_BYTES = 14
LIVE_FRAME_MAX_BYTES = 3520
LIVE_BATCH_MAX = 256
_LIVE_FRAMES = 1 << 1
_SKB_WORDS, _SKB_GSO_SEGMENTS = 46, 41
_EMPTY_PROGRAM = bytes.fromhex("b7000000020000009500000000000000")  # r0 = XDP_PASS; exit


@dataclass(frozen=True, slots=True)
class TestRun:
    """What the program returned, and how long one run took."""

    __test__ = False  # not a test class, whatever pytest thinks of its name

    verdict: int
    duration_ns: int
    """Mean over the repetitions, with the overhead of the kernel's loop (see empty_program)."""


def run(prog_fd: int, frame: bytes, *, repeat: int = 1, segments: int = 0) -> TestRun:
    """Run a program `repeat` times on `frame`. Raises BpfError (a frame below 14 bytes: EINVAL).

    The frame is not restored between repetitions; the FSU does not change it. `segments`, for tc
    programs only: the frame is a super-packet that will be cut into so many (gso_segs).
    """
    if len(frame) < FRAME_MIN_BYTES:
        raise BpfError(
            f"a test frame needs an Ethernet header, {FRAME_MIN_BYTES} bytes; got {len(frame)}"
        )
    try:
        verdict, duration_ns = syscalls.prog_test_run(
            prog_fd, frame, repeat=repeat, context=_skb_of(segments) if segments else None
        )
    except OSError as error:
        raise _failed(error, f"test run of {len(frame)} bytes") from error
    return TestRun(verdict, duration_ns)


def _skb_of(segments: int) -> list[int]:
    """struct __sk_buff as 32-bit words: all zero but gso_segs."""
    words = [0] * _SKB_WORDS
    words[_SKB_GSO_SEGMENTS] = segments
    return words


def run_live(prog_fd: int, frame: bytes, *, ifindex: int, packets: int, batch: int = 64) -> None:
    """Send `packets` copies of `frame` through an XDP program as if `ifindex` had received them.

    XDP_PASS puts them into the network stack. `ifindex` is one of the calling thread's network
    namespace. Raises BpfError.
    """
    if not FRAME_MIN_BYTES <= len(frame) <= LIVE_FRAME_MAX_BYTES:
        raise BpfError(
            f"a live frame has {FRAME_MIN_BYTES} to {LIVE_FRAME_MAX_BYTES} bytes, got {len(frame)}"
        )
    if not 1 <= batch <= LIVE_BATCH_MAX:
        raise BpfError(f"a live batch has 1 to {LIVE_BATCH_MAX} frames, got {batch}")
    context = (0, len(frame), 0, ifindex, 0, 0)
    try:
        syscalls.prog_test_run(
            prog_fd, frame, repeat=packets, context=context, flags=_LIVE_FRAMES, batch_size=batch
        )
    except OSError as error:
        raise _failed(error, f"live run on interface {ifindex}") from error


def _failed(error: OSError, what: str) -> BpfError:
    if error.errno == errno.EPERM:
        return BpfUnavailableError(f"{what}: not permitted", cure="run as root")
    name = errno.errorcode.get(error.errno or 0, str(error.errno))
    return BpfError(f"{what}: {error.strerror} ({name})")


def load_empty_program() -> int:
    """An XDP program that only passes: its duration is the overhead to subtract. Caller closes."""
    return syscalls.prog_load(6, _EMPTY_PROGRAM, "empty", license_name="Dual BSD/GPL")
