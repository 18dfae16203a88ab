"""`--set`: reading keys and values, and refusing nonsense by the flag's name."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.experiment.support import SMALL_FILE

from sentinel_sim.errors import TopologyError
from sentinel_sim.plan.expand import expand
from sentinel_sim.plan.settings import parse_settings, with_settings
from sentinel_sim.topology.reader import loads


def test_commas_in_brackets_belong_to_the_value() -> None:
    found = parse_settings(["duration=max(2 s, 9 rtt), 3 s", "distance_km=100,200", "xdp=on,off"])
    assert found == {
        "duration": ("max(2 s, 9 rtt)", "3 s"),
        "distance_km": (100, 200),
        "xdp": ("on", "off"),
    }


@given(st.lists(st.integers(0, 10**6), min_size=1, unique=True))
def test_values_come_back_as_written(values: list[int]) -> None:
    assert parse_settings(["k=" + ",".join(map(str, values))]) == {"k": tuple(values)}


@given(st.text())
def test_any_text_is_read_or_refused_in_one_way(text: str) -> None:
    found = {}
    with contextlib.suppress(TopologyError):
        found = parse_settings([text])
    assert all(key and values for key, values in found.items())
    assert not found or "=" in text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("loss", "no '='"),
        ("=1 %", "no key"),
        ("loss=1 %,,2 %", "no value"),
        ("loss=5", "--set loss"),
        ("los=1 %", "--set los: unknown key"),
        ("seed=1,2", "use experiment.repeat"),
        ("loss=1 %,1 %", "listed twice"),
        ("links.9.loss=1 %", "no such link"),
    ],
)
def test_nonsense_is_refused_naming_the_flag(text: str, reason: str) -> None:
    with pytest.raises(TopologyError) as caught:
        with_settings(loads(SMALL_FILE), parse_settings([text]))
    assert reason in str(caught.value)
    assert "--set" in str(caught.value)


def test_a_key_given_twice_is_refused() -> None:
    with pytest.raises(TopologyError, match="given twice"):
        parse_settings(["loss=1 %", "loss=2 %"])


def test_keys_of_the_file_are_replaced_and_others_combined() -> None:
    settings = parse_settings(["distance_km=300", "loss=0 %,1 %"])
    plan = expand(with_settings(loads(SMALL_FILE), settings))
    assert [one.distance_km for one in plan.combinations] == [300.0, 300.0]
    assert [one.params["loss"] for one in plan.combinations] == [0.0, 0.01]
    (lossy, *_) = (run for run in plan.runs(0) if run.params["loss"] == 0.01)
    assert {link.loss for link in lossy.links} == {0.01}
