"""numba's compiler behind one typed name; the only importer of numba in the engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from numba import njit

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """Compile on the first call. Not cached by itself: the caller's compiled code contains it."""
    made: F = njit(function, error_model="numpy", _nrt=False)
    return made


def compiled_and_cached(function: F) -> F:
    """As `compiled`, and kept on disk, in the directory that numba is set to use."""
    made: F = njit(function, error_model="numpy", cache=True, nogil=True, _nrt=False)
    return made
