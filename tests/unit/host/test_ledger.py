"""What was written before a crash is read after it, and nothing else is believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel_sim.errors import ResultError
from sentinel_sim.host.ledger import OwnedKind, Record, format_record, parse_ledger

_NAMES = st.text(st.characters(codec="utf-8"), min_size=1)
_THINGS = st.builds(
    Record, st.sampled_from([kind for kind in OwnedKind if kind is not OwnedKind.PROCESS]), _NAMES
)
_PROCESSES = st.builds(
    Record, st.just(OwnedKind.PROCESS), _NAMES, st.integers(1, 2**22), st.integers(0, 2**63)
)


@given(st.lists(_THINGS | _PROCESSES))
def test_records_survive_writing_and_reading(records: list[Record]) -> None:
    text = b"".join(format_record(record) for record in records).decode()
    assert parse_ledger(text, "ledger") == records


@given(st.lists(_THINGS, min_size=1), st.data())
def test_a_line_cut_by_a_kill_is_as_if_never_written(
    records: list[Record], data: st.DataObject
) -> None:
    lines = [format_record(record) for record in records]
    cut = data.draw(st.integers(0, len(lines[-1]) - 1))
    text = (b"".join(lines[:-1]) + lines[-1][:cut]).decode(errors="replace")
    assert parse_ledger(text, "ledger") == records[:-1]


@pytest.mark.parametrize(
    "line",
    [
        "not json",
        "[]",
        '{"kind":"volcano","name":"x"}',
        '{"kind":"file"}',
        '{"kind":"file","name":3}',
        '{"kind":"file","name":"x","extra":1}',
        '{"kind":"process","name":"x"}',
        '{"kind":"process","name":"x","pid":"1","start_time_ticks":2}',
    ],
)
def test_a_foreign_line_is_refused_with_its_place(line: str) -> None:
    good = format_record(Record(OwnedKind.FILE, "/x")).decode()
    with pytest.raises(ResultError, match=r"^/run/x:2: "):
        parse_ledger(f"{good}{line}\n", "/run/x")
