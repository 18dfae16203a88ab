"""Builds our C programs from their sources, once per source text and machine.

`python -m sentinel_sim.wire.build` prints the path of the delay line's program.
"""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import platformdirs

from sentinel_sim.errors import MissingCapabilityError

SOURCE_DIRECTORY = Path(__file__).with_name("delayline")
COMPILER = "cc"
FLAGS = ("-O2", "-Wall", "-Wextra", "-Werror")
PROGRAM = "sentinel-delayline"


def _sources(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.[ch]"))


def _fingerprint(directory: Path) -> str:
    digest = hashlib.sha256(" ".join((platform.machine(), *FLAGS)).encode())
    for source in _sources(directory):
        digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:16]


def _compile(directory: Path, target: Path) -> None:
    sources = [str(path) for path in _sources(directory) if path.suffix == ".c"]
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        product = Path(scratch) / target.name
        try:
            done = subprocess.run(
                (COMPILER, *FLAGS, "-o", str(product), *sources),
                capture_output=True,
                text=True,
                check=False,
            )
        except FileNotFoundError as error:
            raise MissingCapabilityError(
                f"no C compiler: {COMPILER} is needed once, to build {target.name}",
                cure="apt-get install --yes gcc libc6-dev",
            ) from error
        if done.returncode != 0:
            raise MissingCapabilityError(
                f"{target.name} does not compile here: {done.stderr.strip()}",
                cure="apt-get install --yes gcc libc6-dev linux-libc-dev",
            )
        product.replace(target)


def compiled_program(directory: Path, name: str) -> Path:
    """Path of the program of the C sources in `directory`; compiles what has not been built yet.

    Raises:
        MissingCapabilityError: there is no C compiler, or its headers are missing.
    """
    cache = os.environ.get("SENTINEL_CACHE_DIR") or platformdirs.user_cache_dir("sentinel-sim")
    short = name.removeprefix("sentinel-")
    target = Path(cache) / f"{short}-{_fingerprint(directory)}" / name
    if not target.exists():
        _compile(directory, target)
    return target


def delayline_program() -> Path:
    """Path of the compiled delay line. Raises as `compiled_program`."""
    return compiled_program(SOURCE_DIRECTORY, PROGRAM)


if __name__ == "__main__":
    sys.stdout.write(f"{delayline_program()}\n")
