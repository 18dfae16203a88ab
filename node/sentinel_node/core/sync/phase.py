"""Phase error: how far, in seconds, a replica's view of a flow lags or leads the truth.

With A(t) the true total at the owner and B(t) what the replica believes, the byte error is
A - B and the phase error t - B^-1(A(t)): positive where the replica leads, negative where it
lags. Both are sampled on a uniform grid of the clock, never at the instants of updates, where the
error has just been removed. Where the replica believes that the flow stands still below A(t),
B^-1 does not exist and there is no phase error; such samples are counted apart, not left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sentinel_node.core.control.messages import FlowPhase, FlowState
from sentinel_node.core.sync.forecaster import believed_total
from sentinel_node.core.sync.slopes import NS_PER_S


def phase_error_ns(state: FlowState, true_total_bytes: int, at_ns: int) -> int | None:
    """t - B^-1(A(t)) for the model the replica has applied; None where it does not exist.

    Positive: the replica leads (believes more than is true). B is continued backwards at its
    rate, since the totals before the last correction are not kept.
    """
    if believed_total(state, at_ns) == true_total_bytes:
        return 0
    size = state.size_bytes
    if state.phase is not FlowPhase.ACTIVE or state.rate_Bps == 0:
        return None
    if size is not None and true_total_bytes > size:
        return None
    reached_ns = state.at_ns + (true_total_bytes - state.total_bytes) * NS_PER_S // state.rate_Bps
    return at_ns - reached_ns


@dataclass(slots=True)
class PhaseMeter:
    """Errors of one replica of one flow, on a grid of `interval_ns`.

    The caller asks `next_ns` when the next sample is due, and gives truth and replica at that
    very time.
    """

    interval_ns: int
    next_ns: int
    samples: int = 0
    undefined: int = 0
    """Samples at which the replica stood still and was wrong."""
    over_bound: int = 0
    errors_bytes: list[int] = field(default_factory=list)
    errors_ns: list[int] = field(default_factory=list)
    samples_max: int = 1_000_000

    def __post_init__(self) -> None:
        if self.interval_ns <= 0:
            raise ValueError(f"interval_ns must be positive, got {self.interval_ns}")

    def sample(self, state: FlowState, true_total_bytes: int, *, now_ns: int) -> int | None:
        """Take one sample; gives the phase error in ns. Raises ValueError off the grid."""
        if now_ns != self.next_ns:
            raise ValueError(f"sample at {now_ns} ns is off the grid; due at {self.next_ns} ns")
        if self.samples >= self.samples_max:
            raise ValueError(f"more than {self.samples_max} samples: take a longer interval")
        self.next_ns += self.interval_ns
        self.samples += 1
        error = true_total_bytes - believed_total(state, now_ns)
        self.errors_bytes.append(error)
        self.over_bound += abs(error) > state.error_bound_bytes
        phase = phase_error_ns(state, true_total_bytes, now_ns)
        if phase is None:
            self.undefined += 1
        else:
            self.errors_ns.append(phase)
        return phase
