"""Reading topology files: equal round trips, and TopologyError for everything else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sentinel_sim.errors import TopologyError
from sentinel_sim.plan.model import Arm, Role
from sentinel_sim.topology.document import parse_document
from sentinel_sim.topology.model import Topology
from sentinel_sim.topology.reader import dumps, load, loads

SHIPPED = sorted((Path(__file__).parents[3] / "topologies").glob("*.yaml"))
SMALL = """name: small
nodes:
  a: {role: sender}
  b: {role: receiver}
links:
  - {endpoints: [a, b], rate: 1 Gbit/s, delay_one_way: 10 ms}
"""
WORDS = st.sampled_from(
    [
        *("name", "nodes", "links", "endpoints", "rate", "queue", "loss", "role", "location"),
        *("sender", "receiver", "a", "b", "1", "-1", "1e999", ".nan", "null", "true", "0.1 %"),
        *("1 Gbit/s", "10 ms", "experiment", "sweep", "arms", "tuned", "workload", "kind"),
        *("bulk", "many", "transfer", "trace", "sizes", "size", "flows", "arrival", "defaults"),
        *("distance_km", "delay_one_way", "repeat", "until", "links.0.loss"),
    ]
)
TREES = st.recursive(
    st.one_of(WORDS, st.none(), st.booleans(), st.integers(), st.floats()),
    lambda children: st.one_of(
        st.lists(children, max_size=4), st.dictionaries(WORDS, children, max_size=6)
    ),
    max_leaves=20,
)


def read_or_refuse(text: str) -> None:
    message = refusal_of(text)
    if message is not None:
        assert message.startswith("fuzz.yaml")
        assert all(line.isprintable() for line in message.split("\n"))


def refusal_of(text: str) -> str | None:
    """None if the text was read; any other exception than TopologyError fails the test."""
    try:
        topology = loads(text, "fuzz.yaml")
    except TopologyError as error:
        return str(error)
    return None if isinstance(topology, Topology) else "not a topology"


@given(st.text(max_size=200))
@example("*\u0378")
def test_arbitrary_text_is_read_or_refused(text: str) -> None:
    read_or_refuse(text)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_read_or_refused(content: bytes) -> None:
    read_or_refuse(content.decode("latin-1"))


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(TREES)
def test_arbitrary_trees_are_read_or_refused(tree: object) -> None:
    read_or_refuse(json.dumps(tree))


SWEEP_KEYS = st.one_of(
    st.sampled_from(["loss", "rate", "distance_km", "delay_one_way", "duration", "experiment.."]),
    st.from_regex(
        r"(links|nodes|experiment)(\.(0|1|9|a|workload|sweep|repeat|)){1,3}(\.loss)?",
        fullmatch=True,
    ),
    st.text(max_size=8),
)
SWEEP_VALUES = st.one_of(WORDS, st.integers(-5, 5), st.none(), st.lists(WORDS, max_size=2))


@given(st.dictionaries(SWEEP_KEYS, st.lists(SWEEP_VALUES, max_size=3), max_size=3))
def test_arbitrary_sweeps_are_read_or_refused(sweep: object) -> None:
    read_or_refuse(SMALL + "experiment: " + json.dumps({"sweep": sweep}) + "\n")


@settings(max_examples=200)
@given(st.data())
def test_a_good_file_with_one_damaged_place_is_read_or_refused(data: st.DataObject) -> None:
    text = SHIPPED[data.draw(st.integers(0, len(SHIPPED) - 1))].read_text()
    start = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, 12))
    patch = data.draw(st.text(max_size=8))
    read_or_refuse(text[:start] + patch + text[start + length :])


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_files_survive_writing_out_every_default(path: Path) -> None:
    topology = load(path)
    again = loads(dumps(topology), "again")
    assert again == topology
    assert dumps(again) == dumps(topology)


def test_equal_topologies_are_equal_wherever_they_were_read() -> None:
    assert loads(SMALL, "one") == loads("# a comment\n" + SMALL, "two")
    assert loads(SMALL) != loads(SMALL.replace("10 ms", "11 ms"))


def test_defaults_of_an_experiment_are_documented_values() -> None:
    experiment = loads(SMALL).experiment
    assert experiment.arms == tuple(Arm)
    assert experiment.congestion_control == "cubic"
    assert (experiment.control_band, experiment.xdp, experiment.window) == (True, True, None)
    link = loads(SMALL).links[0]
    assert (str(link.queue), link.loss, link.mtu_bytes, link.reorder) == ("1 bdp", 0.0, 1500, False)


def test_switches_are_text_as_in_yaml_1_2() -> None:
    text = SMALL + "experiment: {xdp: off, control_band: false}\n"
    experiment = loads(text).experiment
    assert (experiment.xdp, experiment.control_band) == (False, False)
    with pytest.raises(TopologyError, match="must be on or off, got 'no'"):
        loads(SMALL + "experiment: {xdp: no}\n")


def test_defaults_are_given_once_and_overridden_where_said() -> None:
    text = """name: d
