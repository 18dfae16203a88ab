"""Theory and publications as traces of the main figure (pure).

Only where the x axis is a distance or an RTT. What does not belong to this experiment (another
rate, another loss) begins hidden; its place in the legend says that it is there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from sentinel_sim.evidence import overlays
from sentinel_sim.evidence.published import (
    ESNET,
    ESNET_RATE_BPS,
    ESNET_WINDOW_BYTES,
    ESNET_WINDOW_SPREAD,
    Point,
    points,
)
from sentinel_sim.report.chart import BASE_RTT, DISTANCE, x_quantity
from sentinel_sim.report.html.figure import Trace, mbit

Run = Mapping[str, Any]
POINTS = 60
MOST_LOSSES = 3
FIXED_WINDOW_SHARE = 0.98
"""A theoretical cap below this share of the framing's is one of a fixed window."""

SOURCES = (
    ("cap by framing", "MSS over MSS + 52 B of headers + 14 B of Ethernet; exact"),
    ("window law", "8 W / RTT; RFC 2488, section 4.2; exact"),
    ("Mathis", "8 MSS sqrt(3/2) / (RTT sqrt p); CCR 27, 1997; shape only"),
    ("RFC 9438", "CUBIC's average window, section 5; measured / formula is 0.4 to 2.5 elsewhere"),
    ("BBRv1 model", "rate (1 - p) up to 15 % loss; CACM 60, 2017"),
    ("transfer bound", "S / (S / cap + one-way delay + one RTT of handshake); exact"),
    ("ESnet 2021", "measured from Boston at 10 Gbit/s, one stream, 60 s; mean and sd of n tests"),
    ("split connections 2025", "Stanford, ATC 2025; read by eye from a figure, ±0.02"),
)
"""(what, source and exactness), for the page's list."""


def overlay_traces(result: Mapping[str, Any], *, steady: bool = False) -> list[Trace]:
    """All overlays that make sense on this result's axis.

    Beside steady goodput only what was measured so long that its start-up hardly counts.
    """
    runs = [run for run in result["runs"] if run["requested"]["rtt_s"]]
    quantity = x_quantity(result["runs"])
    if not runs or quantity not in (DISTANCE, BASE_RTT):
        return []
    per_x = [run["requested"]["rtt_s"] / x for run in runs if (x := quantity.value(run))]
    if not per_x:
        return []
    s_per_x = float(np.median(per_x))
    window = _fixed_window(runs, overlays.goodput_cap_bps(_rate_bps(runs)))
    divided = _in_proportion(s_per_x, _rate_bps(runs), window)
    if steady:
        return divided
    known = [run["requested"]["rtt_s"] for run in runs]
    rtts = np.geomspace(min(known), max(known) * 1.0001, POINTS)
    lines = [_line(name, f, rtts, s_per_x, shown) for name, f, shown in _formulas(runs)]
    return [*lines, *_published(s_per_x), *divided]


Formula = Callable[[float], float | None]
"""RTT in seconds -> bit/s."""


def _formulas(runs: Sequence[Run]) -> Iterator[tuple[str, Formula, bool]]:
    """(name, formula, whether it is shown from the start)."""
    rate = _rate_bps(runs)
    mss = int(np.median([run["theory"]["mss_bytes"] for run in runs]))
    cap = overlays.goodput_cap_bps(rate, mss + 52)
    yield "theory: cap by framing", lambda rtt: cap, True
    window = _fixed_window(runs, cap)
    words = "fixed window" if window else "stock buffers"
    window = window or overlays.STOCK_WINDOW_BYTES
    yield (
        f"window law, {window / 1e6:.3g} MB ({words})",
        lambda rtt: min(cap, overlays.window_law_bps(window, rtt)),
        True,
    )
    for loss in sorted({run["requested"]["loss"] for run in runs} - {0.0})[:MOST_LOSSES]:
        yield from _of_loss(mss, cap, loss)
    sizes = {run["params"].get("size_bytes") for run in runs} - {None}
    for size in sorted(sizes)[:MOST_LOSSES]:
        yield f"bound for {size / 1e6:g} MB", _transfer_bound(size, cap), True


def _rate_bps(runs: Sequence[Run]) -> float:
    """Of the typical run's slowest link."""
    return float(np.median([run["requested"]["rate_bps"] for run in runs]))


