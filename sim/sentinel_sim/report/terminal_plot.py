"""The chart as text, for a terminal or a log; the only importer of plotext."""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotext

from sentinel_sim.report.chart import Chart

MARKERS = ("o", "x", "+", "*", "#", "@", "%", "&")
THEORY_MARKER = "·"
MIN_WIDTH, MIN_HEIGHT = 40, 12


def terminal_plot(chart: Chart, *, width: int = 100, height: int = 24) -> str:
    """A plot without colours, `width` by `height` characters; every line has its own sign."""
    figure = plotext.figure
    figure.clear()  # plotext has one figure per process
    figure.theme("colorless")
    figure.plot_size(max(width, MIN_WIDTH), max(height, MIN_HEIGHT))
    figure.title(chart.title)
    figure.label(chart.x_label, "x")
    xs = [x for x, _ in chart.theory]
    figure.draw(
        figure.signal(
            _scaled(xs, log=chart.log_x),
            _scaled([bps / 1e6 for _, bps in chart.theory], log=chart.log_y),
            marker=THEORY_MARKER,
        ).lines()
    )
    legend = [f"{THEORY_MARKER} theory"]
    for index, line in enumerate(chart.lines):
        if not line.points:
            continue
        legend.append(f"{MARKERS[index % len(MARKERS)]} {line.label}")
        figure.draw(
            figure.signal(
                _scaled([point.x for point in line.points], log=chart.log_x),
                _scaled([point.mean_bps / 1e6 for point in line.points], log=chart.log_y),
                marker=MARKERS[index % len(MARKERS)],
            ).lines()
        )
    _ticks(chart, xs)
    text = plotext.uncolorize(str(figure.build()))
    figure.clear()
    plot = "\n".join(line.rstrip() for line in text.splitlines()).strip("\n")
    # Below, where it hides no point: plotext puts a legend into the corner of the plot.
    return f"{plot}\n{chart.y_label}:   {'   '.join(legend)}"


def _scaled(values: Sequence[float], *, log: bool) -> list[float]:
    return [math.log10(value) for value in values] if log else list(values)


def _ticks(chart: Chart, xs: Sequence[float]) -> None:
    figure = plotext.figure
    figure.ruler("x").ticks(_scaled(xs, log=chart.log_x), [f"{x:,.5g}" for x in xs])
    tops = [bps / 1e6 for _, bps in chart.theory]
    means = [point.mean_bps / 1e6 for line in chart.lines for point in line.points]
    top = max([*tops, *means])
    if chart.log_y:
        low = math.floor(math.log10(min(means)))
        decades = range(low, math.ceil(math.log10(top)) + 1)
        figure.ruler("y").lim(low, decades[-1])
        figure.ruler("y").ticks(list(decades), [f"{10.0**decade:g}" for decade in decades])
        return
    figure.ruler("y").lim(0, top * 1.05)
    marks = [top * share / 4 for share in range(5)]
    figure.ruler("y").ticks(marks, [f"{mark:,.4g}" for mark in marks])
