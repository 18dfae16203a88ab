"""`Result`: what a result directory holds, as tables and figures; `load` reads one."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Mapping
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from sentinel_sim.api import frames, notebook, timeseries
from sentinel_sim.api.words import cures_in_python
from sentinel_sim.errors import ResultError
from sentinel_sim.experiment import rawlog, salvage
from sentinel_sim.experiment.salvage import Salvaged

if TYPE_CHECKING:
    from sentinel_sim.api.plotting import Plots


def load(directory: str | PathLike[str]) -> Result:
    """Read a result directory, or a `result.json`; nothing is written.

    What is damaged or of another version is shown as far as it can be read, with a warning
    (`Result.problems`). Raises ResultError where nothing can be read.
    """
    place = Path(directory)
    with cures_in_python():
        found = salvage.read(place)
    if found.problems:
        warnings.warn("; ".join(found.problems), stacklevel=2)
    return Result(found, place if place.is_dir() else place.parent)


class Result:
    """One experiment: its runs, their means, and what they say of each claim.

    `document` is `result.json` as plain data, `directory` where it lies.
    """

    def __init__(self, found: Salvaged, directory: Path) -> None:
        self.document: dict[str, Any] = found.result
        self.problems = found.problems
        """Why the result is not whole; empty: it is."""
        self.directory = directory

    @property
    def name(self) -> str:
        """Of the topology."""
        return str(self.document["name"])

    @property
    def backend(self) -> str:
        """`emulated` or `simulated`."""
        return str(self.document["backend"])

    @property
    def valid(self) -> bool:
        """The experiment finished and every run of it is valid."""
        return bool(self.document["valid"])

    @property
    def invalid_reasons(self) -> list[str]:
        """Why it is not; each run says more under `invalid_reasons` in `runs`."""
        return list(self.document["invalid_reasons"])

    @property
    def environment(self) -> dict[str, Any]:
        """Kernel, wires, offloads, versions, commit, date, command."""
        return dict(self.document["environment"])

    @cached_property
    def runs(self) -> pd.DataFrame:
        """Every run, invalid ones too; columns: `frames.RUN_COLUMNS`."""
        return frames.runs(self.document)

    def summary(self) -> pd.DataFrame:
        """Means of the valid runs with 95 % intervals; columns: `frames.SUMMARY_COLUMNS`."""
        return frames.summary(self.document)

    def verdicts(self) -> pd.DataFrame:
        """What the result says of each claim; columns: `frames.VERDICT_COLUMNS`."""
        return frames.verdicts(self.document)

    def timeseries(
        self, run: str | int, what: str = "goodput", *, interval_s: float | None = None
    ) -> pd.DataFrame:
        """One run over time, from its raw log; columns: `timeseries.WHATS[what]`.

        `run` is a key of `runs`, or a position in it. `what`: `goodput`, `sent`, `delivered`,
        `confirmed`, `exposure`, `tcp`. `interval_s` is the width of the intervals of `goodput` and
        `exposure`; else a 120th of the run. Raises ResultError.
        """
        with cures_in_python():
            key = self._key(run)
            path = rawlog.raw_path(self.directory, key)
            if not path.exists():
                raise ResultError(
                    f"{path}: no such file: this result came without the raw log of the run {key}",
                    cure="run the experiment again, or ask for the whole result directory",
                )
            measured = rawlog.read_measurement(path)
            if measured is None or not measured.flows:
                raise ResultError(f"{path}: every attempt at the run {key} failed")
            return timeseries.frame_of(measured, what, interval_s)

    @cached_property
    def plot(self) -> Plots:
        """The figures of report.html, as plotly figures."""
        # Imported late: plotly takes most of a second.
        from sentinel_sim.api.plotting import Plots

        return Plots(self.document, self.directory)

    def report(self) -> Path:
        """Write `report.html` into the directory; gives its path. Raises ResultError."""
        from sentinel_sim.report.html.writing import write_report  # late, as above

        with cures_in_python():
            return write_report(self.directory, Salvaged(self.document, self.problems))

    def _key(self, run: str | int) -> str:
        keys = [str(one["key"]) for one in self.document["runs"]]
        if isinstance(run, str):
            if run in keys:
                return run
            near = difflib.get_close_matches(run, keys, 1)
            raise ResultError(
                f"no run is named {run!r}" + (f"; did you mean {near[0]!r}?" if near else ""),
                cure="the names are in the column `key` of Result.runs",
            )
        try:
            return keys[run]
        except (IndexError, TypeError) as error:
            raise ResultError(
                f"no run has the position {run!r}: there are {len(keys)} runs",
                cure="a position in Result.runs, or a name from its column `key`",
            ) from error

    def __repr__(self) -> str:
        said = "valid" if self.valid else "NOT VALID"
        runs = len(self.document["runs"])
        return f"<Result {self.name}, {self.backend}, {runs} runs, {said}: {self.directory}>"

    def _repr_html_(self) -> str:
        document: Mapping[str, Any] = self.document
        return notebook.html_of(document, self.problems, self.summary(), self.directory)
