"""What the next node takes of a flow before it has acknowledged anything: said over one hop.

A TCP learns that with the first acknowledgement, for the window of a SYN-ACK is not scaled (RFC
7323, section 2.2). So a node says it upstream, and a whole start window can follow the handshake at
once. It holds for connections whose SYN came when the node was ready; upstream knows when its SYN
left and how long the link is, on the flow origin's clock as all times of a flow are. An offer that
is lost costs a round trip, and is not repeated.
"""

from __future__ import annotations

from collections.abc import Callable

from sentinel_node.core.control.messages import WindowOffer
from sentinel_node.core.control.refusals import Reason, Refusal
from sentinel_node.core.sync.flow_table import FlowTable
from sentinel_node.core.sync.paths import PathBook, next_hop

OfferHook = Callable[[WindowOffer], None]
"""What the next node takes; must not block."""


class WindowOffers:
    """Of one node: its own go upstream, those of the next nodes come."""

    def __init__(
        self,
        node: str,
        table: FlowTable,
        book: PathBook,
        send: Callable[[str, WindowOffer], object],
    ) -> None:
        self._node = node
        self._table = table
        self._book = book
        self._send = send
        self._expected: dict[int, OfferHook] = {}

    def expect(self, flow_id: int, hook: OfferHook) -> None:
        """Have `hook` told what the flow's next node takes, until the flow ends."""
        self._expected[flow_id] = hook

    def end(self, flow_id: int) -> None:
        """The flow has ended; unknown ones are ignored."""
        self._expected.pop(flow_id, None)

    def say(self, flow_id: int, window_bytes: int, ready_ns: int) -> bool:
        """From `ready_ns` on this node takes so much at once; False: nobody tells of the flow."""
        entry = self._table.get(flow_id)
        if entry is None or not entry.source:
            return False
        self._send(entry.source, WindowOffer(flow_id, window_bytes, ready_ns))
        return True

    def on_offer(self, peer: str, offer: WindowOffer, now_ns: int) -> Refusal | None:
        """The next node takes so much."""
        del now_ns
        path, hook = self._book.get(offer.flow_id), self._expected.get(offer.flow_id)
        if path is None or hook is None:
            return Refusal(Reason.UNKNOWN_FLOW, f"nobody waits for a window of {offer.flow_id}")
        if peer != next_hop(path, self._node):
            return Refusal(Reason.WRONG_PEER, f"a window of {peer}, not the flow's next node")
        hook(offer)
        return None
