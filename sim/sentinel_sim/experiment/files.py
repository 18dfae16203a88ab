"""Writing files so that a reader sees the old one or the new one, never half of one."""

from __future__ import annotations

import json
import math
import os
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from sentinel_sim.errors import ResultError


def write_atomically(path: Path, content: bytes) -> None:
    """Replace `path` by `content`: temporary file beside it, flushed, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def new_directory(parent: Path, name: str, now: datetime) -> Path:
    """Create `parent/<name>-<UTC time>/`; a second one within a second gets a number.

    `now` must be in UTC. Raises ResultError where the parent cannot be written.
    """
    stem = f"{name}-{now:%Y%m%dT%H%M%SZ}"
    for number in range(1, 1000):
        directory = parent / (stem if number == 1 else f"{stem}-{number}")
        try:
            directory.mkdir(parents=True)
        except FileExistsError:
            if not directory.is_dir():
                raise ResultError(f"{directory}: exists and is not a directory") from None
            continue
        except OSError as error:
            raise ResultError(
                f"{directory}: cannot be created: {error.strerror}",
                cure="name another place with --out DIR",
            ) from error
        return directory
    raise ResultError(f"{parent / stem}: 999 results of this second exist already")


def write_json(path: Path, value: object) -> Path:
    """Write a JSON document atomically; NaN cannot be in it. Gives `path`."""
    text = json.dumps(value, indent=1, allow_nan=False, ensure_ascii=False)
    write_atomically(path, text.encode() + b"\n")
    return path


def read_json(place: Path, file_name: str, *, schema: str, verb: str) -> dict[str, Any]:
    """The document `file_name` in the directory `place`, or `place` itself.

    Raises ResultError with the reason if it is absent, damaged, or not of this `schema`; `verb`
    is the command that writes such documents.
    """
    path = place / file_name if place.is_dir() else place
    try:
        document = json.loads(path.read_bytes(), parse_constant=_refuse)
    except FileNotFoundError as error:
        raise ResultError(
            f"{path}: no such file", cure=f"give the directory that `sentinel-sim {verb}` named"
        ) from error
    except (OSError, ValueError) as error:
        raise ResultError(f"{path}: not a readable result: {error}") from error
    found = document.get("schema") if isinstance(document, dict) else None
    if found != schema:
        raise ResultError(f"{path}: schema is {found!r}, this version reads {schema!r}")
    return dict(document)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON (RFC 8259, section 6)")


def without_nan(value: Any) -> Any:  # noqa: ANN401  any JSON value in, any JSON value out
    """The same JSON value with NaN and infinities replaced by null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(item) for item in value]
    return value
