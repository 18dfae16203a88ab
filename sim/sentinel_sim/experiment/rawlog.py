"""One raw file per run: the whole measurement, so that every figure can be computed again.

`raw/<key>.json.gz`, written as soon as the run ends. When a run is made again because the host
disturbed it, the earlier attempts stay as `raw/<key>.attempt1.json.gz` and so on.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from sentinel_sim.backends.base import RunMeasurement
from sentinel_sim.errors import ResultError
from sentinel_sim.experiment.files import write_atomically
from sentinel_sim.plan.model import RunSpec

RAW_SCHEMA = "sentinel-sim/raw/1"
RAW_FOLDER = "raw"
ATTEMPT = ".attempt"


@dataclass(frozen=True, slots=True)
class RawRun:
    """One run as it happened: what was asked, what was measured, what failed on the way."""

    schema: str
    spec: RunSpec
    spec_sha256: str
    measurement: RunMeasurement | None
    """None: every attempt failed."""
    errors: tuple[str, ...]
    """Of the attempts that failed, in order; a run that succeeded at once has none."""
    run_id: str = ""
    """Of the sitting, as it stands in interface names; empty: in none."""


_RAW: TypeAdapter[RawRun] = TypeAdapter(RawRun)
_SPEC: TypeAdapter[RunSpec] = TypeAdapter(RunSpec)
_MEASUREMENT: TypeAdapter[RunMeasurement] = TypeAdapter(RunMeasurement)


def spec_sha256(spec: RunSpec) -> str:
    """Identity of everything a run was asked to do; equal specs give equal digests."""
    canonical = json.dumps(_SPEC.dump_python(spec, mode="json"), sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def raw_run(
    spec: RunSpec,
    measurement: RunMeasurement | None,
    errors: tuple[str, ...] = (),
    run_id: str = "",
) -> RawRun:
    """Tie a measurement to its specification."""
    return RawRun(RAW_SCHEMA, spec, spec_sha256(spec), measurement, errors, run_id)


def raw_path(directory: Path, key: str) -> Path:
    """Where the raw file of the run `key` lies."""
    return directory / RAW_FOLDER / f"{key}.json.gz"


def write_raw(directory: Path, raw: RawRun) -> Path:
    """Write one raw file; the bytes depend on nothing but the run."""
    return write_encoded(directory, raw.spec.key, encoded(raw))


def encoded(raw: RawRun) -> bytes:
    """The content of a raw file."""
    # mtime=0: gzip would put the time of day into its header.
    return gzip.compress(_RAW.dump_json(raw), compresslevel=6, mtime=0)


def write_encoded(directory: Path, key: str, content: bytes) -> Path:
    """Write the raw file of the run `key`."""
    path = raw_path(directory, key)
    write_atomically(path, content)
    return path


def read_raw(path: Path) -> RawRun:
    """Read one raw file; raises ResultError where it is damaged or of another version."""
    try:
        raw = _RAW.validate_json(gzip.decompress(path.read_bytes()))
    except (OSError, EOFError, zlib.error, ValidationError) as error:
        first = str(error).splitlines()[0]
        raise ResultError(
            f"{path}: cannot be read as the raw log of a run: {first}",
            cure=f"delete {path.name}; --resume then repeats that run",
        ) from error
    if raw.schema != RAW_SCHEMA:
        raise ResultError(f"{path}: schema is {raw.schema!r}, this version reads {RAW_SCHEMA!r}")
    return raw


def read_measurement(path: Path) -> RunMeasurement | None:
    """What was measured, also from a log whose specification is of an older version.

    None: every attempt failed. Raises ResultError where it cannot be read.
    """
    try:
        found = json.loads(gzip.decompress(path.read_bytes()))["measurement"]
        return None if found is None else _MEASUREMENT.validate_python(found, strict=False)
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        first = str(error).partition("\n")[0]
        raise ResultError(f"{path}: cannot be read as the raw log of a run: {first}") from error


def discard_raw(directory: Path, key: str) -> Path:
    """Put the raw file of the run `key` aside, as the next of its discarded attempts."""
    number = len(_discarded_paths(directory, key)) + 1
    return raw_path(directory, key).rename(raw_path(directory, f"{key}{ATTEMPT}{number}"))


def read_discarded(directory: Path, key: str) -> list[RawRun]:
    """The attempts at the run `key` that were put aside, in order."""
    return [read_raw(path) for path in _discarded_paths(directory, key)]


def _discarded_paths(directory: Path, key: str) -> list[Path]:
    folder, mark = directory / RAW_FOLDER, f"{key}{ATTEMPT}"
    found = (path for path in folder.glob("*.json.gz") if path.name.startswith(mark))
    return sorted(found, key=lambda path: int(path.name[len(mark) :].partition(".")[0]))


def read_all(directory: Path) -> dict[str, RawRun]:
    """The raw file that counts of every run in a result directory, by run key."""
    paths = sorted((directory / RAW_FOLDER).glob("*.json.gz"))
    found = (read_raw(path) for path in paths if ATTEMPT not in path.name)
    return {raw.spec.key: raw for raw in found}
