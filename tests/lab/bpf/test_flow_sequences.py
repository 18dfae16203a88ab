"""TCP conversations through the FSU: what it says of RTT, losses and rebirths, and how it agrees
with its reference bit for bit. Time is an input.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import pytest

from sentinel_bpf import maps
from sentinel_bpf.drive import Replay, TimedFrame
from sentinel_bpf.flow_map import FlowHalf, read_counters, read_flows
from sentinel_bpf.frames import ETH_IPV4, UDP, ethernet, ipv4, tcp, timestamps, udp
from sentinel_bpf.loader import CompiledSource, ProgramSet
from sentinel_bpf.reference.fsu import FsuReference

pytestmark = pytest.mark.lab

MS = 1_000_000
SECOND = 1_000_000_000
WRAP = 2**32
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


@dataclass
class Conversation:
    """Segments between client and server, as frames with times; times in ns."""

    client: int = 40000
    frames: list[TimedFrame] = field(default_factory=list)

    def up(self, at_ns: int, size: int = 0, *, seq: int = 1, ack: int = 1, **more: object) -> None:
        """Client to server."""
        self._add(at_ns, size, (self.client, 80), ("10.0.0.1", "10.0.0.2"), seq, ack, **more)

    def down(
        self, at_ns: int, size: int = 0, *, seq: int = 1, ack: int = 1, **more: object
    ) -> None:
        """Server to client."""
        self._add(at_ns, size, (80, self.client), ("10.0.0.2", "10.0.0.1"), seq, ack, **more)

    def _add(
        self,
        at_ns: int,
        size: int,
        ports: tuple[int, int],
        ends: tuple[str, str],
        seq: int,
        ack: int,
        *,
        flags: int = ACK,
        ts: tuple[int, int] | None = None,
    ) -> None:
        segment = tcp(
            *ports,
            bytes(size),
            sequence=seq % WRAP,
            acknowledgement=ack % WRAP,
            flags=flags,
            options=b"" if ts is None else timestamps(ts[0] % WRAP, ts[1] % WRAP),
        )
        frame = ethernet(ipv4(segment, source=ends[0], target=ends[1]), ETH_IPV4)
        self.frames.append(TimedFrame(at_ns, frame, len(frame)))

    def handshake(self, at_ns: int, rtt_ns: int, *, seq: int = 0) -> None:
        """SYN, SYN-ACK, ACK, seen next to the client."""
        self.up(at_ns, seq=seq, ack=0, flags=SYN)
        self.down(at_ns + rtt_ns, seq=500, ack=seq + 1, flags=SYN | ACK)
        self.up(at_ns + rtt_ns, seq=seq + 1, ack=501)


@dataclass
class Bench:
    """An FSU and its reference, fed the same."""

    fsu: ProgramSet
    replay: Replay
    reference: FsuReference

    def feed(self, frames: list[TimedFrame]) -> None:
        """To both; then they agree."""
        self.replay.feed(frames)
        for frame in frames:
            self.reference.observe(frame.data.ljust(frame.length, b"\0"), frame.now_ns)
        found = {
            key: value
            for name in ("flow_metrics_map", "flow_metrics6")
            for key, value in maps.items(self.fsu.map_fd(name))
        }
        assert found == self.reference.entries()
        counted = read_counters(self.fsu.map_fd("fsu_counters"))
        expected = {kind.name.lower(): count for kind, count in self.reference.counters.items()}
        assert {name: count for name, count in counted.items() if count and name != "passed"} == {
            name: count for name, count in expected.items() if count
        }

    def halves(self) -> tuple[FlowHalf, FlowHalf]:
        """Up and down of the only flow."""
        [record] = read_flows(self.fsu.map_fd("flow_metrics_map"))
        return record.forward, record.backward


@pytest.fixture
def bench(clocked_fsu: ProgramSet, drive_source: CompiledSource) -> Iterator[Bench]:
    replay = Replay(drive_source, clocked_fsu)
    yield Bench(clocked_fsu, replay, FsuReference())
    replay.close()


def test_handshake_gives_the_first_rtt(bench: Bench) -> None:
    talk = Conversation()
    talk.handshake(SECOND, 50 * MS)
    bench.feed(talk.frames)
    up, down = bench.halves()
    assert (up.rtt_us, up.rtt_min_ns, up.rtt_samples) == (50_000, 50 * MS, 1)
    assert (down.rtt_us, down.rtt_samples) == (0, 0)  # answered at the same nanosecond: no sample


def test_each_direction_has_its_own_rtt(bench: Bench) -> None:
    talk = Conversation()
    talk.handshake(SECOND, 50 * MS)
    talk.down(2 * SECOND, 100, seq=501, ack=1)
    talk.up(2 * SECOND + 3 * MS, seq=1, ack=601)
    talk.down(3 * SECOND, 100, seq=601, ack=1)
    bench.feed(talk.frames)
    up, down = bench.halves()
    assert (up.rtt_us, down.rtt_last_ns) == (50_000, 3 * MS)
    assert down.rtt_min_ns == 0 or down.rtt_min_ns <= 3 * MS


def test_sequence_numbers_wrap(bench: Bench) -> None:
    talk = Conversation()
    talk.handshake(SECOND, MS, seq=WRAP - 1000)
    talk.up(2 * SECOND, 1400, seq=WRAP - 999)
    talk.down(2 * SECOND + 20 * MS, seq=501, ack=401)
    talk.up(3 * SECOND, 100, seq=401)
    bench.feed(talk.frames)
    up, _ = bench.halves()
    assert (up.rtt_samples, up.rtt_last_ns, up.retransmissions) == (2, 20 * MS, 0)


def test_an_acknowledgement_below_the_segment_is_no_answer(bench: Bench) -> None:
    talk = Conversation()
    talk.handshake(SECOND, MS)
    talk.up(2 * SECOND, 1000, seq=1)
    talk.down(2 * SECOND + 5 * MS, seq=501, ack=1000)
    talk.down(2 * SECOND + 9 * MS, seq=501, ack=1001)
    talk.up(3 * SECOND, 10, seq=1001)
    bench.feed(talk.frames)
    assert bench.halves()[0].rtt_last_ns == 9 * MS


def test_a_retransmission_is_not_measured(bench: Bench) -> None:
    talk = Conversation()
    talk.handshake(SECOND, MS)
    talk.up(2 * SECOND, 1000, seq=1)
    talk.up(2 * SECOND + 300 * MS, 1000, seq=1)
    talk.down(2 * SECOND + 310 * MS, seq=501, ack=1001)
    talk.up(3 * SECOND, 10, seq=1001)
    bench.feed(talk.frames)
    up, _ = bench.halves()
    assert (up.rtt_samples, up.retransmissions, up.rtt_us) == (1, 1, 1000)


def test_a_retransmission_of_another_segment_abandons_the_probe_too(bench: Bench) -> None:
    talk = Conversation()
    talk.handshake(SECOND, MS)
    for index in range(3):
        talk.up(2 * SECOND + index, 1000, seq=1 + 1000 * index)
    talk.up(2 * SECOND + 200 * MS, 1000, seq=1001)
    talk.down(2 * SECOND + 210 * MS, seq=501, ack=3001)
    talk.up(3 * SECOND, 10, seq=3001)
    bench.feed(talk.frames)
    assert bench.halves()[0].rtt_samples == 1


def test_an_answer_that_came_before_the_retransmission_counts(bench: Bench) -> None:
    talk = Conversation()
    talk.handshake(SECOND, MS)
    talk.up(2 * SECOND, 1000, seq=1)
    talk.down(2 * SECOND + 7 * MS, seq=501, ack=1001)
    talk.up(2 * SECOND + 9 * MS, 1000, seq=1)
    bench.feed(talk.frames)
    assert bench.halves()[0].rtt_last_ns == 7 * MS


def test_segments_that_overlap_what_was_sent_count_as_retransmitted(bench: Bench) -> None:
    talk = Conversation()
    talk.handshake(SECOND, MS)
    talk.up(2 * SECOND, 1000, seq=1)
    talk.up(2 * SECOND + MS, 1000, seq=501)
    talk.up(2 * SECOND + 2 * MS, 1000, seq=1501)
    talk.down(2 * SECOND + 12 * MS, seq=501, ack=2501)
    talk.up(3 * SECOND, 10, seq=2501)
    bench.feed(talk.frames)
    up, _ = bench.halves()
    assert (up.retransmissions, up.rtt_last_ns) == (1, 10 * MS)


def test_a_delayed_acknowledgement_does_not_spoil_the_minimum(bench: Bench) -> None:
    talk = Conversation()
    talk.handshake(SECOND, 10 * MS)
    talk.up(2 * SECOND, 100, seq=1)
    talk.down(2 * SECOND + 50 * MS, seq=501, ack=101)
    talk.up(3 * SECOND, 100, seq=101)
    bench.feed(talk.frames)
    up, _ = bench.halves()
    assert (up.rtt_min_ns, up.rtt_last_ns, up.rtt_us) == (10 * MS, 50 * MS, 15_000)


def test_pure_acknowledgements_are_not_probed(bench: Bench) -> None:
    talk = Conversation()
    for index in range(5):
        talk.down(SECOND + 40 * index * MS, 1000, seq=1000 * index)
        talk.up(SECOND + (40 * index + 1) * MS, ack=1000 * index + 1000)
    bench.feed(talk.frames)
    up, down = bench.halves()
    assert up.rtt_samples == 0
    assert (down.rtt_samples, down.rtt_min_ns) == (4, MS)  # not of the first


def test_a_probe_without_answer_is_given_up_and_asked_anew(bench: Bench) -> None:
    talk = Conversation()
    talk.handshake(SECOND, MS)
    talk.up(2 * SECOND, 100, seq=1)
    talk.up(8 * SECOND, 100, seq=101)
    talk.up(8 * SECOND + MS, 100, seq=201)
    talk.down(8 * SECOND + 30 * MS, seq=501, ack=301)
    talk.up(9 * SECOND, 100, seq=301)
    bench.feed(talk.frames)
    assert 28 * MS <= bench.halves()[0].rtt_last_ns <= 30 * MS


def test_the_minimum_forgets_after_two_windows(bench: Bench) -> None:
    talk = Conversation()
    talk.handshake(SECOND, 10 * MS)
    for index in range(5):
        at_ns = (5 + 5 * index) * SECOND
        talk.up(at_ns, 100, seq=1 + 100 * index)
        talk.down(at_ns + 40 * MS, seq=501, ack=101 + 100 * index)
    talk.up(30 * SECOND, 100, seq=501)
    bench.feed(talk.frames)
    assert bench.halves()[0].rtt_min_ns == 40 * MS


def test_timestamps_are_measured_beside(bench: Bench) -> None:
    talk = Conversation()
    talk.up(SECOND, seq=0, ack=0, flags=SYN, ts=(100, 0))
    talk.down(SECOND + 20 * MS, seq=500, ack=1, flags=SYN | ACK, ts=(900, 100))
    talk.up(SECOND + 20 * MS, seq=1, ack=501, ts=(120, 900))
    bench.feed(talk.frames)
    up, _ = bench.halves()
    assert (up.rtt_us, up.ts_rtt_us, up.ts_samples) == (20_000, 20_000, 1)


def test_tsvals_wrap(bench: Bench) -> None:
    talk = Conversation()
    talk.up(SECOND, 10, seq=1, ts=(WRAP - 2, 5))
    talk.up(SECOND + 3 * MS, 10, seq=11, ts=(1, 5))
    talk.down(SECOND + 9 * MS, seq=1, ack=21, ts=(6, 1))
    talk.up(SECOND + 10 * MS, 10, seq=21, ts=(8, 6))
    bench.feed(talk.frames)
    up, _ = bench.halves()
    assert (up.ts_rtt_us, up.ts_samples) == (6000, 1)


def test_only_the_first_segment_of_a_tsval_is_stamped(bench: Bench) -> None:
    talk = Conversation()
    talk.up(SECOND, 10, seq=1, ts=(10, 5))  # met in mid-life: not the first, for all we know
    talk.up(SECOND + MS, 10, seq=11, ts=(11, 5))
    talk.up(SECOND + 2 * MS, 10, seq=21, ts=(11, 5))
    talk.down(SECOND + 8 * MS, seq=1, ack=31, ts=(6, 11))
    talk.up(SECOND + 9 * MS, 10, seq=31, ts=(12, 6))
    bench.feed(talk.frames)
    up, _ = bench.halves()
    assert (up.ts_rtt_us, up.ts_samples) == (7000, 1)


def test_an_echo_that_was_missed_gives_no_sample(bench: Bench) -> None:
    talk = Conversation()
    talk.up(SECOND, 10, seq=1, ts=(10, 5))
    talk.up(SECOND + MS, 10, seq=11, ts=(11, 5))
    talk.down(SECOND + 30 * MS, seq=1, ack=21, ts=(6, 12))
    talk.up(SECOND + 31 * MS, 10, seq=21, ts=(13, 6))
    bench.feed(talk.frames)
    assert bench.halves()[0].ts_samples == 0


def test_timestamps_survive_a_retransmission(bench: Bench) -> None:
    talk = Conversation()
    talk.up(SECOND, 10, seq=1, ts=(10, 5))
    talk.up(SECOND + MS, 10, seq=11, ts=(11, 5))
    talk.up(SECOND + 2 * MS, 10, seq=1, ts=(12, 5))
    talk.down(SECOND + 9 * MS, seq=1, ack=21, ts=(6, 11))
    talk.up(SECOND + 10 * MS, 10, seq=21, ts=(20, 6))
    bench.feed(talk.frames)
    up, _ = bench.halves()
    assert (up.ts_samples, up.ts_rtt_us, up.rtt_samples) == (1, 8000, 0)


def test_fin_occupies_a_number_and_is_measured(bench: Bench) -> None:
    talk = Conversation()
    talk.handshake(SECOND, MS)
    talk.up(2 * SECOND, seq=1, flags=FIN | ACK)
    talk.down(2 * SECOND + 4 * MS, seq=501, ack=2)
    talk.up(2 * SECOND + 5 * MS, seq=2, ack=501)
    bench.feed(talk.frames)
    assert bench.halves()[0].rtt_last_ns == 4 * MS


def test_a_new_syn_begins_the_halves_anew(bench: Bench) -> None:
    talk = Conversation()
    talk.handshake(SECOND, 10 * MS)
    talk.up(2 * SECOND, 1000, seq=1)
    talk.handshake(60 * SECOND, 30 * MS, seq=7_000_000)
    bench.feed(talk.frames)
    up, down = bench.halves()
    assert (up.births, up.packets_total, up.rtt_us) == (2, 2, 30_000)
    assert (down.births, down.packets_total) == (1, 2)  # the same SYN-ACK once more


def test_a_repeated_syn_is_no_rebirth(bench: Bench) -> None:
    talk = Conversation()
    talk.up(SECOND, seq=0, ack=0, flags=SYN)
    talk.up(2 * SECOND, seq=0, ack=0, flags=SYN)
    talk.down(2 * SECOND + 10 * MS, seq=500, ack=1, flags=SYN | ACK)
    talk.up(2 * SECOND + 10 * MS, seq=1, ack=501)
    bench.feed(talk.frames)
    up, _ = bench.halves()
    assert (up.births, up.packets_total, up.retransmissions, up.rtt_samples) == (1, 3, 1, 0)


def test_silent_udp_is_reborn_and_silent_tcp_is_not(bench: Bench) -> None:
    data = ethernet(ipv4(udp(payload=bytes(100)), UDP), ETH_IPV4)
    frames = [TimedFrame(at * SECOND, data, len(data)) for at in (1, 60, 200)]
    bench.feed(frames)
    up, _ = bench.halves()
    assert (up.births, up.packets_total, up.started_ns) == (2, 1, 200 * SECOND)


def test_silent_tcp_goes_on(bench: Bench) -> None:
    talk = Conversation()
    talk.up(SECOND, 100, seq=1)
    talk.up(2000 * SECOND, 100, seq=101)
    bench.feed(talk.frames)
    assert (bench.halves()[0].births, bench.halves()[0].packets_total) == (1, 2)


def test_steady_traffic_gets_its_bdp(bench: Bench) -> None:
    talk = Conversation()
    talk.handshake(SECOND, 40 * MS)
    for index in range(2000):  # 1,000 bytes each 80 us: 100 Mbit/s
        at_ns = SECOND + 50 * MS + index * 80_000
        talk.up(at_ns, 946, seq=1 + 946 * index)
    bench.feed(talk.frames)
    up, _ = bench.halves()
    assert up.throughput_bps == up.throughput_window_bps == 100_000_000
    assert up.bdp_bytes == 100_000_000 // 8 * up.rtt_us // 1_000_000
    [flow] = bench.reference.flows.values()
    factor = Fraction(flow.directions[0].predict.pattern_factor_q16, 65536)
    assert 1 <= factor <= Fraction(3, 2)
    assert up.optimal_buffer_size == up.bdp_bytes * Fraction(6, 5) * factor


@pytest.mark.parametrize(
    ("bytes_each", "gap_ns", "packets", "rate_bps"),
    [
        (125, 1_000_000_000, 20, 1_000),
        (1250, 10_000, 2_200, 1_000_000_000),
        (1250, 100, 60_000, 100_000_000_000),
    ],
)
def test_throughput_from_1_kbit_to_100_gbit(
    bench: Bench, bytes_each: int, gap_ns: int, packets: int, rate_bps: int
) -> None:
    frame = ethernet(ipv4(tcp()), ETH_IPV4)
    bench.feed([TimedFrame(10**15 + i * gap_ns, frame, bytes_each) for i in range(packets)])
    up, _ = bench.halves()
    assert up.throughput_bps == rate_bps
