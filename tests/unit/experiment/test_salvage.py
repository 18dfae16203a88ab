"""Results of another shape than theirs: a readable reason, what can be shown is shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.report.html.results import write

from sentinel_sim.errors import ResultError
from sentinel_sim.experiment import salvage
from sentinel_sim.experiment.rawlog import RAW_FOLDER
from sentinel_sim.experiment.results import RESULT_FILE, read_result
from sentinel_sim.report.html.writing import write_report

Damage = Callable[[dict[str, Any]], None]


def set_goodput(value: float) -> Damage:
    def damage(result: dict[str, Any]) -> None:
        for run in result["runs"]:
            run["goodput_bps"] = value

    return damage


def lose_points(result: dict[str, Any]) -> None:
    for run in result["runs"]:
        run["burstiness"] = {"bin_s": 0.001, "window_s": 1.0, "points": [{"queues": 1}]}


def damaged(directory: Path, damage: Damage) -> Path:
    write(directory, repeats=1)
    path = directory / RESULT_FILE
    document = json.loads(path.read_text())
    damage(document)
    path.write_text(json.dumps(document))
    return directory


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda result: result.update(runs=None), "`runs` is no list of runs"),
        (lambda result: result.update(runs=["a"]), "`runs` is no list of runs"),
        (set_goodput(float("nan")), "NaN is no JSON"),
        (set_goodput(float("-inf")), "-Infinity is no JSON"),
    ],
)
def test_what_is_no_result_is_refused_and_shown_as_far_as_it_goes(
    tmp_path: Path, damage: Damage, words: str
) -> None:
    directory = damaged(tmp_path, damage)
    before = (directory / RESULT_FILE).read_bytes()
    with pytest.raises(ResultError, match=words):
        read_result(directory)
    found = salvage.read(directory)
    assert words in found.problems[0]
    assert write_report(directory, found).name == "report-salvaged.html"
    assert (directory / RESULT_FILE).read_bytes() == before


def test_a_damaged_part_of_a_run_hides_nothing_else(tmp_path: Path) -> None:
    found = salvage.read(damaged(tmp_path, lose_points))
    assert all(run["burstiness"] is None for run in found.result["runs"])
    assert all(run["notes"] == ["its burstiness cannot be read"] for run in found.result["runs"])
    assert write_report(tmp_path, found).is_file()


def test_a_damaged_raw_log_is_named_and_hides_no_other(tmp_path: Path) -> None:
    write(tmp_path, repeats=2)
    (tmp_path / RESULT_FILE).write_text("{")
    logs = sorted((tmp_path / RAW_FOLDER).glob("*.json.gz"))
    whole = len(salvage.read(tmp_path).result["runs"])
    logs[0].write_bytes(logs[0].read_bytes()[:40])
    found = salvage.read(tmp_path)
    assert len(found.result["runs"]) == whole - 1
    assert len(found.problems) == 3
    assert found.problems[-1].startswith(f"left out: {logs[0]}: ")
