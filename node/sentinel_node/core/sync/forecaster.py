"""Both ends of dual prediction (send on delta; Jain et al. 2004, Miskowicz 2006).

The owner samples a flow's total on its uniform grid and knows what every replica believes,
because both extrapolate the last correction by the same integer rule. It sends the next one
only when the truth has left the stated bound, or when `max_silence_ns` passed, so that silence
and death differ. What a replica may be wrong by is stated, not hoped:

    |truth - belief| <= error bound + (largest rate) x (age of the newest possible news)

where the second term is what may have happened while a correction was on its way (the control
delay), or, when corrections are known to be missing, since the last one that arrived.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sentinel_node.core.control.messages import FlowPhase, FlowState, Version
from sentinel_node.core.sync.slopes import NS_PER_S, Slope, extrapolate


def believed_total(state: FlowState, at_ns: int) -> int:
    """What a node that has `state` believes the flow's total to be at `at_ns`, in bytes.

    Before the state's time, and for a flow that does not move (announced, predicted, finished),
    the stated total; never beyond the size, if that is known.
    """
    if state.phase is not FlowPhase.ACTIVE:
        return state.total_bytes
    total = extrapolate(state.total_bytes, state.rate_Bps, at_ns - state.at_ns)
    return total if state.size_bytes is None else min(total, state.size_bytes)


@dataclass(frozen=True, slots=True)
class Bound:
    """How wrong a replica may be at one moment.

    `phase_ns` is the same in time: how far the view may lag or lead. None: the flow is believed
    to stand still while its total may be wrong, so no time can be given.
    """

    error_bytes: int
    phase_ns: int | None
    in_contract: bool
    """News is not overdue: the bound holds. False: it holds only with the rate limit."""


def replica_bound(
    state: FlowState,
    *,
    now_ns: int,
    delay_ns: int,
    rate_limit_Bps: int,
) -> Bound:
    """How wrong a replica may be at `now_ns` (on the origin's clock).

    `delay_ns`: the control path's one-way delay, jitter included. `rate_limit_Bps`: no flow
    changes by more, in bytes per second (the link's rate).
    """
    overdue_ns = now_ns - state.at_ns - state.max_silence_ns - delay_ns
    in_contract = state.phase is FlowPhase.FINISHED or overdue_ns <= 0
    blind_ns = delay_ns if in_contract else now_ns - state.at_ns
    if state.phase is FlowPhase.FINISHED:
        blind_ns = 0
    error = state.error_bound_bytes + -(-rate_limit_Bps * max(blind_ns, 0) // NS_PER_S)
    if error == 0:
        return Bound(0, 0, in_contract)
    rate = state.rate_Bps if state.phase is FlowPhase.ACTIVE else 0
    phase_ns = -(-error * NS_PER_S // rate) if rate else None
    return Bound(error, phase_ns, in_contract)


class Forecaster:
    """The owner's end for one flow: gives the next state when a correction is due.

    The caller samples the total once per interval and sends what comes back. `bound_bytes` is
    the stated error bound at the sampling instants; between two of them the truth may move by
    one interval's bytes more.
    """

    def __init__(self, announced: FlowState, slope: Slope, *, interval_ns: int) -> None:
        if announced.phase not in (FlowPhase.ANNOUNCED, FlowPhase.PREDICTED):
            raise ValueError(f"a flow begins announced or predicted, not {announced.phase.name}")
        if interval_ns <= 0:
            raise ValueError(f"interval_ns must be positive, got {interval_ns}")
        if announced.max_silence_ns < interval_ns:
            raise ValueError(
                f"max_silence_ns must be at least one interval of {interval_ns} ns, "
                f"got {announced.max_silence_ns}"
            )
        self._sent = announced
        self._slope = slope
        self._interval_ns = interval_ns
        self._total = announced.total_bytes
        self._sampled_ns = announced.at_ns

    @property
    def state(self) -> FlowState:
        """The state that replicas have, once it arrived."""
        return self._sent

    def next_silence_ns(self) -> int | None:
        """When a refresh is due though nothing changed; None for a finished flow."""
        if self._sent.phase is FlowPhase.FINISHED:
            return None
        return self._sent.at_ns + self._sent.max_silence_ns

    def predicted(
        self,
        *,
        peak_rate_Bps: int,
        error_bound_bytes: int,
        version: Version,
        now_ns: int,
    ) -> FlowState:
        """A new prediction, before the first byte or in mid-flow: tell everybody.

        Of a flow that is under way the last sample is told with it: it holds for the moment it
        was taken at.
        """
        if self._sent.phase is FlowPhase.ACTIVE:
            sent = self._correct(version, self._sampled_ns)
        else:
            sent = replace(
                self._sent,
                version=self._newer(version),
                phase=FlowPhase.PREDICTED,
                at_ns=now_ns,
                rate_Bps=peak_rate_Bps,
            )
        self._sent = replace(sent, peak_rate_Bps=peak_rate_Bps, error_bound_bytes=error_bound_bytes)
        return self._sent

    def sample(self, total_bytes: int, *, version: Version, now_ns: int) -> FlowState | None:
        """The total at the end of an interval; the next state if one must be sent.

        Raises ValueError if total or time go back.
        """
        self._advance(total_bytes, now_ns)
        if self._sent.phase is not FlowPhase.ACTIVE:
            if total_bytes == self._sent.total_bytes and not self._is_silent(now_ns):
                return None
            return self._correct(version, now_ns)
        error = abs(total_bytes - believed_total(self._sent, now_ns))
        if error <= self._sent.error_bound_bytes and not self._is_silent(now_ns):
            return None
        return self._correct(version, now_ns)

    def finish(self, total_bytes: int, *, version: Version, now_ns: int) -> FlowState:
        """The flow has ended; its last state is exact."""
        self._advance(total_bytes, now_ns)
        self._sent = replace(
            self._sent,
            version=self._newer(version),
            phase=FlowPhase.FINISHED,
            at_ns=now_ns,
            total_bytes=total_bytes,
            rate_Bps=0,
            error_bound_bytes=0,
            size_bytes=total_bytes,
        )
        return self._sent

    def _advance(self, total_bytes: int, now_ns: int) -> None:
        if self._sent.phase is FlowPhase.FINISHED:
            raise ValueError(f"flow {self._sent.flow_id} has finished")
        if total_bytes < self._total or now_ns < self._sampled_ns:
            raise ValueError(
                f"flow {self._sent.flow_id} went back: {total_bytes} bytes at {now_ns} ns "
                f"after {self._total} at {self._sampled_ns} ns"
            )
        self._slope.observe(total_bytes - self._total)
        self._total, self._sampled_ns = total_bytes, now_ns

    def _is_silent(self, now_ns: int) -> bool:
        return now_ns - self._sent.at_ns >= self._sent.max_silence_ns

    def _correct(self, version: Version, now_ns: int) -> FlowState:
        sent = self._sent
        moved = self._total - sent.total_bytes
        self._slope.corrected(moved, now_ns - sent.at_ns)
        began = self._total > 0 or sent.phase is FlowPhase.ACTIVE
        self._sent = replace(
            sent,
            version=self._newer(version),
            phase=FlowPhase.ACTIVE if began else sent.phase,
            at_ns=now_ns,
            total_bytes=self._total,
            rate_Bps=self._slope.rate_Bps if began else sent.rate_Bps,
            size_bytes=None if self._exceeds(sent.size_bytes) else sent.size_bytes,
        )
        return self._sent

    def _exceeds(self, size_bytes: int | None) -> bool:
        """The announced size was wrong: it is withdrawn rather than believed."""
        return size_bytes is not None and self._total > size_bytes

    def _newer(self, version: Version) -> Version:
        if version <= self._sent.version:
            raise ValueError(f"{version} is not newer than {self._sent.version}")
        return version
