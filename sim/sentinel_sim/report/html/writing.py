"""Reading a result directory, and writing `report.html` into it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from sentinel_sim.bench.result import read_bench
from sentinel_sim.errors import ResultError
from sentinel_sim.evidence.judging import judge_bench
from sentinel_sim.experiment import rawlog
from sentinel_sim.experiment.files import write_atomically
from sentinel_sim.experiment.results import PROCESSED_FILE
from sentinel_sim.experiment.salvage import Salvaged
from sentinel_sim.report.html.control import Lead, leads_of
from sentinel_sim.report.html.curves import Curve, curve_of
from sentinel_sim.report.html.page import Material, render

REPORT_FILE = "report.html"
SALVAGED_FILE = "report-salvaged.html"
"""Of a result that is not whole: what an earlier, whole one said is not written over."""
MOST_CURVES = 48


def write_report(directory: Path, salvaged: Salvaged, bench: Path | None = None) -> Path:
    """Write the page; gives its path. Raises ResultError where it cannot be written."""
    name = SALVAGED_FILE if salvaged.problems else REPORT_FILE
    path = directory / name
    page = render(material_of(directory, salvaged, bench))
    try:
        write_atomically(path, page.encode())
    except OSError as error:
        raise ResultError(
            f"{path}: cannot be written: {error.strerror}",
            cure="as its owner, or copy the directory to a place of yours and report that",
        ) from error
    return path


def material_of(directory: Path, salvaged: Salvaged, bench: Path | None = None) -> Material:
    """All that the page is made from; what cannot be read is left out, with a note."""
    chosen = list(_chosen(salvaged.result["runs"]))
    curves, leads, failed = _from_logs(directory, chosen[:MOST_CURVES])
    notes = []
    if len(chosen) > MOST_CURVES:
        notes.append(f"{MOST_CURVES} of {len(chosen)} combinations are drawn")
    if failed:
        notes.append("raw logs that cannot be read: " + ", ".join(failed[:8]))
    return Material(
        salvaged.result,
        salvaged.problems,
        _topology(directory),
        curves,
        "; ".join(notes),
        judge_bench(read_bench(bench)) if bench is not None else (),
        leads,
    )


def _chosen(runs: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The first valid run of every arm and point with equal other parameters."""
    seen = set()
    for run in runs:
        point = (run["arm"], run["distance_km"], run["requested"]["rtt_s"])
        if run["valid"] and point not in seen:
            seen.add(point)
            yield run


def _from_logs(
    directory: Path, runs: Sequence[Mapping[str, Any]]
) -> tuple[list[Curve], list[Lead], list[str]]:
    """Curves, lead times, and the runs whose log cannot be read."""
    found: list[Curve] = []
    leads: list[Lead] = []
    failed = []
    for run in runs:
        try:
            measured = rawlog.read_measurement(rawlog.raw_path(directory, run["key"]))
        except ResultError:
            failed.append(run["key"])
            continue
        curve = None if measured is None else curve_of(run, measured)
        if curve is not None and measured is not None:
            found.append(curve)
            leads += leads_of(run["key"], measured)
    return found, leads, failed


def _topology(directory: Path) -> Mapping[str, Any]:
    """The processed topology; empty where it is absent or damaged."""
    try:
        text = (directory / PROCESSED_FILE).read_text()
    except OSError:
        return {}
    # The plan below it lists every run and can be long; the topology alone is parsed.
    head, _, _ = text.partition("\nplan:")
    try:
        document = YAML(typ="safe", pure=False).load(head)
    except YAMLError:
        return {}
    topology = document.get("topology") if isinstance(document, dict) else None
    return topology if isinstance(topology, dict) else {}