def _transfer_bound(size_bytes: float, cap: float) -> Formula:
    """With one round trip of handshake."""
    return lambda rtt: overlays.transfer_bound_bps(size_bytes, cap, rtt / 2, rtt)


def _of_loss(mss: int, cap: float, loss: float) -> Iterator[tuple[str, Formula, bool]]:
    at = f" at {loss * 100:g} % loss"
    yield f"Mathis{at}", lambda rtt: min(cap, overlays.mathis_bps(mss, rtt, loss)), True
    yield f"RFC 9438{at}", lambda rtt: min(cap, overlays.cubic_bps(mss, rtt, loss)), True
    yield f"BBRv1 model{at}", lambda rtt: overlays.bbr_bps(cap, loss), True


def _fixed_window(runs: Sequence[Run], cap: float) -> float | None:
    """The socket window that the theoretical cap of these runs implies; None: none is fixed."""
    windows = [
        run["theory"]["goodput_bps"] * run["requested"]["rtt_s"] / 8
        for run in runs
        if run["arm"] in ("direct", "tuned")
        and 0 < run["theory"]["goodput_bps"] < FIXED_WINDOW_SHARE * cap
    ]
    return float(np.median(windows)) if windows else None


SYMBOLS = ("star", "star-open", "cross")
DASH = ("2px,2px", "6px,3px", "8px,3px,2px,3px", "10px,4px")


def _line(name: str, formula: Formula, rtts: Any, s_per_x: float, shown: bool) -> Trace:  # noqa: ANN401
    found = [(rtt / s_per_x, formula(float(rtt))) for rtt in rtts]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [float(f"{x:.5g}") for x, y in found if y is not None],
        "y": [mbit(y) for _, y in found if y is not None],
        "name": name,
        "line": {"color": "@muted", "width": 1.3, "dash": DASH[sum(map(ord, name[:4])) % 4]},
        "visible": True if shown else "legendonly",
        "hovertemplate": f"{name}: %{{y:,.4~g}} Mbit/s<extra>comparison</extra>",
    }


def _published(s_per_x: float) -> list[Trace]:
    """Points of other networks, at the x of equal RTT; hidden until asked for."""
    series: dict[str, list[Point]] = {}
    for point in points():
        series.setdefault(point.series, []).append(point)
    return [
        _marks(f"{name}, published", SYMBOLS[index % len(SYMBOLS)], found, s_per_x)
        for index, (name, found) in enumerate(series.items())
    ]


def _in_proportion(s_per_x: float, rate_bps: float, window_bytes: float | None) -> list[Trace]:
    """ESnet's points as on a link of this rate: divided by 10 on one of 1 Gbit/s.

    Shown from the start only beside a fixed window in the same proportion to theirs.
    """
    divisor = ESNET_RATE_BPS / rate_bps
    if divisor <= 1:
        return []
    proportional = window_bytes is not None and math.isclose(
        window_bytes * divisor, ESNET_WINDOW_BYTES, rel_tol=ESNET_WINDOW_SPREAD
    )
    found: dict[str, list[Point]] = {}
    for one in points():
        if one.source == ESNET:
            found.setdefault(one.series, []).append(one.divided(divisor))
    return [
        _marks(f"{name}, divided by {divisor:g}", symbol, few, s_per_x, shown=proportional)
        for (name, few), symbol in zip(found.items(), SYMBOLS, strict=False)
    ]


def _marks(
    name: str, symbol: str, found: Sequence[Point], s_per_x: float, *, shown: bool = False
) -> Trace:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [float(f"{one.rtt_s / s_per_x:.5g}") for one in found],
        "y": [mbit(one.goodput_bps) for one in found],
        "error_y": {
            "type": "data",
            "array": [mbit(one.sd_bps or 0.0) for one in found],
            "color": "@muted",
            "thickness": 1,
        },
        "name": name,
        "visible": True if shown else "legendonly",
        "marker": {"color": "@muted", "size": 9, "symbol": symbol},
        "customdata": [_words(one) for one in found],
        "hovertemplate": "%{customdata}<extra>comparison, at equal RTT</extra>",
    }


def _words(one: Point) -> str:
    spread = "" if one.sd_bps is None else f" ± {mbit(one.sd_bps):,.4g} (n = {one.n})"
    return (
        f"<b>{one.label}</b><br>{mbit(one.goodput_bps):,.5g}{spread} Mbit/s"
        f"<br>{one.exactness}; {one.source}"
    )
