"""When the sampler looks again: on its grid, and never for more than its share of a CPU."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sentinel_node.daemon.sampler import SWEEP_EVERY, following_ns

MS = 1_000_000
INTERVAL_NS = 50 * MS


def test_cheap_sweeps_keep_the_grid_and_missed_points_are_left_out() -> None:
    assert following_ns(1000 * MS, 1001 * MS, 1 * MS, INTERVAL_NS) == 1050 * MS
    assert following_ns(1000 * MS, 1120 * MS, 1 * MS, INTERVAL_NS) == 1150 * MS


def test_a_dear_sweep_is_paid_for_with_points() -> None:
    # 40 ms for two thousand connections, of which a twentieth of a CPU is 800 ms.
    assert following_ns(1000 * MS, 1040 * MS, 40 * MS, INTERVAL_NS) == 1800 * MS


@given(st.integers(0, 10**12), st.integers(0, 10**10), st.integers(0, 10**10))
def test_it_is_on_the_grid_later_than_now_and_within_the_share(
    due_ns: int, took_ns: int, spent_ns: int
) -> None:
    now_ns = due_ns + took_ns
    found = following_ns(due_ns, now_ns, spent_ns, INTERVAL_NS)
    assert (found - due_ns) % INTERVAL_NS == 0
    assert found > now_ns
    assert spent_ns * SWEEP_EVERY <= found - due_ns
