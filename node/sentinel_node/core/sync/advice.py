"""What this node says upstream of the flows that pass it: how much it can take of each.

Said only where upstream promises more than that by a quarter or more, and then whenever it changes
so much again: an origin that knows of all flows on the path hears nothing. Latest value wins: one
that waits is replaced, never queued behind. What was said last is repeated when a neighbour comes
back, for it may have been lost.
"""

from __future__ import annotations

from sentinel_node.core.control.messages import RateAdvice, Version
from sentinel_node.core.sync.shares import is_material


class Adviser:
    """Advice by flow, and what of it the upstream neighbours have still to be told."""

    def __init__(self, epoch: int) -> None:
        self._epoch = epoch
        self._sequence = 0
        self._upstream: dict[int, str] = {}
        self._said: dict[int, int] = {}
        self._waiting: dict[str, dict[int, None]] = {}

    def begin(self, flow_id: int, upstream: str) -> None:
        """A flow comes from this neighbour."""
        self.end(flow_id)
        self._upstream[flow_id] = upstream

    def end(self, flow_id: int) -> None:
        """The flow has ended; unknown ones are ignored."""
        upstream = self._upstream.pop(flow_id, None)
        self._said.pop(flow_id, None)
        if upstream is not None:
            self._waiting.get(upstream, {}).pop(flow_id, None)

    def offer(self, flow_id: int, rate_Bps: int, promised_Bps: int) -> str | None:
        """The flow can count on `rate_Bps` here, upstream promises it `promised_Bps`.

        Gives the neighbour that has to be told, if any.
        """
        upstream, said = self._upstream.get(flow_id), self._said.get(flow_id)
        if upstream is None:
            return None
        if said is None and rate_Bps >= promised_Bps:
            return None
        if not is_material(promised_Bps if said is None else said, rate_Bps):
            return None
        self._said[flow_id] = rate_Bps
        self._waiting.setdefault(upstream, {})[flow_id] = None
        return upstream

    def take(self, peer: str) -> RateAdvice | None:
        """The next thing to say to `peer`; None: it has been told everything."""
        waiting = self._waiting.get(peer)
        if not waiting:
            return None
        flow_id = next(iter(waiting))
        del waiting[flow_id]
        self._sequence += 1
        return RateAdvice(Version(self._epoch, self._sequence), flow_id, self._said[flow_id])

    def repeat(self, peer: str) -> bool:
        """Say everything to `peer` again; False: there is nothing to say."""
        again = [flow_id for flow_id in self._said if self._upstream[flow_id] == peer]
        if again:
            self._waiting.setdefault(peer, {}).update(dict.fromkeys(again))
        return bool(again)
