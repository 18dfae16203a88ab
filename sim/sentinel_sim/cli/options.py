"""Options that several verbs share, and reading lists from one word."""

from __future__ import annotations

from typing import Annotated

import typer

from sentinel_sim.errors import TopologyError
from sentinel_sim.topology.units import UnitError, parse_distance_km

Json = Annotated[
    bool,
    typer.Option(
        "--json",
        envvar="SENTINEL_JSON",
        help="Print one JSON document on standard output, words for people on standard error.",
    ),
]


def words_of(text: str | None) -> list[str] | None:
    """`a, b,c` as a list; None stays None."""
    if text is None:
        return None
    return [word.strip() for word in text.split(",") if word.strip()]


def distances_of(text: str | None) -> list[float] | None:
    """`100, 1000 km` as kilometres. Raises TopologyError."""
    words = words_of(text)
    if words is None:
        return None
    try:
        return [parse_distance_km(_number(word)) for word in words]
    except UnitError as error:
        raise TopologyError(
            f"--distances: {error}", cure="for example: --distances 100,1000,20000 (in km)"
        ) from error


def _number(word: str) -> float | str:
    try:
        return float(word)
    except ValueError:
        return word
