"""One transfer, from its first command to the sender's last word."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from sentinel_node.errors import NodeError
from sentinel_proto.v1 import node_control_pb2 as pb
from sentinel_sim.campaign.drawing import Source
from sentinel_sim.campaign.feeding import Feed, feeding
from sentinel_sim.campaign.lives import CampaignTraffic
from sentinel_sim.plan.model import FlowPlan

LIFE_PATIENCE_S = 30.0
"""For another daemon of a sender that died."""


@dataclass
class Transfer:
    """What is known of it from outside. `confirm` is told of each word from the sender's node."""

    traffic: CampaignTraffic
    flow: FlowPlan
    source: Source
    target: tuple[str, int]
    data: bytes
    fifo: Path
    """Where the sender's node finds the pipe, if it is one."""
    confirm: Callable[[int], None]
    complete: bool = False
    error: str = ""
    lives: int = 0
    sender_died: bool = False
    confirmed_bytes: int = 0
    began_s: float = 0.0
    seconds: float = 0.0

    @property
    def sender(self) -> str:
        """The node that sends."""
        return self.traffic.spec.paths[self.flow.path].nodes[0]

    async def run(self) -> None:
        """Send to the end, over as many lives of the sender as that takes."""
        await self.traffic.standing(self.sender, LIFE_PATIENCE_S)
        self.began_s = time.monotonic()
        try:
            async with AsyncExitStack() as stack:
                feed = None
                if self.source is Source.PIPE:
                    feed = await stack.enter_async_context(feeding(self.fifo, self.data))
                while not await self._live(feed):
                    pass
        finally:
            self.seconds = time.monotonic() - self.began_s

    async def _live(self, feed: Feed | None) -> bool:
        """In one life of the sender's daemon; False: another has to go on."""
        life = self.traffic.lives[self.sender]
        self.lives += 1
        request = self.traffic.send_request()
        request.flows.append(self._flow_spec())
        try:
            async for progress in self.traffic.clients[self.sender].send(request):
                self._take(progress, feed)
        except NodeError as error:
            self.sender_died = True
            if feed is not None:
                self.error = self._broken_off(feed, error)
                return True
            if await self.traffic.next_life(self.sender, life, LIFE_PATIENCE_S):
                return False
            self.error = f"{self.sender}: no other daemon within {LIFE_PATIENCE_S:g} s: {error}"
        return True

    def _take(self, progress: pb.SendProgress, feed: Feed | None) -> None:
        if feed is not None and (progress.bytes_written or progress.done):
            feed.hand_over()
        for flow in progress.flows:
            self.confirmed_bytes = max(self.confirmed_bytes, flow.bytes_confirmed)
            self.confirm(flow.bytes_confirmed)
            self.complete |= flow.complete
            if flow.ended:
                self.error = flow.error

    def _broken_off(self, feed: Feed, error: NodeError) -> str:
        """The last word on a pipe whose reader is dead; it names the promise that still holds."""
        return (
            f"{self.sender}'s daemon died, and a pipe cannot be read again: {feed.given} of"
            f" {len(self.data)} bytes were given to it, {self.confirmed_bytes} of them confirmed"
            f" (those are kept), the others are gone; {error}"
        )

    def _flow_spec(self) -> pb.FlowSpec:
        resumed_ns = None if self.lives == 1 else 1
        spec = self.traffic.flow_spec(self.flow, self.target, resumed_ns)
        if self.source is Source.PIPE:
            spec.size_bytes = 0  # a pipe says itself when it ends
            spec.custody.pipe_path = str(self.fifo)
        return spec
