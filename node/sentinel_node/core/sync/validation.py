"""Is the receiver's view of a flow that of upstream? Checked at intervals and at the end.

Upstream says where it stands: epoch, total, and its running hash at the last checkpoint. The
receiver compares with what it has itself, and the verdict is stored with the run. A verdict is
never guessed: what cannot be compared (no digest at that offset any more) is said to be so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sentinel_node.core.control.messages import FlowState, PathMetadata, SyncCheck
from sentinel_node.core.sync.forecaster import believed_total, replica_bound
from sentinel_node.core.sync.paths import hop_names


@dataclass(frozen=True, slots=True)
class SyncVerdict:
    """What one check found. None: was not compared; `problems` says why, where it should be."""

    flow_id: int
    at_ns: int
    final: bool
    epoch_ok: bool
    state_in_bound: bool | None
    hash_ok: bool | None
    bytes_ok: bool | None
    error_bytes: int | None
    problems: tuple[str, ...]
    checkpoint_offset: int = 0
    """Where the hashes were, or are to be, compared."""

    @property
    def ok(self) -> bool:
        """Everything could be compared, and agreed."""
        return not self.problems


def validate(
    check: SyncCheck,
    *,
    view: FlowState | None,
    digests: Mapping[int, bytes] | None,
    delivered_bytes: int,
    delay_allowance_bytes: int,
) -> SyncVerdict:
    """Compare upstream's word with one's own view.

    `view`: the replica's state of the flow. `digests`: own running hashes by offset; None: they
    are compared later (`with_hash`), or there are none here, as at a relay.
    `delivered_bytes`: bytes this receiver's application has; compared at the end only, since
    until then bytes are on their way. `delay_allowance_bytes`: by how much the view may be wrong
    beyond its bound because news is on its way (see `forecaster.replica_bound`).
    """
    problems: list[str] = []
    epoch_ok = view is not None and view.version.epoch == check.epoch
    allowance = 0 if check.final else delay_allowance_bytes
    error, in_bound = _compare(check, view, allowance, problems)
    hash_ok = None if digests is None else _hash_ok(check, digests, problems)
    bytes_ok = delivered_bytes == check.total_bytes if check.final else None
    if bytes_ok is False:
        problems.append(f"{delivered_bytes} bytes delivered of {check.total_bytes}")
    return SyncVerdict(
        flow_id=check.flow_id,
        at_ns=check.at_ns,
        final=check.final,
        epoch_ok=epoch_ok,
        state_in_bound=in_bound,
        hash_ok=hash_ok,
        bytes_ok=bytes_ok,
        error_bytes=error,
        problems=tuple(problems),
        checkpoint_offset=check.checkpoint_offset,
    )


def with_hash(verdict: SyncVerdict, check: SyncCheck, own: bytes | None) -> SyncVerdict:
    """The verdict with the hashes compared; `own` None: none was kept, or the data never came."""
    problems: list[str] = []
    digests = {} if own is None else {check.checkpoint_offset: own}
    hash_ok = _hash_ok(check, digests, problems)
    return replace(verdict, hash_ok=hash_ok, problems=(*verdict.problems, *problems))


def _compare(
    check: SyncCheck, view: FlowState | None, allowance_bytes: int, problems: list[str]
) -> tuple[int | None, bool | None]:
    """(error in bytes, within the bound); notes what is wrong."""
    if view is None:
        problems.append("this node has no view of the flow")
        return None, None
    if view.version.epoch != check.epoch:
        problems.append(f"view of epoch {view.version.epoch}, upstream is in {check.epoch}")
    error = check.total_bytes - believed_total(view, check.at_ns)
    allowed = view.error_bound_bytes + allowance_bytes
    if abs(error) > allowed:
        problems.append(f"view is wrong by {error} bytes, {allowed} are allowed")
    return error, abs(error) <= allowed


def _hash_ok(check: SyncCheck, digests: Mapping[int, bytes], problems: list[str]) -> bool | None:
    own = digests.get(check.checkpoint_offset)
    if own is None:
        problems.append(f"no running hash is kept at offset {check.checkpoint_offset}")
        return None
    if own != check.checkpoint_digest:
        problems.append(f"running hash differs at offset {check.checkpoint_offset}")
    return own == check.checkpoint_digest


def news_allowance(state: FlowState, path: PathMetadata, node: str) -> int:
    """Bytes that may have come beyond the bound while the news was on its way to `node`."""
    before = path.hops[1 : hop_names(path).index(node) + 1]
    # Between two samples the truth may move too; the grid is a hundredth of the silence.
    delay_ns = sum(hop.propagation_ns for hop in before) + state.max_silence_ns // 100
    limit_Bps = min((hop.rate_bps // 8 for hop in path.hops[1:] if hop.rate_bps), default=0)
    bound = replica_bound(
        replace(state, error_bound_bytes=0),
        now_ns=state.at_ns,
        delay_ns=delay_ns,
        rate_limit_Bps=max(limit_Bps, state.peak_rate_Bps),
    )
    return bound.error_bytes
