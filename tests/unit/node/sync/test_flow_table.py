"""The table takes newer values only, never goes back, and stays bounded."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel_node.core.control.messages import FlowPhase, FlowState, Version
from sentinel_node.core.control.refusals import Reason, Refusal
from sentinel_node.core.sync.flow_table import FlowTable

FLOWS_MAX = 4


def state(
    flow_id: int, epoch: int, sequence: int, phase: FlowPhase = FlowPhase.ACTIVE, origin: str = "a"
) -> FlowState:
    return FlowState(flow_id, origin, Version(epoch, sequence), phase, 0, 0, 0)


STATES = st.builds(
    state, st.integers(0, 7), st.integers(1, 3), st.integers(0, 30), st.sampled_from(FlowPhase)
)


@settings(max_examples=300)
@given(st.lists(STATES, max_size=80), st.lists(st.integers(0, 7), max_size=3))
def test_no_flow_ever_goes_back_and_memory_is_bounded(
    states: list[FlowState], gone: list[int]
) -> None:
    table = FlowTable(FLOWS_MAX)
    newest: dict[int, Version] = {}
    for number, new in enumerate(states):
        before = {entry.state.flow_id: entry for entry in table}
        result = table.apply(new, source="b", now_ns=number)
        after = {entry.state.flow_id: entry for entry in table}
        if isinstance(result, Refusal):
            assert after == before
        else:
            known = newest.get(new.flow_id)
            # Known or forgotten: nothing older than what was there is ever taken again.
            assert known is None or new.version > known
            newest[new.flow_id] = new.version
            assert after[new.flow_id] is result
        assert len(table) <= FLOWS_MAX
        if number % 20 == 19 and gone:
            table.retire(gone.pop())
    assert table.refused.total + len([*table]) + table.forgotten <= len(states) + table.forgotten


@given(st.lists(STATES, min_size=1, max_size=40), st.randoms(use_true_random=False))
def test_order_and_repetition_do_not_matter(states: list[FlowState], rng: object) -> None:
    """Without restarts in between: any order of the same values ends with the newest."""
    newest = {}
    for new in states:
        flat = state(new.flow_id % 3, 1, new.version.sequence)
        newest[flat.flow_id] = max(newest.get(flat.flow_id, flat), flat, key=lambda s: s.version)
    for arrange in (sorted, lambda items, key: sorted(items, key=key, reverse=True)):
        table = FlowTable(FLOWS_MAX)
        flats = [state(new.flow_id % 3, 1, new.version.sequence) for new in states] * 2
        for flat in arrange(flats, key=lambda s: s.version):
            table.apply(flat, source="b", now_ns=0)
        assert {entry.state.flow_id: entry.state for entry in table} == newest


def test_why_a_value_is_refused() -> None:
    table = FlowTable(2, origins_max=2)

    def refusal(new: FlowState) -> Reason:
        result = table.apply(new, source="b", now_ns=0)
        assert isinstance(result, Refusal)
        return result.reason

    table.apply(state(1, 2, 5), source="b", now_ns=0)
    assert refusal(state(1, 2, 5)) is Reason.OUTDATED
    assert refusal(state(1, 1, 9)) is Reason.STALE_EPOCH
    assert refusal(state(1, 2, 6, FlowPhase.ANNOUNCED)) is Reason.PHASE_REGRESSED
    assert refusal(state(1, 2, 6, origin="c")) is Reason.WRONG_PEER
    table.apply(state(2, 2, 7), source="b", now_ns=0)
    assert refusal(state(3, 2, 9)) is Reason.TABLE_FULL
    table.apply(state(1, 2, 8, FlowPhase.FINISHED), source="b", now_ns=0)
    table.apply(state(3, 2, 9, origin="c"), source="b", now_ns=0)
    assert table.get(1) is None
    assert table.floor("a") == Version(2, 8)
    table.apply(state(3, 2, 10, FlowPhase.FINISHED, origin="c"), source="b", now_ns=0)
    assert refusal(state(1, 2, 8)) is Reason.FORGOTTEN
    assert refusal(state(4, 1, 1, origin="d")) is Reason.TABLE_FULL
    assert table.refused.counts[Reason.TABLE_FULL] == 2


def test_a_new_epoch_begins_anew_in_any_phase() -> None:
    table = FlowTable(2)
    table.apply(state(1, 1, 5, FlowPhase.FINISHED), source="b", now_ns=0)
    table.apply(state(1, 2, 0, FlowPhase.ANNOUNCED), source="b", now_ns=1)
    entry = table.get(1)
    assert entry is not None
    assert entry.state.phase is FlowPhase.ANNOUNCED


def test_a_table_holds_something() -> None:
    with pytest.raises(ValueError, match="positive"):
        FlowTable(0)
