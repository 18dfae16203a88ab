"""Test runs with many flows, or with recorded traffic, at the speed of the kernel.

BPF_PROG_TEST_RUN offers one frame again and again; the drivers of fsu_drive.c change it between
the runs and then go on to a target program by a tail call. Used for measuring (benchmarks) and
for feeding millions of packets to the FSU with an artificial clock (tests).
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from sentinel_bpf import maps, syscalls, test_run
from sentinel_bpf.errors import BpfError
from sentinel_bpf.frames import ETH_IPV4, ethernet, ipv4, tcp, timestamps
from sentinel_bpf.loader import CompiledSource, ProgramSet

FRAMES_MAX = 65536
STORED_MAX = 256
FLOWS_MAX = 64_512
FRAME_MAX_BYTES = 3520
"""What the kernel's test run has room for, without fragments."""

_U32, _U64 = ctypes.c_uint32, ctypes.c_uint64
_PROGRAM = "flow_stabilization_unit"


class Drive(ctypes.Structure):
    """struct sentinel_drive."""

    _fields_ = (("packets", _U64), ("random", _U64), ("flows", _U64), ("lag", _U64))


class DriveFrame(ctypes.Structure):
    """struct sentinel_drive_frame."""

    _fields_ = (
        ("now_ns", _U64),
        ("length", _U32),
        ("stored_last", _U32),
        ("data", ctypes.c_ubyte * STORED_MAX),
    )


MIRRORED: dict[str, type[ctypes.Structure]] = {
    "sentinel_drive": Drive,
    "sentinel_drive_frame": DriveFrame,
}


def segment_template(frame_bytes: int = 1514) -> bytes:
    """The frame that `FlowDriver` turns into segments of flows."""
    header = tcp(options=timestamps(0, 0))
    return ethernet(ipv4(header, total_length=52), ETH_IPV4).ljust(frame_bytes, b"\0")


def _aim(driver: ProgramSet, target_fd: int) -> None:
    maps.update(driver.map_fd("drive_target"), maps.index_key(0), target_fd.to_bytes(4, "little"))


def _set_state(driver: ProgramSet, **fields: int) -> None:
    maps.update(driver.map_fd("drive_state"), maps.index_key(0), bytes(Drive(**fields)))


class FlowDriver:
    """Segments of `flows` TCP flows in random order, three of data to one acknowledgement.

    An acknowledgement is for what was sent `lag` packets ago. The default is about 1 ms at the
    speed of a test run.
    """

    def __init__(
        self,
        source: CompiledSource,
        target_fd: int,
        flows: int,
        *,
        lag: int = 8192,
        seed: int = 1,
    ) -> None:
        if not 1 <= flows <= FLOWS_MAX:
            raise BpfError(f"a flow driver makes 1 to {FLOWS_MAX} flows, got {flows}")
        self._programs = source.instantiate(["drive_flows"])
        self._frame = segment_template()
        _aim(self._programs, target_fd)
        _set_state(self._programs, packets=0, random=seed, flows=flows, lag=lag)

    def run(self, packets: int) -> int:
        """Mean ns per packet, the driver included. Raises BpfError."""
        done = test_run.run(self._programs.prog_fd("drive_flows"), self._frame, repeat=packets)
        if done.verdict != test_run.XDP_PASS:
            raise BpfError(f"flow driver: the target did not pass the frame: {done.verdict}")
        return done.duration_ns

    def close(self) -> None:
        """Free the driver; the target is the caller's."""
        self._programs.close()


@dataclass(frozen=True, slots=True)
class TimedFrame:
    """A frame and the time at which the FSU shall see it."""

    now_ns: int
    data: bytes
    """At most the first 256 bytes; the rest of the frame is zeros."""
    length: int
    """Of the whole frame, in bytes."""


class Replay:
    """Recorded or generated frames through an FSU compiled with -DSENTINEL_TEST_CLOCK."""

    def __init__(self, source: CompiledSource, fsu: ProgramSet) -> None:
        clock = fsu.map_fd("fsu_test_clock")
        self._programs = source.instantiate(["drive_replay"], share={"fsu_test_clock": clock})
        _aim(self._programs, fsu.prog_fd(_PROGRAM))

    def feed(self, frames: Iterable[TimedFrame]) -> int:
        """All of `frames`, in order; how many there were. Raises BpfError for one that cannot."""
        rest, total = iter(frames), 0
        while chunk := list(islice(rest, FRAMES_MAX)):
            self._feed_chunk(chunk)
            total += len(chunk)
        return total

    def _feed_chunk(self, chunk: list[TimedFrame]) -> None:
        values = b"".join(map(_packed, chunk))
        keys = b"".join(map(maps.index_key, range(len(chunk))))
        syscalls.map_update_batch(self._programs.map_fd("drive_frames"), keys, values, len(chunk))
        _set_state(self._programs, packets=0)
        driver = self._programs.prog_fd("drive_replay")
        done = test_run.run(driver, bytes(FRAME_MAX_BYTES), repeat=len(chunk))
        if done.verdict != test_run.XDP_PASS:
            raise BpfError(f"replay: the last frame was not passed: {done.verdict}")

    def close(self) -> None:
        """Free the driver; the FSU is the caller's."""
        self._programs.close()


def _packed(frame: TimedFrame) -> bytes:
    stored = min(len(frame.data), frame.length, STORED_MAX)
    fits = test_run.FRAME_MIN_BYTES <= frame.length <= FRAME_MAX_BYTES
    if not fits or frame.data[stored:].strip(b"\0"):
        raise BpfError(
            f"replay: a frame has {test_run.FRAME_MIN_BYTES} to {FRAME_MAX_BYTES} bytes, of which "
            f"all behind the first {STORED_MAX} are zero; got {frame.length}"
        )
    whole = min(frame.length, STORED_MAX)
    data = frame.data[:stored].ljust(whole, b"\0")
    head = struct.pack("<QII", frame.now_ns, frame.length, whole - 1)
    return head + data.ljust(STORED_MAX, b"\0")
