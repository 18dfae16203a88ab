"""Two neighbours over a channel that loses, repeats and reorders: they converge, never go back."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sentinel_node.core.control.messages import (
    Correction,
    Digest,
    FlowPhase,
    FlowState,
    Forecast,
    Pull,
    Version,
)
from sentinel_node.core.control.refusals import Reason, Refusal
from sentinel_node.core.sync.link import LinkSender, Update
from sentinel_node.core.sync.replica import LinkReplica

FLOWS_MAX = 6
FLOWS = st.integers(0, 8)


def state(flow_id: int, sequence: int, *, rate_bps: int = 1) -> FlowState:
    return FlowState(
        flow_id, "a", Version(1, sequence), FlowPhase.ACTIVE, sequence, sequence, rate_bps
    )


class Neighbours(RuleBasedStateMachine):
    """A sender, a replica, and everything that was ever said, to be delivered at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.sender = LinkSender(1, FLOWS_MAX)
        self.replica = LinkReplica(FLOWS_MAX)
        self.said: list[Update | Digest] = []
        self.pulls: list[Pull] = []
        self.clock = 0
        self.newest: dict[int, Version] = {}

    @rule(flow_id=FLOWS, changed=st.booleans())
    def put(self, flow_id: int, changed: bool) -> None:
        self.clock += 1
        full = flow_id not in self.sender.states and len(self.sender) >= FLOWS_MAX
        refusal = self.sender.put(state(flow_id, self.clock, rate_bps=1 + changed))
        assert (refusal is not None) == full

    @rule(flow_id=FLOWS)
    def remove(self, flow_id: int) -> None:
        self.sender.remove(flow_id)

    @rule(limit=st.integers(0, 5))
    def take(self, limit: int) -> None:
        taken = self.sender.take(limit)
        assert len(taken) <= limit
        self.said += taken

    @rule()
    def digest(self) -> None:
        self.said.append(self.sender.digest())

    @rule(data=st.data())
    def deliver_any(self, data: st.DataObject) -> None:
        if self.said:
            self.deliver(self.said[data.draw(st.integers(0, len(self.said) - 1))])

    @rule(data=st.data())
    def pull_any(self, data: st.DataObject) -> None:
        if self.pulls:
            self.sender.on_pull(self.pulls[data.draw(st.integers(0, len(self.pulls) - 1))])

    @rule()
    def restart_sender(self) -> None:
        states = self.sender.states
        self.sender = LinkSender(self.sender.epoch + 1, FLOWS_MAX)
        for value in states.values():
            self.sender.put(value)

    @rule()
    def restart_replica(self) -> None:
        self.replica = LinkReplica(FLOWS_MAX)
        self.newest = {}

    def deliver(self, message: Update | Digest) -> None:
        before, epoch = self.replica.states, self.replica.epoch
        if isinstance(message, Digest):
            pull = self.replica.on_digest(message)
            if isinstance(pull, Pull):
                self.pulls.append(pull)
            refused = isinstance(pull, Refusal)
        else:
            refused = isinstance(self.replica.on_update(message), Refusal)
        if refused:
            assert (self.replica.states, self.replica.epoch) == (before, epoch)
        assert self.replica.epoch >= epoch

    @invariant()
    def never_older_within_an_epoch(self) -> None:
        for flow_id in self.replica.states:
            sequence = self.replica.sequence(flow_id)
            assert sequence is not None
            stamp = Version(max(self.replica.epoch, 1), sequence)
            known = self.newest.get(flow_id)
            assert known is None or known <= stamp
            self.newest[flow_id] = stamp

    @invariant()
    def bounded(self) -> None:
        assert len(self.replica.states) <= FLOWS_MAX
        assert len(self.sender) <= FLOWS_MAX
        assert self.sender.pending <= FLOWS_MAX * 2 + 64

    def teardown(self) -> None:
        """The channel becomes reliable: at most two digests later both are equal."""
        for _ in range(2):
            for update in self.sender.take(1000):
                self.deliver(update)
            pull = self.replica.on_digest(self.sender.digest())
            if isinstance(pull, Pull):
                assert self.sender.on_pull(pull) is None
                for update in self.sender.take(1000):
                    self.deliver(update)
        assert self.replica.on_digest(self.sender.digest()) is None
        assert self.replica.synchronised
        assert self.replica.states == self.sender.states


TestNeighbours = Neighbours.TestCase
TestNeighbours.settings = settings(max_examples=200, stateful_step_count=50, deadline=None)


def test_ten_changes_are_one_message_and_then_a_correction() -> None:
    sender = LinkSender(1, 4)
    for sequence in range(1, 11):
        sender.put(state(7, sequence))
    (first,) = sender.take(10)
    assert isinstance(first, Forecast)
    assert first.state.version.sequence == 10
    assert sender.take(10) == []
    sender.put(state(7, 11))
    (second,) = sender.take(10)
    assert isinstance(second, Correction)
    replica = LinkReplica(4)
    assert replica.on_update(first) == (first.state,)
    assert replica.on_update(second) == (state(7, 11),)


def test_a_withdrawn_size_is_told_by_a_whole_forecast() -> None:
    sender = LinkSender(1, 4)
    known = FlowState(1, "a", Version(1, 1), FlowPhase.ACTIVE, 0, 5, 1, size_bytes=10)
    sender.put(known)
    sender.take(1)
    sender.put(FlowState(1, "a", Version(1, 2), FlowPhase.ACTIVE, 1, 15, 1))
    assert isinstance(sender.take(1)[0], Forecast)


def test_a_correction_of_what_was_lost_is_refused_and_repaired() -> None:
    sender, replica = LinkSender(1, 4), LinkReplica(4)
    sender.put(state(7, 1))
    sender.take(1)  # lost
    sender.put(state(7, 2))
    result = replica.on_update(sender.take(1)[0])
    assert isinstance(result, Refusal)
    assert result.reason is Reason.UNKNOWN_FLOW
    pull = replica.on_digest(sender.digest())
    assert isinstance(pull, Pull)
    sender.on_pull(pull)
    for update in sender.take(10):
        replica.on_update(update)
    assert replica.states == {7: state(7, 2)}
