"""What a reader takes from an entry is what the next packet would publish."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from sentinel_bpf.flow_map import FlowHalf, parse_flow
from sentinel_bpf.frames import ETH_IPV4, ethernet, ipv4, tcp, timestamps
from sentinel_bpf.reference.fsu import FsuReference
from sentinel_bpf.reference.parse import ACK, SYN

MS = 1_000_000
SECOND = 1_000 * MS
NEAR, FAR = "10.0.0.1", "10.0.0.2"
RTT_FIELDS = (
    "rtt_us",
    "rtt_min_ns",
    "rtt_last_ns",
    "rtt_samples",
    "ts_rtt_us",
    "ts_samples",
)


@dataclass
class Flow:
    """A TCP flow as the reference sees it, sent by NEAR and acknowledged by FAR."""

    fsu: FsuReference
    now_ns: int = SECOND
    sent: int = 1
    """The sequence number that comes next."""

    def open(self, rtt_ns: int) -> None:
        self._packet(NEAR, 0, 0, 0, SYN)
        self.now_ns += rtt_ns
        self._packet(FAR, 0, 499, 1, SYN | ACK)

    def send(self, size: int) -> None:
        self._packet(NEAR, size, self.sent, 500, ACK)
        self.sent += size

    def answer(self) -> None:
        self._packet(FAR, 0, 500, self.sent, ACK)

    def _packet(self, source: str, size: int, sequence: int, ack: int, flags: int) -> None:
        ports, target = ((4000, 80), FAR) if source == NEAR else ((80, 4000), NEAR)
        ticks = self.now_ns // MS
        segment = tcp(
            *ports,
            bytes(size),
            sequence=sequence,
            acknowledgement=ack,
            flags=flags,
            options=timestamps(ticks, ticks - 3),
        )
        frame = ethernet(ipv4(segment, source=source, target=target), ETH_IPV4)
        self.fsu.observe(frame, self.now_ns)

    def read(self) -> dict[str, int]:
        [(key, value)] = self.fsu.entries().items()
        half: FlowHalf = parse_flow(key, value).forward
        return {name: getattr(half, name) for name in RTT_FIELDS}


def handshake() -> Flow:
    flow = Flow(FsuReference())
    flow.open(10 * MS)
    return flow


def test_an_answer_is_seen_before_anything_is_sent_again() -> None:
    flow = handshake()
    assert (flow.read()["rtt_us"], flow.read()["rtt_samples"]) == (10_000, 1)
    flow.send(100)
    flow.now_ns += 50 * MS
    assert flow.read()["rtt_us"] == 10_000  # asked, not answered
    flow.answer()
    assert (flow.read()["rtt_us"], flow.read()["rtt_last_ns"]) == (15_000, 50 * MS)
    flow.now_ns += 3600 * SECOND
    assert flow.read()["rtt_us"] == 15_000  # however much later it is read


STEPS = st.lists(
    st.tuples(st.sampled_from(("send", "answer")), st.integers(1, 6 * SECOND)), max_size=40
)


@given(STEPS)
def test_reading_takes_what_the_next_packet_takes(steps: list[tuple[str, int]]) -> None:
    flow, before = handshake(), ""
    for kind, passed_ns in steps:
        flow.now_ns += passed_ns
        if kind == "send":
            flow.send(10)
        else:
            flow.answer()
        if (before, kind) == ("send", "answer"):
            seen = flow.read()
            # At the same nanosecond, since the windows of the minimum pass with time.
            flow.send(10)
            assert flow.read() == seen
        before = kind
