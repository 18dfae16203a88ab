"""Careful Resume from outside the kernel: what may be written, by what the kernel says."""

from __future__ import annotations

import socket
import struct

import pytest

from sentinel_node.core.start.careful_resume import CarefulResume, Phase, ResumeLimits, SavedPath
from sentinel_node.core.start.gate import StartGate, UNLIMITED_Bps
from sentinel_node.core.start.vouched import VouchedGate
from sentinel_node.daemon.control import gate as module
from sentinel_node.daemon.control.gate import SO_MAX_PACING_RATE, SocketTcp
from sentinel_node.daemon.tcp_info import FULL_BYTES, LAYOUT
from sentinel_node.errors import PrivilegeError

MS = 1_000_000
INITIAL = 14_480
JUMP = 500_000
RTT_NS = 80 * MS


class Kernel:
    """A struct tcp_info that the test writes, and the options that were set."""

    def __init__(self) -> None:
        self.raw = bytearray(FULL_BYTES)
        self.pacing_Bps: list[int] = []
        self.set(rtt=RTT_NS // 1000, bytes_acked=1)

    def set(self, **values: int) -> None:
        for name, value in values.items():
            offset, code = LAYOUT[name]
            struct.pack_into(f"={code}", self.raw, offset, value)

    def setsockopt(self, level: int, option: int, value: bytes) -> None:
        assert (level, option) == (socket.SOL_SOCKET, SO_MAX_PACING_RATE)
        self.pacing_Bps.append(struct.unpack("=Q", value)[0])


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel()
    monkeypatch.setattr(module, "read_raw", lambda sock: bytes(made.raw))
    return made


def tcp_of(kernel: Kernel) -> SocketTcp:
    return SocketTcp(kernel, pytest.fail)  # type: ignore[arg-type]


def gate_of(kernel: Kernel, ends: list[bool]) -> StartGate:
    saved = SavedPath(2 * JUMP, RTT_NS, 0)
    resume = CarefulResume(saved, ResumeLimits(INITIAL, JUMP, 1448))
    return StartGate(tcp_of(kernel), resume, 30_000_000, ends.append)


def test_no_more_than_the_initial_window_in_flight_until_all_of_it_was_acknowledged(
    kernel: Kernel,
) -> None:
    ends: list[bool] = []
    gate = gate_of(kernel, ends)
    assert gate.room(0) == INITIAL
    gate.sent(INITIAL)
    kernel.set(bytes_acked=1 + INITIAL - 1448)
    assert gate.room(79 * MS) == INITIAL - 1448, "as much in flight as the initial window"
    gate.sent(1448)
    assert gate.phase is Phase.RECONNAISSANCE
    kernel.set(bytes_acked=1 + INITIAL)
    room = gate.room(80 * MS)
    assert gate.phase is Phase.UNVALIDATED
    assert room == JUMP - 1448
    # Spread over one round trip, and never faster than planned.
    assert kernel.pacing_Bps == [30_000_000, JUMP * 1_000_000_000 // RTT_NS]
    assert ends == []


def test_loss_after_the_jump_retreats_and_the_memory_proved_wrong(kernel: Kernel) -> None:
    ends: list[bool] = []
    gate = gate_of(kernel, ends)
    gate.room(0)
    gate.sent(INITIAL)
    kernel.set(bytes_acked=1 + INITIAL)
    room = gate.room(80 * MS)
    assert room == JUMP
    gate.sent(JUMP)
    kernel.set(total_retrans=1)
    assert gate.room(120 * MS) == 0
    assert gate.phase is Phase.SAFE_RETREAT
    kernel.set(bytes_acked=1 + INITIAL + JUMP)
    assert gate.room(160 * MS) is None
    assert ends == [True]
    assert gate.over
    assert kernel.pacing_Bps[-1] == UNLIMITED_Bps, "a start's limit would hold the flow for good"
    gate.close()
    assert ends == [True]


def test_a_vouched_window_is_paced_by_kernel_and_writer_until_it_was_acknowledged(
    kernel: Kernel,
) -> None:
    gate = VouchedGate(tcp_of(kernel), 30_000_000, JUMP)
    assert kernel.pacing_Bps == [30_000_000]
    assert gate.room(0) == 30_000, "a millisecond's worth"
    gate.sent(30_000)
    assert gate.room(MS // 2) == 15_000
    gate.sent(15_000)
    kernel.set(bytes_acked=1 + JUMP - 1)
    assert gate.room(80 * MS) == 300_000, "never more than ten milliseconds' worth"
    assert not gate.over
    gate.limit(15_000_000)
    gate.sent(300_000)
    assert gate.room(82 * MS) == 30_000
    assert kernel.pacing_Bps == [30_000_000, 15_000_000]
    kernel.set(bytes_acked=1 + JUMP)
    assert gate.room(100 * MS) is None
    assert gate.over
    assert kernel.pacing_Bps[2:] == [UNLIMITED_Bps]


def test_an_offered_window_is_told_to_the_kernel_once(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []

    def believe(_: object, window_bytes: int) -> bool:
        told.append(window_bytes)
        return True

    monkeypatch.setattr(module, "believe_window", believe)
    gate = VouchedGate(tcp_of(kernel), 30_000_000, JUMP)
    gate.room(0)
    gate.offered(JUMP)
    assert told == [], "only by the thread that writes"
    gate.room(MS)
    gate.room(2 * MS)
    assert told == [JUMP]


def test_a_kernel_that_cannot_be_told_is_a_slower_start_and_says_so(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object, window_bytes: int) -> bool:
        raise PrivilegeError(f"{window_bytes} bytes need CAP_NET_ADMIN")

    monkeypatch.setattr(module, "believe_window", refuse)
    notes: list[str] = []
    gate = VouchedGate(SocketTcp(kernel, notes.append), 30_000_000, JUMP)  # type: ignore[arg-type]
    gate.offered(JUMP)
    assert gate.room(0) == 30_000
    assert notes == [f"the first flight is held to 64 KiB: {JUMP} bytes need CAP_NET_ADMIN"]


def test_another_path_is_left_to_slow_start(kernel: Kernel) -> None:
    ends: list[bool] = []
    gate = gate_of(kernel, ends)
    gate.room(0)
    gate.sent(INITIAL)
    kernel.set(rtt=RTT_NS // 1000 // 2, bytes_acked=1 + INITIAL)
    assert gate.room(40 * MS) is None
    assert ends == [False]
