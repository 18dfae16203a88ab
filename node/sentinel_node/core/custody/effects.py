"""What the ledgers tell their driver to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


class Release(StrEnum):
    """When data may be freed."""

    DELIVERED = "delivered"
    """When the receiving application has it (default)."""
    DURABLE_CUSTODY = "durable-custody"
    """When the next custodian has it on stable storage (opt-in)."""


@dataclass(frozen=True, slots=True)
class Free:
    """Bytes [start, end) need not be kept any longer."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Confirm:
    """The promise now covers [0, offset): tell the application."""

    offset: int


@dataclass(frozen=True, slots=True)
class ResumeFrom:
    """Send again from `offset` on; `replayed_bytes` of it had been sent before."""

    offset: int
    replayed_bytes: int


@dataclass(frozen=True, slots=True)
class CannotResume:
    """Bytes [start, end) are nowhere where this node can get them; say so, and stop the flow."""

    start: int
    end: int
    why: str


@dataclass(frozen=True, slots=True)
class Completed:
    """The receiving application has the whole flow, and every hash agreed."""

    size_bytes: int


Effect: TypeAlias = Free | Confirm | ResumeFrom | CannotResume | Completed