defaults:
  nodes: {role: intermediate}
  links: {rate: 1 Gbit/s, distance_km: 100, route_factor: 2, loss: 0.1 %}
nodes:
  a: {role: sender}
  m:
  b: {role: receiver}
links:
  - {endpoints: [a, m]}
  - {endpoints: [m, b], delay_one_way: 3 ms, loss: 0 %}
"""
    topology = loads(text)
    first, second = topology.links
    assert topology.nodes["m"].role == Role.INTERMEDIATE
    assert (first.distance_km, first.route_factor, first.loss) == (100.0, 2.0, 0.001)
    assert (second.distance_km, second.delay_one_way_ns) == (None, 3_000_000)
    assert (second.route_factor, second.loss, second.rate_bps) == (None, 0.0, 10**9)


def test_a_wrong_default_is_reported_once_in_its_own_line() -> None:
    text = SMALL.replace("links:\n", "defaults: {links: {mtu: 1500}}\nlinks:\n")
    with pytest.raises(TopologyError) as caught:
        loads(text, "f.yaml")
    assert str(caught.value).splitlines() == [str(caught.value)]
    assert str(caught.value).startswith("f.yaml:5: defaults.links.mtu: is a bare number, got 1500")


def test_aliases_are_expanded_within_reason() -> None:
    text = SMALL.replace("- {endpoints", "- &link {endpoints")
    topology = loads(text + "  - *link\n")
    assert topology.links[0] == topology.links[1]


def test_node_names_that_yaml_takes_for_other_things_are_names() -> None:
    topology = loads(SMALL.replace(" a:", " no:").replace("[a, b]", "[no, b]"))
    assert list(topology.nodes) == ["no", "b"]


def test_lines_are_those_of_keys() -> None:
    document = parse_document(SMALL, "f")
    assert document.lines[("name",)] == 1
    assert document.lines[("nodes", "b", "role")] == 4
    assert document.lines[("links", 0, "endpoints", 1)] == 6
    assert loads(SMALL, "f").locate("links", 0, "rate") == "f:6: links.0.rate"
    assert loads(SMALL, "f").locate("links", 0, "mtu") == "f:6: links.0.mtu"


def test_more_problems_than_fit_a_screen_are_counted() -> None:
    nodes = "".join(f"  n{index}: {{role: sendr}}\n" for index in range(40))
    with pytest.raises(TopologyError) as caught:
        loads(f"name: x\nnodes:\n{nodes}links: []\n", "f.yaml")
    lines = str(caught.value).splitlines()
    assert len(lines) == 21
    assert lines[-1] == "f.yaml: and 21 more problems like these"


def test_transfer_many_and_several_ends_are_read() -> None:
    text = """name: two-pairs
nodes:
  a: {role: sender}
  c: {role: sender}
  m: {role: intermediate}
  b: {role: receiver}
defaults: {links: {rate: 100 Mbit/s, distance_km: 100}}
links:
  - endpoints: [a, m]
  - endpoints: [c, m]
  - endpoints: [m, b]
experiment:
  workload: {kind: many, flows: 50, arrival: "poisson 20 /s", size: 1 MB}
"""
    assert loads(text).experiment.workload.kind == "many"
    sized = text.replace(
        '{kind: many, flows: 50, arrival: "poisson 20 /s", size: 1 MB}',
        "{kind: transfer, sizes: [10 MB, 1 bdp]}",
    )
    assert loads(dumps(loads(sized))) == loads(sized)
