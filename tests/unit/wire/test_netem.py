"""netem's limit and what is said to tc."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from sentinel_sim.plan.model import LinkPlan
from sentinel_sim.wire.netem import limit_packets, netem_line, parse_drops

GBIT = 1_000_000_000
MS = 1_000_000
LINK = LinkPlan("a--b", "a", "b", 100.0, 100 * MS, GBIT, 10**6, 0.0, 0, False, 1500)


@given(
    st.integers(min_value=10_000, max_value=100 * GBIT),
    st.integers(min_value=0, max_value=10_000 * MS),
)
def test_limit_is_never_below_what_the_link_has_in_flight(rate_bps: int, delay_ns: int) -> None:
    limit = limit_packets(replace(LINK, rate_bps=rate_bps), delay_ns)
    in_flight = rate_bps * delay_ns / 8e9 / 1500
    assert limit >= 1000
    assert limit >= 2 * in_flight


def test_default_limit_would_lose_packets_on_this_link() -> None:
    # 1 Gbit/s x 100 ms is 8,333 packets of 1500 bytes; netem's default limit is 1000.
    assert limit_packets(LINK, 100 * MS) > 8333


def test_jitter_keeps_the_order_unless_asked() -> None:
    ordered = netem_line("x", replace(LINK, jitter_ns=MS), 100 * MS)
    free = netem_line("x", replace(LINK, jitter_ns=MS, reorder=True), 100 * MS)
    assert "delay 100000.000us 1000.000us rate " in ordered
    assert free.endswith("delay 100000.000us 1000.000us rate 0bit")


def test_constant_delay_is_said_to_the_nanosecond() -> None:
    assert "delay 99961.234us" in netem_line("x", LINK, 99_961_234)


def test_drops_are_read_from_tc_json() -> None:
    text = '[{"kind":"netem","handle":"2:","drops":7},{"kind":"clsact","drops":3}]'
    assert parse_drops(text) == 7
