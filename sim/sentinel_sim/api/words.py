"""Cures in the words of the command line, said again in those of Python (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from sentinel_sim.errors import SimError

_FLAG = re.compile(
    r"--(arms|attempts|backend|distances|out|repeat|resume|seed|wire) ([\w./-]+(?:,[\w./-]+)*)"
)


def in_python(text: str) -> str:
    """`use --backend emulated` as `use backend='emulated'`."""
    return _FLAG.sub(lambda found: f"{found[1]}={found[2]!r}", text)


@contextmanager
def cures_in_python() -> Iterator[None]:
    """Every SimError that passes has its cure in Python's words, and in its traceback."""
    try:
        yield
    except SimError as error:
        if error.cure is not None:
            error.cure = in_python(error.cure)
            error.add_note(f"cure: {error.cure}")
        raise
