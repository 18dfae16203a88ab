"""Where the engine's machine code is kept: compiled once per version of its sources, per user."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any

import llvmlite
import numba
import platformdirs

import sentinel_sim.engine
from sentinel_sim.engine.machine import Kernel, make_kernel

FINGERPRINT_DIGITS = 16


@functools.cache
def engine_sha256() -> str:
    """Of the engine's sources: what its compiled code, and every simulated result, depends on."""
    digest = hashlib.sha256()
    folder = Path(sentinel_sim.engine.__file__).parent
    for path in sorted(folder.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:FINGERPRINT_DIGITS]


def cache_directory() -> Path:
    """In the user's cache directory; one folder for each version of the engine."""
    return platformdirs.user_cache_path("sentinel-sim") / "engine" / engine_sha256()


def is_compiled() -> bool:
    """Has this version been compiled before? If not, the first run takes half a minute longer."""
    return any(cache_directory().rglob("*.nbc"))


@functools.cache
def kernel() -> Kernel:
    """The engine, to be compiled at its first call or loaded from the cache."""
    # numba chooses the place when a function is decorated, from this setting.
    settings: Any = numba.config
    before = settings.CACHE_DIR
    settings.CACHE_DIR = str(cache_directory())
    try:
        return make_kernel(engine_sha256())
    finally:
        settings.CACHE_DIR = before


def versions() -> dict[str, Any]:
    """What the figures can depend on besides the sources."""
    return {
        "engine_sha256": engine_sha256(),
        "numba": numba.__version__,
        "llvmlite": llvmlite.__version__,
    }
