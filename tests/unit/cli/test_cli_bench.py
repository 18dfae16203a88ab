"""`bench` and `compare` on the command line, with a fake world handed in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.bench.records import records, result
from tests.unit.cli.world import World

from sentinel_sim.bench.lanes import Mode
from sentinel_sim.bench.result import Result, read_bench, write_bench
from sentinel_sim.bench.runner import Bench
from sentinel_sim.errors import ResultError


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def fake_bench(world: World, made: Result) -> list[Bench]:
    asked: list[Bench] = []

    def run(bench: Bench) -> Result:
        asked.append(bench)
        write_bench(bench.directory, made)
        return made

    world.change(bench=run)
    return asked


def test_bench_shows_lanes_claims_and_where_the_result_is(world: World) -> None:
    asked = fake_bench(world, result())
    done = world.call("bench", "--out", str(world.out))
    assert done.exit_code == 0, done.output
    for words in ("xdp-native", "asyncio", "three different things", "speedup-83-500", "fails"):
        assert words in done.stdout
    assert f"result: {world.directory / 'bench.json'}" in done.stdout
    assert asked[0].settings.mode is Mode.ALL
    assert asked[0].settings.quick is False
    assert asked[0].environment["kernel"] == "6.1-fake"


def test_flags_reach_the_settings(world: World) -> None:
    asked = fake_bench(world, result(Mode.XDP))
    done = world.call(
        "bench", "--mode", "xdp", "--quick", "--rate", "5000", "--seed", "4",
        "--out", str(world.out), "--json",
    )  # fmt: skip
    settings = asked[0].settings
    assert (settings.mode, settings.quick, settings.equal_pps, settings.seed) == (
        Mode.XDP, True, 5000, 4,
    )  # fmt: skip
    document = json.loads(done.stdout)
    assert document["schema"] == "sentinel-sim/bench-run/1"
    assert document["result"]["valid"] is True


def test_a_demanded_claim_that_fails_is_5_and_an_invalid_run_4(world: World) -> None:
    fake_bench(world, result())
    words = ("bench", "--out", str(world.out))
    assert world.call(*words, "--require", "speedup-83-500").exit_code == 5
    assert world.call(*words, "--require", "no-such-claim").exit_code == 2
    broken = records()
    broken.flow_checks[0]["agrees"] = False
    fake_bench(world, result(given=broken))
    assert world.call(*words, "--require", "speedup-83-500").exit_code == 4


def test_bench_without_root_is_3_with_the_exact_command(world: World) -> None:
    words = ("/opt/sentinel-sim", "bench", "--quick")
    world.change(missing_privileges=lambda: ["CAP_NET_ADMIN"], arguments=words, variables={})
    done = world.call("bench", "--quick", "--out", str(world.out))
    assert done.exit_code == 3
    assert "cure: sudo /opt/sentinel-sim bench --quick" in done.stderr
    assert not world.out.exists()


def test_an_interrupted_bench_is_130_and_shows_what_there_is(world: World) -> None:
    def run(bench: Bench) -> Result:
        write_bench(bench.directory, {**result(), "complete": False})
        raise KeyboardInterrupt

    world.change(bench=run)
    done = world.call("bench", "--out", str(world.out))
    assert done.exit_code == 130
    assert "interrupted" in done.stderr
    assert "xdp-native" in done.stdout


def saved(world: World, name: str, made: Result) -> str:
    directory = world.tmp_path / name
    directory.mkdir()
    write_bench(directory, made)
    return str(directory)


def test_compare_sets_the_lanes_of_one_result_side_by_side(world: World) -> None:
    one = saved(world, "one", result())
    done = world.call("compare", one)
    assert done.exit_code == 0, done.output
    assert "asyncio -> xdp-native" in done.stdout
    document = json.loads(world.call("compare", one, "--json").stdout)
    assert document["schema"] == "sentinel-sim/compare/1"
    assert all(entry["method"] in ("paired", "unpaired") for entry in document["ratios"])


def test_compare_refuses_unlike_results_until_it_is_allowed(world: World) -> None:
    one = saved(world, "one", result())
    other = saved(world, "other", result(commit="def"))
    refused = world.call("compare", one, other)
    assert refused.exit_code == 2
    assert "commit was" in refused.stderr
    assert "cure: " in refused.stderr
    allowed = world.call("compare", one, other, "--allow", "commit")
    assert allowed.exit_code == 0
    assert "allowed to differ: commit" in allowed.stdout
    assert world.call("compare", one, other, "--allow", "weather").exit_code == 2


def test_compare_takes_two_results_of_run(world: World) -> None:
    world.run("--seed", "1")
    one = str(world.directory)
    done = world.call("compare", one, one)
    assert done.exit_code == 0, done.output
    assert "split at 100 km" in done.stdout
    assert world.call("compare", one).exit_code == 2
    mixed = world.call("compare", one, saved(world, "bench", result()))
    assert mixed.exit_code == 2
    assert "share no figure" in mixed.stderr


def test_compare_of_an_invalid_result_is_4(world: World) -> None:
    broken = records()
    broken.agreement.append(
        {"lane": "tc-bpf", "packets": 9, "flows": 2, "equal": 1, "agrees": False}
    )
    done = world.call("compare", saved(world, "one", result(given=broken)))
    assert done.exit_code == 4
    assert "differ in 1 of 2 flows" in done.stdout


def test_what_is_no_result_is_refused(world: World) -> None:
    assert world.call("compare", str(world.tmp_path)).exit_code == 2
    path = world.tmp_path / "bench.json"
    path.write_text('{"schema": "other"}')
    with pytest.raises(ResultError, match="schema is 'other'"):
        read_bench(path)
