"""A million packets: kernel maps equal the Python reference bit for bit, all features on."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.lab.bpf.frame_cases import FLOWS, OTHERS
from tests.lab.bpf.test_flow_sequences import ACK, FIN, PSH, RST, SYN, WRAP, Bench
from tests.lab.bpf.test_flow_sequences import bench as bench

from sentinel_bpf import model
from sentinel_bpf.drive import FRAME_MAX_BYTES, TimedFrame

pytestmark = pytest.mark.lab

TRACES = Path("/work/shared/data/traces")
RANDOM_PACKETS = 1_000_000
CHUNK = 200_000


SEGMENT = struct.Struct(">12sHBBHHHBBH4s4sHHIIBBHHHBBBBII")
CLIENT, SERVER = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))
NOP, TIMESTAMPS = 1, 8


@dataclass(slots=True)
class Talk:
    """Where one conversation stands."""

    port: int
    seq: int
    ack: int
    ts: int


class Chatter:
    """TCP conversations that lose, repeat, reorder, wrap, delay, pause and start anew."""

    def __init__(self, seed: int, flows: int) -> None:
        self.choose = random.Random(seed)
        self.now_ns = self.choose.randrange(2**50)
        self.talks = [self._talk(1024 + index) for index in range(flows)]
        exponents = [2.0 + 0.1 * index for index in range(60)]
        self.gaps_ns = [int(10**exponent) for exponent in exponents]
        self.flags = [ACK] * 800 + [ACK | PSH, ACK | FIN, ACK | RST, ACK | SYN, SYN, 0]

    def _talk(self, port: int) -> Talk:
        starts = [0, WRAP - 100_000, self.choose.randrange(WRAP)]
        seq, ack = self.choose.choice(starts), self.choose.choice(starts)
        return Talk(port, seq, ack, self.choose.randrange(WRAP))

    def frames(self, count: int) -> Iterator[TimedFrame]:
        """The next `count` frames."""
        for _ in range(count):
            # Nearly all follow within a microsecond; one in 97 up to 80 ms later.
            dice = self.choose.getrandbits(30)
            rare = dice % 97 == 0
            self.now_ns += self.gaps_ns[(dice >> 8) % 60] if rare else 40 + (dice >> 8) % 1000
            yield self._stranger() if dice % 23 == 0 else self._segment(dice)

    def _stranger(self) -> TimedFrame:
        data = STRANGERS[self.choose.randrange(len(STRANGERS))]
        return TimedFrame(self.now_ns, data, len(data) + self.choose.choice((0, 0, 1, 300)))

    def _segment(self, dice: int) -> TimedFrame:
        talk = self.talks[self.choose.randrange(len(self.talks))]
        more = self.choose.getrandbits(30)
        size = SIZES[more & 7]
        back = BACKS[more >> 3 & 15]
        flags = self.flags[(more >> 7) % len(self.flags)]
        up = dice % 5 < 3
        mine, theirs = (talk.seq, talk.ack) if up else (talk.ack, talk.seq)
        stamped = talk.port % 3 != 0
        header = 32 if stamped else 20
        frame = SEGMENT.pack(
            b"\2\0\0\0\0\2\2\0\0\0\0\1",
            0x0800,
            0x45,
            0,
            20 + header + size,
            1,
            0,
            64,
            6,
            0,
            CLIENT if up else SERVER,
            SERVER if up else CLIENT,
            talk.port if up else 80,
            80 if up else talk.port,
            (mine - back) % WRAP,
            theirs % WRAP,
            header << 2,
            flags,
            65535,
            0,
            0,
            NOP,
            NOP,
            TIMESTAMPS,
            10,
            talk.ts % WRAP,
            (talk.ts - (more >> 20 & 1)) % WRAP,
        )
        self._move(talk, up, 0 if back else size, more)
        return TimedFrame(self.now_ns, frame[: 34 + header], 34 + header + size)

    def _move(self, talk: Talk, up: bool, size: int, more: int) -> None:
        if up:
            talk.seq += size
        else:
            talk.ack += size
        talk.ts += TICKS[more >> 21 & 7]
        if more >> 21 == 0:
            talk.seq = self.choose.randrange(WRAP)


SIZES = (0, 0, 0, 1, 100, 536, 1448, 1448)
BACKS = (0,) * 13 + (1448, 1449, 4000)
TICKS = (0, 0, 0, 0, 0, 1, 1, 30)
STRANGERS = [data for data, _ in (*FLOWS.values(), *OTHERS.values()) if len(data) <= 256]


@pytest.mark.timeout(180)
def test_a_million_random_packets(bench: Bench) -> None:
    chatter = Chatter(seed=3, flows=50)
    models = bench.fsu.map_fd(model.MAP)
    for _ in range(RANDOM_PACKETS // CHUNK):
        bench.feed(list(chatter.frames(CHUNK)))
        # The first chunk goes without a network, the others with one that is swapped each time.
        bench.reference.network = model.install_shipped(models).network
    up = [flow.directions[0].half for flow in bench.reference.flows.values()]
    # The traffic was worth the name: every kind of event did occur.
    assert sum(half.rtt_samples for half in up) > 1_000
    assert sum(half.ts_samples for half in up) > 100
    assert sum(half.retransmissions for half in up) > 1_000
    assert sum(half.births for half in up) > 500
    assert sum(half.optimal_buffer_size > 0 for half in up) > 20
    predicted = [flow.directions[0].predict for flow in bench.reference.flows.values()]
    assert {state.leader for state in predicted} >= {0, 1, 2, 5}


def captured(path: Path) -> Iterator[TimedFrame]:
    """The packets of a nanosecond pcap (little-endian), at their original length."""
    data = path.read_bytes()
    magic = struct.unpack_from("<I", data)[0]
    scale = {0xA1B23C4D: 1, 0xA1B2C3D4: 1000}[magic]
    at = 24
    while at < len(data):
        seconds, fraction, stored, length = struct.unpack_from("<IIII", data, at)
        frame = data[at + 16 : at + 16 + stored]
        # Our parser drops what is longer than a test run can be, and what is cut at 96 bytes.
        yield TimedFrame(seconds * 10**9 + fraction * scale, frame, min(length, FRAME_MAX_BYTES))
        at += 16 + stored


@pytest.mark.parametrize(
    "name", ["443-firefox", "bittorrent", "netflix", "teams", "telegram_videocall"]
)
def test_captured_traffic(bench: Bench, name: str) -> None:
    path = TRACES / f"{name}.pcap"
    if not path.exists():
        pytest.skip(f"{path} is missing: the shared traces are not part of the product")
    bench.reference.network = model.install_shipped(bench.fsu.map_fd(model.MAP)).network
    frames = [frame for frame in captured(path) if frame.length >= 14]
    bench.feed(frames)
    assert bench.reference.flows
