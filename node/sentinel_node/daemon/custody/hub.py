"""Custody messages from the control plane to the flow that they concern, by the flow's name.

Handlers run on the event loop's thread and must not block: a flow does its bookkeeping under a
short lock, and leaves the rest to its own thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from sentinel_node.core.control.custody_messages import (
    CustodyAck,
    CustodyReason,
    CustodyRefusal,
    DeliveredAck,
    ResumePoint,
    ResumeQuery,
)
from sentinel_node.core.control.refusals import Reason, Refusal
from sentinel_node.daemon.control.interface import ControlPlane, PeerEvent, Unsubscribe


class FlowEnd(Protocol):
    """A flow at this node. What it has no use for it refuses."""

    def on_custody(self, peer: str, ack: CustodyAck) -> Refusal | None:
        """Downstream answers for a prefix."""
        ...

    def on_delivered(self, peer: str, ack: DeliveredAck) -> Refusal | None:
        """The receiver has a prefix."""
        ...

    def on_refusal(self, peer: str, refusal: CustodyRefusal) -> Refusal | None:
        """Downstream did not take bytes, or a new attempt."""
        ...

    def on_point(self, peer: str, point: ResumePoint) -> Refusal | None:
        """Downstream says where to go on."""
        ...

    def on_query(self, peer: str, query: ResumeQuery) -> Refusal | None:
        """Upstream asks where to go on."""
        ...

    def on_peer(self, event: PeerEvent) -> None:
        """A neighbour came, went, or fell silent."""
        ...


Stranger = Callable[[str, ResumeQuery], Refusal | None]
"""Takes a query for a flow that this node does not have open."""


class CustodyHub:
    """All flows in custody of a daemon. One per control plane."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane
        self._lock = threading.Lock()
        self._flows: dict[int, FlowEnd] = {}
        self._strangers: dict[str, list[Stranger]] = {}
        self._ends: list[Unsubscribe] = [
            plane.handle(CustodyAck, self._on_custody),
            plane.handle(DeliveredAck, self._on_delivered),
            plane.handle(CustodyRefusal, self._on_refusal),
            plane.handle(ResumePoint, self._on_point),
            plane.handle(ResumeQuery, self._on_query),
            plane.on_peer(self._on_peer),
        ]

    def close(self) -> None:
        """Take no more messages."""
        for end in self._ends:
            end()

    def add(self, flow_id: int, flow: FlowEnd) -> None:
        """Messages of this flow go to `flow`. Raises ValueError if it has one already."""
        with self._lock:
            if flow_id in self._flows:
                raise ValueError(f"flow {flow_id:016x} is open at this node already")
            self._flows[flow_id] = flow

    def remove(self, flow_id: int) -> None:
        """The flow is over."""
        with self._lock:
            self._flows.pop(flow_id, None)

    def serve(self, upstream: str, stranger: Stranger) -> Unsubscribe:
        """Queries of `upstream` for unknown flows go to `stranger`, while it is the only one."""
        with self._lock:
            self._strangers.setdefault(upstream, []).append(stranger)

        def end() -> None:
            with self._lock:
                self._strangers[upstream].remove(stranger)

        return end

    def _unknown(self, flow_id: int) -> Refusal:
        return Refusal(Reason.UNKNOWN_FLOW, f"flow {flow_id:016x} is not open at this node")

    def _on_custody(self, peer: str, ack: CustodyAck) -> Refusal | None:
        flow = self._flows.get(ack.flow_id)
        return self._unknown(ack.flow_id) if flow is None else flow.on_custody(peer, ack)

    def _on_delivered(self, peer: str, ack: DeliveredAck) -> Refusal | None:
        flow = self._flows.get(ack.flow_id)
        return self._unknown(ack.flow_id) if flow is None else flow.on_delivered(peer, ack)

    def _on_refusal(self, peer: str, refusal: CustodyRefusal) -> Refusal | None:
        flow = self._flows.get(refusal.flow_id)
        return self._unknown(refusal.flow_id) if flow is None else flow.on_refusal(peer, refusal)

    def _on_point(self, peer: str, point: ResumePoint) -> Refusal | None:
        flow = self._flows.get(point.flow_id)
        return self._unknown(point.flow_id) if flow is None else flow.on_point(peer, point)

    def _on_query(self, peer: str, query: ResumeQuery) -> Refusal | None:
        flow = self._flows.get(query.flow_id)
        if flow is not None:
            return flow.on_query(peer, query)
        strangers = self._strangers.get(peer, [])
        if len(strangers) == 1:
            return strangers[0](peer, query)
        # Which run it belongs to is in the header only; the peer opens a connection to say so.
        self.plane.send(
            peer,
            CustodyRefusal(query.flow_id, query.transfer_epoch, 0, CustodyReason.UNKNOWN_FLOW, 0),
        )
        return self._unknown(query.flow_id)

    def _on_peer(self, event: PeerEvent) -> None:
        with self._lock:
            flows = tuple(self._flows.values())
        for flow in flows:
            flow.on_peer(event)
