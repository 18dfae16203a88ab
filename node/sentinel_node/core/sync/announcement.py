"""What the origin of a flow says of it ahead of its data."""

from __future__ import annotations

from dataclasses import dataclass

from sentinel_node.core.control.messages import (
    FlowPhase,
    FlowState,
    PathHop,
    PathMetadata,
    Version,
)
from sentinel_node.core.start.buffer_plan import StartMode
from sentinel_node.errors import RequestError

DEFAULT_INTERVAL_NS = 10_000_000
DEFAULT_SILENCE_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Announced:
    """A flow as the node's flow sync is told of it. `state`: announced or predicted.

    Its rates are what the flow asks for, its bound belongs to them: both are cut to what the
    links can give beside the flows that are live (`core.sync.shares`).
    """

    state: FlowState
    path: PathMetadata
    interval_ns: int


@dataclass(frozen=True, slots=True)
class Announcement:
    """What the origin knows of its flow. `hops`: itself first, the receiver last.

    `rate_Bps` is what it asks for, all other flows aside; `error_bound_bytes` belongs to it.
    """

    hops: tuple[PathHop, ...]
    rate_Bps: int
    rtt_ns: int
    error_bound_bytes: int
    interval_ns: int = DEFAULT_INTERVAL_NS
    max_silence_ns: int = DEFAULT_SILENCE_NS
    mode: StartMode = StartMode.CAREFUL

    def __post_init__(self) -> None:
        if len(self.hops) < 2:
            raise RequestError(f"an announced path has two nodes or more, got {self.hops}")
        if self.rate_Bps <= 0:
            raise RequestError(f"an announced rate_Bps must be positive, got {self.rate_Bps}")
        if not 0 < self.interval_ns <= self.max_silence_ns:
            raise RequestError(
                f"0 < interval_ns <= max_silence_ns does not hold: {self.interval_ns}, "
                f"{self.max_silence_ns}"
            )

    def of_flow(
        self, flow_id: int, version: Version, *, size_bytes: int | None, now_ns: int
    ) -> Announced:
        """The first state of the flow, predicted to go at the announced rate, and its path."""
        state = FlowState(
            flow_id,
            self.hops[0].node,
            version,
            FlowPhase.PREDICTED,
            now_ns,
            0,
            self.rate_Bps,
            error_bound_bytes=self.error_bound_bytes,
            max_silence_ns=self.max_silence_ns,
            peak_rate_Bps=self.rate_Bps,
            rtt_ns=self.rtt_ns,
            start_ns=now_ns,
            size_bytes=size_bytes,
        )
        return Announced(state, PathMetadata(flow_id, version, self.hops), self.interval_ns)
