"""Kernel TCP settings of the arms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.emulated.specs import GBIT, line

from sentinel_sim.backends.emulated.profiles import node_sysctls, tuned_buffer_bytes
from sentinel_sim.errors import InfeasibleError
from sentinel_sim.plan.model import Arm


def memory(settings: list[str], key: str) -> list[int]:
    (found,) = (x.partition("=")[2] for x in settings if x.startswith(f"net.ipv4.{key}="))
    return [int(word) for word in found.split()]


def test_direct_has_the_stock_profile_whatever_the_path() -> None:
    settings = node_sysctls(line(Arm.DIRECT, delay_ms=100))
    assert memory(settings, "tcp_rmem")[2] == 6 * 2**20
    assert memory(settings, "tcp_wmem")[2] == 4 * 2**20


def test_tuned_covers_two_bdp_of_window_with_memory_to_spare() -> None:
    spec = line(Arm.TUNED, delay_ms=50)
    bdp = spec.paths[0].bdp_bytes
    assert bdp == 25_000_000
    for key in ("tcp_rmem", "tcp_wmem"):
        # A buffer is half window at worst (tcp_adv_win_scale = 1).
        assert memory(node_sysctls(spec), key)[2] >= 2 * 2 * bdp


def test_split_is_sized_for_its_longest_link_not_for_the_path() -> None:
    tuned = memory(node_sysctls(line(Arm.TUNED, delay_ms=50)), "tcp_rmem")[2]
    split = memory(node_sysctls(line(Arm.SPLIT, delay_ms=50)), "tcp_rmem")[2]
    assert split == tuned // 2


@given(st.integers(min_value=0, max_value=250_000_000))
def test_tuned_buffers_are_at_least_two_windows_of_two_bdp(bdp_bytes: int) -> None:
    assert tuned_buffer_bytes(bdp_bytes) >= 4 * bdp_bytes


def test_what_the_kernel_cannot_hold_is_refused_not_cut() -> None:
    with pytest.raises(InfeasibleError, match="kernel's limit"):
        node_sysctls(line(Arm.TUNED, delay_ms=500, rate_bps=10 * GBIT))


def test_runs_do_not_inherit_from_each_other() -> None:
    for arm in (Arm.DIRECT, Arm.TUNED, Arm.SPLIT):
        assert "net.ipv4.tcp_no_metrics_save=1" in node_sysctls(line(arm))
