"""The whole program: flow_math.c and sentinel_guard.h, without the limits of a hash map."""

from __future__ import annotations

import dataclasses
from collections import Counter as Tally
from dataclasses import dataclass, field

from sentinel_bpf import abi
from sentinel_bpf.abi import Counter
from sentinel_bpf.predict_abi import Predict
from sentinel_bpf.predict_reference import Network, PredictState
from sentinel_bpf.reference import bdp, rate, rtt
from sentinel_bpf.reference.parse import SYN, Parsed, Tcp, parse
from sentinel_bpf.reference.state import MASK32, MASK64, HalfState, exchange_bytes

IDLE_LOOK_SHIFT = 30
NS_PER_S = 1_000_000_000


@dataclass(slots=True)
class Direction:
    """A half and its predictor."""

    half: HalfState = field(default_factory=HalfState)
    predict: PredictState = field(default_factory=PredictState)

    def to_bytes(self) -> bytes:
        """struct sentinel_flow_half."""
        values = dataclasses.asdict(self.predict)
        fields = {
            name: kind(*values[name]) if isinstance(values[name], list) else values[name]
            for name, kind, *_ in Predict._fields_
            if name in values
        }
        return self.half.to_bytes(Predict(**fields))


@dataclass(slots=True)
class FlowState:
    """struct sentinel_flow: forward, backward."""

    directions: tuple[Direction, Direction] = field(
        default_factory=lambda: (Direction(), Direction())
    )

    def to_bytes(self) -> bytes:
        """As it stands in the map."""
        words = [exchange_bytes(side.half.exchange) for side in self.directions]
        return b"".join(words + [side.to_bytes() for side in self.directions])


def is_new_syn(half: HalfState, tcp: Tcp) -> bool:
    """sentinel_is_new_syn()."""
    end = (tcp.sequence + tcp.occupies) & MASK32
    return bool(tcp.flags & SYN) and half.packets_total != 0 and half.seq_high != end


@dataclass
class FsuReference:
    """Frames in; flows and counters as the kernel would have them."""

    network: Network | None = None
    """Of the active model slot."""
    new_flows_per_s: int = abi.NEW_FLOWS_PER_S
    flow_idle_ns: int = abi.FLOW_IDLE_NS
    beat_ns: int = 0
    timeout_ns: int = 0
    """0: no heartbeat is expected."""
    ifindex: int = 1
    """A test run comes from the loopback interface."""
    flows: dict[bytes, FlowState] = field(default_factory=dict)
    counters: Tally[Counter] = field(default_factory=Tally)
    _second_start_ns: int = 0
    _new_flows: int = 0

    def observe(self, frame: bytes, now_ns: int, segments: int = 1) -> None:
        """One frame of at least 14 bytes, whole; or a super-packet of so many `segments`."""
        self.counters[self._handle(frame, now_ns, segments)] += 1

    def entries(self) -> dict[bytes, bytes]:
        """Both maps, as bytes."""
        return {key: flow.to_bytes() for key, flow in self.flows.items()}

    def _handle(self, frame: bytes, now_ns: int, segments: int) -> Counter:
        since_beat = (now_ns - self.beat_ns) & MASK64
        if self.timeout_ns and since_beat < 1 << 63 and since_beat > self.timeout_ns:
            return Counter.BYPASSED
        parsed = parse(frame)
        if not isinstance(parsed, Parsed):
            return parsed
        flow = self.flows.get(parsed.key)
        if flow is None:
            if not self._admit(now_ns):
                return Counter.FLOOD_REFUSED
            flow = FlowState()
            self.flows[parsed.key] = flow
        own, other = flow.directions[parsed.backward], flow.directions[not parsed.backward]
        size = len(frame) + (segments - 1) * parsed.header_bytes
        self._observe(own, other.half, parsed.tcp, (size, segments), now_ns)
        return parsed.outcome

    def _admit(self, now_ns: int) -> bool:
        if (now_ns - self._second_start_ns) & MASK64 >= NS_PER_S:
            self._second_start_ns, self._new_flows = now_ns, 0
        if self._new_flows >= self.new_flows_per_s:
            return False
        self._new_flows += 1
        return True

    def _is_birth(self, half: HalfState, tcp: Tcp | None, now_ns: int) -> bool:
        if not half.packets_total:
            return True
        if tcp is not None:
            return is_new_syn(half, tcp)
        silent_ns = (now_ns - half.last_timestamp) & MASK64
        return self.flow_idle_ns < silent_ns < 1 << 63 and silent_ns >> IDLE_LOOK_SHIFT != 0

    def _observe(
        self,
        own: Direction,
        other: HalfState,
        tcp: Tcp | None,
        seen: tuple[int, int],
        now_ns: int,
    ) -> None:
        """`seen`: (bytes on the wire, packets)."""
        half, changed = own.half, False
        size, packets = seen
        if self._is_birth(half, tcp, now_ns):
            if half.packets_total:
                self.counters[Counter.REBORN] += 1
                own.predict = PredictState()
            half.begin(size, now_ns, self.ifindex)
        new_tick = rate.is_new_tick(half, now_ns)
        half.count(size, packets, now_ns)
        own.predict.packet(self.network, now_ns, size)
        if tcp is not None:
            changed = rtt.observe(half, other.exchange, tcp, now_ns)
            if new_tick:
                rtt.expire(half, now_ns)
        if new_tick:
            changed |= rate.close_interval(half, now_ns)
        if changed:
            bdp.publish_bdp(half, own.predict.pattern_factor_q16)
