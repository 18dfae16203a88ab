"""One run over time, from its raw log, as a tidy DataFrame (pure).

Time counts from the first connect() of the run, in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from sentinel_sim.backends.base import FlowMeasurement, RunMeasurement
from sentinel_sim.errors import ResultError
from sentinel_sim.experiment.series import Ints, values_at

SECOND_NS = 1_000_000_000
BINS = 120
"""Of `goodput` and `exposure`, unless an interval is asked for: as in report.html."""

TCP_COLUMNS: Mapping[str, tuple[str, float]] = {
    "rtt_us": ("rtt_s", 1e-6),
    "rttvar_us": ("rttvar_s", 1e-6),
    "min_rtt_us": ("min_rtt_s", 1e-6),
    "snd_cwnd": ("cwnd_packets", 1.0),
    "snd_ssthresh": ("ssthresh_packets", 1.0),
    "snd_mss": ("mss_bytes", 1.0),
    "unacked": ("unacked_packets", 1.0),
    "bytes_acked": ("acked_bytes", 1.0),
    "bytes_retrans": ("retransmitted_bytes", 1.0),
    "notsent_bytes": ("notsent_bytes", 1.0),
    "snd_wnd_bytes": ("send_window_bytes", 1.0),
    "delivery_rate_Bps": ("delivery_rate_bps", 8.0),
    "pacing_rate_Bps": ("pacing_rate_bps", 8.0),
}
"""Field of TCP_INFO -> (column, factor); missing where a backend or kernel does not give it."""

WHATS: Mapping[str, tuple[str, ...]] = {
    "goodput": ("time_s", "flow", "goodput_bps"),
    "sent": ("time_s", "flow", "sent_bytes"),
    "delivered": ("time_s", "flow", "delivered_bytes"),
    "confirmed": ("time_s", "flow", "confirmed_bytes"),
    "exposure": ("time_s", "flow", "exposure_bytes"),
    "tcp": ("time_s", "flow", "connection", *(name for name, _ in TCP_COLUMNS.values())),
}
"""What can be asked for -> the columns that come."""


def frame_of(measured: RunMeasurement, what: str, interval_s: float | None = None) -> pd.DataFrame:
    """The columns `WHATS[what]`. Raises ResultError for what is not known or cannot be."""
    if what not in WHATS:
        raise ResultError(
            f"no time series is named {what!r}", cure="one of: " + ", ".join(map(repr, WHATS))
        )
    if interval_s is not None and not 0 < interval_s < np.inf:
        raise ResultError(
            f"interval_s is {interval_s!r}", cure="a positive number of seconds, such as 0.1"
        )
    if what == "tcp":
        return _tcp(measured)
    rows = [_ROWS[what](measured, flow, interval_s) for flow in measured.flows]
    known = [frame for frame in rows if len(frame)]
    columns = list(WHATS[what])
    return pd.concat(known, ignore_index=True) if known else pd.DataFrame(columns=columns)


def _start_ns(measured: RunMeasurement) -> int:
    return min(flow.start_ns for flow in measured.flows)


def _samples(measured: RunMeasurement, flow: FlowMeasurement, counter: str) -> pd.DataFrame:
    """A cumulative counter at its own samples, between which nothing is known."""
    series = getattr(flow, counter)
    times_ns = np.asarray(series.times_ns, dtype=np.int64) - _start_ns(measured)
    values = np.asarray(series.values, dtype=np.int64)
    return _table(times_ns, flow, f"{counter}_bytes", values)


def _grid(measured: RunMeasurement, interval_s: float | None) -> Ints:
    """The ends of the intervals of the whole run, its start first, on the run's own clock."""
    start = _start_ns(measured)
    ends = [flow.delivered.times_ns[-1] for flow in measured.flows if flow.delivered.times_ns]
    length = max(ends, default=start) - start
    if interval_s is None:
        return start + np.unique(np.linspace(0, length, BINS + 1).astype(np.int64))
    step = max(1, round(interval_s * SECOND_NS))
    return start + np.arange(0, length + step, step, dtype=np.int64)


def _goodput(
    measured: RunMeasurement, flow: FlowMeasurement, interval_s: float | None
) -> pd.DataFrame:
    """Delivered payload in each interval; a row's time is the interval's end."""
    grid = _grid(measured, interval_s)
    rates = np.diff(values_at(flow.delivered, grid)) * 8 * SECOND_NS / np.diff(grid)
    return _table(grid[1:] - _start_ns(measured), flow, "goodput_bps", rates)


def _exposure(
    measured: RunMeasurement, flow: FlowMeasurement, interval_s: float | None
) -> pd.DataFrame:
    """Bytes confirmed to the sender that the receiver did not have."""
    if not flow.confirmed.values:
        return pd.DataFrame()
    grid = _grid(measured, interval_s)[1:]
    ahead = values_at(flow.confirmed, grid) - values_at(flow.delivered, grid)
    return _table(grid - _start_ns(measured), flow, "exposure_bytes", np.maximum(ahead, 0.0))


def _table(times_ns: Ints, flow: FlowMeasurement, name: str, values: object) -> pd.DataFrame:
    return pd.DataFrame(
        {"time_s": np.asarray(times_ns) / SECOND_NS, "flow": flow.flow_id, name: values}
    )


def _counter(name: str) -> Callable[..., pd.DataFrame]:
    return lambda measured, flow, _: _samples(measured, flow, name)


_ROWS: Mapping[str, Callable[..., pd.DataFrame]] = {
    "goodput": _goodput,
    "exposure": _exposure,
    **{name: _counter(name) for name in ("sent", "delivered", "confirmed")},
}


def _tcp(measured: RunMeasurement) -> pd.DataFrame:
    start = _start_ns(measured)
    rows = [
        {
            "time_s": (sample["t_ns"] - start) / SECOND_NS,
            "flow": flow.flow_id,
            "connection": sample["connection"],
            **{
                name: None if sample.get(field) is None else sample[field] * factor
                for field, (name, factor) in TCP_COLUMNS.items()
            },
        }
        for flow in measured.flows
        for sample in flow.tcp_info
    ]
    frame = pd.DataFrame(rows, columns=list(WHATS["tcp"]))
    return frame.astype({name: "float64" for name, _ in TCP_COLUMNS.values()})
