"""The campaign for people: progress with time left, and what was found."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from sentinel_sim.campaign.document import injected
from sentinel_sim.campaign.record import RoundRecord
from sentinel_sim.report.progress import duration_text
from sentinel_sim.report.status_line import StatusLine

FIRST_GUESS_S = 0.9
"""A fault takes so long on the whole, before any was timed."""


class CampaignProgress:
    """Shows rounds on standard error; a context manager."""

    def __init__(
        self, console: Console, faults: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._line = StatusLine(console, "building the network")
        self._faults = faults
        self._clock = clock
        self._began_s = clock()

    def __enter__(self) -> Self:
        self._line.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._line.__exit__(kind, error, trace)

    def built(self) -> None:
        """Show that it begins."""
        self._began_s = self._clock()
        self._show(0)
        if not self._line.is_live:
            left = duration_text(self._faults * FIRST_GUESS_S)
            self._line.say(f"the network stands; {self._faults} faults, about {left}")

    def round_ended(self, record: RoundRecord, struck: int) -> None:
        """What it gave, and what is left."""
        self._show(struck)
        done = sum(one.complete for one in record.outcomes)
        bad = [f"{one.name}: {text}" for one in record.outcomes for text in one.problems]
        self._line.say(
            f"{struck} of {self._faults} faults: round of {injected([record])} in"
            f" {record.seconds:.1f} s, {done} of {len(record.outcomes)} transfers complete,"
            f" {'no problem' if not bad else 'PROBLEMS'}; {self._times(struck)}"
        )
        for text in bad:
            self._line.say(f"  {text}")

    def interrupted(self, signal_name: str, *, again: bool) -> None:
        """Say that the signal was heard."""
        words = "already taking" if again else "taking"
        self._line.say(f"{signal_name}: {words} the network down")

    def _times(self, struck: int) -> str:
        elapsed_s = self._clock() - self._began_s
        each_s = elapsed_s / struck if struck else FIRST_GUESS_S
        left = duration_text(max(0, self._faults - struck) * each_s)
        return f"elapsed {duration_text(elapsed_s)}, left about {left}"

    def _show(self, struck: int) -> None:
        count = f"{struck} of {self._faults} faults"
        self._line.show(
            "campaign", done=struck, total=self._faults, count=count, times=self._times(struck)
        )


def tables_of(found: Mapping[str, Any]) -> RenderableType:
    """What a person reads of the document."""
    parts: list[RenderableType] = [_faults(found), _repairs(found), _verdict(found)]
    if found["flow_again"]:
        parts.insert(2, _flow_again(found))
    parts += [Text(f"PROBLEM: {text}", style="red") for text in found["problems"]]
    parts += [Text(f"failed: {text}") for text in found["transfers"]["failed_otherwise"]]
    return Group(*parts)


def _faults(found: Mapping[str, Any]) -> Table:
    table = Table(title="faults that struck", title_justify="left")
    kinds = sorted({row["kind"] for row in found["faults"]["by_kind"]})
    targets = list(dict.fromkeys(row["target"] for row in found["faults"]["by_kind"]))
    counts = {(row["kind"], row["target"]): row["n"] for row in found["faults"]["by_kind"]}
    table.add_column("kind")
    for target in sorted(targets):
        table.add_column(target, justify="right")
    table.add_column("all", justify="right")
    for kind in kinds:
        row = [counts.get((kind, target), 0) for target in sorted(targets)]
        table.add_row(kind, *(str(n) if n else "–" for n in row), str(sum(row)))
    return table


def _repairs(found: Mapping[str, Any]) -> Table:
    table = Table(title="what the supervisor saw and mended", title_justify="left")
    for heading in ("incident", "n", "repaired", "detect ms\np50", "p99", "repair ms\np50", "p99"):
        table.add_column(heading, justify="left" if heading == "incident" else "right")
    for row in found["repairs"]:
        times = (row[key][name] for key in ("detect_s", "repair_s") for name in ("p50", "p99"))
        table.add_row(
            row["incident"],
            str(row["n"]),
            str(row["repaired"]),
            *(f"{t * 1e3:,.0f}" for t in times),
        )
    return table


def _flow_again(found: Mapping[str, Any]) -> Table:
    table = Table(title="data on the receiver's disk again after", title_justify="left")
    for heading in ("kind", "n", "p50 ms", "p99 ms"):
        table.add_column(heading, justify="left" if heading == "kind" else "right")
    for row in found["flow_again"]:
        times = (f"{row[key] * 1e3:,.0f}" for key in ("p50_s", "p99_s"))
        table.add_row(row["kind"], str(row["n"]), *times)
    return table


def _verdict(found: Mapping[str, Any]) -> Text:
    transfers, counts = found["transfers"], found["bytes"]
    return Text(
        f"{transfers['n']} transfers ({transfers['from_pipes']} from pipes):"
        f" {transfers['complete']} complete with the right hash,"
        f" {transfers['failed_pipe_lost_with_sender']} failed as their pipe died with the sender,"
        f" {len(transfers['failed_otherwise'])} failed otherwise, {transfers['wrong']} wrong\n"
        f"{counts['confirmed']:,} bytes confirmed to us,"
        f" {counts['confirmed_and_lost']:,} of them lost;"
        f" {counts['replayed']:,} sent again in {counts['resumptions']} resumptions,"
        f" {counts['duplicate']:,} came twice and were passed over"
        " (as far as the daemons lived to tell)"
    )


def where(directory: Path) -> Text:
    """Where all of it stands."""
    return Text(f"result: {directory}")
