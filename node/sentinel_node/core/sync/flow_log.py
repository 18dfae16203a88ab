"""What this node heard of one flow, for the run's report: its views over time, and the verdicts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from sentinel_node.core.control.messages import FlowState, PathMetadata, SyncCheck
from sentinel_node.core.sync.checkpoints import NO_PAYLOAD, Checkpoints
from sentinel_node.core.sync.validation import SyncVerdict, validate, with_hash

VIEWS_MAX = 20_000
VERDICTS_MAX = 1_000


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
    own: Checkpoints | None = None
    """The running hashes of what the application here has read; None: none are made here."""
    pending: dict[int, SyncCheck] = field(default_factory=dict)
    """Checks whose data is still to come, by their verdict's place; few, as data follows soon."""

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
        """Upstream says where it stands: its state is compared now, its hash when the data is here.

        News travels ahead of data; so what this check is about may come only later.
        """
        self.compare_hashes()
        if check.final:
            if check == self.final:
                return  # told again after a stream broke
            self.final = check
            if self.delivered is not None:
                self._judge(check, self.delivered)
        elif len(self.verdicts) < VERDICTS_MAX:
            if check.checkpoint_offset:
                self.pending[len(self.verdicts)] = check
            self.verdicts.append(
                validate(
                    check,
                    view=view,
                    digests=None,
                    delivered_bytes=0,
                    delay_allowance_bytes=allowance_bytes,
                )
            )

    def compare_hashes(self, *, ended: bool = False) -> None:
        """Compare what has come since; `ended`: nothing more will."""
        if self.own is None:
            return
        reached = self.own.reached_bytes
        for place, check in tuple(self.pending.items()):
            if check.checkpoint_offset <= reached or ended:
                own = self.own.digest_at(check.checkpoint_offset)
                self.verdicts[place] = with_hash(self.verdicts[place], check, own)
                del self.pending[place]

    def ended(self, delivered: Delivered) -> None:
        """The data has ended here: compare with upstream's last word, if it came."""
        self.delivered = delivered
        self.compare_hashes(ended=True)
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
