"""`sentinel-sim compare`: two results side by side, or the two lanes of one benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from sentinel_sim.bench import comparing
from sentinel_sim.bench.comparing import Ratio
from sentinel_sim.bench.result import BENCH_FILE, BENCH_SCHEMA, read_bench
from sentinel_sim.cli import output
from sentinel_sim.cli.group import Invocation
from sentinel_sim.errors import EXIT_INVALID, EXIT_OK, EXIT_VERDICT, ResultError
from sentinel_sim.evidence.judging import judge
from sentinel_sim.evidence.regression import changed, drops
from sentinel_sim.experiment.results import RESULT_FILE, RESULT_SCHEMA, read_result

COMPARE_SCHEMA = "sentinel-sim/compare/1"
ABSENT = "–"
ALLOWABLE = tuple(
    dict.fromkeys((*comparing.HOST_KEYS, *comparing.SETTING_KEYS, *comparing.RUN_KEYS))
)


def compare(
    places: Sequence[Path], allowed: Sequence[str], invocation: Invocation, *, require: bool = False
) -> int:
    """Compare; 4 where a side is invalid, SimError (2) where they are unlike or unreadable.

    With `require`, 5 where a goodput of the second is significantly lower than of the first.
    """
    for key in allowed:
        if key not in ALLOWABLE:
            raise ResultError(f"--allow {key}: no such key", cure="one of: " + ", ".join(ALLOWABLE))
    if len(places) not in (1, 2):
        raise ResultError(
            f"compare takes one or two results, got {len(places)}",
            cure="sentinel-sim compare DIR, or sentinel-sim compare DIR DIR",
        )
    results = [_read(place) for place in places]
    ratios = _ratios(results, allowed)
    valid = all(result["valid"] for result in results)
    fallen = _fallen(places, results, ratios, require=require)
    if invocation.as_json:
        output.print_json(
            {
                "schema": COMPARE_SCHEMA,
                "results": [str(place) for place in places],
                "valid": valid,
                "allowed": list(allowed),
                "ratios": [one.as_json() for one in ratios],
                "drops": [one.as_json() for one in fallen],
                "verdicts_changed": _verdicts_changed(results),
            }
        )
    else:
        _show(places, results, ratios, allowed)
        _show_changes(results, fallen)
    if not valid:
        return EXIT_INVALID
    return EXIT_VERDICT if require and fallen else EXIT_OK


def _fallen(
    places: Sequence[Path],
    results: Sequence[Mapping[str, Any]],
    ratios: Sequence[Ratio],
    *,
    require: bool,
) -> list[Ratio]:
    """What is significantly lower in the second; only results of `run` can be demanded of."""
    if {result["schema"] for result in results} == {RESULT_SCHEMA}:
        if require and not any(one.ci95 for one in ratios):
            raise ResultError(
                f"--require: no two repeats in common, so no drop can be told: {places[1]}",
                cure="run both with --repeat 3 or more",
            )
        return drops(ratios)
    if require:
        raise ResultError("--require compares two results of `run`", cure="leave --require out")
    return []


def _verdicts_changed(results: Sequence[Mapping[str, Any]]) -> list[str]:
    if {result["schema"] for result in results} != {RESULT_SCHEMA}:
        return []
    return changed(judge(results[0]), judge(results[1]))


def _show_changes(results: Sequence[Mapping[str, Any]], fallen: Sequence[Ratio]) -> None:
    console = output.console()
    for one in fallen:
        line = f"significant drop: {one.where}: {one.what} {(one.ratio or 0) * 100 - 100:+.1f} %"
        console.print(Text(line, "bold red"), soft_wrap=True)
    for line in _verdicts_changed(results):
        console.print(Text(f"verdict: {line}"), soft_wrap=True)


def _read(place: Path) -> Mapping[str, Any]:
    """A result of `bench` or of `run`, by the file that is there."""
    if place.is_dir() and not (place / BENCH_FILE).exists():
        if not (place / RESULT_FILE).exists():
            raise ResultError(
                f"{place}: holds neither {BENCH_FILE} nor {RESULT_FILE}",
                cure="give a directory that `sentinel-sim bench` or `sentinel-sim run` named",
            )
        return read_result(place)
    return read_bench(place) if place.is_dir() or place.name == BENCH_FILE else read_result(place)


def _ratios(results: Sequence[Mapping[str, Any]], allowed: Sequence[str]) -> list[Ratio]:
    schemas = {result["schema"] for result in results}
    if len(schemas) > 1:
        raise ResultError("one is a result of `bench`, the other of `run`: they share no figure")
    if schemas == {RESULT_SCHEMA}:
        if len(results) == 1:
            raise ResultError("a result of `run` is compared with another one, got one")
        one, other = results
        comparing.refuse_unlike(comparing.differences(one, other, comparing.RUN_KEYS, allowed))
        return comparing.runs_between(one, other)
    if schemas != {BENCH_SCHEMA}:
        raise ResultError(f"unknown schema {schemas}")
    if len(results) == 1:
        return comparing.lanes_within(results[0])
    one, other = results
    comparing.refuse_unlike(comparing.bench_unlike(one, other, allowed))
    found = comparing.lanes_between(one, other)
    if not found:
        raise ResultError("the results share no lane and number of flows with figures")
    return found


def _show(
    places: Sequence[Path],
    results: Sequence[Mapping[str, Any]],
    ratios: Sequence[Ratio],
    allowed: Sequence[str],
) -> None:
    table = Table(title_justify="left", pad_edge=False)
    for heading in ("where", "what"):
        table.add_column(heading)
    for heading in ("first", "second", "second / first", "95 %", "difference, 95 %", "pairs"):
        table.add_column(heading, justify="right")
    last = ""
    for one in ratios:
        where = "" if one.where == last else one.where
        last = one.where
        table.add_row(where, one.what, *_cells(one))
    console = output.console()
    console.print(table)
    for place, result in zip(places, results, strict=True):
        for reason in result["invalid_reasons"]:
            console.print(Text(f"invalid: {place}: {reason}"), soft_wrap=True)
    if any(one.method == "unpaired" for one in ratios):
        console.print(Text("u: unpaired, from separate runs: what drifted between them is in it"))
    for key in allowed:
        console.print(Text(f"allowed to differ: {key}"), soft_wrap=True)


def _cells(one: Ratio) -> tuple[str, ...]:
    interval = ABSENT if one.ci95 is None else f"{_number(one.ci95[0])} to {_number(one.ci95[1])}"
    pairs = f"{one.pairs}" + ("" if one.method == "paired" else " u")
    figures = _number(one.first), _number(one.second), _number(one.ratio), interval
    return *figures, _difference(one), pairs


def _difference(one: Ratio) -> str:
    """The same in percent of the first."""
    if one.ratio is None:
        return ABSENT
    words = f"{one.ratio * 100 - 100:+.1f} %"
    if one.ci95 is None:
        return words
    low, high = (bound * 100 - 100 for bound in one.ci95)
    return f"{words} [{low:+.1f}, {high:+.1f}]" if high < 1e4 else f"{words} [wider than 100 times]"


def _number(value: float | None) -> str:
    if value is None:
        return ABSENT
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
