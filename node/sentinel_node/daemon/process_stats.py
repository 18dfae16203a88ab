"""What this process costs: memory, CPU time, context switches."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass
from pathlib import Path

_STATM = Path("/proc/self/statm")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def resident_bytes() -> int:
    """Resident set size now (VmRSS, from /proc/self/statm: cheaper to read than status)."""
    return int(_STATM.read_bytes().split()[1]) * _PAGE_BYTES


@dataclass(frozen=True, slots=True)
class Usage:
    """Process totals since its start; subtract two for an interval."""

    cpu_seconds: float
    switches_voluntary: int
    switches_involuntary: int

    @classmethod
    def now(cls) -> Usage:
        """Totals at this moment, all threads together (getrusage(2), RUSAGE_SELF)."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return cls(usage.ru_utime + usage.ru_stime, usage.ru_nvcsw, usage.ru_nivcsw)

    def since(self, earlier: Usage) -> Usage:
        """The difference to an earlier reading."""
        return Usage(
            self.cpu_seconds - earlier.cpu_seconds,
            self.switches_voluntary - earlier.switches_voluntary,
            self.switches_involuntary - earlier.switches_involuntary,
        )
