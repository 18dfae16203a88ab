"""Inside Jupyter: a progress bar that needs no widgets, and a result as HTML."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import pandas as pd
from markupsafe import Markup, escape

from sentinel_sim.report.verdicts import judged

MARKS = {"holds": "✓", "fails": "✗", "undecided": "?"}
Show = Mapping[str, str]


class Handle(Protocol):
    """What IPython gives for something displayed."""

    def update(self, obj: object) -> None:
        """Show this in its place."""
        ...


def is_notebook() -> bool:
    """Whether this process is a Jupyter kernel; IPython is never imported to find out."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and "IPKernelApp" in shell.config


class Html:
    """Something that shows as this HTML."""

    def __init__(self, html: str) -> None:
        self._html = html

    def _repr_html_(self) -> str:
        return self._html


def _displayed(shown: Html) -> Handle:
    display: Any = importlib.import_module("IPython.display").display  # only a kernel gets here
    handle: Handle = display(shown, display_id=True)
    return handle


class NotebookLine:
    """A `status_line.Line` in a cell's output: a bar, and below it what was said, folded away."""

    is_live = True

    def __init__(self, first: str) -> None:
        self._description = first
        self._done = 0
        self._total: int | None = None
        self._count = ""
        self._times = ""
        self._said: list[str] = []
        self._handle: Handle | None = None

    def __enter__(self) -> Self:
        self._handle = _displayed(Html(self.html()))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        stopped = kind is not None or self._done != self._total
        self.show("stopped" if stopped else "done", times="")

    def show(
        self,
        description: str | None = None,
        *,
        done: int | None = None,
        total: int | None = None,
        count: str | None = None,
        times: str | None = None,
    ) -> None:
        """Change what is shown; None leaves it as it is."""
        self._description = self._description if description is None else description
        self._done = self._done if done is None else done
        self._total = self._total if total is None else total
        self._count = self._count if count is None else count
        self._times = self._times if times is None else times
        if self._handle is not None:
            self._handle.update(Html(self.html()))

    def say(self, text: str) -> None:
        """Add a line to what was said."""
        self._said.append(text)
        self.show()

    def html(self) -> str:
        """As it stands."""
        bar = Markup("<progress></progress>")
        if self._total is not None:
            bar = Markup('<progress value="{}" max="{}"></progress>').format(
                self._done, self._total
            )
        words = " · ".join(filter(None, (self._description, self._count, self._times)))
        return Markup("<details><summary>{} {}</summary><pre>{}</pre></details>").format(
            bar, words, "\n".join(self._said)
        )


def html_of(
    document: Mapping[str, Any], problems: Sequence[str], summary: pd.DataFrame, directory: Path
) -> str:
    """A result: what it is, its means, its verdicts, and where it lies."""
    said = "valid" if document["valid"] else "NOT VALID: " + "; ".join(document["invalid_reasons"])
    environment = document["environment"]
    when = environment.get("started_utc", "")
    parts = [
        Markup("<p><b>{}</b> · {} · {} runs · {}</p>").format(
            document["name"],
            " ".join(filter(None, (document["backend"], environment.get("kernel"), when))),
            len(document["runs"]),
            said,
        ),
        *(Markup("<p><b>damaged:</b> {}</p>").format(problem) for problem in problems),
        Markup(
            _mbit(summary).to_html(index=False, border=0, na_rep="–", float_format="{:,.5g}".format)
        ),
        _verdicts(document["verdicts"]),
        Markup("<p><small>{}</small></p>").format(directory),
    ]
    return str(Markup("\n").join(parts))


def _mbit(summary: pd.DataFrame) -> pd.DataFrame:
    """For the eye: without the columns that say the same in all rows, rates in Mbit/s."""
    shown = summary.copy()
    for name in [one for one in summary.columns if one.endswith("_bps")]:
        shown[name] = summary[name] / 1e6
    shown = shown.rename(columns=lambda name: name.replace("_bps", ", Mbit/s").replace("_", " "))
    return shown.dropna(axis="columns", how="all")


def _verdicts(verdicts: Sequence[Mapping[str, Any]]) -> Markup:
    found = judged(verdicts)
    if not found:
        return Markup("<p>no claim has a figure in this result</p>")
    rows = [
        Markup("<tr><td>{}</td><td>{} {}</td><td>{}</td><td>{}</td></tr>").format(
            one.claim.id, MARKS[one.verdict], one.verdict, one.arm or "", one.why
        )
        for one in found
    ]
    head = Markup("<tr><th>claim</th><th>verdict</th><th>arm</th><th>why</th></tr>")
    return Markup("<table>{}{}</table>").format(head, escape(Markup("").join(rows)))
