"""What a plot shows, decided once for the terminal and the files (pure).

The x axis is the swept quantity: distance if it was swept, else the base RTT, the transfer size,
the loss or the rate, whichever varies. What varies besides makes lines of its own.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Record = Mapping[str, Any]
LOG_SPREAD = 8.0
"""A y axis that spans more than this factor is logarithmic."""


METRICS = {"goodput_bps": "goodput", "steady_goodput_bps": "steady goodput"}


@dataclass(frozen=True, slots=True)
class Quantity:
    """A candidate for the x axis."""

    label: str
    value: Callable[[Record], float | None]
    params: frozenset[str] = frozenset()
    """Parameters that it stands for: they make no lines of their own."""


def _scaled(value: float | int | None, factor: float) -> float | None:
    return None if value is None else value * factor


LENGTHS = frozenset({"distance_km", "delay_one_way"})
QUANTITIES: tuple[Quantity, ...] = (
    Quantity("distance, km", lambda run: run["distance_km"], LENGTHS),
    Quantity("base RTT, ms", lambda run: _scaled(run["requested"]["rtt_s"], 1e3), LENGTHS),
    Quantity(
        "transfer size, MB",
        lambda run: _scaled(run["params"].get("size_bytes"), 1e-6),
        frozenset({"size_bytes", "size"}),
    ),
    Quantity("loss, %", lambda run: _scaled(run["requested"]["loss"], 100.0), frozenset({"loss"})),
    Quantity(
        "rate, Mbit/s", lambda run: _scaled(run["requested"]["rate_bps"], 1e-6), frozenset({"rate"})
    ),
)
DISTANCE, BASE_RTT = QUANTITIES[0], QUANTITIES[1]


@dataclass(frozen=True, slots=True)
class Point:
    """One mean; `low` and `high` are the ends of its 95 % interval, equal to it without one."""

    x: float
    mean_bps: float
    low_bps: float
    high_bps: float
    n: int


@dataclass(frozen=True, slots=True)
class Line:
    """One arm, and one value of whatever else varies."""

    arm: str
    label: str
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """Throughput against the swept quantity."""

    title: str
    x_label: str
    y_label: str
    log_x: bool
    log_y: bool
    lines: tuple[Line, ...]
    theory: tuple[tuple[float, float], ...]
    """(x, theoretical goodput): the cap; the lowest where runs at one x differ."""

    @property
    def empty(self) -> bool:
        """True if no valid run has a mean to show."""
        return not any(line.points for line in self.lines)


def x_quantity(runs: Sequence[Record]) -> Quantity:
    """What belongs on the x axis of these runs."""
    for quantity in QUANTITIES:
        values = {quantity.value(run) for run in runs}
        if None not in values and len(values) > 1:
            return quantity
    return DISTANCE if runs and runs[0]["distance_km"] is not None else BASE_RTT


def varying_params(runs: Sequence[Record], quantity: Quantity) -> list[str]:
    """Names of the parameters that make lines of their own."""
    # A dotted key (links.0.loss) stands for the same quantity as its last word.
    names = sorted(
        name
        for name in {name for run in runs for name in run["params"]}
        if name.rpartition(".")[2] not in quantity.params
    )
    return [
        name for name in names if len({json.dumps(run["params"].get(name)) for run in runs}) > 1
    ]


def chart_of(result: Mapping[str, Any], metric: str = "goodput_bps") -> Chart:
    """The chart of a result; means and intervals are those of its summary."""
    runs = result["runs"]
    quantity = x_quantity(runs)
    names = varying_params(runs, quantity)
    example = {_group(run): run for run in runs}
    lines: dict[tuple[str, str], list[Point]] = {}
    theory: dict[float, float] = {}
    for summary in result["summary"]:
        run = example[_group(summary)]
        x = quantity.value(run)
        if x is None:
            continue
        cap = run["theory"]["goodput_bps"]
        theory[x] = min(cap, theory.get(x, cap))
        label = ", ".join([run["arm"], *(f"{name} {run['params'].get(name)}" for name in names)])
        points = lines.setdefault((run["arm"], label), [])
        points.extend(_points(x, summary[metric]))
    xs = sorted(theory)
    return Chart(
        title=title_of(result),
        x_label=quantity.label,
        y_label=f"{METRICS[metric]}, Mbit/s (mean, 95 % interval)",
        log_x=len(xs) > 1 and xs[0] > 0,
        log_y=_log_y(point for found in lines.values() for point in found),
        lines=tuple(
            Line(arm, label, tuple(sorted(found, key=lambda point: point.x)))
            for (arm, label), found in sorted(lines.items(), key=_line_order)
        ),
        theory=tuple((x, theory[x]) for x in xs),
    )


ARM_ORDER = ("direct", "tuned", "split", "fsu")


def arm_rank(arm: str) -> int:
    """Arms in the order of the design, unknown ones last."""
    return ARM_ORDER.index(arm) if arm in ARM_ORDER else len(ARM_ORDER)


def _line_order(item: tuple[tuple[str, str], list[Point]]) -> tuple[int, str]:
    (arm, label), _ = item
    return arm_rank(arm), label


def title_of(result: Mapping[str, Any]) -> str:
    """Name, backend and what it ran on in one line; says so if the result is not valid."""
    environment = result["environment"]
    parts = [result["name"], *_made_by(result["backend"], environment)]
    if not result["valid"]:
        parts.append("NOT VALID: " + "; ".join(result.get("invalid_reasons", ())))
    return " · ".join(parts)


def _made_by(backend: str, environment: Record) -> list[str]:
    """A simulation depends on the version of the engine, not on the kernel of its host."""
    if backend == "simulated":
        engine = environment.get("simulator", {}).get("engine_sha256")
        return [backend, *([f"engine {engine[:8]}"] if engine else [])]
    wire = environment.get("wire_backend")
    kernel = f"Linux {environment.get('kernel', 'unknown')}"
    return [backend + (f" ({wire})" if wire else ""), kernel]


def _group(entry: Mapping[str, Any]) -> tuple[str, float | None, str]:
    return entry["arm"], entry["distance_km"], json.dumps(entry["params"], sort_keys=True)


def _points(x: float, estimate: Mapping[str, Any]) -> list[Point]:
    mean = estimate["mean"]
    if mean is None:
        return []
    low, high = estimate["ci95"] or (mean, mean)
    return [Point(x, mean, max(0.0, low), high, estimate["n"])]


def _log_y(points: Iterable[Point]) -> bool:
    means = [point.mean_bps for point in points]
    return bool(means) and min(means) > 0 and max(means) / min(means) > LOG_SPREAD


def median(values: Iterable[float | None]) -> float | None:
    """Median of what is known; None if nothing is."""
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
