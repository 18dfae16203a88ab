"""Quantities: exact both ways, and no bare numbers."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel_sim.topology.arrival import (
    Arrival,
    StopRule,
    parse_arrival,
    parse_until,
)
from sentinel_sim.topology.expression import (
    AMOUNT,
    DURATION,
    Call,
    Expression,
    Term,
    amount_bytes,
    duration_ns,
    parse,
    parse_amount,
    parse_duration,
)
from sentinel_sim.topology.units import (
    MAX_VALUE,
    UnitError,
    about_rate,
    format_rate,
    format_share,
    format_size,
    format_time,
    parse_distance_km,
    parse_frequency,
    parse_loss,
    parse_rate,
    parse_share,
    parse_size,
    parse_time,
)

Parser = Callable[[object], object]
PARSERS: list[Parser] = [
    parse_rate,
    parse_time,
    parse_size,
    parse_share,
    parse_loss,
    parse_distance_km,
    parse_frequency,
    parse_duration,
    parse_amount,
    parse_arrival,
    parse_until,
]
ANY_VALUE = st.one_of(
    st.text(max_size=40),
    st.integers(),
    st.floats(),
    st.none(),
    st.booleans(),
    st.lists(st.integers(), max_size=2),
    st.from_regex(r"[+-]?[0-9]{1,3}(\.[0-9]{1,3})?(e[0-9]{1,3})? ?[A-Za-z%/]{0,6}", fullmatch=True),
    st.from_regex(r"(max|min)?[(0-9 a-z,+)]{0,30}", fullmatch=True),
)


@pytest.mark.parametrize(
    ("text", "rate_bps"),
    [
        ("1 Gbit/s", 10**9),
        ("100 Mbit/s", 10**8),
        ("10 Tbit/s", 10**13),
        ("2.5Gbit/s", 2_500_000_000),
        ("  9600   bit/s ", 9600),
        ("1e3 kbit/s", 10**6),
    ],
)
def test_rates(text: str, rate_bps: int) -> None:
    assert parse_rate(text) == rate_bps


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("8 s", 8 * 10**9),
        ("10 ms", 10**7),
        ("0.05 ms", 50_000),
        ("3 µs", 3000),
        ("0 s", 0),
        ("2 min", 120 * 10**9),
    ],
)
def test_times(text: str, time_ns: int) -> None:
    assert parse_time(text) == time_ns


@pytest.mark.parametrize(
    ("text", "size_bytes"), [("12 MB", 12_000_000), ("64 KiB", 65_536), ("1500 bytes", 1500)]
)
def test_sizes(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize(
    ("value", "km"), [(100, 100.0), (0.5, 0.5), ("1000 km", 1000.0), ("250 m", 0.25)]
)
def test_distances_may_be_numbers_because_the_key_names_the_unit(value: object, km: float) -> None:
    assert parse_distance_km(value) == km


def test_percentages_need_their_sign_and_become_shares() -> None:
    assert parse_loss("0.1 %") == 0.001
    assert parse_loss("0%") == 0.0
    assert parse_loss("0.0001 %") == 1e-6
    with pytest.raises(UnitError, match="bare number"):
        parse_loss("0.1")


@pytest.mark.parametrize(
    ("parser", "example"),
    [
        (parse_rate, "1 Gbit/s"),
        (parse_time, "10 ms"),
        (parse_size, "1500 B"),
        (parse_loss, "0.1 %"),
    ],
)
@pytest.mark.parametrize("bare", [8, 1.5, "8", "1.5", "-3"])
def test_bare_numbers_are_refused_with_an_example(
    parser: object, example: str, bare: object
) -> None:
    assert callable(parser)
    with pytest.raises(UnitError, match="bare number") as caught:
        parser(bare)
    assert example in str(caught.value)


@pytest.mark.parametrize("value", [True, None, [1], {"a": 1}, "fast", "", "1 2 ms", "ms 1", "१ ms"])
def test_what_is_no_quantity_is_refused(value: object) -> None:
    with pytest.raises(UnitError):
        parse_time(value)


def test_finer_than_the_base_unit_is_refused_not_rounded() -> None:
    with pytest.raises(UnitError, match="whole number of ns"):
        parse_time("0.5 ns")
    with pytest.raises(UnitError, match="whole number of B"):
        parse_size("1.5 B")


def test_absurd_exponents_cost_nothing() -> None:
    with pytest.raises(UnitError):
        parse_time("1e999999999 s")
    with pytest.raises(UnitError, match="larger than any value"):
        parse_time("1e99 s")


@given(st.integers(1, MAX_VALUE))
def test_whole_quantities_survive_formatting(amount: int) -> None:
    assert parse_rate(format_rate(amount)) == amount
    assert parse_time(format_time(amount)) == amount
    assert parse_size(format_size(amount)) == amount


@given(st.one_of(st.just(0.0), st.floats(1e-11, 0.999999)))
def test_shares_survive_formatting(share: float) -> None:
    assert parse_loss(format_share(share)) == share


@given(st.sampled_from(PARSERS), ANY_VALUE)
def test_parsers_return_or_refuse_in_one_line(parser: Parser, value: object) -> None:
    message = refusal_of(parser, value)
    assert message.isprintable()
    assert len(message) < 400


def refusal_of(parser: Parser, value: object) -> str:
    """Empty if the value was read; any other exception than UnitError fails the test."""
    try:
        parser(value)
    except UnitError as error:
        return str(error)
    return ""


def test_expressions_are_evaluated_on_the_path() -> None:
    law = parse_duration("max(8 s, 60 rtt)")
    assert duration_ns(law, rtt_ns=360_000_000) == 21_600_000_000
    assert duration_ns(law, rtt_ns=1_800_000) == 8_000_000_000
    assert duration_ns(parse_duration("min(1 s, 2 s) + 2 rtt"), rtt_ns=5) == 1_000_000_010
    assert (
        amount_bytes(parse_amount("1 bdp"), bdp_bytes=45_000_000, packet_bytes=1514) == 45_000_000
    )
    assert amount_bytes(parse_amount("250 packets"), bdp_bytes=0, packet_bytes=1514) == 378_500
    assert (
        amount_bytes(parse_amount("max(0.5 bdp, 12 MB)"), bdp_bytes=10, packet_bytes=1)
        == 12 * 10**6
    )


@pytest.mark.parametrize(
    "text",
    [
        "max()",
        "max(8 s",
        "8 s)",
        "8 s 9 s",
        "max(8 s,)",
        "abs(8 s)",
        "8 s - 1 s",
        "-8 s",
        "+",
        "",
        "0 s",
        "max(" * 20 + "1 s" + ")" * 20,
        "1 s + " * 100 + "1 s",
        "1 bdp",
        "8 s; import os",
    ],
)
def test_what_is_no_duration_expression_is_refused(text: str) -> None:
    with pytest.raises(UnitError):
        parse_duration(text)


def terms(units: list[str]) -> st.SearchStrategy[Expression]:
    numbers = st.decimals(
        min_value="0.001", max_value=10**6, places=3, allow_nan=False, allow_infinity=False
    )
    return st.builds(Term, numbers.map(Fraction), st.sampled_from(units))


def expressions(units: list[str]) -> st.SearchStrategy[Expression]:
    def call(parts: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
        several = st.lists(parts, min_size=1, max_size=3).map(tuple)
        return st.builds(Call, st.sampled_from(["max", "min"]), several)

    return st.recursive(terms(units), call, max_leaves=6)


@given(expressions(list(DURATION.units)))
def test_expressions_survive_printing(expression: Expression) -> None:
    text = str(expression)
    depth = text.count("(")
    if depth <= 6 and len(text) <= 200:
        assert parse(text, DURATION) == expression


@given(terms(list(AMOUNT.units)), terms(list(AMOUNT.units)))
def test_sums_survive_printing(left: Term, right: Term) -> None:
    total = Call("sum", (left, right))
    assert parse(str(total), AMOUNT) == total


@pytest.mark.parametrize(
    ("text", "arrival"),
    [
        ("all at once", Arrival("at_once")),
        ("every 50 ms", Arrival("every", interval_ns=50_000_000)),
        ("poisson 20 /s", Arrival("poisson", rate_per_s=20.0)),
    ],
)
def test_arrivals(text: str, arrival: Arrival) -> None:
    assert parse_arrival(text) == arrival
    assert parse_arrival(str(arrival)) == arrival


@pytest.mark.parametrize("text", ["every 0 s", "poisson 20", "poisson 0 /s", "every", "sometimes"])
def test_impossible_arrivals_are_refused(text: str) -> None:
    with pytest.raises(UnitError):
        parse_arrival(text)


def test_stop_rules() -> None:
    assert parse_until("ci95 < 5 %") == StopRule(0.05)
    assert parse_until(str(StopRule(0.025))) == StopRule(0.025)
    with pytest.raises(UnitError, match="never be met"):
        parse_until("ci95 < 0 %")


def test_rates_in_messages_have_three_digits() -> None:
    assert about_rate(251_658_240) == "252 Mbit/s"
    assert about_rate(0.2) == "0.2 bit/s"
