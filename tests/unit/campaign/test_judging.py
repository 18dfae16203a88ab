"""A transfer is judged by what was confirmed and by what the receiver's disk holds."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel_sim.campaign.confirmations import ConfirmationLog
from sentinel_sim.campaign.document import document, percentile
from sentinel_sim.campaign.drawing import Source
from sentinel_sim.campaign.judging import Outcome, right_prefix
from sentinel_sim.campaign.record import RoundRecord
from sentinel_sim.faults.events import NO_DAEMON, FaultEvent

GOOD = Outcome(
    round=0,
    flow_id=1,
    arm="split",
    source=Source.PIPE,
    size_bytes=100,
    confirmed_bytes=100,
    written_bytes=100,
    right_bytes=100,
    complete=True,
    error="",
    sender_died=False,
    lives=1,
    seconds=1.0,
)
BROKEN_OFF = replace(
    GOOD, complete=False, error="it died", sender_died=True, confirmed_bytes=40, written_bytes=60,
    right_bytes=60,
)  # fmt: skip


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_the_right_prefix_is_the_longest_common_one(written: bytes, given_: bytes) -> None:
    found = right_prefix(written, given_)
    assert written[:found] == given_[:found]
    assert written[found : found + 1] != given_[found : found + 1] or found == len(written)


@pytest.mark.parametrize("outcome", [GOOD, BROKEN_OFF])
def test_whole_or_clearly_failed_is_no_problem(outcome: Outcome) -> None:
    assert outcome.problems == ()
    assert outcome.lost_bytes == 0


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (replace(BROKEN_OFF, confirmed_bytes=61), "1 bytes lost"),
        (replace(GOOD, right_bytes=7), "wrong from byte 7"),
        (replace(GOOD, written_bytes=120), "wrong from byte 100 of 120"),
        (replace(GOOD, written_bytes=99, right_bytes=99, confirmed_bytes=9), "called complete"),
        (replace(BROKEN_OFF, error=""), "no word came"),
    ],
)
def test_what_must_never_happen_is_named(outcome: Outcome, words: str) -> None:
    assert any(words in problem for problem in outcome.problems)


def test_only_a_pipe_may_go_with_its_sender() -> None:
    assert BROKEN_OFF.lost_its_pipe
    assert not replace(BROKEN_OFF, source=Source.SEED).lost_its_pipe
    assert not replace(BROKEN_OFF, sender_died=False).lost_its_pipe


def fault(index: int, detail: str = "", actual_ns: int | None = 5) -> FaultEvent:
    return FaultEvent(
        index + 1, index, "kill-daemon", "m", None, 1, None, actual_ns, 0, None, None, detail
    )


def test_a_fault_that_hit_nobody_is_not_counted() -> None:
    faults = (fault(0), fault(1, f"{NO_DAEMON} SIGKILL"), fault(2, actual_ns=None))
    labels = ("kill-daemon",) * 3
    record = RoundRecord((GOOD, BROKEN_OFF), labels, faults, (), 3, 4, 5, Counter(), 1.0)
    found = document([record], name="x", seed=1, asked=1, interrupted=None, environment={})
    assert found["valid"]
    assert found["faults"]["injected"] == 1
    assert found["transfers"]["failed_pipe_lost_with_sender"] == 1
    assert found["bytes"]["confirmed"] == 140
    more = document([record], name="x", seed=1, asked=2, interrupted=None, environment={})
    assert not more["valid"], "fewer faults than asked"


def test_the_log_keeps_what_grew(tmp_path: Path) -> None:
    path = tmp_path / "confirmed.jsonl"
    with ConfirmationLog(path) as log:
        for offset in (5, 5, 3, 9):
            log.confirm(1, 2, offset)
        assert (log.highest(1, 2), log.highest(1, 3)) == (9, 0)
    assert [line.count("confirmed_bytes") for line in path.read_text().splitlines()] == [1, 1]


@given(st.lists(st.floats(0, 1), min_size=1), st.sampled_from([0.5, 0.99, 1.0]))
def test_a_percentile_is_a_value_that_enough_others_do_not_exceed(
    values: list[float], share: float
) -> None:
    found = percentile(values, share)
    assert sum(value <= found for value in values) >= share * len(values)
