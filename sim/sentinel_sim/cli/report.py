"""`sentinel-sim report`: finished results again, and `report.html` written anew."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentinel_sim.cli import output
from sentinel_sim.cli.conclude import show
from sentinel_sim.cli.demands import refuse_unknown, say_unmet
from sentinel_sim.cli.group import Invocation
from sentinel_sim.errors import EXIT_INVALID, EXIT_OK, EXIT_USAGE, EXIT_VERDICT
from sentinel_sim.evidence.judging import judge
from sentinel_sim.evidence.verdict import changed
from sentinel_sim.experiment import salvage
from sentinel_sim.experiment.files import without_nan
from sentinel_sim.experiment.results import RESULT_FILE, read_result, write_result
from sentinel_sim.experiment.salvage import Salvaged
from sentinel_sim.report.chart import chart_of

SCHEMA = "sentinel-sim/report/1"
PLOT_WIDTH = 100


@dataclass(frozen=True, slots=True)
class ReportFlags:
    """The flags of `report` as they were given."""

    places: tuple[Path, ...]
    metric: str
    figures: bool
    bench: Path | None
    require: tuple[str, ...]


def report(flags: ReportFlags, call: Invocation) -> int:
    """Show results and write their pages; 2 where one is damaged, then 4, then 5."""
    refuse_unknown(flags.require)
    code = EXIT_OK
    told = []
    for place in flags.places:
        found = salvage.read(place)
        for problem in found.problems:
            output.say(f"sentinel-sim: {problem}")
        folder = place if place.is_dir() else place.parent
        found = _judged(place, found)
        page = _write(flags, folder, found)
        if not call.as_json:
            show(found.result, width=PLOT_WIDTH, metric=flags.metric)
            output.console().print(f"report: {page}", soft_wrap=True, markup=False)
        told.append(_told(place, found, page))
        code = _worse(code, _code(flags, found))
    if call.as_json:
        output.print_json({"schema": SCHEMA, "results": told})
    return code


def _judged(place: Path, found: Salvaged) -> Salvaged:
    """With the verdicts of this version, written back where a whole result had others or none.

    A damaged or unfinished result is left as it is: the latter may still be written to.
    """
    verdicts = without_nan(judge(found.result))
    if not found.problems and found.result["complete"]:
        _write_back(place, verdicts)
    return Salvaged({**found.result, "verdicts": verdicts}, found.problems)


def _write_back(place: Path, verdicts: list[dict[str, Any]]) -> None:
    """Into the file as it is: what was filled in for reading stays out of it."""
    stored = read_result(place)
    before = stored.get("verdicts") or []
    if before == verdicts or not (place.is_dir() or place.name == RESULT_FILE):
        return
    folder = place if place.is_dir() else place.parent
    try:
        write_result(folder, {**stored, "verdicts": verdicts})
    except OSError as error:
        output.say(f"sentinel-sim: {place}: verdicts are not written back: {error.strerror}")
        return
    for said in changed(before, verdicts):
        output.say(f"sentinel-sim: {place}: judged anew by this version: {said}")


def _write(flags: ReportFlags, folder: Path, found: Salvaged) -> Path:
    # Imported late: the template engine and its data are needed by no other verb.
    from sentinel_sim.report.html.writing import write_report

    if flags.figures and not found.problems:
        from sentinel_sim.report.figure_plot import write_figures  # late: it takes a second

        chart = chart_of(found.result, flags.metric)
        for path in () if chart.empty else write_figures(chart, folder):
            output.say(f"figure: {path}")
    return write_report(folder, found, flags.bench)


def _told(place: Path, found: Salvaged, page: Path) -> dict[str, Any]:
    return {
        "directory": str(place),
        "report": str(page),
        "problems": list(found.problems),
        "valid": found.result["valid"],
        "summary": found.result["summary"],
        "verdicts": found.result["verdicts"],
    }


def _code(flags: ReportFlags, found: Salvaged) -> int:
    """Of one result. An invalid one makes no error here unless something is demanded of it."""
    if found.problems:
        return EXIT_USAGE
    unmet = say_unmet(flags.require, found.result)
    if flags.require and not found.result["valid"]:
        return EXIT_INVALID
    return EXIT_VERDICT if unmet else EXIT_OK


def _worse(one: int, other: int) -> int:
    """2 before 4 before 5 before 0."""
    order = (EXIT_USAGE, EXIT_INVALID, EXIT_VERDICT, EXIT_OK)
    return min(one, other, key=order.index)
