"""`import sentinel_sim as ss`: the same as the command line, as tables and figures."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.unit.cli.world import World
from tests.unit.experiment.support import SMALL_FILE, FakeBackend

import sentinel_sim as ss
from sentinel_sim.api import frames, timeseries
from sentinel_sim.api.notebook import NotebookLine
from sentinel_sim.api.words import in_python
from sentinel_sim.backends.base import ProgressHook, RunMeasurement
from sentinel_sim.experiment.interrupts import Remote
from sentinel_sim.experiment.observer import Silent
from sentinel_sim.plan.model import RunSpec
from sentinel_sim.report.html import throughput
from sentinel_sim.report.html.colours import colours
from sentinel_sim.topology.document import parse_document

ROOT = Path(__file__).resolve().parents[3]
SMOKE = ROOT / "topologies" / "ci-smoke.yaml"
HEAVY = ("pandas", "plotly", "numba", "numpy", "pydantic", "grpc", "rich", "IPython")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> ss.Result:
    return ss.run(SMOKE, out=tmp_path_factory.mktemp("out"), distances=[500], seed=5)


def fake(world: World, **arguments: Any) -> ss.Result:  # noqa: ANN401  any argument of run
    return ss.run(world.file, out=world.out, wiring=world.wiring, **arguments)


def comparable(document: Mapping[str, Any]) -> dict[str, Any]:
    """Without what may differ between equal runs (design: section 9)."""
    runs = [{k: v for k, v in run.items() if k != "cpu"} for run in document["runs"]]
    return {**{k: v for k, v in document.items() if k != "environment"}, "runs": runs}


def test_importing_is_light() -> None:
    code = f"import sentinel_sim, sys; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_name_that_is_announced_is_there() -> None:
    assert set(ss.__all__) <= set(dir(ss))
    assert all(getattr(ss, name) is not None for name in ss.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ss.nothing  # type: ignore[attr-defined]


def test_the_result_is_that_of_the_command_line(simulated: ss.Result, tmp_path: Path) -> None:
    program = "from sentinel_sim.cli.main import main; main()"
    words = ("run", SMOKE, "--backend", "simulated", "--distances", "500", "--seed", "5")
    subprocess.run(
        [sys.executable, "-c", program, *words, "--out", tmp_path], check=True, capture_output=True
    )
    (directory,) = tmp_path.iterdir()
    theirs = json.loads((directory / "result.json").read_text())
    mine = json.loads((simulated.directory / "result.json").read_text())
    assert comparable(mine) == comparable(theirs)
    assert mine["environment"]["topology_sha256"] == theirs["environment"]["topology_sha256"]
    assert mine["environment"]["command"] == (
        f"sentinel-sim run {SMOKE} --backend simulated --distances 500 --seed 5"
    )


def test_what_is_loaded_is_what_was_run(simulated: ss.Result) -> None:
    again = ss.load(simulated.directory)
    assert again.document == simulated.document
    assert again.runs.equals(simulated.runs)
    assert ss.load(simulated.directory / "result.json").document == simulated.document


def test_columns_are_those_documented_whatever_the_result_holds(simulated: ss.Result) -> None:
    empty = {"runs": [], "summary": [], "verdicts": []}
    for make, columns in (
        (frames.runs, frames.RUN_COLUMNS),
        (frames.summary, frames.SUMMARY_COLUMNS),
        (frames.verdicts, frames.VERDICT_COLUMNS),
    ):
        full = make(simulated.document)
        own = [name for name in full.columns if not name.startswith("param_")]
        assert own == list(columns)
        assert full[own].dtypes.to_dict() == make(empty).dtypes.to_dict()
    assert "param_congestion_control" in simulated.runs.columns


def test_figures_in_tables_are_those_of_the_document(simulated: ss.Result) -> None:
    for number, run in enumerate(simulated.document["runs"]):
        row = simulated.runs.iloc[number]
        assert row.key == run["key"]
        assert row.goodput_bps == run["goodput_bps"]
        assert row.sent_bytes == run["bytes_sent"]
        assert row.achieved_rtt_idle_s == run["achieved"]["rtt_s"]["idle"]
        assert row.delivered_latency_p99_s == run["delivered_latency_s"]["p99"]
    for _, row in simulated.summary().iterrows():
        (told,) = [one for one in simulated.document["summary"] if one["arm"] == row.arm]
        assert row.goodput_mean_bps == told["goodput_bps"]["mean"]


@pytest.mark.parametrize("what", timeseries.WHATS)
def test_time_series_have_their_columns_and_run_forwards(simulated: ss.Result, what: str) -> None:
    frame = simulated.timeseries(0, what)
    assert tuple(frame.columns) == timeseries.WHATS[what]
    assert len(frame) > 5
    assert (frame.groupby("flow").time_s.diff().dropna() >= 0).all() or what == "tcp"


def test_goodput_over_time_adds_up_to_what_was_delivered(simulated: ss.Result) -> None:
    for interval_s in (None, 0.05):
        frame = simulated.timeseries(0, "goodput", interval_s=interval_s)
        widths_s = frame.time_s.diff().fillna(frame.time_s.iloc[0])
        total = (frame.goodput_bps * widths_s).sum() / 8
        assert total == pytest.approx(simulated.runs.delivered_bytes[0], rel=1e-6)


def test_the_figure_is_that_of_the_report_in_its_colours(simulated: ss.Result) -> None:
    own = throughput.figure_of(simulated.document, "goodput_bps", "goodput")
    assert own is not None
    for theme in ("light", "dark"):
        drawn = simulated.plot.throughput(theme=theme).to_plotly_json()
        assert [one["name"] for one in drawn["data"] if "name" in one] == [
            one["name"] for one in own.traces if "name" in one
        ]
        assert "@" not in json.dumps(drawn["layout"], default=str)
        lines = [one for one in drawn["data"] if one.get("name") == "tuned" and "line" in one]
        assert lines[0]["line"]["color"] == colours(theme)["tuned"]
    assert colours("light")["tuned"] != colours("dark")["tuned"]
    assert simulated.report().read_text().startswith("<!doctype html>")


def test_a_result_shows_itself_and_words_are_no_markup(simulated: ss.Result) -> None:
    simulated_name = simulated.document["name"]
    html = ss.load(simulated.directory)._repr_html_()
    assert simulated_name in html
    assert f"{simulated.summary().goodput_mean_bps[0] / 1e6:,.5g}" in html
    evil = ss.load(simulated.directory)
    evil.document["name"] = "<script>"
    assert "<script>" not in evil._repr_html_()
    assert repr(simulated).startswith("<Result ci-smoke, simulated, 2 runs, valid: ")


def test_a_mapping_is_as_good_as_a_file(world: World) -> None:
    mapping = parse_document(SMALL_FILE, "small").data
    assert isinstance(mapping, dict)
    mine = ss.run(mapping, out=world.out / "mapping", wiring=world.wiring, repeat=1)
    theirs = fake(world, repeat=1)
    assert comparable(mine.document) == comparable(theirs.document)
    again = ss.run(mine.directory / "topology.yaml", out=world.out, wiring=world.wiring, repeat=1)
    one, other = mine.environment["topology_sha256"], again.environment["topology_sha256"]
    assert one == other


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"nodes": {"a": {"role": "sendr"}}}, "<mapping>: nodes.a.role"),
        ({"seed": 1}, "<mapping>: seed"),
        ({"nodes": {1, 2}}, "not plain data"),
    ],
)
def test_a_bad_mapping_is_named_by_its_keys(world: World, change: Any, words: str) -> None:  # noqa: ANN401
    mapping = parse_document(SMALL_FILE, "small").data
    assert isinstance(mapping, dict)
    with pytest.raises(ss.TopologyError, match=words):
        ss.run({**mapping, **change}, wiring=world.wiring)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"backend": "real"}, "no backend is named 'real'"),
        ({"distances": ["7 s"]}, "distances: "),
        ({"distances": "100"}, "is not a list"),
        ({"arms": ["fast"]}, "fast"),
        ({"wire": "netem"}, "no wires of that kind"),
    ],
)
def test_bad_arguments_are_refused_before_anything_runs(
    world: World, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(ss.TopologyError, match=words) as caught:
        fake(world, **arguments)
    assert world.backends == []
    if caught.value.cure is not None:
        assert caught.value.__notes__ == [f"cure: {caught.value.cure}"]


def test_cures_are_in_the_words_of_python() -> None:
    with pytest.raises(ss.InfeasibleError) as caught:
        ss.run(ROOT / "topologies" / "faults.yaml", arms=["split"], quick=True)
    assert "backend='emulated'" in str(caught.value.cure)
    text = "leave it out with --arms direct,tuned, or use --backend emulated"
    assert in_python(text) == "leave it out with arms='direct,tuned', or use backend='emulated'"


def test_without_root_nothing_falls_back_in_silence(world: World) -> None:
    world.change(missing_privileges=lambda: ["CAP_NET_ADMIN"])
    with pytest.raises(ss.MissingCapabilityError, match="CAP_NET_ADMIN") as caught:
        fake(world, backend="emulated")
    assert "backend='simulated'" in str(caught.value.cure)
    assert fake(world, backend="auto", repeat=1).backend == "simulated"


def test_emulated_runs_with_the_wire_of_this_kernel(world: World) -> None:
    with pytest.warns(UserWarning, match=r"small\.yaml:7: links\.0\.queue"):
        assert fake(world, backend="emulated", repeat=1).backend == "emulated"
    assert world.wires == ["delayline"]
    with (
        pytest.warns(UserWarning, match="queue"),
        pytest.raises(ss.MissingCapabilityError, match="netem"),
    ):
        fake(world, backend="emulated", wire="netem")


def test_a_running_event_loop_is_left_alone(world: World) -> None:
    async def cell() -> ss.Result:
        return fake(world, repeat=1)

    assert len(asyncio.run(cell()).runs) > 0


def test_the_stop_button_ends_the_run_and_keeps_what_was_measured(world: World) -> None:
    """As in a notebook: a loop runs in the main thread, the experiment in another."""
    begun = threading.Event()

    class Endless(FakeBackend):
        async def run(self, run: RunSpec, progress: ProgressHook) -> RunMeasurement:
            if len(self.asked) == 1:
                begun.set()
                await asyncio.Event().wait()
            return await super().run(run, progress)

    world.make = Endless
    main = threading.get_ident()

    def stop() -> None:
        if begun.wait(20):
            signal.pthread_kill(main, signal.SIGINT)

    async def cell() -> None:
        fake(world)

    presser = threading.Thread(target=stop)
    presser.start()
    with (
        contextlib.closing(asyncio.new_event_loop()) as loop,
        pytest.raises(KeyboardInterrupt, match="resume="),
    ):
        loop.run_until_complete(cell())
    presser.join()
    kept = ss.load(world.directory)
    assert len(kept.runs) == 1
    assert kept.document["complete"] is False


def test_an_interrupt_that_comes_too_early_is_not_lost() -> None:
    remote = Remote()
    remote.trip("SIGINT")

    async def work() -> None:
        with remote.catching(lambda name, again: None):
            await asyncio.Event().wait()

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(work())


def test_progress_can_be_an_observer_or_nothing(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    class Counting(Silent):
        ended = 0

        def run_ended(self, spec: RunSpec, record: Any) -> None:  # noqa: ANN401
            self.ended += 1

    counting = Counting()
    result = fake(world, progress=counting, repeat=1)
    assert counting.ended == len(result.runs)
    fake(world, progress=False, repeat=1)
    fake(world, repeat=1)  # no terminal here
    assert capsys.readouterr().err == ""
    fake(world, progress=True, repeat=1)
    assert "run 1 of" in capsys.readouterr().err


def test_the_bar_of_a_notebook_tells_and_escapes() -> None:
    line = NotebookLine("simulating")
    assert "<progress></progress> simulating" in line.html()
    line.show("tuned", done=1, total=4, count="run 2 of 4", times="left about 3 s")
    line.say("a < b")
    assert '<progress value="1" max="4">' in line.html()
    assert "tuned · run 2 of 4 · left about 3 s" in line.html()
    assert "a &lt; b" in line.html()


def test_what_is_not_there_is_named(simulated: ss.Result, tmp_path: Path) -> None:
    with pytest.raises(ss.ResultError, match="did you mean 'tuned_500km_r0'"):
        simulated.timeseries("tuned_50km_r0")
    with pytest.raises(ss.ResultError, match="position 9: there are 2 runs"):
        simulated.timeseries(9)
    with pytest.raises(ss.ResultError, match="no time series is named 'speed'") as caught:
        simulated.timeseries(0, "speed")
    assert "'goodput'" in str(caught.value.cure)
    with pytest.raises(ss.ResultError, match="interval_s is 0"):
        simulated.timeseries(0, interval_s=0)
    with pytest.raises(ss.ResultError, match="no such file") as caught:
        ss.load(tmp_path / "nothing")
    assert caught.value.cure


def test_a_damaged_result_is_shown_as_far_as_it_goes(world: World) -> None:
    fake(world, repeat=1)
    (world.directory / "result.json").write_text("{")
    with pytest.warns(UserWarning, match="not a readable result"):
        found = ss.load(world.directory)
    assert found.problems
    assert len(found.runs) > 0
    assert "damaged" in found._repr_html_()


def test_the_shipped_result_is_whole_valid_and_says_where_it_comes_from() -> None:
    shipped = ss.load(ROOT / "notebooks" / "data" / "chile-usa-emulated")
    assert shipped.valid
    assert shipped.backend == "emulated"
    assert shipped.environment["started_utc"].startswith("2026-11-22")
    assert sorted(shipped.runs.distance_km.unique()) == [100, 1000, 5000, 10000, 20000]
    assert len(shipped.verdicts()) > 0
    with pytest.raises(ss.ResultError, match="without the raw log"):
        shipped.timeseries(0)
