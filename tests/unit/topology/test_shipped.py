"""Every shipped topology: valid for the published schema, feasible, and what it says it is."""

from __future__ import annotations

import json
import math
from pathlib import Path

import jsonschema
import pytest

from sentinel_sim.errors import TopologyError
from sentinel_sim.evidence.published import ESNET_RATE_BPS, SPLIT_RTT_S, points
from sentinel_sim.plan.expand import expand
from sentinel_sim.plan.plan import Plan
from sentinel_sim.topology import schema
from sentinel_sim.topology.budget import CpuBudget
from sentinel_sim.topology.document import parse_document
from sentinel_sim.topology.feasibility import check
from sentinel_sim.topology.reader import load, loads

FOLDER = Path(__file__).parents[3] / "topologies"
SHIPPED = sorted(FOLDER.glob("*.yaml"))
NAMES = {"chile-usa", "ci-smoke", "window-law", "lossy", "chain-5", "two-paths"}
PUBLISHED = {"esnet-window", "split-check"}
REAL_NETWORKS = {"abilene", "nobel-eu"}
"""Whole backbones: what is not on the way of this experiment stands by, for `plan` and `--from`."""
TWO_CORES = CpuBudget(cores=2, datagram_ns=2700.0)


def plan_of(name: str) -> Plan:
    return expand(load(FOLDER / f"{name}.yaml"))


def test_all_of_them_are_here_and_named_after_their_file() -> None:
    assert {path.stem for path in SHIPPED} >= NAMES | PUBLISHED
    assert all(load(path).name == path.stem for path in SHIPPED)


def test_the_published_schema_is_current() -> None:
    assert (FOLDER / "schema.json").read_text() == schema.render(), (
        "run: python -m sentinel_sim.topology.schema"
    )


def test_the_schema_can_be_written_anywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "s.json"
    assert schema.main([str(target)]) == 0
    assert capsys.readouterr().out.strip() == str(target)
    jsonschema.Draft202012Validator.check_schema(json.loads(target.read_text()))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_each_is_valid_for_the_schema_and_names_it(path: Path) -> None:
    text = path.read_text()
    assert text.splitlines()[0] == "# yaml-language-server: $schema=schema.json"
    data = parse_document(text, path.name).data
    jsonschema.validate(data, json.loads((FOLDER / "schema.json").read_text()))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("rate: 1 Gbit/s", "rate: 1"),
        ("rate: 1 Gbit/s", "rate: 1 Gbps"),
        ("rate: 1 Gbit/s", "rat: 1 Gbit/s"),
        ("role: sender", "role: source"),
        ("[direct, tuned, split, fsu]", "[direct, none]"),
        ("loss: 0 %", "loss: 0.1"),
        ("distance_km:", "distance:"),
    ],
)
def test_the_schema_refuses_what_the_reader_refuses(old: str, new: str) -> None:
    text = (FOLDER / "chile-usa.yaml").read_text().replace(old, new)
    data = parse_document(text, "f").data
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, schema.build())
    with pytest.raises(TopologyError):
        loads(text)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
@pytest.mark.parametrize("quick", [False, True])
def test_each_fits_two_cores_without_a_warning(path: Path, quick: bool) -> None:
    plan = expand(load(path), quick=quick)
    report = check(plan, TWO_CORES, memory_bytes=8 * 10**9)
    assert report.refused == ()
    tolerated = {"losses", "duration"} if quick else set()
    if path.stem in REAL_NETWORKS:
        tolerated = tolerated | {"unused"}
    assert [item.render() for item in report.warnings if item.code not in tolerated] == []


def test_chile_usa_is_the_design() -> None:
    plan = plan_of("chile-usa")
    assert len(plan.runs(0)) == 20
    assert [item.distance_km for item in plan.combinations] == [100, 1000, 5000, 10000, 20000]
    assert (plan.repeats.at_least, plan.repeats.at_most, plan.repeats.until.ci95_share) == (
        2,
        3,
        0.05,
    )


def test_ci_smoke_is_under_thirty_seconds() -> None:
    plan = plan_of("ci-smoke")
    assert len(plan.runs(0)) == 4
    assert plan.repeats.at_most == 1
    assert plan.traffic_ns < 15e9
    assert all(link.rate_bps == 10**8 for run in plan.runs(0) for link in run.links)
    assert min(run.paths[0].rtt_base_ns for run in plan.runs(0)) >= 50_000_000


def test_window_law_stays_far_below_the_rate() -> None:
    runs = plan_of("window-law").runs(0)
    rtts_ns = sorted(run.paths[0].rtt_base_ns for run in runs)
    assert rtts_ns == [20_000_000, 40_000_000, 80_000_000, 120_000_000, 200_000_000]
    for run in runs:
        assert run.window_bytes == 512 * 1024
        goodput_bps = run.window_bytes * 8e9 / run.paths[0].rtt_base_ns
        assert goodput_bps < run.paths[0].rate_bps / 4


def test_esnet_window_is_a_tenth_of_what_was_published() -> None:
    runs = plan_of("esnet-window").runs(0)
    assert sorted(run.paths[0].rtt_base_ns for run in runs) == [
        106_000_000,
        188_000_000,
        244_000_000,
    ]
    for run in runs:
        assert run.window_bytes == 6_500_000
        assert run.paths[0].rate_bps == ESNET_RATE_BPS / 10
        law_bps = run.window_bytes * 8e9 / run.paths[0].rtt_base_ns
        mine = next(one for one in points() if one.rtt_s * 1e9 == run.paths[0].rtt_base_ns)
        assert law_bps == pytest.approx(mine.goodput_bps / 10, rel=0.025)


def test_split_check_loses_on_its_short_link_only() -> None:
    for run in plan_of("split-check").runs(0):
        long, short = run.links
        assert (long.delay_one_way_ns, long.loss) == (100_000_000, 0.0)
        assert (short.delay_one_way_ns, short.loss) == (1_000_000, 0.04)
        assert {long.rate_bps, short.rate_bps} == {20_000_000}
        assert run.paths[0].rtt_base_ns == SPLIT_RTT_S * 1e9


def test_lossy_runs_see_thirty_losses_even_at_a_small_part_of_the_formula() -> None:
    runs = [run for run in plan_of("lossy").runs(0) if run.arm == "tuned"]
    assert sorted(run.paths[0].loss for run in runs) == [0.0001, 0.001, 0.01]
    for run in runs:
        p, rtt_s = run.paths[0].loss, run.paths[0].rtt_base_ns / 1e9
        window = max(1.054 * (rtt_s / p) ** 0.75, 1.2 / math.sqrt(p))  # RFC 9438 section 5
        duration_ns = run.flows[0].duration_ns
        assert duration_ns is not None
        steady_s = duration_ns / 1e9 - 30 * rtt_s
        assert 0.4 * p * window / rtt_s * steady_s >= 30
        assert window * 1500 * 8 / rtt_s < run.paths[0].rate_bps / 2


def test_chain_5_has_three_intermediates_at_equal_spacing() -> None:
    (path,) = plan_of("chain-5").runs(0)[0].paths
    assert len(path.nodes) == 5
    links = plan_of("chain-5").runs(0)[0].links
    assert len({link.distance_km for link in links}) == 1


def test_two_paths_uses_both() -> None:
    run = plan_of("two-paths").runs(0)[0]
    assert [path.nodes[1] for path in run.paths] == ["madeira", "azores"]
    assert [flow.path for flow in run.flows] == [0, 1]
    assert run.paths[0].rtt_base_ns != run.paths[1].rtt_base_ns
