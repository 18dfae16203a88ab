"""The page without a browser: figures, tables, the map, and results that are not whole."""

from __future__ import annotations

import json
import math
from html.parser import HTMLParser
from pathlib import Path

import plotly.graph_objects as go
import pytest
from tests.unit.evidence.documents import result as document
from tests.unit.evidence.documents import run, sweep
from tests.unit.report.html.results import KM, TOPOLOGY, write

from sentinel_sim.errors import ResultError
from sentinel_sim.evidence import overlays
from sentinel_sim.evidence.judging import judge
from sentinel_sim.experiment import salvage
from sentinel_sim.report.html import (
    agreement,
    control,
    curves,
    latency,
    smoothing,
    tables,
    throughput,
    timeline,
)
from sentinel_sim.report.html.figure import Figure
from sentinel_sim.report.html.page import Material, render, reproduce
from sentinel_sim.report.html.world import EqualEarth, Orthographic, great_circle, map_of
from sentinel_sim.report.html.writing import material_of, write_report

FIGURES = ["goodput", "steady", "latency", "startup", "exposure"]
FIGURES += ["lead", "phase", "prediction", "smoothing", "dispersion", "timeline", "agreement"]
MOST_BYTES = 10_000_000


class Elements(HTMLParser):
    """Names of the elements, and every reference out of the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.references: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "href", "action", "srcset", "data") and value:
                self.references.append(value)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("chile-usa"))


def figures_of(directory: Path) -> list[Figure]:
    material = material_of(directory, salvage.read(directory))
    found = (
        throughput.figure_of(material.result, "goodput_bps", "goodput"),
        throughput.figure_of(material.result, "steady_goodput_bps", "steady"),
        latency.figure_of(material.result),
        curves.startup_figure(material.curves),
        curves.exposure_figure(material.curves),
        control.lead_figure(material.leads),
        control.phase_figure(material.result),
        control.prediction_figure(material.result),
        smoothing.smoothing_figure(material.result),
        smoothing.dispersion_figure(material.result),
        timeline.timeline_figure(material.result, material.curves),
        agreement.agreement_figure(material.result),
    )
    return [one for one in found if one is not None]


def uncoloured(value: object) -> object:
    """The specification with the names of colours replaced by one that plotly knows."""
    if isinstance(value, str):
        return "#123456" if value.startswith("@") else value
    if isinstance(value, dict):
        return {key: uncoloured(one) for key, one in value.items()}
    return [uncoloured(one) for one in value] if isinstance(value, list) else value


def test_every_figure_is_one_that_plotly_accepts_and_has_words_and_a_table(directory: Path) -> None:
    found = figures_of(directory)
    assert [one.id for one in found] == FIGURES
    for one in found:
        go.Figure(uncoloured(one.spec))  # raises for what plotly.js would ignore
        assert len(one.summary) > 60
        if one.id == "timeline":  # its tables are those of all runs
            assert timeline.tables(salvage.read(directory).result)
            continue
        assert one.table is not None
        assert one.table.rows
        assert all(len(row) == len(one.table.headings) for row in one.table.rows)


def test_the_main_figure_shows_means_runs_and_overlays(directory: Path) -> None:
    result = salvage.read(directory).result
    figure = throughput.figure_of(result, "goodput_bps", "goodput")
    assert figure is not None
    named = {trace["name"]: trace for trace in figure.traces if "name" in trace}
    means = {(s["arm"], s["distance_km"]): s["goodput_bps"]["mean"] for s in result["summary"]}
    for arm in ("direct", "tuned", "split"):
        shown = next(t for t in figure.traces if t.get("name") == arm and "lines" in t["mode"])
        assert shown["x"] == list(KM)
        assert shown["y"] == pytest.approx([means[arm, km] / 1e6 for km in KM], rel=1e-5)
    assert named["tuned, not valid"]["x"] == [20000.0]
    window = next(trace for name, trace in named.items() if name.startswith("window law"))
    law = overlays.window_law_bps(overlays.STOCK_WINDOW_BYTES, 0.36)
    assert window["y"][-1] == pytest.approx(law / 1e6, rel=1e-3)
    esnet = named["ESnet 2021 CUBIC, published"]
    assert esnet["visible"] == "legendonly"
    at = esnet["customdata"].index(next(w for w in esnet["customdata"] if "Tokyo" in w))
    assert esnet["x"][at] == pytest.approx(0.188 / 0.36 * 20000, rel=1e-3)
    assert esnet["y"][at] == 2776.0


def test_loss_and_sizes_bring_their_own_overlays() -> None:
    requested = {"rtt_s": 0.1, "rate_bps": 1e8, "loss": 0.001}
    runs = [
        run(
            "tuned",
            km,
            params={"size_bytes": 1_000_000},
            requested={**requested, "rtt_s": km / 1e5},
        )
        for km in (100.0, 1000.0)
    ]
    figure = throughput.figure_of(document(runs), "goodput_bps", "goodput")
    assert figure is not None
    names = {trace.get("name") for trace in figure.traces}
    assert {"Mathis at 0.1 % loss", "RFC 9438 at 0.1 % loss", "BBRv1 model at 0.1 % loss"} <= names
    assert "bound for 1 MB" in names


def test_the_page_is_one_file_that_refers_to_nothing(directory: Path) -> None:
    path = write_report(directory, salvage.read(directory))
    assert path.name == "report.html"
    assert path.stat().st_size < MOST_BYTES
    text = path.read_text()
    head, _, rest = text.partition('<script id="specs"')
    references = Elements(head + rest.partition("</script>")[2][-400:]).references
    assert all(one.startswith(("#", "data:")) for one in references)
    assert "default-src 'none'" in head
    assert "git checkout 0123456789abcdef0123456789abcdef01234567\n" in head
    assert "sentinel-sim run topologies/chile-usa.yaml --seed 7" in head


def test_a_thousand_runs_stay_small() -> None:
    runs = [
        run(arm, km, repeat, goodput_bps=9e7 - km, steady_goodput_bps=9e7)
        for arm in ("direct", "tuned", "split", "fsu")
        for km in KM
        for repeat in range(50)
    ]
    made = document(runs)
    made["verdicts"] = judge(made)
    text = render(Material(made))
    assert len(text.encode()) < MOST_BYTES
    assert text.count("_r49") >= 20


def test_reproducing_names_commit_command_and_seed_and_no_resume() -> None:
    made = document([], seed=5)
    made["environment"] = {"command": "sentinel-sim run a.yaml --seed 5 --resume results/x"}
    assert reproduce(made) == ["sentinel-sim run a.yaml --seed 5"]


def test_the_control_plane_is_shown_when_it_is_there() -> None:
    plain = document(sweep(lambda km: 9e7))
    assert tables.control(plain) is None
    rich = document(
        sweep(
            lambda km: 9e7,
            lead_time_s={"p50": 0.01, "least": 0.002, "share_ahead": 1.0, "n": 2, "by_kind": {}},
        )
    )
    shown = tables.control(rich)
    assert shown is not None
    assert "lead time p50, ms" in shown.headings
    assert shown.rows[0][3] == "10"


def test_figures_without_data_are_not_drawn() -> None:
    plain = document(sweep(lambda km: 9e7))
    assert control.lead_figure([]) is None
    assert control.phase_figure(plain) is None
    assert control.prediction_figure(plain) is None
    assert agreement.agreement_figure(plain) is None
    assert timeline.timeline_figure(plain, []) is None
    assert timeline.tables(plain) == []


def test_lead_times_and_predictions_are_those_of_the_runs(directory: Path) -> None:
    material = material_of(directory, salvage.read(directory))
    assert len({one.key for one in material.leads}) == len(KM)
    lead = control.lead_figure(material.leads)
    assert lead is not None
    drawn = {trace["name"]: trace["x"] for trace in lead.traces}
    assert drawn == {
        "receive buffer": [2.0] * len(KM),
        "onward connection": [-0.5] * len(KM),
    }
    mase = control.prediction_figure(material.result)
    assert mase is not None
    assert mase.table is not None
    assert {row[2] for row in mase.table.rows if row[0] == "split"} == {"1.060"}


def test_the_time_line_has_faults_and_repairs_at_their_times(directory: Path) -> None:
    material = material_of(directory, salvage.read(directory))
    figure = timeline.timeline_figure(material.result, material.curves)
    assert figure is not None
    lanes = figure.layout["yaxis2"]["ticktext"]
    assert lanes == ["partition a--m", "kill-daemon a--m", "repair: daemon-dead m"]
    bars = [trace for trace in figure.traces if trace.get("yaxis") == "y2"]
    assert [trace["x"] for trace in bars] == [[0.501, 0.8], [1.001, 1.001], [1.01, 1.215]]
    assert any("yaxis" not in trace for trace in figure.traces)


def test_a_disagreement_of_the_backends_is_said(directory: Path) -> None:
    figure = agreement.agreement_figure(salvage.read(directory).result)
    assert figure is not None
    assert figure.table is not None
    assert [row[-1] for row in figure.table.rows] == ["agrees", "DISAGREES"]
    (points,) = figure.traces
    assert points["x"] == [1.01, 1.2]
    assert "1 disagree" in figure.caption


def test_great_circles_and_projections() -> None:
    line = great_circle((-71.61, -33.05), (-71.06, 42.36))
    assert line[0] == pytest.approx((-71.61, -33.05))
    assert line[-1] == pytest.approx((-71.06, 42.36))
    middle = great_circle((0.0, 0.0), (90.0, 0.0))[32]
    assert middle == pytest.approx((45.0, 0.0))
    globe = Orthographic((10.0, 20.0), 90.0)
    assert globe.point((10.0, 20.0)) == pytest.approx((240.0, 240.0))
    assert globe.point((-170.0, -20.0)) is None
    world = EqualEarth()
    assert world.point((0.0, 0.0)) == pytest.approx((world.width / 2, world.height / 2))
    right = world.point((180.0, 0.0))
    assert right is not None
    assert right[0] == pytest.approx(world.width, abs=0.1)


def test_the_map_has_every_node_and_none_without_places() -> None:
    coast = [[(-80.0, 0.0), (-79.0, 1.0)]]
    found = map_of(TOPOLOGY, coast)
    assert found is not None
    assert [mark.name for mark in found.marks] == ["valparaiso", "panama", "boston"]
    for mark in found.marks:
        assert 0 < mark.x < found.width
        assert 0 < mark.y < found.height
    assert len(found.routes) == 2
    assert found.coast.startswith("M")
    assert map_of({}, coast) is None
    nowhere = {"nodes": {"a": {"role": "sender"}}, "links": []}
    assert map_of(nowhere, coast) is None
    apart = {
        "nodes": {n: {"role": "sender", "location": [0.0, x]} for n, x in (("a", -90), ("b", 89))},
        "links": [{"endpoints": ["a", "b"]}],
    }
    found = map_of(apart, coast)
    assert found is not None
    assert math.isclose(found.width / found.height, 1 / 0.49)


def test_an_unfinished_result_says_so(directory: Path, tmp_path: Path) -> None:
    made = json.loads((directory / "result.json").read_text())
    runs = made["runs"][:2]
    text = render(Material(salvage.whole({**made, "runs": runs, "complete": False, "summary": []})))
    assert "did not finish" in text
    assert "2 runs until then" in text
    empty = render(Material(salvage.whole({**made, "runs": [], "summary": [], "verdicts": []})))
    assert "No run was made" in empty
    assert "Not measured" in empty


def test_a_damaged_result_is_shown_from_its_raw_logs(tmp_path: Path) -> None:
    directory = write(tmp_path / "broken", repeats=1)
    path = directory / "result.json"
    path.write_bytes(path.read_bytes()[:5000])
    (directory / "raw" / "split_100km_r0.json.gz").write_bytes(b"not gzip")
    found = salvage.read(directory)
    assert "not a readable result" in found.problems[0]
    assert "14 runs of the raw logs" in found.problems[1]
    page = write_report(directory, found)
    assert page.name == "report-salvaged.html"
    assert "not a readable result" in page.read_text()
    assert path.stat().st_size == 5000


def test_a_result_of_another_version_is_shown_as_far_as_it_goes(tmp_path: Path) -> None:
    old = {
        "schema": "sentinel-sim/result/0",
        "name": "old",
        "runs": [{"key": "a", "arm": "tuned", "valid": True, "goodput_bps": 5e7}, "nonsense"],
    }
    (tmp_path / "result.json").write_text(json.dumps(old))
    found = salvage.read(tmp_path)
    assert "schema is 'sentinel-sim/result/0'" in found.problems[0]
    assert len(found.result["runs"]) == 1
    page = write_report(tmp_path, found)
    assert "sentinel-sim/result/0" in page.read_text()
    assert json.loads((tmp_path / "result.json").read_text()) == old


def test_nothing_readable_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="no such file"):
        salvage.read(tmp_path)
    (tmp_path / "result.json").write_text("[]")
    with pytest.raises(ResultError, match="schema is None"):
        salvage.read(tmp_path)


def test_a_whole_result_is_read_as_it_stands(directory: Path) -> None:
    read = json.loads((directory / "result.json").read_text())
    found = salvage.read(directory).result
    assert found == read


def test_esnets_points_are_divided_as_the_link_is() -> None:
    rtts = (0.106, 0.188, 0.244)
    theory = {"mss_bytes": 1448, "goodput_bps": 0.0}
    runs = [
        run(
            "tuned",
            None,
            goodput_bps=8 * 6.5e6 / rtt,
            steady_goodput_bps=8 * 6.5e6 / rtt,
            requested={"rtt_s": rtt, "rate_bps": 1e9, "loss": 0.0},
            theory={**theory, "goodput_bps": 8 * 6.5e6 / rtt},
        )
        for rtt in rtts
    ]
    figure = throughput.figure_of(document(runs), "goodput_bps", "goodput")
    assert figure is not None
    named = {trace["name"]: trace for trace in figure.traces if "name" in trace}
    tenth = named["ESnet 2021 CUBIC, divided by 10"]
    assert tenth["visible"] is True
    shown = dict(zip(tenth["x"], tenth["y"], strict=True))
    assert [shown[x] for x in (106.0, 188.0, 244.0)] == [500.1, 277.6, 213.7]
    assert named["ESnet 2021 CUBIC, published"]["visible"] == "legendonly"
    figure = throughput.figure_of(document(runs), "steady_goodput_bps", "steady")
    assert figure is not None
    assert tenth in figure.traces
    for one in runs:
        one["theory"] = {**theory, "goodput_bps": 1e9}
    figure = throughput.figure_of(document(runs), "goodput_bps", "goodput")
    assert figure is not None
    named = {trace["name"]: trace for trace in figure.traces if "name" in trace}
    assert named["ESnet 2021 CUBIC, divided by 10"]["visible"] == "legendonly"


def test_burstiness_stands_at_every_hop_beside_delay_and_drops(directory: Path) -> None:
    result = salvage.read(directory).result
    hops, laws = smoothing.hop_table(result), smoothing.law_table(result)
    assert hops is not None
    assert laws is not None
    runs = sum(bool(run.get("burstiness")) for run in result["runs"])
    [last] = [row for row in hops.rows if row[1] == "behind n->b"]
    assert last[:6] == ("split", "behind n->b", "60", "0.696", "0.696", "0.696")
    assert last[-5:] == ("5,000", "2", "4", f"{3 * runs:,}", "0")
    assert {row[1] for row in laws.rows} == {"1 ms", "10 ms", "100 ms"}
    figure = smoothing.smoothing_figure(result)
    assert figure is not None
    measured, claimed = figure.traces[0], figure.traces[1]
    assert measured["y"] == [pytest.approx((3 / 2) ** 0.1, 1e-4), pytest.approx(2**0.1, 1e-4)]
    assert claimed["y"] == [1.5, 2.25]


def test_without_counts_the_page_says_how_to_get_them() -> None:
    bare = document([run()])
    assert smoothing.smoothing_figure(bare) is None
    assert smoothing.hop_table(bare) is None
    page = render(Material({**bare, "verdicts": judge(bare)}))
    assert "sentinel-sim run topologies/smoothing.yaml" in page
