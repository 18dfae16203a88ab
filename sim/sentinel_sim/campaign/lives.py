"""Traffic of a campaign: the sender's daemon may die and be started anew, again and again."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from sentinel_proto.v1 import node_control_pb2 as pb
from sentinel_sim.backends.emulated.traffic import Traffic

PROGRESS_NS = 5_000_000
"""How often a sender says what is confirmed: what it has not told us, we do not hold against it."""
STALL_NS = 30_000_000_000


@dataclass
class CampaignTraffic(Traffic):
    """Says which life of a node's daemon it is, and lets others wait for the next."""

    is_alive: Callable[[str], bool] = lambda _node: True
    lives: Counter[str] = field(default_factory=Counter)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def reopen(self, node: str) -> None:
        """A new daemon of the node knows what it has to. Raises NodeError."""
        await super().reopen(node)
        self.lives[node] += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def standing(self, node: str, patience_s: float) -> int:
        """Wait until a daemon that can be told to send lives there; gives which life it is."""
        while not self.is_alive(node):
            if not await self.next_life(node, self.lives[node], patience_s):
                break
        return self.lives[node]

    async def next_life(self, node: str, after: int, patience_s: float) -> bool:
        """Wait for a life after that one; False if none came in time."""
        try:
            async with asyncio.timeout(patience_s):
                while self.lives[node] <= after:
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def send_request(self) -> pb.SendRequest:
        """With words of progress as often as a confirmation log needs them."""
        request = super().send_request()
        request.progress_interval_ns = PROGRESS_NS
        request.stall_timeout_ns = STALL_NS
        return request
