"""Compiled BPF sources on disk: bcc takes over a second for the FSU, and always says the same.

A file is found again only by all that its content depends on: the source, every header beside it,
the flags, bcc's version and the kernel whose headers bcc reads. It is trusted only where nobody but
this user can have written it; anything else is compiled anew. SENTINEL_CACHE_DIR moves the cache,
SENTINEL_BPF_CACHE=off goes without.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import stat
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import platformdirs

from sentinel_bpf.compiled import CompiledObject, ProgramType
from sentinel_bpf.headers import headers_in_use

FORMAT = 1
KEPT_FILES = 64
"""The newest; one is about 100 KB."""
SWITCH_VARIABLE = "SENTINEL_BPF_CACHE"


def cache_directory() -> Path:
    """Where compiled sources lie; need not exist."""
    root = os.environ.get("SENTINEL_CACHE_DIR") or platformdirs.user_cache_dir("sentinel-sim")
    return Path(root) / "bpf"


def key_of(path: Path, cflags: Sequence[str], programs: Mapping[str, ProgramType]) -> str:
    """A hash of everything that the compilation's result depends on."""
    digest = hashlib.sha256(f"{FORMAT}\0{path.name}\0{list(cflags)}\0{dict(programs)}".encode())
    for text in ("\0".join(os.uname()[2:]), headers_in_use(), _bcc_version()):
        digest.update(text.encode() + b"\0")
    sources = sorted(one for one in path.parent.iterdir() if one.suffix in (".h", ".c"))
    for source in sources:
        content = source.read_bytes()
        digest.update(f"{source.name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def _bcc_version() -> str:
    """Text of bcc's version.py, found without importing bcc; empty if there is no bcc."""
    found = importlib.util.find_spec("bcc")
    if found is None or found.origin is None:
        return ""
    version = Path(found.origin).with_name("version.py")
    return version.read_text() if version.exists() else f"{Path(found.origin).stat().st_mtime_ns}"


def read(key: str) -> CompiledObject | None:
    """What was written under `key`; None if nothing usable is there."""
    if os.environ.get(SWITCH_VARIABLE) == "off":
        return None
    path = cache_directory() / key
    try:
        with path.open(encoding="utf-8") as file:
            if not _is_ours_alone(os.fstat(file.fileno())):
                return None
            text = file.read()
        return CompiledObject.from_json(text)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write(key: str, compiled: CompiledObject) -> None:
    """Keep `compiled`; where that is not possible it is compiled again next time."""
    if os.environ.get(SWITCH_VARIABLE) == "off":
        return
    directory = cache_directory()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=directory, prefix=".new-")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(compiled.to_json())
            Path(name).replace(directory / key)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        _drop_oldest(directory)
    except OSError:
        return


def _drop_oldest(directory: Path) -> None:
    by_age = sorted(directory.iterdir(), key=lambda one: one.stat().st_mtime_ns, reverse=True)
    for old in by_age[KEPT_FILES:]:
        old.unlink(missing_ok=True)


def _is_ours_alone(status: os.stat_result) -> bool:
    others = stat.S_IWGRP | stat.S_IWOTH
    return status.st_uid == os.geteuid() and not status.st_mode & others
