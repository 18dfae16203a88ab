"""numba's compiler behind one typed name; the only importer of numba in the flow engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

F = TypeVar("F", bound=Callable[..., object])

_OPTIONS: dict[str, Any] = {"error_model": "numpy"}


def compiled(function: F) -> F:
    """Compile on the first call. Not cached by itself: the caller's compiled code contains it."""
    made: F = njit(function, **_OPTIONS)
    return made


def compiled_and_cached(function: F) -> F:
    """As `compiled`, and kept on disk, in the directory that numba is set to use."""
    made: F = njit(function, cache=True, nogil=True, **_OPTIONS)
    return made
