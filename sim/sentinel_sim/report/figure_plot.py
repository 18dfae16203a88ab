"""The chart as SVG and PNG; the only importer of matplotlib.

Lines differ by dash and marker as well as by grey value, so the figure reads in black and white.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from sentinel_sim.experiment.files import write_atomically
from sentinel_sim.report.chart import Chart, Line

PLOT_STEM = "throughput"
STYLES: dict[str, tuple[str, str, str]] = {
    "direct": ("#b35806", ":", "o"),
    "tuned": ("#3b6fb6", "--", "s"),
    "split": ("#1a1a1a", "-", "^"),
    "fsu": ("#8a2d8a", "-.", "D"),
}
OTHER_STYLE = ("#666666", "-", "v")
FILLS = ("full", "none", "left", "right")
DPI = 150


def write_figures(chart: Chart, directory: Path) -> list[Path]:
    """Write `throughput.svg` and `throughput.png`; equal charts give equal bytes."""
    figure = _figure(chart)
    written = []
    for suffix, metadata in (("svg", {"Date": None}), ("png", {"Software": None})):
        buffer = BytesIO()
        # A fixed salt: element ids in the SVG would be random otherwise.
        with matplotlib.rc_context({"svg.hashsalt": "sentinel-sim", "svg.fonttype": "none"}):
            figure.savefig(buffer, format=suffix, dpi=DPI, metadata=metadata)
        path = directory / f"{PLOT_STEM}.{suffix}"
        write_atomically(path, buffer.getvalue())
        written.append(path)
    return written


def _figure(chart: Chart) -> Figure:
    figure = Figure(figsize=(8.0, 5.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot(
        [x for x, _ in chart.theory],
        [bps / 1e6 for _, bps in chart.theory],
        color="#999999",
        linewidth=1.0,
        linestyle=(0, (1, 1)),
        label="theory: the most payload that links and windows allow",
    )
    seen: dict[str, int] = {}
    for line in chart.lines:
        _draw(axes, line, variant=seen.get(line.arm, 0))
        seen[line.arm] = seen.get(line.arm, 0) + 1
    axes.set_title(chart.title, fontsize=9, wrap=True)
    axes.set_xlabel(chart.x_label)
    axes.set_ylabel(chart.y_label)
    _scales(axes, chart)
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    axes.legend(fontsize=8)
    return figure


def _draw(axes: Any, line: Line, *, variant: int) -> None:  # noqa: ANN401  matplotlib's Axes
    colour, dash, marker = STYLES.get(line.arm, OTHER_STYLE)
    xs = [point.x for point in line.points]
    axes.plot(
        xs,
        [point.mean_bps / 1e6 for point in line.points],
        color=colour,
        linestyle=dash,
        marker=marker,
        fillstyle=FILLS[variant % len(FILLS)],
        label=line.label,
    )
    axes.fill_between(
        xs,
        [point.low_bps / 1e6 for point in line.points],
        [point.high_bps / 1e6 for point in line.points],
        color=colour,
        alpha=0.18,
        linewidth=0,
    )


def _scales(axes: Any, chart: Chart) -> None:  # noqa: ANN401  matplotlib's Axes
    if chart.log_x:
        axes.set_xscale("log")
        xs = [x for x, _ in chart.theory]
        axes.set_xticks(xs)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.5g}"))
    if chart.log_y:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
