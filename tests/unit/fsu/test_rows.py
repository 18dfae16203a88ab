"""Lines of `fsu top`: what they say, how they are sorted and chosen."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel_bpf.flow_map import FlowHalf, FlowRecord
from sentinel_bpf.snapshot import FlowEntry, Prediction
from sentinel_sim.fsu.keys import SortKey, View
from sentinel_sim.fsu.rows import (
    FlowRow,
    filter_rows,
    human_count,
    human_time_us,
    rows_of,
    sort_rows,
    view_rows,
)

NOW = 10_000_000_000
NOTHING = Prediction(0, 0, "last", "steady", False, None, None)
HALF = FlowHalf(
    bytes_total=3000,
    packets_total=2,
    last_timestamp=NOW - 5_000_000,
    throughput_bps=940_000_000,
    rtt_us=100_000,
    bdp_bytes=11_750_000,
    optimal_buffer_size=14_100_000,
)


def entry(
    forward: FlowHalf = HALF,
    backward: FlowHalf | None = None,
    predicted: Prediction = NOTHING,
    address: str = "10.0.0.1",
) -> FlowEntry:
    record = FlowRecord(address, "10.0.0.2", 4000, 443, 6, forward, backward or FlowHalf())
    return FlowEntry(record, predicted, NOTHING)


def rows(*entries: FlowEntry) -> list[FlowRow]:
    return rows_of("panama/a--b", entries, now_ns=NOW, interval_shift=25)


def test_a_direction_that_was_never_seen_has_no_line() -> None:
    (row,) = rows(entry())
    assert (row.source, row.target, row.protocol) == ("10.0.0.1:4000", "10.0.0.2:443", "tcp")
    assert (row.rate_bps, row.rtt_us, row.bdp_bytes) == (940_000_000, 100_000, 11_750_000)
    assert row.buffer_bytes == 14_100_000
    assert row.idle_ns == 5_000_000


def test_the_backward_direction_is_a_line_with_its_ends_exchanged() -> None:
    there, back = rows(entry(backward=HALF))
    assert (back.source, back.target) == (there.target, there.source)


def test_what_was_not_measured_is_unknown_not_zero() -> None:
    (row,) = rows(entry(replace(HALF, rtt_us=0, bdp_bytes=0, optimal_buffer_size=0)))
    assert (row.rtt_us, row.bdp_bytes, row.buffer_bytes) == (None, None, None)
    assert (row.predicted_bps, row.mase, row.leader, row.burst) == (None, None, None, None)


def test_a_prediction_is_shown_as_a_rate_over_its_interval() -> None:
    # 2**25 ns hold 1 Gbit/s x 33.554432 ms / 8 = 4,194,304 bytes.
    told = Prediction(4_194_304, 9, "holt", "bursty", False, 0.5, 100.0)
    (row,) = rows(entry(predicted=told))
    assert row.predicted_bps == 1_000_000_000
    assert (row.mase, row.leader, row.burst) == (0.5, "holt", "bursty")


def test_a_silent_flow_has_no_rate_whatever_it_had_before() -> None:
    told = Prediction(4_194_304, 9, "holt", "steady", False, None, None)
    (row,) = rows(entry(replace(HALF, last_timestamp=NOW - 1_000_000_000), predicted=told))
    assert (row.rate_bps, row.predicted_bps) == (0, 0)
    assert row.rtt_us == 100_000


def test_addresses_without_ports_and_ipv6_are_written_as_people_do() -> None:
    ping = FlowRecord("fd00::1", "fd00::2", 0, 0, 58, HALF, FlowHalf())
    web = FlowRecord("fd00::1", "fd00::2", 50, 443, 6, HALF, FlowHalf())
    one, other = rows(FlowEntry(ping, NOTHING, NOTHING), FlowEntry(web, NOTHING, NOTHING))
    assert (one.protocol, one.source) == ("icmp6", "fd00::1")
    assert other.target == "[fd00::2]:443"


def made(rate: int, rtt: int | None, name: str, idle: int = 0) -> FlowRow:
    (row,) = rows(entry())
    return replace(row, rate_bps=rate, rtt_us=rtt, source=name, idle_ns=idle)


def test_sorting_is_largest_first_with_unknown_values_last_in_both_orders() -> None:
    lines = [made(1, None, "a"), made(2, 5, "b"), made(3, 9, "c")]
    assert [row.source for row in sort_rows(lines, SortKey.RATE)] == ["c", "b", "a"]
    assert [row.source for row in sort_rows(lines, SortKey.RTT)] == ["c", "b", "a"]
    assert [row.source for row in sort_rows(lines, SortKey.RTT, reverse=True)] == ["b", "c", "a"]


@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.none() | st.integers(1, 9), st.text("abc", max_size=2)),
        unique_by=lambda value: value[2],
    ),
    st.sampled_from(SortKey),
    st.booleans(),
)
def test_sorting_loses_no_line_and_does_not_depend_on_the_order_before(
    values: list[tuple[int, int | None, str]], key: SortKey, reverse: bool
) -> None:
    lines = [made(*value) for value in values]
    once = sort_rows(lines, key, reverse=reverse)
    assert sorted(map(repr, once)) == sorted(map(repr, lines))
    again = sort_rows(lines[::-1], key, reverse=reverse)
    assert [repr(row) for row in again] == [repr(row) for row in once]


def test_all_words_must_fit_and_patterns_match_whole_parts() -> None:
    lines = [made(1, 1, "10.0.0.1:80"), made(1, 1, "10.0.0.9:443")]
    assert len(filter_rows(lines, ["10.0.0"])) == 2
    assert [row.source for row in filter_rows(lines, ["tcp", ":443"])] == [
        "10.0.0.1:80",
        "10.0.0.9:443",
    ]  # the target of both has port 443
    assert [row.source for row in filter_rows(lines, ["10.0.0.9*"])] == ["10.0.0.9:443"]
    assert filter_rows(lines, ["udp"]) == []


def test_only_active_lines_on_request() -> None:
    lines = [made(1, 1, "old", idle=3_000_000_000), made(1, 1, "new", idle=5)]
    assert len(view_rows(lines, View())) == 2
    assert [row.source for row in view_rows(lines, View(active_s=2.0))] == ["new"]


def test_keys_change_the_view_and_q_ends_it() -> None:
    view = View()
    for key in ("q", "Q", "\x03"):
        assert view.on_key(key) is None
    assert view.on_key("x") is view
    assert view.on_key(">") == View(sort=SortKey.RTT)
    assert view.on_key("<") == View(sort=SortKey.FLOW)
    assert view.on_key("r") == View(reverse=True)
    active = view.on_key("a")
    assert active == View(active_s=2.0)
    assert active is not None
    assert active.on_key("a") == view


def test_any_row_of_keys_leads_to_a_view_or_ends() -> None:
    view: View | None = View()
    for key in "><><rraa>>>>>>>>>":
        assert view is not None
        view = view.on_key(key)
    assert view == View()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (human_count(0), "0"),
        (human_count(999), "999"),
        (human_count(940_200_000), "940 M"),
        (human_count(12_340_000), "12.3 M"),
        (human_count(999_960_000), "1.0 G"),
        (human_count(5_000_000_000_000_000), "5000.0 T"),
        (human_count(None), "-"),
        (human_time_us(980), "980 us"),
        (human_time_us(101_300), "101 ms"),
        (human_time_us(2_100_000), "2.1 s"),
        (human_time_us(None), "-"),
        (human_count(83_400), "83.4 k"),
        (human_count(7), "7"),
    ],
)
def test_figures_for_people(text: str, expected: str) -> None:
    assert text == expected
