"""Expansion: figures by hand, seeds, order, flags, and the stop rule."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from sentinel_sim.errors import TopologyError
from sentinel_sim.plan.expand import expand
from sentinel_sim.plan.model import Arm, FlowPlan, Role, RunSpec, WorkloadKind
from sentinel_sim.plan.plan import Plan
from sentinel_sim.topology.geo import great_circle_km, propagation_ns
from sentinel_sim.topology.model import Topology
from sentinel_sim.topology.reader import load, loads

FOLDER = Path(__file__).parents[3] / "topologies"
CHILE = (FOLDER / "chile-usa.yaml").read_text()
BULK = '{kind: bulk, duration: "max(8 s, 60 rtt)"}'
VALPARAISO, PANAMA, BOSTON = (-33.05, -71.61), (8.98, -79.52), (42.36, -71.06)


def chile(**replacements: str) -> Topology:
    text = CHILE
    for old, new in replacements.items():
        text = text.replace(old, new)
    return loads(text, "chile.yaml")


def with_workload(workload: str) -> Topology:
    return loads(CHILE.replace(BULK, workload), "chile.yaml")


def with_sweep(sweep: str) -> Topology:
    start = CHILE.index("  sweep:")
    end = CHILE.index("\n", start)
    return loads(CHILE[:start] + f"  sweep: {sweep}" + CHILE[end:], "chile.yaml")


def run_at(plan: Plan, distance_km: float, arm: Arm = Arm.TUNED) -> RunSpec:
    (run,) = [run for run in plan.runs(0) if run.arm == arm and run.distance_km == distance_km]
    return run


def test_great_circles_by_hand() -> None:
    quarter = 3.141592653589793 / 2 * 6371.0088
    assert great_circle_km((0, 0), (0, 90)) == pytest.approx(quarter, rel=1e-12)
    assert great_circle_km((0, 0), (0, 180)) == pytest.approx(2 * quarter, rel=1e-12)
    assert great_circle_km((90, 0), (-90, 77)) == pytest.approx(2 * quarter, rel=1e-12)
    assert great_circle_km(BOSTON, BOSTON) == 0.0
    # published: 8,384 km from Boston to Valparaiso
    assert great_circle_km(VALPARAISO, BOSTON) == pytest.approx(8384, rel=0.001)


def test_five_microseconds_per_kilometre_of_route() -> None:
    assert propagation_ns(20_000, 1.0) == 100_000_000
    assert propagation_ns(20_000, 1.8) == 180_000_000
    assert propagation_ns(0.001, 1.0) == 5


@pytest.mark.parametrize(
    ("distance_km", "rtt_ms", "bdp_bytes"),
    [(100, 1.8, 225_000), (5000, 90, 11_250_000), (20_000, 360, 45_000_000)],
)
def test_rtt_bdp_and_queue_by_hand(distance_km: float, rtt_ms: float, bdp_bytes: int) -> None:
    run = run_at(expand(chile()), distance_km)
    (path,) = run.paths
    assert path.rtt_base_ns == pytest.approx(rtt_ms * 1e6, abs=4)
    assert path.bdp_bytes == pytest.approx(bdp_bytes, abs=2)
    assert [link.queue_bytes for link in run.links] == [path.bdp_bytes] * 2
    assert path.rate_bps == 10**9
    assert (path.nodes, path.links) == (
        ("valparaiso", "panama", "boston"),
        ("valparaiso--panama", "panama--boston"),
    )


def test_links_keep_their_shares_of_the_swept_distance() -> None:
    first, second = great_circle_km(VALPARAISO, PANAMA), great_circle_km(PANAMA, BOSTON)
    for run in expand(chile()).runs(0):
        assert run.distance_km is not None
        share = run.distance_km / (first + second)
        lengths = [link.distance_km for link in run.links]
        assert lengths == pytest.approx([first * share, second * share])
        assert sum(length or 0 for length in lengths) == pytest.approx(run.distance_km)


def test_without_a_sweep_the_lengths_are_those_of_the_file() -> None:
    run = expand(with_sweep("{}")).runs(0)[0]
    legs = great_circle_km(VALPARAISO, PANAMA) + great_circle_km(PANAMA, BOSTON)
    assert run.distance_km == pytest.approx(legs, abs=0.001)
    assert run.key.removesuffix("_r0") in {"direct", "tuned", "split", "fsu"}


def test_keys_are_readable_slugs() -> None:
    plan = expand(with_sweep("{distance_km: [20000], loss: [0.1 %], links.0.queue: [250 packets]}"))
    keys = {run.key for run in plan.runs(0)}
    assert "tuned_20000km_loss0.001_links.0.queue250packets_r0" in keys
    assert all(run.params["loss"] == 0.001 for run in plan.runs(0))


def test_sweeps_multiply() -> None:
    plan = expand(with_sweep("{distance_km: [100, 1000], rate: [10 Mbit/s, 1 Gbit/s]}"))
    assert len(plan.combinations) == 4
    assert len(plan.runs(0)) == 16
    found = {(item.distance_km, item.params["rate"]) for item in plan.combinations}
    assert found == {(d, r) for d in (100.0, 1000.0) for r in ("10 Mbit/s", "1 Gbit/s")}
    for run in plan.runs(0):
        expected_bps = 10**7 if run.params["rate"] == "10 Mbit/s" else 10**9
        assert {link.rate_bps for link in run.links} == {expected_bps}


@pytest.mark.parametrize(
    ("sweep", "check"),
    [
        ("{delay_one_way: [20 ms]}", lambda run: run.paths[0].rtt_base_ns == 80_000_000),
        (
            "{links.1.delay_one_way: [20 ms]}",
            lambda run: run.links[1].delay_one_way_ns == 2 * 10**7,
        ),
        ("{links.1.loss: [1 %]}", lambda run: [x.loss for x in run.links] == [0.0, 0.01]),
        ("{congestion_control: [reno]}", lambda run: run.congestion_control == "reno"),
        ("{window: [64 KiB]}", lambda run: run.window_bytes == 65_536),
        ("{xdp: [off]}", lambda run: not run.xdp),
        ("{control_band: [off]}", lambda run: not run.control_band),
        ("{duration: [3 s]}", lambda run: run.flows[0].duration_ns == 3 * 10**9),
        ("{flows: [3]}", lambda run: len(run.flows) == 3),
        ("{mtu: [1400 B]}", lambda run: run.links[0].mtu == 1400),
        ("{route_factor: [1]}", lambda run: run.paths[0].rtt_base_ns < 86_000_000),
        ("{jitter: [1 ms]}", lambda run: run.links[0].jitter_ns == 10**6),
        (
            "{experiment.workload.duration: [4 s]}",
            lambda run: run.flows[0].duration_ns == 4 * 10**9,
        ),
    ],
)
def test_any_key_can_be_swept(sweep: str, check: object) -> None:
    assert callable(check)
    plan = expand(with_sweep(sweep))
    assert len(plan.combinations) == 1
    assert all(check(run) for run in plan.runs(0))


def test_values_that_clash_only_together_are_refused_with_both() -> None:
    topology = with_sweep("{distance_km: [100], delay_one_way: [1 ms]}")
    with pytest.raises(TopologyError, match="with distance_km 100, delay_one_way 1 ms"):
        expand(topology)


def test_a_duration_is_evaluated_on_each_path() -> None:
    plan = expand(chile())
    assert run_at(plan, 100).flows[0].duration_ns == 8_000_000_000
    assert run_at(plan, 20_000).flows[0].duration_ns == pytest.approx(21_600_000_000, abs=400)


def test_order_is_random_but_repeatable_and_differs_between_repeats() -> None:
    plan, again = expand(chile()), expand(chile())
    orders = [[(run.arm, run.distance_km) for run in plan.runs(k)] for k in range(3)]
    assert orders == [[(run.arm, run.distance_km) for run in again.runs(k)] for k in range(3)]
    assert len({tuple(order) for order in orders}) == 3
    assert all(sorted(map(str, order)) == sorted(map(str, orders[0])) for order in orders)
    other = expand(chile(), seed=8)
    assert [run.key for run in other.runs(0)] != [run.key for run in plan.runs(0)]


def test_seeds_are_never_shared_and_do_not_depend_on_other_runs() -> None:
    plan = expand(chile())
    runs = [run for k in range(3) for run in plan.runs(k)]
    assert len({run.seed for run in runs}) == len(runs) == 60
    fewer = expand(chile(), arms=["tuned"], distances_km=[20_000])
    assert run_at(fewer, 20_000).seed == run_at(plan, 20_000).seed
    assert run_at(expand(chile(), seed=8), 20_000).seed != run_at(plan, 20_000).seed


def test_equal_input_gives_equal_plans() -> None:
    assert expand(chile()) == expand(chile())
    assert expand(chile()).by_repeat == expand(chile()).by_repeat


def test_flags_override_the_file() -> None:
    plan = expand(chile(), arms=["split"], distances_km=[700, 900], repeats=4, seed=99)
    assert {(run.arm, run.distance_km) for run in plan.runs(0)} == {
        (Arm.SPLIT, 700.0),
        (Arm.SPLIT, 900.0),
    }
    assert (plan.repeats.at_least, plan.repeats.at_most, plan.seed) == (4, 4, 99)
    assert len(plan.by_repeat) == 4


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"arms": ["splitt"]}, "did you mean 'split'"),
        ({"arms": []}, "--arms: names no arm"),
        ({"distances_km": []}, "--distances: names no distance"),
        ({"distances_km": [-5]}, "--distances: must be more than 0 km"),
        ({"distances_km": [float("nan")]}, "--distances: must be more than 0 km"),
        ({"repeats": 0}, "--repeat: must lie between"),
        ({"seed": -1}, "--seed: must lie between"),
    ],
)
def test_wrong_flags_are_refused(flags: dict[str, object], words: str) -> None:
    with pytest.raises(TopologyError, match=words) as caught:
        expand(chile(), **flags)  # type: ignore[arg-type]
    assert caught.value.exit_code == 2


def test_distances_need_a_length_to_scale() -> None:
    text = "name: d\nnodes: {a: {role: sender}, b: {role: receiver}}\nlinks:\n"
    link = "  - {endpoints: [a, b], rate: 1 Gbit/s, delay_one_way: 10 ms}\n"
    topology = loads(text + link)
    assert expand(topology).runs(0)[0].distance_km is None
    with pytest.raises(TopologyError, match="--distances"):
        expand(topology, distances_km=[100])


def test_a_plan_has_bounds() -> None:
    values = ", ".join(f"{index} Mbit/s" for index in range(1, 100))
    lengths = ", ".join(str(index) for index in range(100, 200))
    with pytest.raises(TopologyError, match="asks for 9900 runs"):
        expand(with_sweep(f"{{rate: [{values}], distance_km: [{lengths}]}}"))


def test_quick_is_under_a_minute_of_traffic_for_all_arms() -> None:
    plan = expand(chile(), quick=True)
    assert plan.quick
    assert [item.distance_km for item in plan.combinations] == [100, 5000, 20_000]
    assert (len(plan.runs(0)), plan.repeats.at_most) == (12, 1)
    assert plan.traffic_ns < 60e9
    assert any("3 of 5 values of distance_km" in note for note in plan.notes)
    assert any("too short for claims" in note for note in plan.notes)
    assert expand(chile()).notes == ()


def test_quick_keeps_the_flags() -> None:
    plan = expand(chile(), quick=True, repeats=2, distances_km=[100, 200])
    assert plan.repeats.at_most == 2
    assert [item.distance_km for item in plan.combinations] == [100, 200]


def test_one_transfer_run_per_size() -> None:
    plan = expand(with_workload("{kind: transfer, sizes: [10 MB, 1 bdp]}"), distances_km=[20_000])
    sizes = [item.params["size_bytes"] for item in plan.combinations]
    assert sizes == [10_000_000, pytest.approx(45_000_000, abs=2)]
    for run in plan.runs(0):
        assert run.workload == WorkloadKind.TRANSFER
        assert [flow.size_bytes for flow in run.flows] == [run.params["size_bytes"]]
        assert run.flows[0].duration_ns is None
    assert "tuned_20000km_10MB_r0" in {run.key for run in plan.runs(0)}


def flows_of(arrival: str, seed: int | None = None, arm: Arm = Arm.TUNED) -> tuple[FlowPlan, ...]:
    workload = f'{{kind: many, flows: 50, size: 1 MB, arrival: "{arrival}"}}'
    return run_at(expand(with_workload(workload), seed=seed), 1000, arm).flows


def test_many_flows_arrive_as_said() -> None:
    assert {flow.start_ns for flow in flows_of("all at once")} == {0}
    starts = [flow.start_ns for flow in flows_of("every 50 ms")]
    assert starts == [index * 50_000_000 for index in range(50)]
    assert {flow.size_bytes for flow in flows_of("every 50 ms")} == {10**6}


def test_poisson_arrivals_are_seeded_alike_for_all_arms_and_have_the_rate() -> None:
    flows = flows_of("poisson 20 /s")
    assert flows == flows_of("poisson 20 /s", arm=Arm.SPLIT)
    assert flows != flows_of("poisson 20 /s", seed=8)
    starts = [flow.start_ns for flow in flows]
    assert starts[0] == 0
    assert starts == sorted(starts)
    assert len(set(starts)) == 50
    # 49 gaps of mean 50 ms: standard error 1/7 of it
    assert starts[-1] / 49 == pytest.approx(50e6, rel=0.5)


def test_flows_are_dealt_to_paths_in_turn() -> None:
    topology = load(FOLDER / "two-paths.yaml")
    run = expand(topology).runs(0)[0]
    assert [flow.path for flow in run.flows] == [0, 1]
    assert [flow.flow_id for flow in run.flows] == [1, 2]
    assert [path.index for path in run.paths] == [0, 1]
    assert run.roles == {
        "lisbon": Role.SENDER,
        "madeira": Role.INTERMEDIATE,
        "azores": Role.INTERMEDIATE,
        "recife": Role.RECEIVER,
    }
    assert run.paths[0].rtt_base_ns == pytest.approx(2 * 5800 * 1.2 * 5000, abs=4)


def test_losses_of_links_combine() -> None:
    (run, *_) = expand(with_sweep("{loss: [1 %]}")).runs(0)
    assert run.paths[0].loss == pytest.approx(1 - 0.99**2, rel=1e-12)
    (one, *_) = expand(with_sweep("{links.0.loss: [0.1 %]}")).runs(0)
    assert one.paths[0].loss == 0.001


def test_parallel_links_have_names_of_their_own() -> None:
    link = "  - {endpoints: [a, b], rate: 1 Gbit/s, delay_one_way: 10 ms}\n"
    head = "name: p\nnodes: {a: {role: sender}, b: {role: receiver}}\nlinks:\n"
    run = expand(loads(head + link + link.replace("[a, b]", "[b, a]") + link)).runs(0)[0]
    assert len({item.name for item in run.links}) == 3
    assert len(run.paths) == 3


def test_the_slowest_link_is_the_rate_and_a_link_s_queue_may_be_its_own() -> None:
    topology = loads(
        CHILE.replace("rate: 1 Gbit/s", "rate: 100 Mbit/s", 1).replace(
            "queue: 1 bdp\n    route", "queue: 250 packets\n    route"
        ),
        "c",
    )
    run = run_at(expand(topology), 20_000)
    assert run.paths[0].rate_bps == 10**8
    assert run.links[0].queue_bytes == pytest.approx(4_500_000, abs=1)
    assert run.links[1].queue_bytes == 250 * 1514


@pytest.mark.parametrize(
    ("goodputs", "more"),
    [
        ([], True),
        ([1e8], True),
        ([1e8, 1.0001e8], False),
        ([1e8, 1.1e8], True),
        ([1e8, 1.1e8, 1.2e8], False),
        ([0.0, 0.0], True),
    ],
)
def test_the_stop_rule(goodputs: list[float], more: bool) -> None:
    plan = expand(chile())
    assert plan.needs_more(Arm.TUNED, plan.combinations[0], goodputs) is more


def test_an_arm_outside_the_plan_needs_nothing() -> None:
    plan = expand(chile(), arms=["tuned"])
    assert not plan.needs_more(Arm.SPLIT, plan.combinations[0], [])


def test_a_run_finds_its_combination() -> None:
    plan = expand(chile())
    for run in plan.runs(2):
        assert plan.combination_of(run).distance_km == run.distance_km
    stranger = dataclasses.replace(plan.runs(0)[0], key="another")
    with pytest.raises(KeyError):
        plan.combination_of(stranger)


def test_runs_know_how_long_they_take_at_best() -> None:
    run = run_at(expand(chile()), 20_000)
    assert run.expected_duration_ns == pytest.approx(21.96e9, rel=1e-6)
