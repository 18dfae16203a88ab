"""Whatever dies, no confirmed byte is lost, and every completed hash is right."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from tests.unit.node.custody.chain import BLOCK, Chain

from sentinel_node.core.custody.effects import Release
from sentinel_node.core.custody.store import CustodyStore

HOPS = st.integers(0, 2)
NODES = st.integers(0, 3)
COUNTS = st.integers(1, 20)


class Crashes(RuleBasedStateMachine):
    """Any interleaving of writing, sending, acknowledging, dying and resuming."""

    @initialize(
        payload=st.binary(min_size=1, max_size=90),
        replayable=st.booleans(),
        durable=st.booleans(),
        release=st.sampled_from(Release),
        capacity=st.integers(8, 40),
    )
    def begin(
        self, payload: bytes, replayable: bool, durable: bool, release: Release, capacity: int
    ) -> None:
        self.chain = Chain(
            payload, replayable=replayable, durable=durable, release=release, capacity=capacity
        )
        self.chain.resume(0)

    @rule(count=COUNTS)
    def write(self, count: int) -> None:
        self.chain.write(count)

    @rule(link=HOPS, count=COUNTS)
    def send_and_receive(self, link: int, count: int) -> None:
        self.chain.send(link, count)
        self.chain.receive(link)

    @rule(link=HOPS, count=COUNTS)
    def send(self, link: int, count: int) -> None:
        self.chain.send(link, count)

    @rule(link=HOPS, back=COUNTS)
    def resend(self, link: int, back: int) -> None:
        self.chain.resend(link, back)

    @rule(link=HOPS)
    def receive(self, link: int) -> None:
        self.chain.receive(link)

    @rule(index=st.integers(1, 2))
    def sync(self, index: int) -> None:
        self.chain.sync(index)

    @rule(index=st.integers(1, 3))
    def say(self, index: int) -> None:
        self.chain.say(index)

    @rule(index=st.integers(1, 2), count=COUNTS)
    def sync_say_and_hear(self, index: int, count: int) -> None:
        self.chain.send(0, count)
        self.chain.receive(0)
        self.chain.sync(index)
        before = len(self.chain.acks)
        self.chain.say(index)
        if len(self.chain.acks) > before:
            self.chain.hear(before)

    @precondition(lambda self: self.chain.acks)
    @rule(data=st.data())
    def hear(self, data: st.DataObject) -> None:
        self.chain.hear(data.draw(st.integers(0, len(self.chain.acks) - 1)))

    @rule(index=NODES)
    def crash(self, index: int) -> None:
        self.chain.crash(index)

    @precondition(lambda self: not self.chain.failed)
    @rule()
    def resume(self) -> None:
        self.chain.resume(0)

    @rule(index=st.integers(1, 2))
    def relay_goes_on_without_its_upstream(self, index: int) -> None:
        self.chain.resume(index)

    @invariant()
    def nothing_confirmed_is_lost(self) -> None:
        if hasattr(self, "chain"):
            self.chain.check()

    def teardown(self) -> None:
        if not hasattr(self, "chain"):
            return
        chain = self.chain
        chain.drain()
        assert bytes(chain.file[: chain.confirmed]) == chain.payload[: chain.confirmed]
        assert len(chain.file) >= chain.confirmed
        if chain.replayable or not chain.source_died:
            assert bytes(chain.file) == chain.payload
            assert chain.source.completed
            assert chain.source.delivered_bytes == len(chain.payload)


TestCrashes = Crashes.TestCase
TestCrashes.settings = settings(max_examples=300, stateful_step_count=60, deadline=None)


@pytest.mark.parametrize("release", list(Release))
@pytest.mark.parametrize("replayable", [False, True])
def test_a_transfer_without_faults_completes(release: Release, replayable: bool) -> None:
    chain = Chain(
        bytes(range(100)), replayable=replayable, durable=True, release=release, capacity=24
    )
    chain.resume(0)
    chain.drain()
    assert chain.source.completed
    assert bytes(chain.file) == chain.payload
    assert chain.source.retained_bytes == 0


def test_custody_in_memory_confirms_nothing_of_a_pipe_and_frees_nothing() -> None:
    for replayable, confirmed in ((False, 0), (True, 20)):
        chain = Chain(
            bytes(100),
            replayable=replayable,
            durable=False,
            release=Release.DURABLE_CUSTODY,
            capacity=64,
        )
        chain.resume(0)
        chain.write(20)
        chain.send(0, 20)
        chain.receive(0)
        chain.say(1)
        chain.hear(0)
        assert chain.confirmed == confirmed
        assert chain.source.retained_bytes == 20


def test_durable_custody_outlives_both_the_sender_and_the_custodian() -> None:
    chain = Chain(
        bytes(range(60)),
        replayable=False,
        durable=True,
        release=Release.DURABLE_CUSTODY,
        capacity=64,
    )
    chain.resume(0)
    chain.write(40)
    chain.send(0, 40)
    chain.receive(0)
    chain.sync(1)
    chain.say(1)
    chain.hear(0)
    assert chain.confirmed == 40
    assert chain.source.retained_bytes == 0
    chain.crash(0)
    chain.crash(1)
    chain.drain()
    assert bytes(chain.file) == bytes(range(40))


def test_a_store_too_small_for_its_flows_is_refused() -> None:
    with pytest.raises(ValueError, match="need at least 131072 bytes"):
        CustodyStore("r1", capacity_bytes=131_071, flows_max=2, downstream="r2")


def test_what_the_next_relay_has_in_memory_frees_nothing_of_a_durable_custodian() -> None:
    chain = Chain(
        bytes(range(60)),
        replayable=False,
        durable=True,
        release=Release.DURABLE_CUSTODY,
        capacity=64,
    )
    chain.resume(0)
    chain.write(40)
    for link in (0, 1):
        chain.send(link, 24)
        chain.receive(link)
        if link == 0:
            chain.sync(1)
            chain.say(1)
            chain.hear(0)
            chain.send(0, 16)
            chain.receive(0)
    chain.send(1, 16)
    chain.receive(1)
    assert chain.relays[1].store.span(7) == (0, 40)
    chain.crash(1)  # its disk has 24 bytes, the next relay's memory 40
    chain.resume(1)
    assert chain.relays[0].store.span(7) == (0, 24)
    chain.crash(0)
    chain.crash(2)  # now the disk is all there is
    chain.check()
    assert chain.confirmed == 24
    chain.drain()
    assert bytes(chain.file) == bytes(range(24))


def test_a_sender_that_died_hears_of_a_completion_it_missed() -> None:
    chain = Chain(
        bytes(range(50)), replayable=True, durable=False, release=Release.DELIVERED, capacity=64
    )
    chain.resume(0)
    chain.write(50)
    for link in range(3):
        chain.send(link, 50)
        chain.receive(link)
    chain.crash(0)
    chain.say(3)
    for number in range(2):  # both relays hear that it is complete, the sender does not
        chain.hear(number)
    assert not chain.source.completed
    chain.drain()
    assert chain.source.completed


def test_a_receiver_that_died_after_the_end_asks_for_nothing_that_was_freed() -> None:
    """It has all bytes, but no longer knows that they were all: its checkpoint must not fall."""
    chain = Chain(b"x", replayable=False, durable=False, release=Release.DELIVERED, capacity=BLOCK)
    chain.resume(0)
    chain.write(1)
    for link in range(3):
        chain.send(link, 1)
        chain.receive(link)
    chain.say(3)
    chain.resume(0)
    chain.crash(2)
    chain.crash(3)
    chain.drain()
    assert chain.source.completed
