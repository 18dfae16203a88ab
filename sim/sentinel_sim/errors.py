"""The errors a user can meet, each with the exit code it leads to.

A message says where, what was wrong, what was found and what cures it: lower case, no full
stop. `cure` holds a command (or a short instruction) that the command line prints on a line of
its own.
"""

from __future__ import annotations

EXIT_OK = 0
EXIT_UNEXPECTED = 1
EXIT_USAGE = 2
EXIT_MISSING = 3
EXIT_INVALID = 4
EXIT_VERDICT = 5


class SimError(Exception):
    """Base of all errors that sentinel-sim raises on purpose."""

    exit_code = EXIT_UNEXPECTED

    def __init__(self, message: str, *, cure: str | None = None) -> None:
        super().__init__(message)
        self.cure = cure


class TopologyError(SimError):
    """A topology file (or a flag) says something that is malformed or cannot be meant."""

    exit_code = EXIT_USAGE


class InfeasibleError(TopologyError):
    """The file is well formed, but this host cannot emulate it faithfully."""


class MissingCapabilityError(SimError):
    """A privilege, kernel feature, package or program is missing on this host."""

    exit_code = EXIT_MISSING


class ResultError(SimError):
    """A result directory cannot be read, resumed or pooled."""

    exit_code = EXIT_USAGE


class FsuUsageError(SimError):
    """An FSU cannot be attached, detached or shown the way it was asked for."""

    exit_code = EXIT_USAGE


class CertificateError(SimError):
    """A certificate cannot be made, or not without harm to one that is there."""

    exit_code = EXIT_USAGE


class EmulationError(SimError):
    """The emulated network could not be built, or a node in it failed."""


class SimulationError(SimError):
    """A simulation contradicts itself; always a bug, never the user's mistake."""
