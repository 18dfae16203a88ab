"""A result's runs, means and verdicts as tidy DataFrames (pure).

Names end in their unit: `_s` seconds, `_bps` bits per second, `_bytes`, `_km`, `_fraction` of one.
What does not apply or was not measured is missing (NaN, <NA>), never zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from sentinel_sim.report.chart import arm_rank

Row = Mapping[str, Any]
Columns = Mapping[str, tuple[str, str]]
"""Column -> (dtype, where in the document: keys joined by dots)."""

TEXT, NUMBER, COUNT, FLAG = "str", "float64", "Int64", "boolean"

RUN_COLUMNS: Columns = {
    "key": (TEXT, "key"),
    "arm": (TEXT, "arm"),
    "distance_km": (NUMBER, "distance_km"),
    "repeat": (COUNT, "repeat"),
    "seed": (COUNT, "seed"),
    "valid": (FLAG, "valid"),
    "invalid_reasons": (TEXT, "invalid_reasons"),
    "goodput_bps": (NUMBER, "goodput_bps"),
    "steady_goodput_bps": (NUMBER, "steady_goodput_bps"),
    "confirmed_bps": (NUMBER, "confirmed_bps"),
    "confirm_latency_p50_s": (NUMBER, "confirm_latency_s.p50"),
    "confirm_latency_p99_s": (NUMBER, "confirm_latency_s.p99"),
    "delivered_latency_p50_s": (NUMBER, "delivered_latency_s.p50"),
    "delivered_latency_p99_s": (NUMBER, "delivered_latency_s.p99"),
    "time_to_first_byte_s": (NUMBER, "time_to_first_byte_s"),
    "startup_s": (NUMBER, "startup_s"),
    "delivered_100_kB_after_s": (NUMBER, "delivered_after_s.100 kB"),
    "delivered_1_MB_after_s": (NUMBER, "delivered_after_s.1 MB"),
    "delivered_10_MB_after_s": (NUMBER, "delivered_after_s.10 MB"),
    "delivered_100_MB_after_s": (NUMBER, "delivered_after_s.100 MB"),
    "completion_s": (NUMBER, "completion_s"),
    "flow_completion_p50_s": (NUMBER, "flow_completion_s.p50"),
    "flow_completion_p99_s": (NUMBER, "flow_completion_s.p99"),
    "sent_bytes": (COUNT, "bytes_sent"),
    "delivered_bytes": (COUNT, "bytes_delivered"),
    "sha256_ok": (FLAG, "sha256_ok"),
    "retransmitted_bytes": (COUNT, "retransmitted_bytes"),
    "exposure_max_bytes": (COUNT, "exposure_bytes_max"),
    "requested_rtt_s": (NUMBER, "requested.rtt_s"),
    "requested_rate_bps": (NUMBER, "requested.rate_bps"),
    "requested_loss_fraction": (NUMBER, "requested.loss"),
    "achieved_rtt_idle_s": (NUMBER, "achieved.rtt_s.idle"),
    "achieved_rtt_loaded_p50_s": (NUMBER, "achieved.rtt_s.loaded_p50"),
    "achieved_rate_bps": (NUMBER, "achieved.rate_bps"),
    "achieved_loss_fraction": (NUMBER, "achieved.loss"),
    "fsu_mase": (NUMBER, "fsu.mase"),
    "fsu_error_share": (NUMBER, "fsu.error_share"),
    "lateness_p50_s": (NUMBER, "achieved.lateness_s.p50"),
    "lateness_p99_s": (NUMBER, "achieved.lateness_s.p99"),
    "lateness_p999_s": (NUMBER, "achieved.lateness_s.p999"),
    "theory_goodput_bps": (NUMBER, "theory.goodput_bps"),
}
"""Of `Result.runs`, one row per run; the swept keys follow `distance_km` as `param_KEY`."""

SUMMARY_COLUMNS: Columns = {
    "arm": (TEXT, "arm"),
    "distance_km": (NUMBER, "distance_km"),
    "n": (COUNT, "n"),
    "n_invalid": (COUNT, "n_invalid"),
    "goodput_mean_bps": (NUMBER, "goodput_bps.mean"),
    "goodput_ci95_low_bps": (NUMBER, "goodput_bps.ci95.0"),
    "goodput_ci95_high_bps": (NUMBER, "goodput_bps.ci95.1"),
    "steady_goodput_mean_bps": (NUMBER, "steady_goodput_bps.mean"),
    "steady_goodput_ci95_low_bps": (NUMBER, "steady_goodput_bps.ci95.0"),
    "steady_goodput_ci95_high_bps": (NUMBER, "steady_goodput_bps.ci95.1"),
    "theory_goodput_bps": (NUMBER, "theory_goodput_bps"),
}
"""Of `Result.summary()`, one row per arm and point; valid runs only, intervals by Student's t."""

VERDICT_COLUMNS: Columns = {
    "claim": (TEXT, "claim"),
    "part": (TEXT, "part"),
    "condition": (TEXT, "condition"),
    "arm": (TEXT, "arm"),
    "verdict": (TEXT, "verdict"),
    "figure": (NUMBER, "figure"),
    "ci_low": (NUMBER, "ci.0"),
    "ci_high": (NUMBER, "ci.1"),
    "limit": (NUMBER, "limit"),
    "unit": (TEXT, "unit"),
    "text": (TEXT, "text"),
    "bound": (TEXT, "bound"),
    "n": (COUNT, "n"),
    "evidence": (TEXT, "evidence"),
    "why": (TEXT, "why"),
}
"""Of `Result.verdicts()`, one row per judged part of a claim; figures are in the row's `unit`."""


def runs(document: Mapping[str, Any]) -> pd.DataFrame:
    """`RUN_COLUMNS`, in the order in which the runs were made."""
    return _frame(document["runs"], RUN_COLUMNS)


def summary(document: Mapping[str, Any]) -> pd.DataFrame:
    """`SUMMARY_COLUMNS`, by arm and distance."""
    ordered = sorted(
        document["summary"],
        key=lambda one: (arm_rank(one["arm"]), str(one["arm"]), one["distance_km"] or 0.0),
    )
    return _frame(ordered, SUMMARY_COLUMNS)


def verdicts(document: Mapping[str, Any]) -> pd.DataFrame:
    """`VERDICT_COLUMNS`, in the order of the registry."""
    return _frame(document["verdicts"], VERDICT_COLUMNS)


def _frame(rows: Sequence[Row], columns: Columns) -> pd.DataFrame:
    series = {
        name: pd.Series([_plain(_at(row, place)) for row in rows], dtype=dtype)
        for name, (dtype, place) in columns.items()
    }
    frame = pd.DataFrame(series)
    names = sorted({name for row in rows for name in row.get("params") or {}})
    after = list(columns).index("distance_km") + 1 if "distance_km" in columns else 0
    for offset, name in enumerate(names):
        values = [row["params"].get(name) for row in rows]
        frame.insert(after + offset, f"param_{name}", pd.Series(values))
    return frame


def _at(row: Row, place: str) -> Any:  # noqa: ANN401  any JSON value
    found: Any = row
    for key in place.split("."):
        if isinstance(found, Mapping):
            found = found.get(key)
        elif isinstance(found, Sequence) and key.isdigit() and int(key) < len(found):
            found = found[int(key)]
        else:
            return None
    return found


def _plain(value: Any) -> Any:  # noqa: ANN401  any JSON value
    """Lists of words as one text: a cell holds one thing."""
    return "; ".join(map(str, value)) if isinstance(value, list) else value
