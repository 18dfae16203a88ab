"""Memory in custody is bounded, every flow can go on, and the bytes are where their offsets say."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sentinel_node.core.custody.memory import FLOW_CHUNKS, ChunkPool, FlowBuffer, chunk_bytes_for
from sentinel_node.core.custody.throttle import (
    ACK_INTERVAL_NS,
    AckThrottle,
    ack_bytes,
    ack_interval_ns,
)

CHUNK = 5


class Buffers(RuleBasedStateMachine):
    """Two flows on one pool, against plain byte strings."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = ChunkPool(9 * CHUNK, 2, CHUNK)
        self.buffers = [FlowBuffer(self.pool), FlowBuffer(self.pool, 3)]
        self.bytes: list[dict[int, int]] = [{}, {}]
        self.next = 0

    @rule(flow=st.integers(0, 1), want=st.integers(1, 8), commit=st.integers(0, 8))
    def read(self, flow: int, want: int, commit: int) -> None:
        buffer = self.buffers[flow]
        room = buffer.room()
        if room is None:
            assert buffer.chunks >= FLOW_CHUNKS
            return
        assert len(room)
        count = min(want, len(room))
        for place in range(count):
            self.next = (self.next + 1) % 251
            room[place] = self.next
            self.bytes[flow][buffer.fill + place] = self.next
        buffer.filled(count)
        buffer.commit(min(buffer.fill, buffer.end + commit))

    @rule(flow=st.integers(0, 1), ahead=st.integers(0, 20))
    def free(self, flow: int, ahead: int) -> None:
        self.buffers[flow].free(self.buffers[flow].base + ahead)

    @rule(flow=st.integers(0, 1))
    def rewind(self, flow: int) -> None:
        self.buffers[flow].rewind()

    @rule(flow=st.integers(0, 1))
    @precondition(lambda self: self.next % 7 == 0)
    def clear(self, flow: int) -> None:
        self.buffers[flow].clear(self.buffers[flow].base + 2)

    @invariant()
    def the_bytes_are_where_their_offsets_say(self) -> None:
        for buffer, known in zip(self.buffers, self.bytes, strict=True):
            offset, got = buffer.base, b""
            while offset < buffer.fill:
                piece = buffer.view(offset, buffer.fill)
                assert len(piece)
                got += bytes(piece)
                offset += len(piece)
            assert got == bytes(known[at] for at in range(buffer.base, buffer.fill))

    @invariant()
    def memory_is_bounded_and_none_is_lost(self) -> None:
        assert self.pool.in_use == sum(buffer.chunks for buffer in self.buffers) <= 9
        for buffer in self.buffers:
            held = buffer.fill - buffer.base
            assert held <= buffer.chunks * CHUNK <= held + 2 * CHUNK

    @invariant()
    def a_flow_with_less_than_its_share_can_always_read(self) -> None:
        for buffer in self.buffers:
            if buffer.chunks < FLOW_CHUNKS:
                assert buffer.room() is not None


TestBuffers = Buffers.TestCase
TestBuffers.settings = settings(max_examples=60, stateful_step_count=30)


def test_one_slow_flow_leaves_room_for_others() -> None:
    pool = ChunkPool(100 * CHUNK, 4, CHUNK)
    slow, other = FlowBuffer(pool), FlowBuffer(pool)
    for buffer, least in ((slow, 60), (other, 10)):
        while (room := buffer.room()) is not None:
            buffer.filled(len(room))
        assert buffer.chunks >= least
    assert slow.chunks < 90
    pool_left = [FlowBuffer(pool) for _ in range(2)]
    for buffer in pool_left:
        for _ in range(FLOW_CHUNKS):
            room = buffer.room()
            assert room is not None
            buffer.filled(len(room))


def test_too_little_memory_for_the_flows_is_refused_with_what_is_needed() -> None:
    assert chunk_bytes_for(256 << 20, 1000) == 64 << 10
    assert chunk_bytes_for(256 << 20, 4) == 1 << 20
    with pytest.raises(ValueError, match="1000 flows in custody need at least 196608000 bytes"):
        chunk_bytes_for(100 << 20, 1000)


@pytest.mark.parametrize("flows", [1, 1000])
@given(steps=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=40))
def test_acknowledgements_come_by_bytes_or_time_and_say_nothing_twice(
    flows: int, steps: list[tuple[int, int]]
) -> None:
    most, longest_ns = ack_bytes(flows), ack_interval_ns(flows)
    throttle = AckThrottle(flows=lambda: flows)
    value = now_ns = last_ns = 0
    said: list[int] = []
    for count, wait in steps:
        value, now_ns = value + count * most // 20, now_ns + wait * longest_ns // 50
        if throttle.is_due(value, now_ns):
            assert value > (said[-1] if said else 0)
            assert not said or value - said[-1] >= most or now_ns - last_ns >= longest_ns
            throttle.on_said(value, now_ns)
            said.append(value)
            last_ns = now_ns
        else:
            unsaid = value - (said[-1] if said else 0)
            assert unsaid < most
            assert unsaid == 0 or now_ns - last_ns < longest_ns
    throttle.force()
    assert throttle.is_due(value, now_ns)


def test_a_thousand_flows_share_what_a_few_may_say() -> None:
    assert ack_interval_ns(1) == ack_interval_ns(2) == ACK_INTERVAL_NS
    per_second = [flows * 1_000_000_000 // ack_interval_ns(flows) for flows in (1, 3, 50, 1000)]
    assert per_second == [100, 250, 250, 250]
    assert [ack_bytes(flows) for flows in (1, 4, 1000)] == [1 << 20, 1 << 18, 1 << 16]
