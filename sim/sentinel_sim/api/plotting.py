"""`Result.plot`: the figures of report.html, made by the same code, as plotly figures."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from sentinel_sim.api.words import cures_in_python
from sentinel_sim.errors import ResultError
from sentinel_sim.experiment.salvage import Salvaged
from sentinel_sim.report.html import agreement, control, curves, latency, throughput, timeline
from sentinel_sim.report.html.colours import Theme, themed
from sentinel_sim.report.html.figure import Figure
from sentinel_sim.report.html.page import Material
from sentinel_sim.report.html.writing import material_of


class Plots:
    """The figures of one result. Each method raises ResultError where there is nothing to draw."""

    def __init__(self, document: Mapping[str, Any], directory: Path) -> None:
        self._document = document
        self._directory = directory

    def throughput(self, *, theme: Theme = "light") -> go.Figure:
        """Goodput against distance (or what else was swept): means, 95 % bands, runs, theory."""
        figure = throughput.figure_of(self._document, "goodput_bps", "goodput")
        return _drawn(figure, "no valid run has a goodput", theme)

    def steady_throughput(self, *, theme: Theme = "light") -> go.Figure:
        """The same for steady goodput: start-up excluded."""
        figure = throughput.figure_of(self._document, "steady_goodput_bps", "steady")
        return _drawn(figure, "no valid run was long enough for a steady goodput", theme)

    def latency(self, *, theme: Theme = "light") -> go.Figure:
        """Confirmed and delivered latency, and light."""
        return _drawn(latency.figure_of(self._document), "no valid run has a latency", theme)

    def startup(self, *, theme: Theme = "light") -> go.Figure:
        """Goodput over time, one panel per distance; from the raw logs."""
        return _drawn(curves.startup_figure(self._material.curves), "there are no raw logs", theme)

    def exposure(self, *, theme: Theme = "light") -> go.Figure:
        """Bytes confirmed and not yet delivered, over time; from the raw logs."""
        return _drawn(
            curves.exposure_figure(self._material.curves),
            "no raw log is of an arm that confirms locally",
            theme,
        )

    def lead_time(self, *, theme: Theme = "light") -> go.Figure:
        """Histogram of lead times by what was made ready; from the raw logs."""
        figure = control.lead_figure(self._material.leads)
        return _drawn(figure, "no raw log is of a run with a control plane (arm fsu)", theme)

    def phase_error(self, *, theme: Theme = "light") -> go.Figure:
        """How far the receiver's view of a flow lags or leads, beside propagation."""
        figure = control.phase_figure(self._document)
        return _drawn(figure, "no valid run has a phase error (arm fsu)", theme)

    def prediction_error(self, *, theme: Theme = "light") -> go.Figure:
        """Error of the FSUs' predictions over that of the last value (MASE), run by run."""
        figure = control.prediction_figure(self._document)
        return _drawn(figure, "no valid run has predictions of the FSU (emulated, XDP on)", theme)

    def faults(self, *, theme: Theme = "light") -> go.Figure:
        """Faults and repairs of one run of each arm over time, with its goodput."""
        figure = timeline.timeline_figure(self._document, self._material.curves)
        return _drawn(figure, "nothing was broken on purpose, and nothing repaired", theme)

    def agreement(self, *, theme: Theme = "light") -> go.Figure:
        """Simulated over emulated goodput; of a result of `--backend both`."""
        figure = agreement.agreement_figure(self._document)
        return _drawn(figure, "only one backend made these runs", theme)

    @cached_property
    def _material(self) -> Material:
        return material_of(self._directory, Salvaged(dict(self._document), ()))


def _drawn(figure: Figure | None, why_not: str, theme: Theme) -> go.Figure:
    if figure is None:
        with cures_in_python():
            raise ResultError(f"nothing to draw: {why_not}", cure="see `valid` in Result.runs")
    layout = {
        **themed(figure.layout, theme),
        "template": "none",
        "title": {"text": figure.title, "x": 0, "xref": "paper", "font": {"size": 17}},
        "height": figure.height_px,
        "paper_bgcolor": themed("@panel", theme),
        "plot_bgcolor": themed("@panel", theme),
    }
    layout["margin"] = {**layout["margin"], "t": 56}
    return go.Figure(data=themed(figure.traces, theme), layout=layout)
