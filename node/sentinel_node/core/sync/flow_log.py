"""What this node heard of one flow, for the run's report: its views over time, and the verdicts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import NamedTuple

from sentinel_node.core.control.messages import FlowState, PathMetadata, SyncCheck
from sentinel_node.core.sync.validation import SyncVerdict, validate

VIEWS_MAX = 20_000
VERDICTS_MAX = 1_000
NO_PAYLOAD = hashlib.sha256().digest()
"""The running hash before the first byte."""


class View(NamedTuple):
    """A state and when this node had it (CLOCK_MONOTONIC)."""

    applied_ns: int
    state: FlowState


class Delivered(NamedTuple):
    """What the receiving application has of a flow that has ended."""

    payload_bytes: int
    sha256: bytes


@dataclass(slots=True)
class FlowLog:
    """One flow as this node knew it. Bounded; what was left out is counted."""

    announced_ns: int
    path: PathMetadata | None = None
    views: list[View] = field(default_factory=list)
    views_dropped: int = 0
    verdicts: list[SyncVerdict] = field(default_factory=list)
    final: SyncCheck | None = None
    """Upstream's last word; it and the end of the data come in either order."""
    delivered: Delivered | None = None

    def seen(self, state: FlowState, now_ns: int) -> None:
        """The replica has a new state."""
        if len(self.views) < VIEWS_MAX:
            self.views.append(View(now_ns, state))
        else:
            self.views_dropped += 1

    @property
    def state(self) -> FlowState | None:
        """The newest state that was kept."""
        return self.views[-1].state if self.views else None

    def check(self, check: SyncCheck, view: FlowState | None, allowance_bytes: int) -> None:
        """Upstream says where it stands, in between: its state is compared, not its hash."""
        if check.final:
            if check == self.final:
                return  # told again after a stream broke
            self.final = check
            if self.delivered is not None:
                self._judge(check, self.delivered)
        elif len(self.verdicts) < VERDICTS_MAX:
            digests = {0: NO_PAYLOAD}
            self.verdicts.append(
                validate(
                    check,
                    view=view,
                    digests=digests,
                    delivered_bytes=0,
                    delay_allowance_bytes=allowance_bytes,
                )
            )

    def ended(self, delivered: Delivered) -> None:
        """The data has ended here: compare with upstream's last word, if it came."""
        self.delivered = delivered
        if self.final is not None:
            self._judge(self.final, delivered)

    def _judge(self, check: SyncCheck, delivered: Delivered) -> None:
        self.verdicts.append(
            validate(
                check,
                view=self.state,
                digests={0: NO_PAYLOAD, delivered.payload_bytes: delivered.sha256},
                delivered_bytes=delivered.payload_bytes,
                delay_allowance_bytes=0,
            )
        )
