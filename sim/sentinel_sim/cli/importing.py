"""`sentinel-sim import`: read, convert, check, write."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import typer

from sentinel_sim.cli import output
from sentinel_sim.cli.group import Invocation
from sentinel_sim.errors import EXIT_OK, TopologyError
from sentinel_sim.importing import convert, render, sources
from sentinel_sim.importing.values import Choices, Imported, ImportRefusedError
from sentinel_sim.topology.expression import parse_amount
from sentinel_sim.topology.reader import loads
from sentinel_sim.topology.units import UnitError, parse_distance_km, parse_loss, parse_rate

IMPORT_SCHEMA = "sentinel-sim/import/1"


@dataclass(frozen=True, slots=True)
class Quantities:
    """The flags with units, read."""

    rate_bps: int
    loss: float
    queue: str


def quantities(rate: str, loss: str, queue: str) -> Quantities:
    """Raises TopologyError with the flag's name."""
    flag = "--rate"
    try:
        rate_bps = parse_rate(rate)
        flag = "--loss"
        share = parse_loss(loss)
        flag = "--queue"
        return Quantities(rate_bps, share, str(parse_amount(queue)))
    except UnitError as error:
        raise TopologyError(f"{flag}: {error}") from error


def kilometres(flag: str, value: float | None) -> float | None:
    """A length in km; None stays None. Raises TopologyError."""
    try:
        return None if value is None else parse_distance_km(value)
    except UnitError as error:
        raise TopologyError(f"{flag}: {error}") from error


def import_network(
    source: str, out: Path | None, choices: Choices, *, force: bool, call: Invocation
) -> int:
    """Make the file; nothing is written unless it reads back. Raises TopologyError."""
    if out is not None and out.exists() and not force:
        raise ImportRefusedError(f"{out}: is there already", cure="add --force to replace it")
    found = sources.read(source)
    imported = convert.convert(found, choices)
    text = render.render(imported, found, choices)
    loads(text, str(out or source))
    if out is not None:
        _write(out, text)
    if call.as_json:
        output.print_json(_as_json(imported, out, text))
    elif out is None:
        typer.echo(text, nl=False)
    _say(imported, out)
    return EXIT_OK


def _write(out: Path, text: str) -> None:
    """All or nothing."""
    part = out.with_name(f".{out.name}.part")
    try:
        part.write_text(text)
        os.replace(part, out)  # noqa: PTH105 - atomic also where the file is there
    except OSError as error:
        part.unlink(missing_ok=True)
        reason = (error.strerror or type(error).__name__).lower()
        raise ImportRefusedError(f"{out}: cannot be written, got: {reason}; check path") from error


def _as_json(imported: Imported, out: Path | None, text: str) -> dict[str, object]:
    return {
        "schema": IMPORT_SCHEMA,
        "name": imported.name,
        "file": None if out is None else str(out),
        "nodes": len(imported.nodes),
        "links": len(imported.links),
        "sender": imported.sender,
        "receiver": imported.receiver,
        "notes": list(imported.notes),
        "text": text,
    }


def _say(imported: Imported, out: Path | None) -> None:
    where = f"{out}: " if out is not None else ""
    output.say(
        f"{where}{imported.name}: {len(imported.nodes)} nodes, {len(imported.links)} links,"
        f" {imported.sender} to {imported.receiver}"
    )
    for note in imported.notes:
        output.say(f"  note: {note}")
    if out is not None:
        output.say(f"  next: sentinel-sim validate {out}")
