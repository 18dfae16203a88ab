"""The start gate and the node's memory without a daemon: whatever a TCP says, within RFC 9959."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sentinel_node.core.control.messages import (
    FlowPhase,
    FlowState,
    PathHop,
    PathMetadata,
    Version,
)
from sentinel_node.core.start.buffer_plan import HostLimits, StartMode, bdp_bytes
from sentinel_node.core.start.careful_resume import Phase
from sentinel_node.core.start.gate import Gate, Look, UNLIMITED_Bps
from sentinel_node.core.start.outgoing import MAX_PACKET_BYTES, Outgoing, empty_memory

MS = 1_000_000
RTT_NS = 80 * MS
RATE_BPS = 12_500_000
BDP_BYTES = bdp_bytes(RATE_BPS, RTT_NS)
INITIAL_BYTES = 10 * MAX_PACKET_BYTES
HOST = HostLimits(1 << 30, 1 << 30, 1 << 30)
TARGETS = ("m", "n")


class FakeTcp:
    """What a TCP would say; the test writes it."""

    def __init__(self) -> None:
        self.written = self.acked = self.resent = 0
        self.rtt_ns = RTT_NS
        self.paced_Bps = 0

    def look(self) -> Look:
        return Look(self.acked, self.rtt_ns, self.resent)

    def acked_bytes(self) -> int:
        return self.acked

    def believe(self, window_bytes: int) -> bool:
        raise AssertionError("nobody offered a window")

    def pace(self, rate_Bps: int) -> None:
        self.paced_Bps = rate_Bps


def to(target: str) -> tuple[FlowState, PathMetadata]:
    """A flow of 100 Mbit/s over one link of 40 ms."""
    version = Version(1, 1)
    state = FlowState(1, "a", version, FlowPhase.PREDICTED, 0, 0, RATE_BPS, peak_rate_Bps=RATE_BPS)
    hops = (PathHop("a", 0, 0), PathHop(target, RTT_NS // 2, 8 * RATE_BPS))
    return state, PathMetadata(1, version, hops)


class Starts(RuleBasedStateMachine):
    """One node's connections to two neighbours, one after the other or at once."""

    @initialize(managed=st.booleans())
    def set_up(self, managed: bool) -> None:
        self.mode = StartMode.MANAGED if managed else StartMode.CAREFUL
        self.memory = empty_memory()
        self.now_ns = 0
        self.open: list[tuple[Outgoing, Gate | None, FakeTcp]] = []
        self.limits: dict[int, int] = {}

    @rule(name=st.sampled_from(TARGETS))
    def connect(self, name: str) -> None:
        lent = {one.target for one, gate, _ in self.open if one.saved and gate and not gate.over}
        outgoing = Outgoing.of(self.memory, HOST, name, *to(name), 1, self.mode, now_ns=self.now_ns)
        if name in lent or self.mode is StartMode.MANAGED:
            assert outgoing.saved is None, "what is remembered is lent to one connection at a time"
        window = outgoing.plan.jump_window_bytes
        if outgoing.saved is not None:
            assert window <= max(INITIAL_BYTES, outgoing.saved.cwnd_bytes // 2)
        elif self.mode is StartMode.CAREFUL:
            assert window == INITIAL_BYTES
        assert window <= max(INITIAL_BYTES, BDP_BYTES)
        tcp = FakeTcp()
        gate = outgoing.gate(tcp)
        held = outgoing.saved is not None or self.mode is StartMode.MANAGED
        assert (gate is not None) == held
        if gate is not None:
            assert tcp.paced_Bps == outgoing.plan.pacing_Bps, "paced before the first byte"
            self.limits[id(tcp)] = outgoing.plan.pacing_Bps
        self.open.append((outgoing, gate, tcp))

    @rule(which=st.integers(0, 9), wanted=st.integers(0, 3_000_000), wait_ms=st.integers(0, 100))
    def write(self, which: int, wanted: int, wait_ms: int) -> None:
        self.now_ns += wait_ms * MS
        if not self.open:
            return
        outgoing, gate, tcp = self.open[which % len(self.open)]
        if gate is None:
            tcp.written += wanted
            return
        room = gate.room(self.now_ns)
        count = wanted if room is None else min(wanted, room)
        gate.sent(count)
        tcp.written += count
        self.check_flight(outgoing, gate, tcp, room)

    def check_flight(self, outgoing: Outgoing, gate: Gate, tcp: FakeTcp, room: int | None) -> None:
        if self.mode is StartMode.MANAGED:
            assert (room is None) == gate.over
            assert gate.over == (tcp.paced_Bps == UNLIMITED_Bps)
            assert not gate.over or tcp.acked >= outgoing.plan.jump_window_bytes
            return
        assert (room is None) == (gate.phase is Phase.NORMAL) == gate.over
        if gate.phase is Phase.RECONNAISSANCE:
            assert tcp.written - tcp.acked <= INITIAL_BYTES
            assert tcp.acked < INITIAL_BYTES
        elif gate.phase in (Phase.UNVALIDATED, Phase.VALIDATING):
            assert tcp.acked >= INITIAL_BYTES
            assert tcp.written - tcp.acked <= max(INITIAL_BYTES, outgoing.plan.jump_window_bytes)

    @rule(which=st.integers(0, 9), share=st.integers(0, 100), rtt_ms=st.sampled_from([30, 80, 90]))
    def acknowledge(self, which: int, share: int, rtt_ms: int) -> None:
        if self.open:
            _, _, tcp = self.open[which % len(self.open)]
            tcp.acked += (tcp.written - tcp.acked) * share // 100
            tcp.rtt_ns = rtt_ms * MS

    @rule(which=st.integers(0, 9))
    def lose(self, which: int) -> None:
        if self.open:
            self.open[which % len(self.open)][2].resent += 1

    @rule(which=st.integers(0, 9), rate_Bps=st.integers(1, RATE_BPS))
    def predict_anew(self, which: int, rate_Bps: int) -> None:
        if self.open:
            _, gate, tcp = self.open[which % len(self.open)]
            if gate is not None:
                gate.limit(rate_Bps)
                self.limits[id(tcp)] = max(self.limits[id(tcp)], rate_Bps)

    @rule(which=st.integers(0, 9), cwnd_bytes=st.integers(0, 4_000_000), well=st.booleans())
    def close(self, which: int, cwnd_bytes: int, well: bool) -> None:
        """As a driver does: the gate first, and what was found only after a good end."""
        if not self.open:
            return
        outgoing, gate, _ = self.open.pop(which % len(self.open))
        if gate is not None:
            gate.close()
            assert gate.over
        if well:
            outgoing.observe(cwnd_bytes=cwnd_bytes, min_rtt_ns=RTT_NS, now_ns=self.now_ns)

    @invariant()
    def never_faster_than_predicted_until_the_start_is_over(self) -> None:
        for _, gate, tcp in self.open:
            if gate is not None and not gate.over:
                assert 0 < tcp.paced_Bps <= self.limits[id(tcp)]

    def teardown(self) -> None:
        """All is acknowledged: every gate opens, and gives back what it had borrowed."""
        for _, gate, tcp in self.open:
            if gate is None:
                continue
            gate.limit(RATE_BPS)  # predicted at a byte a second it would take its time
            for _ in range(200):
                self.now_ns += 100 * MS
                room = gate.room(self.now_ns)
                count = INITIAL_BYTES if room is None else room
                gate.sent(count)
                tcp.written += count
                tcp.acked = tcp.written
            assert gate.over
        for outgoing, _, _ in self.open:
            outgoing.observe(cwnd_bytes=BDP_BYTES, min_rtt_ns=RTT_NS, now_ns=self.now_ns)
            again = self.memory.borrow(outgoing.key, now_ns=self.now_ns)
            assert again is not None, "what was borrowed was given back"
            self.memory.give_back(outgoing.key, proved_wrong=False)


TestStarts = Starts.TestCase
TestStarts.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)


