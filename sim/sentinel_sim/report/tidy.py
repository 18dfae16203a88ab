"""Runs as a tidy table: a row for each run, a column for each variable, units in the names (pure).

(Wickham, Tidy data, Journal of Statistical Software 59, 2014.) What may differ between equal runs
(`cpu`, `environment`) is left out, so that equal experiments give equal tables. Losses and other
shares are numbers from 0 to 1; a swept quantity is in base units where the file gives it with one,
and else (`1 bdp`, `max(8 s, 60 rtt)`) the text as written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sentinel_sim.plan.model import ParamValue
from sentinel_sim.topology.units import UnitError, parse_rate, parse_time

Value = str | int | float | bool | None
Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """A name with its unit, the type of its values, and the values in the order of the rows."""

    name: str
    kind: type[str] | type[int] | type[float] | type[bool]
    values: tuple[Value, ...]


_IDENTITY: tuple[tuple[str, type[Any], str], ...] = (
    ("arm", str, "arm"),
    ("key", str, "key"),
    ("distance_km", float, "distance_km"),
    ("repeat", int, "repeat"),
    ("seed", int, "seed"),
    ("valid", bool, "valid"),
)
_FIGURES: tuple[tuple[str, type[Any], str], ...] = (
    ("goodput_bps", float, "goodput_bps"),
    ("steady_goodput_bps", float, "steady_goodput_bps"),
    ("theory_goodput_bps", float, "theory.goodput_bps"),
    ("confirmed_bps", float, "confirmed_bps"),
    ("confirm_latency_p50_s", float, "confirm_latency_s.p50"),
    ("confirm_latency_p99_s", float, "confirm_latency_s.p99"),
    ("delivered_latency_p50_s", float, "delivered_latency_s.p50"),
    ("delivered_latency_p99_s", float, "delivered_latency_s.p99"),
    ("latency_resolution_s", float, "latency_resolution_s"),
    ("time_to_first_byte_s", float, "time_to_first_byte_s"),
    ("startup_s", float, "startup_s"),
    ("delivered_100_kB_after_s", float, "delivered_after_s.100 kB"),
    ("delivered_1_MB_after_s", float, "delivered_after_s.1 MB"),
    ("delivered_10_MB_after_s", float, "delivered_after_s.10 MB"),
    ("delivered_100_MB_after_s", float, "delivered_after_s.100 MB"),
    ("completion_s", float, "completion_s"),
    ("sent_bytes", int, "bytes_sent"),
    ("delivered_bytes", int, "bytes_delivered"),
    ("retransmitted_bytes", int, "retransmitted_bytes"),
    ("exposure_max_bytes", int, "exposure_bytes_max"),
    ("sha256_ok", bool, "sha256_ok"),
    ("requested_rtt_s", float, "requested.rtt_s"),
    ("requested_rate_bps", int, "requested.rate_bps"),
    ("requested_loss_share", float, "requested.loss"),
    ("achieved_rtt_idle_s", float, "achieved.rtt_s.idle"),
    ("achieved_rtt_loaded_p50_s", float, "achieved.rtt_s.loaded_p50"),
    ("achieved_rate_bps", float, "achieved.rate_bps"),
    ("achieved_loss_share", float, "achieved.loss"),
    ("lateness_p50_s", float, "achieved.lateness_s.p50"),
    ("lateness_p99_s", float, "achieved.lateness_s.p99"),
    ("lead_time_p50_s", float, "lead_time_s.p50"),
    ("control_bytes_per_data_byte", float, "control_bytes_per_data_byte"),
    ("phase_error_p50_s", float, "sync.phase_error_s.p50"),
    ("phase_error_p99_s", float, "sync.phase_error_s.p99"),
    ("fsu_mase", float, "fsu.mase"),
    ("fsu_error_share", float, "fsu.error_share"),
)
_QUANTITIES: Mapping[str, tuple[str, Callable[[ParamValue], int | float]]] = {
    "rate": ("_bps", parse_rate),
    "delay_one_way": ("_s", lambda value: parse_time(value) / 1e9),
    "jitter": ("_s", lambda value: parse_time(value) / 1e9),
    "loss": ("_share", lambda value: value if isinstance(value, float) else float(value)),
    "mtu": ("_bytes", int),
    "cost": ("", int),
}
"""By a swept key's last word: the unit in the column's name, and how to read a value."""


def columns_of(results: Sequence[Mapping[str, Any]]) -> list[Column]:
    """All runs of these results, in their order, one below the other."""
    runs = [run for result in results for run in result["runs"]]
    origin = [result for result in results for _ in result["runs"]]
    return [
        Column("experiment", str, tuple(str(one["name"]) for one in origin)),
        Column("backend", str, tuple(str(one["backend"]) for one in origin)),
        *(_column(runs, *one) for one in _IDENTITY),
        Column("invalid_reasons", str, tuple("; ".join(run["invalid_reasons"]) for run in runs)),
        *(_param(runs, key) for key in sorted({key for run in runs for key in run["params"]})),
        *(_column(runs, *one) for one in _FIGURES),
    ]


def _column(runs: Sequence[Record], name: str, kind: type[Any], place: str) -> Column:
    words = place.split(".")
    found = (_at(run, words) for run in runs)
    return Column(name, kind, tuple(None if value is None else kind(value) for value in found))


def _at(run: Any, words: Sequence[str]) -> Value:  # noqa: ANN401  any JSON value
    for word in words:
        run = run.get(word) if run is not None else None
    found: Value = run
    return found


def _param(runs: Sequence[Record], key: str) -> Column:
    """A swept key: `param_links_0_loss_share`; a number if all of its values are."""
    unit, read = _QUANTITIES.get(key.rpartition(".")[2], ("", None))
    raw = [run["params"].get(key) for run in runs]
    name = "param_" + key.replace(".", "_")
    if read is not None:
        try:
            values = tuple(None if value is None else read(value) for value in raw)
        except (UnitError, ValueError):
            return Column(name, str, _texts(raw))
        return Column(name + unit, _kind(values), values)
    kind = _kind(raw)
    return Column(name, kind, _texts(raw) if kind is str else tuple(raw))


def _texts(values: Sequence[Value]) -> tuple[Value, ...]:
    return tuple(None if value is None else str(value) for value in values)


def _kind(values: Sequence[Value]) -> type[str] | type[int] | type[float]:
    known = {type(value) for value in values if value is not None}
    if known <= {int}:
        return int
    return float if known <= {int, float} else str
