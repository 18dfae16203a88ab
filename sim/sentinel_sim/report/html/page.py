"""From a result to the text of the page (pure but for the files of this package)."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from importlib.metadata import version
from typing import Any

import jinja2
from markupsafe import Markup

from sentinel_sim.report.html import (
    agreement,
    control,
    curves,
    latency,
    smoothing,
    tables,
    throughput,
    timeline,
    world,
)
from sentinel_sim.report.html.control import Lead
from sentinel_sim.report.html.curves import Curve
from sentinel_sim.report.html.figure import Figure
from sentinel_sim.report.html.theory import SOURCES

SYMBOLS = {"holds": "✓", "fails": "✗", "undecided": "?"}


@dataclass(frozen=True, slots=True)
class Material:
    """All that the page is made from."""

    result: Mapping[str, Any]
    problems: Sequence[str] = ()
    """Why the result is not whole; empty: it is."""
    topology: Mapping[str, Any] = field(default_factory=dict)
    curves: Sequence[Curve] = ()
    curves_note: str = ""
    """Why there are no curves, or not all."""
    bench: Sequence[dict[str, Any]] = ()
    """Verdicts of a `bench.json`, in the form of a result's."""
    leads: Sequence[Lead] = ()
    """Lead times of the runs that have a curve."""


def render(material: Material) -> str:
    """The whole page: no reference to anything outside of it."""
    result = material.result
    figures = {
        "main": throughput.figure_of(result, "goodput_bps", "goodput"),
        "steady": throughput.figure_of(result, "steady_goodput_bps", "steady"),
        "latency": latency.figure_of(result),
        "startup": curves.startup_figure(material.curves),
        "exposure": curves.exposure_figure(material.curves),
        "lead": control.lead_figure(material.leads),
        "phase": control.phase_figure(result),
        "prediction": control.prediction_figure(result),
        "agreement": agreement.agreement_figure(result),
        "smoothing": smoothing.smoothing_figure(result),
        "dispersion": smoothing.dispersion_figure(result),
        "timeline": timeline.timeline_figure(result, material.curves),
    }
    environment = _environment()
    return environment.get_template("report.html.j2").render(
        material=material,
        result=result,
        figures=figures,
        specs=Markup(_specs([one for one in figures.values() if one is not None])),
        plotly=Markup(_plotly()),
        style=Markup(_own("report.css")),
        script=Markup(_own("report.js")),
        tables=tables,
        law_table=smoothing.law_table(result),
        hop_table=smoothing.hop_table(result),
        main=tables.main_headline(result),
        map=world.map_of(material.topology, _coast()),
        reproduce=reproduce(result),
        overlays=SOURCES,
        symbols=SYMBOLS,
        fault_tables=timeline.tables(result),
        version=version("sentinel-sim"),
    )


def reproduce(result: Mapping[str, Any]) -> list[str]:
    """The commands that make this result again."""
    environment = result["environment"]
    command = environment.get("command") or f"sentinel-sim run {result['name']}.yaml"
    words = shlex.split(command)
    lines = []
    if commit := environment.get("commit"):
        lines.append(f"git checkout {str(commit).partition('+')[0]}")
    if "--resume" in words:
        at = words.index("--resume")
        words[at : at + 2] = []
    if "--seed" not in words and result["seed"] is not None:
        words += ["--seed", str(result["seed"])]
    return [*lines, shlex.join(words)]


def _specs(figures: Sequence[Figure]) -> str:
    text = json.dumps({one.id: one.spec for one in figures}, separators=(",", ":"))
    # Inside <script>: no text of a result may end the element.
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _own(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text()


@cache
def _coast() -> list[list[tuple[float, float]]]:
    document = json.loads(_own("coast.json"))
    return [[(lon, lat) for lon, lat in line] for line in document["lines"]]


def _plotly() -> str:
    """The library as the installed package ships it (MIT licence, kept in its first lines)."""
    return resources.files("plotly").joinpath("package_data/plotly.min.js").read_text()


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("sentinel_sim.report.html", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
