"""How far simulation and emulation agree, as a table: one row per arm and point of the sweep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

ABSENT = "–"
WORDS = {True: "agrees", False: "DISAGREES", None: "undecided"}
HEADINGS = ("km", "other keys", "runs", "ratio", "95 %", "limit", "steady", "bytes(t)", "own", "")


def agreement_table(agreement: Mapping[str, Any]) -> RenderableType:
    """The table, and below it what its columns mean and what could not be compared."""
    table = Table(title="simulated / emulated", title_justify="left", pad_edge=False)
    table.add_column("arm")
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading in ("other keys", "") else "right")
    for group in agreement["groups"]:
        table.add_row(*cells_of(group), style=None if group["agrees"] else "yellow")
    return Group(table, *(Text(line) for line in notes_of(agreement)))


def cells_of(group: Mapping[str, Any]) -> tuple[str, ...]:
    """One row, in words."""
    delivered = group["delivered"] or {}
    interval = group["goodput_ratio_ci95"]
    params = [f"{k} {v}" for k, v in group["params"].items() if k != "congestion_control"]
    return (
        group["arm"],
        ABSENT if group["distance_km"] is None else f"{group['distance_km']:,.6g}",
        ", ".join(params),
        f"{group['n_simulated']}/{group['n_emulated']}",
        _ratio(group["goodput_ratio"]),
        ABSENT if interval is None else f"{_bound(interval[0])} to {_bound(interval[1])}",
        f"±{group['limit_share']:.0%}",
        _ratio(group["steady_ratio"]),
        _share(delivered.get("mean_share")),
        _share(delivered.get("own_spread_share")),
        WORDS[group["agrees"]],
    )


def notes_of(agreement: Mapping[str, Any]) -> list[str]:
    """What a reader of the table must know."""
    notes = [
        f"agreement: {agreement['rule']}",
        "steady: the same ratio of the steady goodput; bytes(t): mean distance of the curves of"
        " delivered bytes over time, as a share of all bytes; own: that among the emulated runs",
    ]
    for side in ("emulated", "simulated"):
        arms = agreement[f"only_{side}"]
        if arms:
            why = "; ".join(
                f"{arm}: {reason}" for arm, reason in agreement.get("not_simulated", {}).items()
            )
            words = f" ({why})" if why and side == "emulated" else ""
            notes.append(f"only {side}, not compared: {', '.join(arms)}{words}")
    counts = agreement["disagreeing"], agreement["undecided"]
    if any(counts):
        notes.append(f"{counts[0]} disagree, {counts[1]} are undecided for want of valid runs")
    return notes


def _ratio(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.3f}"


def _bound(value: float) -> str:
    return f"{value:.3f}" if 0.001 <= value < 1000 else f"{value:.1e}"


def _share(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.1%}"
