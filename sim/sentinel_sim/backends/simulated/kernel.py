"""Where the engine's machine code is kept: compiled once per version of its sources, per user."""

from __future__ import annotations

import fcntl
import functools
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding
import numba
import platformdirs

import sentinel_sim.engine
from sentinel_sim.engine.machine import Kernel, make_kernel
from sentinel_sim.engine.simulation import Simulation
from sentinel_sim.engine.spec import ConnectionSpec, FlowSpec, LinkSpec, NetworkSpec

FINGERPRINT_DIGITS = 16


@functools.cache
def engine_sha256() -> str:
    """Of the engine's sources: what its compiled code, and every simulated result, depends on."""
    return sources_sha256(Path(sentinel_sim.engine.__file__).parent)


def sources_sha256(folder: Path) -> str:
    """Of all modules of a package."""
    digest = hashlib.sha256()
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
    with cache_at(cache_directory()):
        return make_kernel(engine_sha256())


@contextmanager
def cache_at(directory: Path) -> Iterator[None]:
    """Functions that are decorated meanwhile keep their machine code there."""
    # numba chooses the place when a function is decorated, from this setting.
    settings: Any = numba.config
    before = settings.CACHE_DIR
    settings.CACHE_DIR = str(directory)
    try:
        yield
    finally:
        settings.CACHE_DIR = before


def _processor() -> str:
    """Machine code is made for one processor: a home directory may serve several."""
    words = (
        llvmlite.binding.get_host_cpu_name(),
        *sorted(llvmlite.binding.get_host_cpu_features().items()),
    )
    return hashlib.sha256(repr(words).encode()).hexdigest()[:FINGERPRINT_DIGITS]


def once(directory: Path, name: str, work: Callable[[], None]) -> None:
    """Do `work` in one of all processes that ask, once; the others wait until it is done."""
    directory.mkdir(parents=True, exist_ok=True)
    done = directory / f"{name}.done"
    if done.exists():
        return
    with (directory / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            work()
            done.touch()


@functools.cache
def ensure_compiled() -> None:
    """Have the machine code on disk: many workers that start at once must not all compile it."""
    once(cache_directory(), f"compiled-{_processor()}", _warm_up)


def _warm_up() -> None:
    """Simulate the smallest network: compiles the engine, or loads it."""
    there, back = (LinkSpec(name, 1_000_000, 1_000_000, 100_000) for name in ("there", "back"))
    connection = ConnectionSpec(("there",), ("back",), "reno", 1448, 1 << 16, 1 << 16)
    flow = FlowSpec(0, (connection,), size_bytes=1448)
    Simulation(NetworkSpec((there, back), (flow,), seed=1), kernel(), 1_000_000).advance(1)


def versions() -> dict[str, Any]:
    """What the figures can depend on besides the sources."""
    return {
        "engine_sha256": engine_sha256(),
        "numba": numba.__version__,
        "llvmlite": llvmlite_version(),
    }


def llvmlite_version() -> str:
    """Of the compiler behind numba."""
    return str(llvmlite.__version__)
