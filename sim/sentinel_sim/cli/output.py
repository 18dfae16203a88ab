"""What the commands print: machine output on standard output only, words for people elsewhere."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from sentinel_sim.errors import SimError
from sentinel_sim.experiment.files import without_nan

ERROR_SCHEMA = "sentinel-sim/error/1"
PLAIN_WIDTH = 140
"""Of tables that do not go to a terminal: a pipe has no width."""


def console() -> Console:
    """Standard output."""
    return Console(
        highlight=False, soft_wrap=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH
    )


def error_console() -> Console:
    """Standard error: progress and complaints."""
    return Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else PLAIN_WIDTH)


def print_json(value: Mapping[str, Any]) -> None:
    """One JSON document on standard output."""
    typer.echo(json.dumps(without_nan(dict(value)), indent=1, allow_nan=False, default=str))


def say(text: str) -> None:
    """A line for people, on standard error."""
    typer.echo(text, err=True)


def report_error(error: SimError, *, as_json: bool) -> None:
    """The message, and the cure on a line of its own."""
    if as_json:
        print_json(
            {
                "schema": ERROR_SCHEMA,
                "error": str(error),
                "cure": error.cure,
                "exit_code": error.exit_code,
            }
        )
    for line in str(error).splitlines():
        say(f"sentinel-sim: {line}")
    if error.cure:
        say(f"  cure: {error.cure}")


def log_unexpected(error: Exception, directory: Path, now: datetime) -> Path | None:
    """Write the traceback to a file of its own; None where even that fails."""
    path = directory / f"error-{now:%Y%m%dT%H%M%SZ}.log"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(traceback.format_exception(error)))
    except OSError:
        return None
    return path
