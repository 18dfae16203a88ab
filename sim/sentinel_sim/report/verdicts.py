"""The verdict table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sentinel_sim.evidence.verdict import Headline, headlines

STYLES = {"holds": "bold green", "fails": "bold red", "undecided": "yellow"}
Verdicts = Sequence[Mapping[str, Any]]


def judged(verdicts: Verdicts) -> list[Headline]:
    """Claims about which this result has a figure, in the order of the registry."""
    found = headlines([dict(one) for one in verdicts])
    return [one for one in found if any(part["figure"] is not None for part in one.parts)]


def table_of(verdicts: Verdicts) -> RenderableType:
    """One row per judged part; the claim's own verdict on its first row."""
    if not verdicts:
        return Text("no verdicts: this result was written by an older version")
    table = Table(title_justify="left", pad_edge=False)
    for heading in ("claim", "verdict", "arm", "what", "figure [99 % each side]", "bound", "n"):
        table.add_column(heading, justify="right" if heading == "n" else "left")
    shown = judged(verdicts)
    for one in shown:
        _add(table, one)
    rest = len(headlines([])) - len(shown)
    lines = [f"{rest} of 30 claims have no figure in this result; `report` writes out why"]
    return Group(*([table] if shown else []), *map(Text, [*_speakers(shown), *lines]))


def _add(table: Table, one: Headline) -> None:
    name = one.claim.id
    for part in one.parts:
        if part["figure"] is None:
            continue
        what = ", ".join(filter(None, (part["part"], part["condition"])))
        verdict = Text(part["verdict"], STYLES[part["verdict"]])
        arm = part["arm"] or ""
        table.add_row(name, verdict, arm, what, part["text"], part["bound"], str(part["n"]))
        name = ""


def _speakers(shown: Sequence[Headline]) -> list[str]:
    """Each claim as a whole: in words, for it may be another arm's than the row above."""
    return [
        f"{one.claim.id}: {one.verdict}" + (f" (arm {one.arm})" if one.arm else f": {one.why}")
        for one in shown
    ]