def remembered(cwnd_bytes: int = 2 * BDP_BYTES) -> tuple[Outgoing, FakeTcp, Gate]:
    """A connection over a path on which an earlier flow found this window."""
    memory = empty_memory()
    first = Outgoing.of(memory, HOST, "m", *to("m"), 1, StartMode.CAREFUL, now_ns=0)
    assert first.gate(FakeTcp()) is None, "a slow start is not held back"
    first.observe(cwnd_bytes=cwnd_bytes, min_rtt_ns=RTT_NS, now_ns=0)
    second = Outgoing.of(memory, HOST, "m", *to("m"), 1, StartMode.CAREFUL, now_ns=1)
    tcp = FakeTcp()
    gate = second.gate(tcp)
    assert gate is not None
    return second, tcp, gate


def test_not_a_byte_beyond_the_initial_window_before_all_of_it_was_acknowledged() -> None:
    outgoing, tcp, gate = remembered()
    assert gate.room(0) == INITIAL_BYTES
    gate.sent(INITIAL_BYTES)
    tcp.acked = INITIAL_BYTES - 1
    assert gate.room(79 * MS) == INITIAL_BYTES - 1
    tcp.acked = INITIAL_BYTES
    assert gate.room(80 * MS) == outgoing.plan.jump_window_bytes == BDP_BYTES
    assert tcp.paced_Bps == BDP_BYTES * 1000 * MS // RTT_NS


def test_a_memory_that_proved_wrong_is_lent_to_nobody() -> None:
    outgoing, tcp, gate = remembered()
    gate.room(0)
    gate.sent(INITIAL_BYTES)
    tcp.acked = INITIAL_BYTES
    room = gate.room(80 * MS)
    assert room is not None
    gate.sent(room)
    tcp.resent = 1
    assert gate.room(160 * MS) == 0
    gate.close()
    assert outgoing.memory.borrow(outgoing.key, now_ns=2) is None


def test_another_length_or_rate_is_another_path() -> None:
    outgoing, _, gate = remembered()
    gate.close()
    state, path = to("m")
    near = PathMetadata(1, path.version, (path.hops[0], PathHop("m", MS, 8 * RATE_BPS)))
    other = Outgoing.of(outgoing.memory, HOST, "m", state, near, 1, StartMode.CAREFUL, now_ns=2)
    assert other.saved is None


def test_a_connection_that_never_started_gives_its_memory_back_once() -> None:
    outgoing, _, _ = remembered()
    memory, key = outgoing.memory, outgoing.key
    assert memory.borrow(key, now_ns=2) is None, "one connection at a time"
    outgoing.release()
    assert memory.borrow(key, now_ns=2) is not None
    outgoing.release()
    assert memory.borrow(key, now_ns=2) is None, "it is another connection's now"
