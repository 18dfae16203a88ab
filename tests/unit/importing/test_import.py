"""Import: what comes out reads back, keeps what the source says, and tells what was changed."""

from __future__ import annotations

import math
from pathlib import Path

import networkx as nx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sentinel_sim.errors import TopologyError
from sentinel_sim.importing import convert, render, sources
from sentinel_sim.importing.attributes import length_of, rate_of
from sentinel_sim.importing.naming import unique_names
from sentinel_sim.importing.values import Choices, ImportRefusedError, Lengths, Source, Twins
from sentinel_sim.plan.expand import expand
from sentinel_sim.topology.fields import MAX_NAME, read_name
from sentinel_sim.topology.geo import great_circle_km
from sentinel_sim.topology.graph import ForeignGraph
from sentinel_sim.topology.model import Topology
from sentinel_sim.topology.reader import loads
from sentinel_sim.topology.sweep import link_distance_km
from sentinel_sim.topology.units import parse_rate

ZOO = """graph [
  Network "Zoo"
  node [ id 0 label "Bern" Latitude 46.95 Longitude 7.45 ]
  node [ id 1 label "Paris" Latitude 48.85 Longitude 2.35 ]
  node [ id 2 label "Paris" Latitude 45.76 Longitude 4.83 ]
  node [ id 3 label "External" ]
  node [ id 4 label "Oslo" Latitude 59.91 Longitude 10.75 ]
  edge [ source 0 target 1 LinkSpeed "10" LinkSpeedUnits "G" LinkSpeedRaw 10000000000.0 ]
  edge [ source 0 target 1 LinkSpeedRaw 2500000000.0 ]
  edge [ source 1 target 2 LinkSpeed "155" LinkSpeedUnits "M" ]
  edge [ source 2 target 2 ]
  edge [ source 2 target 3 ]
]
"""


def imported(text: str, tmp_path: Path, suffix: str = ".gml", **flags: object) -> Topology:
    file = tmp_path / f"zoo{suffix}"
    file.write_text(text)
    return read_back(sources.read(str(file)), Choices(**flags))  # type: ignore[arg-type]


def read_back(source: Source, choices: Choices) -> Topology:
    return loads(render.render(convert.convert(source, choices), source, choices), "made.yaml")


def rates(topology: Topology) -> dict[frozenset[str], int]:
    return {frozenset(link.endpoints): link.rate_bps for link in topology.links}


def test_a_zoo_file_keeps_places_and_rates_and_loses_loops_twins_and_islands(
    tmp_path: Path,
) -> None:
    made = imported(ZOO, tmp_path, drop_unlocated=True)
    assert set(made.nodes) == {"bern", "paris", "paris-2"}
    assert made.nodes["bern"].location == (46.95, 7.45)
    assert rates(made) == {
        frozenset({"bern", "paris"}): 10_000_000_000,
        frozenset({"paris", "paris-2"}): 155_000_000,
    }
    km = [link_distance_km(made, link) for link in made.links]
    assert km[0] == great_circle_km((46.95, 7.45), (48.85, 2.35))
    assert [link.cost for link in made.links] == [round(length or 0) for length in km]


def test_every_change_stands_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "zoo.gml"
    file.write_text(ZOO)
    source = sources.read(str(file))
    notes = " ".join(convert.convert(source, Choices(drop_unlocated=True)).notes)
    for words in ("1 nodes without coordinates", "1 self loops", "1 parallel", "1 nodes in other"):
        assert words in notes
    text = render.render(convert.convert(source, Choices(drop_unlocated=True)), source, Choices())
    assert "1 self loops were left out" in text


def test_parallel_links_can_be_kept(tmp_path: Path) -> None:
    assert len(imported(ZOO, tmp_path, drop_unlocated=True, parallel=Twins.KEEP).links) == 3


def test_rates_can_be_ignored_and_short_links_made_longer(tmp_path: Path) -> None:
    made = imported(
        ZOO, tmp_path, drop_unlocated=True, ignore_rates=True, rate_bps=7_000_000, least_km=500.0
    )
    assert set(rates(made).values()) == {7_000_000}
    assert all((link.distance_km or 0) >= 400 for link in made.links)
    assert {link.distance_km for link in made.links} >= {500.0}


