"""A million packets: kernel maps equal the Python reference bit for bit, all features on."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.lab.bpf.frame_cases import FLOWS, OTHERS
from tests.lab.bpf.test_flow_sequences import ACK, FIN, PSH, RST, SYN, WRAP, Bench, Conversation
from tests.lab.bpf.test_flow_sequences import bench as bench

from sentinel_bpf.drive import FRAME_MAX_BYTES, TimedFrame

pytestmark = pytest.mark.lab

TRACES = Path("/work/shared/data/traces")
RANDOM_PACKETS = 1_000_000
CHUNK = 200_000


class Chatter:
    """TCP conversations that lose, repeat, reorder, wrap, delay, pause and start anew."""

    def __init__(self, seed: int, flows: int) -> None:
        self.choose = random.Random(seed)
        self.now_ns = self.choose.randrange(2**50)
        self.flows = [self._flow(index) for index in range(flows)]

    def _flow(self, index: int) -> dict[str, int]:
        start = [0, WRAP - 100_000, self.choose.randrange(WRAP)]
        seq, ack = self.choose.choice(start), self.choose.choice(start)
        return {"port": 1024 + index, "seq": seq, "ack": ack, "ts": self.choose.randrange(WRAP)}

    def frames(self, count: int) -> Iterator[TimedFrame]:
        for _ in range(count):
            self.now_ns += int(
                40 * 10 ** self.choose.uniform(0, self.choose.choice((2, 4, 5, 6, 7.9)))
            )
            yield self._stranger() if self.choose.random() < 0.05 else self._segment()

    def _stranger(self) -> TimedFrame:
        name = self.choose.choice(STRANGERS)
        data = FLOWS[name][0] if name in FLOWS else OTHERS[name][0]
        length = min(len(data) + self.choose.choice((0, 0, 1, 300)), FRAME_MAX_BYTES)
        return TimedFrame(self.now_ns, data, length)

    def _segment(self) -> TimedFrame:
        choose, flow = self.choose, self.choose.choice(self.flows)
        talk = Conversation(client=flow["port"])
        size = choose.choice((0, 0, 1, 100, 1448))
        flags = ACK | choose.choice((0, 0, 0, 0, 0, 0, 0, 0, 0, PSH, FIN, RST, SYN))
        back = choose.choice((0, 0, 0, 0, 0, 1448, 4000))
        ts = (flow["ts"], flow["ts"] - choose.choice((0, 0, 1, 50))) if flow["port"] % 3 else None
        if choose.random() < 0.6:
            talk.up(self.now_ns, size, seq=flow["seq"] - back, ack=flow["ack"], flags=flags, ts=ts)
            flow["seq"] += 0 if back else size
        else:
            talk.down(
                self.now_ns, size, seq=flow["ack"] - back, ack=flow["seq"], flags=flags, ts=ts
            )
            flow["ack"] += 0 if back else size
        flow["ts"] += choose.choice((0, 0, 0, 1, 3))
        if choose.random() < 0.001:
            flow["seq"] = choose.randrange(WRAP)
        [frame] = talk.frames
        return TimedFrame(frame.now_ns, frame.data[:70], frame.length)


STRANGERS = [
    name for name, case in (FLOWS | OTHERS).items() if len(case[0]) <= 256 and "full" not in name
]


@pytest.mark.timeout(180)
def test_a_million_random_packets(bench: Bench) -> None:
    chatter = Chatter(seed=3, flows=300)
    for _ in range(RANDOM_PACKETS // CHUNK):
        bench.feed(list(chatter.frames(CHUNK)))
    up = [flow.directions[0].half for flow in bench.reference.flows.values()]
    # The traffic was worth the name: every kind of event did occur.
    assert sum(half.rtt_samples for half in up) > 10_000
    assert sum(half.ts_samples for half in up) > 1_000
    assert sum(half.retransmissions for half in up) > 10_000
    assert sum(half.births > 1 for half in up) > 100
    assert sum(half.optimal_buffer_size > 0 for half in up) > 100


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
    frames = [frame for frame in captured(path) if frame.length >= 14]
    bench.feed(frames)
    assert bench.reference.flows
