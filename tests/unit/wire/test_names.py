"""Names and addresses stay within what the kernel takes, and are unique."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel_sim.wire.names import IFNAME_LENGTH_MAX, WireNames


def interfaces(names: WireNames) -> list[str]:
    makers = (names.node_end, names.outer, names.mid)
    return [maker(side) for maker in makers for side in ("a", "b")]


@given(st.integers(min_value=0, max_value=16383))
def test_interface_names_are_ours_short_and_distinct(index: int) -> None:
    names = interfaces(WireNames("ab12", index))
    assert len(set(names)) == 6
    assert all(len(name) <= IFNAME_LENGTH_MAX for name in names)
    assert all(name.startswith("snab12") for name in names)


@given(st.sets(st.integers(min_value=0, max_value=16383), min_size=2, max_size=50))
def test_addresses_of_different_links_differ(indices: set[int]) -> None:
    wires = [WireNames("ab12", index) for index in indices]
    assert len({wire.address(side) for wire in wires for side in "ab"}) == 2 * len(wires)
    assert len({wire.mac(side) for wire in wires for side in "ab"}) == 2 * len(wires)


def test_ends_share_a_slash_30() -> None:
    assert WireNames("ab12", 65).address("a") == "10.98.1.5"
    assert WireNames("ab12", 65).address("b") == "10.98.1.6"


def test_more_links_than_addresses_are_refused() -> None:
    with pytest.raises(ValueError, match="16384"):
        WireNames("ab12", 16384).address("a")