@pytest.mark.parametrize(
    ("old", "new", "flags", "words"),
    [
        ("", "", {}, ("zoo.gml:12", "no coordinates for 'External'")),
        ("Latitude 46.95", "Latitude 146.95", {}, ("zoo.gml:3", "no place on Earth")),
        ("Longitude 7.45", "", {}, ("zoo.gml:3", "no place on Earth", "None")),
        ('LinkSpeedUnits "M"', "", {}, ("zoo.gml:10", "no rate with a unit", "'155'")),
        ("LinkSpeedRaw 10000000000.0", "LinkSpeedRaw -1", {}, ("zoo.gml:8", "LinkSpeedRaw")),
        ("edge [ source 2 target 3 ]", "edge [", {}, ("zoo.gml", "cannot be read as gml")),
        ("", "", {"sender": "brn"}, ("no node is called 'brn'", "did you mean 'bern'")),
        ("", "", {"sender": "bern", "receiver": "oslo"}, ("no link joins",)),
        ("", "", {"sender": "bern", "receiver": "Bern"}, ("the same node",)),
        ("", "", {"lengths": Lengths.SOURCE}, ("zoo.gml:8", "no length with a unit")),
        ("", "", {"default_km": 2e5}, ("at most 100000 km",)),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_line(
    old: str, new: str, flags: dict[str, object], words: tuple[str, ...], tmp_path: Path
) -> None:
    chosen = flags if flags.get("default_km") or not flags else {**flags, "drop_unlocated": True}
    with pytest.raises(ImportRefusedError) as refused:
        imported(ZOO.replace(old, new, 1) if old else ZOO, tmp_path, **chosen)
    assert all(word in str(refused.value) for word in words), refused.value


def test_graphml_is_read_like_gml(tmp_path: Path) -> None:
    graph = nx.parse_gml(ZOO.replace("graph [", "graph [ multigraph 1").split("\n"), label="id")
    text = '<?xml version="1.0" encoding="utf-8"?>\n' + "\n".join(nx.generate_graphml(graph))
    made = imported(text, tmp_path, ".graphml", drop_unlocated=True)
    assert made == imported(ZOO, tmp_path, drop_unlocated=True)
    with pytest.raises(ImportRefusedError, match=r"zoo.graphml:\d+: .*no coordinates"):
        imported(text, tmp_path, ".graphml")


@pytest.mark.parametrize(
    ("text", "suffix"),
    [("<graphml>", ".graphml"), ("<a/>", ".graphml"), ("", ".gml"), ("graph [", ".gml")],
)
def test_broken_files_are_refused(text: str, suffix: str, tmp_path: Path) -> None:
    with pytest.raises(TopologyError, match=f"zoo{suffix}"):
        imported(text, tmp_path, suffix)


@given(text=st.text(alphabet='graph[]node edge id"source target 012.-\n\\&<>/', max_size=150))
@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_text_is_read_or_refused(text: str, tmp_path: Path) -> None:
    for suffix in (".gml", ".graphml"):
        try:
            imported(text, tmp_path, suffix, default_km=10.0)
        except ImportRefusedError as error:
            refused = str(error)
        else:
            refused = "no"
        assert refused.isprintable()


@pytest.mark.parametrize(
    ("given_", "bps"),
    [
        ({"bandwidth": "10 Gbit/s"}, 10**10),
        ({"Capacity": "2.5Gbps"}, 2_500_000_000),
        ({"speed": "155M"}, 155_000_000),
        ({"LinkSpeed": "34", "LinkSpeedUnits": "K"}, 34_000),
        ({"LinkLabel": "very fast"}, None),
    ],
)
def test_rates_are_read_with_their_unit(given_: dict[str, str], bps: int | None) -> None:
    assert rate_of(given_, "x") == bps


@pytest.mark.parametrize("value", ["10", 10, 1e9, "10 apples", "fast", "0 Gbps", "1e400", True])
def test_rates_without_unit_are_refused(value: object) -> None:
    with pytest.raises(ImportRefusedError, match="bandwidth"):
        rate_of({"bandwidth": value}, "x")


def test_a_bare_length_counts_only_where_its_unit_is_known() -> None:
    assert length_of({"dist": 12.5}, bare_dist_is_km=True, place="x") == 12.5
    assert length_of({"dist": 12.5}, bare_dist_is_km=False, place="x") is None
    assert length_of({"length_km": "12.5"}, bare_dist_is_km=False, place="x") == 12.5
    assert length_of({"length": "800 m"}, bare_dist_is_km=False, place="x") == 0.8
    with pytest.raises(ImportRefusedError, match="length_km"):
        length_of({"length_km": -1}, bare_dist_is_km=False, place="x")


@given(
    st.lists(st.text(max_size=50) | st.sampled_from(["a", "A", "null", "true", "é"]), max_size=12)
)
def test_names_are_valid_and_different(labels: list[str]) -> None:
    names = unique_names(labels)
    assert len(set(names)) == len(labels)
    assert all(read_name(name) == name and len(name) <= MAX_NAME for name in names)
    assert not {"null", "true", "false"} & set(names)


NODE = st.fixed_dictionaries(
    {},
    optional={
        "label": st.text(max_size=12),
        "pos": st.tuples(st.floats(-180, 180), st.floats(-90, 90)),
    },
)
EDGE = st.fixed_dictionaries(
    {},
    optional={
        "length_km": st.floats(1e-3, 2e4),
        "bandwidth": st.sampled_from(["10G", "1 Gbit/s", "155 Mbps", "64k"]),
    },
)


@st.composite
def graphs(draw: st.DrawFn) -> ForeignGraph:
    nodes = {str(index): draw(NODE) for index in range(draw(st.integers(2, 8)))}
    ends = st.sampled_from(sorted(nodes))
    edges = draw(st.lists(st.tuples(ends, ends, EDGE), min_size=1, max_size=14))
    return ForeignGraph(nodes, edges, draw(st.booleans()))


@given(
    graph=graphs(),
    lengths=st.sampled_from(Lengths),
    parallel=st.sampled_from(Twins),
    drop=st.booleans(),
    least=st.none() | st.floats(1e-3, 1e3),
)
@settings(deadline=None, max_examples=40)
def test_what_is_made_reads_back_as_it_was_meant(
    graph: ForeignGraph, lengths: Lengths, parallel: Twins, drop: bool, least: float | None
) -> None:
    source = Source("drawn", graph, ("drawn",))
    choices = Choices(
        default_km=77.0, lengths=lengths, parallel=parallel, drop_unlocated=drop, least_km=least
    )
    meant, refused = None, ""
    try:
        meant = convert.convert(source, choices)
    except ImportRefusedError as error:
        refused = str(error)
    if meant is None:
        assert "no two nodes are joined" in refused or "two ends at one place" in refused
        return
    made = loads(render.render(meant, source, choices), "made.yaml")
    assert list(made.nodes) == [node.name for node in meant.nodes]
    assert made.nodes[meant.sender].role == "sender"
    assert made.nodes[meant.receiver].role == "receiver"
    for link, wanted in zip(made.links, meant.links, strict=True):
        assert link.endpoints == (wanted.a, wanted.b)
        assert link.rate_bps == wanted.rate_bps
        assert math.isclose(link_distance_km(made, link) or 0.0, wanted.km, abs_tol=2e-6)
    assert expand(made).runs(0)


def test_topohub_networks_are_read(tmp_path: Path) -> None:
    pytest.importorskip("topohub", reason="topohub is an optional package")
    source = sources.read("topohub:topozoo/Abilene")
    made = read_back(source, Choices(rate_bps=parse_rate("1 Gbit/s"), sender="Seattle"))
    assert len(made.nodes) == 11
    assert made.nodes["seattle"].role == "sender"
    # topohub's own km agree with ours, from the coordinates
    by_source = convert.convert(source, Choices(lengths=Lengths.SOURCE))
    by_place = convert.convert(source, Choices())
    for told, counted in zip(by_source.links, by_place.links, strict=True):
        assert told.km == pytest.approx(counted.km, rel=0.005)
    with pytest.raises(ImportRefusedError, match="did you mean 'Abilene'"):
        sources.read("topohub:topozoo/Abilen")
    with pytest.raises(ImportRefusedError, match="names no network"):
        sources.read("topohub:../../secret")


def test_a_network_too_large_is_cut_to_a_corridor() -> None:
    nodes = {str(n): {"label": f"v{n}"} for n in range(100)}
    edges = [(str(n), str((n + 1) % 100), {"length_km": 10.0 + n}) for n in range(100)]
    edges += [("0", "50", {"length_km": 50.0})]
    source = Source("ring", ForeignGraph(nodes, edges, False), ("drawn",))
    with pytest.raises(ImportRefusedError, match="100 nodes and 101 links") as refused:
        convert.convert(source, Choices(sender="v0", receiver="v52"))
    assert "--ways" in str(refused.value.cure)
    made = convert.convert(source, Choices(sender="v0", receiver="v52", ways=1))
    assert [node.name for node in made.nodes] == ["v0", "v50", "v51", "v52"]


@pytest.mark.parametrize(
    ("name", "source", "ends"),
    [
        ("abilene", "topohub:topozoo/Abilene", ("washington-dc", "seattle")),
        ("nobel-eu", "topohub:sndlib/nobel-eu", ("athens", "glasgow")),
    ],
)
def test_shipped_networks_are_what_import_makes(
    name: str, source: str, ends: tuple[str, str]
) -> None:
    pytest.importorskip("topohub", reason="topohub is an optional package")
    found = sources.read(source)
    choices = Choices(loss=1e-4, sender=ends[0], receiver=ends[1])
    text = render.render(convert.convert(found, choices), found, choices)
    shipped = (Path(__file__).parents[3] / "topologies" / f"{name}.yaml").read_text()
    versions = "# Source: topohub "
    made = [line for line in text.splitlines() if not line.startswith(versions)]
    assert made == [line for line in shipped.splitlines() if not line.startswith(versions)]
