"""Live progress on standard error: a display in a terminal, plain lines elsewhere.

Time left = traffic still to come, by the plan, plus the measured overhead of a run (building
sockets, idle probes, draining, collecting) for every run still to come. Virtual time is not that of
the clock on the wall: there it is what a second of traffic has cost so far, times what is to come.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Protocol

from sentinel_sim.experiment.observer import Outlook
from sentinel_sim.experiment.records import Record
from sentinel_sim.plan.model import RunSpec
from sentinel_sim.report.stalls import stalls_text
from sentinel_sim.report.status_line import Line

SECOND_NS = 1_000_000_000
FIRST_OVERHEAD_S = 2.0
"""Assumed until the first run has been timed."""


class TimeLeft(Protocol):
    """Estimates how long the rest takes (pure)."""

    def run_started(self, spec: RunSpec, outlook: Outlook, now_s: float) -> None:
        """A run begins."""
        ...

    def run_ended(self, now_s: float) -> None:
        """It ended."""
        ...

    def seconds(self, now_s: float) -> float | None:
        """Seconds left, this run included; never negative. None: nothing is known yet."""
        ...


class RealTimeLeft:
    """Estimates the rest from what earlier runs cost beyond their traffic (pure)."""

    def __init__(self) -> None:
        self._overhead_s = 0.0
        self._timed = 0
        self._outlook = Outlook(0, 0, 0)
        self._began_s = 0.0
        self._expected_s = 0.0

    def run_started(self, spec: RunSpec, outlook: Outlook, now_s: float) -> None:
        """A run begins."""
        self._outlook = outlook
        self._began_s = now_s
        self._expected_s = spec.expected_duration_ns / SECOND_NS

    def run_ended(self, now_s: float) -> None:
        """It ended; its overhead counts from now on."""
        self._overhead_s += max(0.0, now_s - self._began_s - self._expected_s)
        self._timed += 1

    def seconds(self, now_s: float) -> float:
        """Seconds left, this run included; never negative."""
        each = self._overhead_s / self._timed if self._timed else FIRST_OVERHEAD_S
        whole = self._outlook.remaining_traffic_ns / SECOND_NS + each * self._outlook.remaining
        return max(0.0, whole - (now_s - self._began_s))


class VirtualTimeLeft:
    """Estimates the rest from what a second of traffic cost so far (pure).

    The first run does not count: it may have compiled the engine.
    """

    def __init__(self) -> None:
        self._costs: list[tuple[float, float]] = []
        self._outlook = Outlook(0, 0, 0)
        self._began_s = 0.0
        self._traffic_s = 0.0

    def run_started(self, spec: RunSpec, outlook: Outlook, now_s: float) -> None:
        """A run begins."""
        self._outlook = outlook
        self._began_s = now_s
        self._traffic_s = spec.expected_duration_ns / SECOND_NS

    def run_ended(self, now_s: float) -> None:
        """It ended; its cost counts from now on."""
        self._costs.append((now_s - self._began_s, self._traffic_s))

    def seconds(self, now_s: float) -> float | None:
        """Seconds left, this run included; never negative. None: nothing is known yet."""
        known = self._costs[1:]
        traffic_s = sum(traffic for _, traffic in known)
        if traffic_s == 0:
            return None
        share = sum(cost for cost, _ in known) / traffic_s
        left_s = self._outlook.remaining_traffic_ns / SECOND_NS * share
        return max(0.0, left_s - (now_s - self._began_s))


def duration_text(seconds: float) -> str:
    """`7 s`, `3:05`, `1:02:03`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def run_text(spec: RunSpec) -> str:
    """`tuned at 20,000 km, loss 1 %, repeat 2`: repeats count from one for people."""
    where = "" if spec.distance_km is None else f" at {spec.distance_km:,.6g} km"
    others = "".join(
        f", {name} {value}" for name, value in spec.params.items() if name != "congestion_control"
    )
    return f"{spec.arm}{where}{others}, repeat {spec.repeat + 1}"


