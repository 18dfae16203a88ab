"""numba's compiler behind one typed name; the only importer of numba in the engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

F = TypeVar("F", bound=Callable[..., object])

# Without reference counts: the engine is handed its arrays and makes none, and counting costs two
# atomic operations at each access (1 instead of 10 M packet hops per second).
_OPTIONS: dict[str, Any] = {"error_model": "numpy", "_nrt": False}


def compiled(function: F) -> F:
    """Compile on the first call. Not cached by itself: the caller's compiled code contains it."""
    made: F = njit(function, **_OPTIONS)
    return made


def compiled_inline(function: F) -> F:
    """As `compiled`, put into its callers: what runs for every packet, mostly from one place.

    A call hands over all arrays of the world, some eighty words. numba's inlining rather than
    LLVM's: each function that it compiles for itself becomes machine code of its own, used or not.
    """
    made: F = njit(function, inline="always", **_OPTIONS)
    return made


def compiled_and_cached(function: F) -> F:
    """As `compiled`, and kept on disk, in the directory that numba is set to use."""
    made: F = njit(function, cache=True, nogil=True, **_OPTIONS)
    return made
