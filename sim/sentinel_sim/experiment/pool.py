"""What makes runs elsewhere than in this process, several at a time (see `dask_pool`).

Only where runs do not disturb each other: in virtual time.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sentinel_sim.experiment.records import Record
from sentinel_sim.plan.model import RunSpec


@dataclass(frozen=True, slots=True)
class Finished:
    """One run that was made elsewhere, ready to be written down."""

    key: str
    raw: bytes
    """Of its raw file (`rawlog.encoded`)."""
    record: Record


class Pool(Protocol):
    """Open: an async context manager has started it, or joined it, and will leave it again."""

    def describe(self) -> dict[str, Any]:
        """For the result's environment: how many workers, and whose."""
        ...

    def make(self, specs: Sequence[RunSpec]) -> AsyncGenerator[Finished, None]:
        """Make all of these runs; each is given as soon as it is there, in any order.

        Closing the generator gives up the rest. Raises SimError.
        """
        ...
