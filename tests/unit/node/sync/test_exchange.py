"""Flow sync of three nodes without a daemon: whatever a channel does, nothing is made up.

Streams break with all that is under way, old messages come again after newer ones, nodes begin anew
in a later epoch. Meanwhile a node knows only what the origin said, never goes back, and never has a
backlog; once the channel is good again, all nodes along the path agree.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.unit.node.sync.net import (
    FLOWS_MAX,
    INTERVAL_NS,
    LINKS,
    MS,
    NAMES,
    RATE_BPS,
    SILENCE_NS,
    Net,
)

from sentinel_node.core.control.codec import Message
from sentinel_node.core.control.messages import (
    Correction,
    FlowPhase,
    FlowState,
    Forecast,
    RateAdvice,
    SyncCheck,
    Version,
    WindowOffer,
)
from sentinel_node.core.control.refusals import Reason, Refusal
from sentinel_node.core.sync.flow_log import NO_PAYLOAD, Delivered


class Chain(RuleBasedStateMachine):
    """a - b - c; flows go from a to c."""

    @initialize()
    def set_up(self) -> None:
        self.net = Net()
        self.live: set[int] = set()
        self.ended: set[int] = set()
        self.said: dict[tuple[int, Version], FlowState] = {}
        self.newest: dict[tuple[str, int, int], Version] = {}
        self.looked: dict[tuple[str, int, int], int] = defaultdict(int)

    @rule(flow_id=st.integers(1, 9))
    def announce(self, flow_id: int) -> None:
        """A name is used once in a life of the origin."""
        if flow_id in self.live | self.ended:
            return
        told = self.net.announce(flow_id)
        if isinstance(told, FlowState):
            self.live.add(flow_id)
        else:
            assert told.reason is Reason.TABLE_FULL
            assert len(self.live) == FLOWS_MAX

    @rule(flow_id=st.integers(1, 9), grown=st.integers(0, 200_000), intervals=st.integers(1, 60))
    def flow(self, flow_id: int, grown: int, intervals: int) -> None:
        self.net.now_ns += intervals * INTERVAL_NS
        if flow_id in self.live:
            self.net.totals[flow_id] += grown
        self.net.nodes["a"].sample_due(self.net.now_ns)

    @rule(flow_id=st.integers(1, 9))
    def finish(self, flow_id: int) -> None:
        if flow_id in self.live:
            self.net.finish(flow_id)
            self.live.remove(flow_id)
            self.ended.add(flow_id)

    @rule(link=st.sampled_from(LINKS), limit=st.integers(1, 9))
    def pump(self, link: tuple[str, str], limit: int) -> None:
        self.net.pump(*link, limit)

    @rule(link=st.sampled_from(LINKS))
    def deliver(self, link: tuple[str, str]) -> None:
        if self.net.wires[link]:
            self.net.deliver(*link)

    @rule(link=st.sampled_from(LINKS), which=st.integers(0, 1000))
    def repeat(self, link: tuple[str, str], which: int) -> None:
        """Anything that came before comes once more, after all that came since."""
        if self.net.came[link]:
            came = self.net.came[link]
            self.net.receive(*link, came[which % len(came)])

    @rule()
    def settle(self) -> None:
        self.net.settle()

    @rule(link=st.sampled_from(LINKS))
    def deliver_all(self, link: tuple[str, str]) -> None:
        while self.net.wires[link]:
            self.net.deliver(*link)

    @rule(link=st.sampled_from(LINKS))
    def break_stream(self, link: tuple[str, str]) -> None:
        """What is under way is lost; another stream follows."""
        self.net.wires[link].clear()
        self.net.up(*link)

    @rule(name=st.sampled_from(NAMES))
    def digests(self, name: str) -> None:
        self.net.nodes[name].telling.send_digests()

    @rule(name=st.sampled_from(NAMES))
    def restart(self, name: str) -> None:
        self.net.restart(name)
        if name == "a":
            self.live.clear()
            self.ended.clear()

    def _fresh(self, name: str) -> list[FlowState]:
        """Views that were not looked at yet."""
        found = []
        for flow_id, log in self.net.nodes[name].logs.items():
            key = (name, self.net.epochs[name], flow_id)
            found += [view.state for view in log.views[self.looked[key] :]]
            self.looked[key] = len(log.views)
        return found

    @invariant()
    def only_what_the_origin_said_and_never_back(self) -> None:
        for name in NAMES:
            for state in self._fresh(name):
                if name == "a":
                    self.said[state.flow_id, state.version] = state
                assert self.said[state.flow_id, state.version] == state
                key = (name, self.net.epochs[name], state.flow_id)
                known = self.newest.get(key)
                assert known is None or known < state.version
                self.newest[key] = state.version

    @invariant()
    def made_ready_only_with_a_path_for_what_is_not_over(self) -> None:
        for name in NAMES:
            for told in self.net.hooked[name]:
                assert told.state.phase is not FlowPhase.FINISHED
                assert told.path.flow_id == told.state.flow_id
                assert told.state.peak_rate_Bps <= RATE_BPS
            self.net.hooked[name].clear()

    @invariant()
    def never_a_backlog(self) -> None:
        for source, to in LINKS:
            waiting = self.net.nodes[source].telling.waiting(to)
            # A state or a removal, a path, a check and an advice of each; buckets are 64.
            assert waiting <= 5 * FLOWS_MAX + 64

    def teardown(self) -> None:
        """The streams break once more, then all is well: everyone on the path knows the same."""
        for link in LINKS:
            self.net.wires[link].clear()
            self.net.up(*link)
        for _ in NAMES:  # what is missing is asked for link by link
            self.net.now_ns += SILENCE_NS
            self.net.nodes["a"].sample_due(self.net.now_ns)
            self.net.settle()
            for name in NAMES:
                self.net.nodes[name].telling.send_digests()
            self.net.settle()
        self.only_what_the_origin_said_and_never_back()
        for flow_id in self.live:
            known = self.net.views("a", flow_id)[-1]
            for name in ("b", "c"):
                assert self.net.views(name, flow_id)[-1] == known
                assert self.net.nodes[name].logs[flow_id].path is not None


TestChain = Chain.TestCase
TestChain.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)


def test_a_path_that_a_broken_stream_lost_is_told_again() -> None:
    net = Net()
    net.announce(1)
    net.pump("a", "b")
    assert isinstance(net.wires["a", "b"][0], Forecast)
    net.deliver("a", "b")
    net.wires["a", "b"].clear()
    assert net.nodes["b"].logs[1].path is None
    for link in LINKS:
        net.up(*link)
    net.settle()
    for name in ("b", "c"):
        assert net.nodes[name].logs[1].path is not None
        assert [told.state.flow_id for told in net.hooked[name]] == [1]


def test_checks_that_wait_for_a_neighbour_are_replaced_by_newer_ones() -> None:
    net = Net()
    net.announce(1)
    for _ in range(600):
        net.now_ns += 1000 * MS
        net.totals[1] += RATE_BPS
        net.nodes["a"].sample_due(net.now_ns)
    net.finish(1)
    assert net.nodes["a"].telling.waiting("b") <= 3
    net.settle()
    net.nodes["c"].delivered(1, Delivered(net.totals[1], NO_PAYLOAD))
    assert [(one.final, one.ok) for one in net.nodes["c"].logs[1].verdicts] == [(True, True)]


def test_the_last_check_survives_a_broken_stream_and_counts_once() -> None:
    net = Net()
    net.announce(1)
    net.settle()
    net.totals[1] = 5000
    net.finish(1)
    net.pump("a", "b")
    net.wires["a", "b"].clear()
    for link in LINKS:
        net.up(*link)
    net.settle()
    net.nodes["c"].delivered(1, Delivered(5000, NO_PAYLOAD))
    for _ in range(2):
        for link in LINKS:
            net.up(*link)
        net.settle()
    assert [(one.final, one.ok) for one in net.nodes["c"].logs[1].verdicts] == [(True, True)]
    assert net.nodes["c"].unchecked([1]) == 0


def test_after_a_broken_stream_no_correction_builds_on_what_was_lost() -> None:
    net = Net()
    net.announce(1)
    net.settle()
    net.now_ns += INTERVAL_NS
    net.totals[1] += 100_000
    net.nodes["a"].sample_due(net.now_ns)  # the flow is active now
    net.pump("a", "b")
    net.wires["a", "b"].clear()
    net.up("a", "b")
    net.now_ns += 1000 * MS
    net.nodes["a"].sample_due(net.now_ns)
    net.settle()
    assert set(net.views("b", 1)) <= set(net.views("a", 1))
    assert net.views("c", 1)[-1] == net.views("b", 1)[-1] == net.views("a", 1)[-1]


def test_an_origin_that_began_anew_is_believed_and_its_past_is_not() -> None:
    net = Net()
    net.announce(1)
    net.settle()
    net.now_ns += INTERVAL_NS
    net.totals[1] = 100_000
    net.nodes["a"].sample_due(net.now_ns)
    net.pump("a", "b")
    late = list(net.wires["a", "b"])
    assert late
    net.wires["a", "b"].clear()
    net.restart("a")
    net.announce(1)
    net.settle()
    known = net.views("c", 1)[-1]
    assert (known.version.epoch, known.total_bytes) == (2, 0)
    net.wires["a", "b"] += late
    net.settle()
    assert net.views("b", 1)[-1] == net.views("c", 1)[-1] == known


@pytest.mark.parametrize("peer", ["c", "a"])
def test_what_is_not_a_neighbours_to_say_changes_nothing(peer: str) -> None:
    net = Net()
    net.announce(1)
    net.settle()
    before = net.views("b", 1)
    path = net.nodes["b"].logs[1].path
    assert path is not None
    forged: list[Message] = [
        SyncCheck(1, 1, net.now_ns, 9, 9, NO_PAYLOAD, final=True),
        replace(path, version=Version(1, 99)),
    ]
    if peer == "a":
        net.nodes["b"].offers.expect(1, lambda offer: pytest.fail(f"believed {offer}"))
        forged = [RateAdvice(Version(1, 99), 1, 1), WindowOffer(1, 1_000_000, 0)]
    for message in forged:
        refused = net.nodes["b"].routes[type(message)](peer, message, net.now_ns)
        assert isinstance(refused, Refusal)
        assert refused.reason is Reason.WRONG_PEER
    assert net.views("b", 1) == before
    assert net.nodes["b"].logs[1].verdicts == []
    assert sum(net.pump(*link) for link in LINKS) == 0


def test_a_prediction_that_overtakes_the_end_of_the_other_flow_is_followed_all_the_same() -> None:
    """Where something of a flow waits to be told, its next value goes out in that place."""
    net = Net()
    net.announce(1)
    net.settle()
    net.announce(2)
    net.settle()
    told = [hooked.state.peak_rate_Bps for hooked in net.hooked["c"] if hooked.state.flow_id == 1]
    assert told == [RATE_BPS, RATE_BPS // 2]
    for _ in range(4):  # until a correction of flow 1 waits
        net.now_ns += 50 * INTERVAL_NS
        net.totals[1] += 1_000_000
        net.nodes["a"].sample_due(net.now_ns)
    net.finish(2)
    net.pump("a", "b")
    of_flows = [
        message.state.flow_id if isinstance(message, Forecast) else message.flow_id
        for message in net.wires["a", "b"]
        if isinstance(message, Forecast | Correction)
    ]
    assert of_flows.index(1) < of_flows.index(2), "the new prediction is first"
    net.settle()
    for name in ("b", "c"):
        told = [one.state.peak_rate_Bps for one in net.hooked[name] if one.state.flow_id == 1]
        assert told == [RATE_BPS, RATE_BPS // 2, RATE_BPS]


def test_a_window_is_offered_one_hop_back_until_the_flow_ends() -> None:
    net = Net()
    net.announce(1)
    net.settle()
    heard: dict[str, list[WindowOffer]] = {"a": [], "b": []}
    for name, offers in heard.items():
        net.nodes[name].offers.expect(1, offers.append)
    assert net.nodes["c"].offers.say(1, 1_000_000, 7)
    net.settle()
    assert heard == {"a": [], "b": [WindowOffer(1, 1_000_000, 7)]}
    assert net.nodes["b"].offers.say(1, 2_000_000, 5)
    net.settle()
    assert heard["a"] == [WindowOffer(1, 2_000_000, 5)]
    assert not net.nodes["a"].offers.say(1, 1, 0), "nobody is upstream of a flow's origin"
    net.finish(1)
    net.settle()
    refused = net.nodes["a"].routes[WindowOffer]("b", WindowOffer(1, 9, 9), net.now_ns)
    assert isinstance(refused, Refusal)
    assert refused.reason is Reason.UNKNOWN_FLOW


def test_a_flow_that_upstream_let_go_of_makes_room_for_the_next() -> None:
    """It finished and was left out before that was told: downstream still holds it as live."""
    net = Net()
    for flow_id in (1, 2, 3):
        net.announce(flow_id)
    net.settle()
    net.announce(4)
    net.finish(1)
    net.announce(5)
    net.settle()
    for name in NAMES:
        assert net.views(name, 5) == net.views("a", 5)
        assert net.nodes[name].logs[5].path is not None
