"""Where the flow engine's machine code is kept, as in `kernel`."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numba
import platformdirs

import sentinel_sim.flowlevel
from sentinel_sim.backends.simulated.kernel import cache_at, llvmlite_version, sources_sha256
from sentinel_sim.flowlevel.traffic import Advance, make_advance


@functools.cache
def engine_sha256() -> str:
    """Of the flow engine's sources."""
    return sources_sha256(Path(sentinel_sim.flowlevel.__file__).parent)


def cache_directory() -> Path:
    """In the user's cache directory; one folder for each version."""
    return platformdirs.user_cache_path("sentinel-sim") / "flow-engine" / engine_sha256()


@functools.cache
def advance() -> Advance:
    """The engine, to be compiled at its first call or loaded from the cache."""
    with cache_at(cache_directory()):
        return make_advance(engine_sha256())


def versions() -> dict[str, Any]:
    """What the figures can depend on besides the sources."""
    return {
        "engine_sha256": engine_sha256(),
        "numba": numba.__version__,
        "llvmlite": llvmlite_version(),
    }
