"""Live progress of runs that are made several at a time: how many are done, what time is left.

Time left is what a second of simulated traffic has cost so far on the clock on the wall, all
workers together, times the traffic still to come.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from rich.console import Console

from sentinel_sim.experiment.observer import Outlook
from sentinel_sim.experiment.records import Record
from sentinel_sim.plan.model import RunSpec
from sentinel_sim.report.progress import duration_text, outcome_text, run_text
from sentinel_sim.report.status_line import StatusLine

SAY_EVERY_S = 10.0
"""Without a terminal, where a bar cannot be drawn anew."""
INVALID_SAID = 5
"""Invalid runs told one by one; all stand in the result."""


class SweepProgress:
    """An `Observer` for people. Use as a context manager around the sweep."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._line = StatusLine(console, "starting the workers")
        self._clock = clock
        self._began_s = self._said_s = clock()
        self._first: tuple[float, Outlook] | None = None
        self._invalid = 0

    def __enter__(self) -> SweepProgress:
        self._line.__enter__()
        if not self._line.is_live:
            self._line.say("starting the workers")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._line.__exit__(kind, error, trace)

    def opened(self, directory: Path, reused: int) -> None:
        """Say where results go."""
        taken = f"; {reused} finished runs are taken over" if reused else ""
        self._line.say(f"results: {directory}{taken}")

    def progressed(self, outlook: Outlook) -> None:
        """Show how far it is: always in a terminal, now and then elsewhere."""
        now_s = self._clock()
        if self._first is None:
            self._first = (now_s, outlook)
        total = outlook.done + outlook.remaining
        invalid = f", {self._invalid} invalid" if self._invalid else ""
        count = f"{outlook.done:,} of {total:,} runs{invalid}"
        self._line.show(
            "simulating", done=outlook.done, total=total, count=count, times=self._times(outlook)
        )
        last = outlook.remaining == 0
        if not self._line.is_live and (last or now_s - self._said_s >= SAY_EVERY_S):
            self._said_s = now_s
            self._line.say(f"{count} ({self._times(outlook)})")

    def seconds_left(self, outlook: Outlook) -> float | None:
        """None: no run has ended yet, so nothing is known."""
        if self._first is None:
            return None
        began_s, first = self._first
        done_ns = first.remaining_traffic_ns - outlook.remaining_traffic_ns
        if done_ns <= 0:
            return None
        return (self._clock() - began_s) * outlook.remaining_traffic_ns / done_ns

    def _times(self, outlook: Outlook) -> str:
        elapsed = duration_text(self._clock() - self._began_s)
        left_s = self.seconds_left(outlook)
        left = "" if left_s is None else f", left about {duration_text(left_s)}"
        return f"elapsed {elapsed}{left}"

    def run_ended(self, spec: RunSpec, record: Record) -> None:
        """Say what a run gave only if it is invalid: there may be thousands."""
        if not record["valid"]:
            self._invalid += 1
        if not record["valid"] and self._invalid <= INVALID_SAID:
            self._line.say(f"{run_text(spec)}: {outcome_text(record)}")

    def interrupted(self, signal_name: str, *, again: bool) -> None:
        """Say that the signal was heard."""
        then = "already ending, please wait" if again else "ending the workers"
        self._line.say(f"{signal_name}: {then}")

    def run_started(self, spec: RunSpec, outlook: Outlook) -> None:
        """Workers start runs: nobody here sees it."""

    def phase(self, name: str, traffic_s: float) -> None:
        """As `run_started`."""

    def run_failed(self, spec: RunSpec, error: str, *, retry: bool) -> None:
        """A simulated run either succeeds or ends the sweep."""

    def run_repeated(self, spec: RunSpec, record: Record) -> None:
        """A simulated run is never made again."""