def outcome_text(record: Record) -> str:
    """What a finished run gave, in a few words."""
    if record["goodput_bps"] is None:
        return "; ".join(record["invalid_reasons"]) or "no goodput"
    rate = f"{record['goodput_bps'] / 1e6:,.1f} Mbit/s"
    if record["valid"]:
        return rate
    host = stalls_text(record["cpu"])
    return f"{rate}, INVALID: " + "; ".join(
        (*record["invalid_reasons"], *([f"({host})"] if host else []))
    )


class ProgressDisplay:
    """An `Observer` for people. Use as a context manager around the experiment.

    `line` makes the place where it is shown, from the first words: `partial(StatusLine, console)`.
    """

    def __init__(
        self,
        line: Callable[[str], Line],
        clock: Callable[[], float] = time.monotonic,
        *,
        real_time: bool = True,
    ) -> None:
        self._first_words = "building the network" if real_time else "simulating"
        self._last_words = "taking the network down" if real_time else "ending"
        self._line = line(self._first_words)
        self._clock = clock
        self._began_s = clock()
        self._done = 0
        self._left: TimeLeft = RealTimeLeft() if real_time else VirtualTimeLeft()

    def __enter__(self) -> ProgressDisplay:
        self._line.__enter__()
        if not self._line.is_live:
            self._line.say(self._first_words)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._line.__exit__(kind, error, trace)

    def note(self, text: str) -> None:
        """Say something that stays."""
        self._line.say(text)

    def opened(self, directory: Path, reused: int) -> None:
        """Say where results go."""
        taken = f"; {reused} finished runs are taken over" if reused else ""
        self._line.say(f"results: {directory}{taken}")

    def run_started(self, spec: RunSpec, outlook: Outlook) -> None:
        """Show which run it is and what is left."""
        now_s = self._clock()
        self._left.run_started(spec, outlook, now_s)
        total = outlook.done + outlook.remaining
        self._done = outlook.done
        count = f"run {outlook.done + 1} of {total}"
        if self._line.is_live:
            self._line.show(
                run_text(spec),
                done=outlook.done,
                total=total,
                count=count,
                times=self._times(now_s),
            )
        else:
            self._line.say(f"{count}: {run_text(spec)} ({self._times(now_s)})")

    def phase(self, name: str, traffic_s: float) -> None:
        """Show the phase; in plain output it would only be noise."""
        traffic = f" {traffic_s:.0f} s" if traffic_s > 0 else ""
        self._line.show(times=f"{name}{traffic} · {self._times(self._clock())}")

    def run_failed(self, spec: RunSpec, error: str, *, retry: bool) -> None:
        """Say that an attempt failed."""
        then = "trying once more" if retry else "giving this run up"
        self._line.say(f"{run_text(spec)} failed: {error}; {then}")

    def run_ended(self, spec: RunSpec, record: Record) -> None:
        """Say what the run gave."""
        self._left.run_ended(self._clock())
        self._line.show(done=self._done + 1)
        self._line.say(f"{run_text(spec)}: {outcome_text(record)}")

    def progressed(self, outlook: Outlook) -> None:
        """Here one run is made at a time: `run_started` told as much."""

    def run_repeated(self, spec: RunSpec, record: Record) -> None:
        """Say that a disturbed run is made again."""
        attempt = len(record["discarded_attempts"]) + 2
        self._line.say(f"{run_text(spec)}: the host disturbed it, attempt {attempt}")

    def interrupted(self, signal_name: str, *, again: bool) -> None:
        """Say that the signal was heard."""
        if again:
            self._line.say(f"{signal_name}: already {self._last_words}, please wait")
        else:
            self._line.say(f"{signal_name}: {self._last_words}")

    def _times(self, now_s: float) -> str:
        elapsed = duration_text(now_s - self._began_s)
        left_s = self._left.seconds(now_s)
        left = "" if left_s is None else f", left about {duration_text(left_s)}"
        return f"elapsed {elapsed}{left}"
