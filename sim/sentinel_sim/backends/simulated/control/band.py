"""One direction of a link, for the control stream: reliable, in order, and as slow as the link.

A message is one packet: its envelope in gRPC's and HTTP/2's frames, in TCP over IPv4. With a
control band it passes the data that waits, and takes the link's time from it; without one it
waits behind. A lost or dropped packet is sent again by a tail loss probe after two round trips
(RFC 8985, section 7.2), then with the pause doubled; what was sent after it waits for it. Not
simulated: acknowledgements that travel alone (heartbeats carry nearly all), and HTTP/2's own
frames.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from sentinel_sim.backends.simulated.control.agenda import Clock
from sentinel_sim.engine.guests import carry
from sentinel_sim.engine.spec import HEADERS_BYTES
from sentinel_sim.plan.model import LinkPlan
from sentinel_sim.plan.seeds import stream

FRAMING_BYTES = 9 + 5
"""An HTTP/2 DATA frame's header (RFC 9113, section 4.1), and gRPC's length prefix."""
PROBE_FLOOR_NS = 10_000_000
PROBE_RTTS = 2


@dataclass(slots=True)
class _Message:
    data: bytes
    pause_ns: int
    arrived: bool = False


class ControlBand:
    """Carries messages over link `index` of a simulation and hands them to `receive`."""

    def __init__(
        self,
        clock: Clock,
        link: LinkPlan,
        index: int,
        *,
        ahead: bool,
        seed: int,
        receive: Callable[[bytes], None],
    ) -> None:
        self._clock = clock
        self._agenda = clock.agenda
        self._link = link
        self._index = index
        self._ahead = ahead
        self.loss = link.loss
        """Probability per packet; changes with the link's."""
        self._random = stream(seed, "control", clock.simulation.link_names[index])
        self._receive = receive
        self._under_way: deque[_Message] = deque()
        self.trace = hashlib.sha256()
        """Over every message that came, and when."""
        self.bytes_sent = 0
        """Layer 2, again what was sent again."""

    def send(self, data: bytes) -> None:
        """Send one envelope now."""
        pause_ns = max(PROBE_RTTS * 2 * self._link.delay_one_way_ns, PROBE_FLOOR_NS)
        message = _Message(data, pause_ns)
        self._under_way.append(message)
        self._transmit(message)

    def _transmit(self, message: _Message) -> None:
        size = len(message.data) + FRAMING_BYTES + HEADERS_BYTES
        lost = self.loss > 0 and self._random.random() < self.loss
        world = self._clock.simulation.world
        left_ns = carry(world, self._index, size, ahead=self._ahead, lost=lost)
        if left_ns is not None:
            self.bytes_sent += size
        if left_ns is None or lost:
            again_ns = self._agenda.now_ns + message.pause_ns
            message.pause_ns *= 2
            self._agenda.at(again_ns, lambda: self._transmit(message))
            return
        jitter = self._link.jitter_ns
        wander = self._random.randint(-jitter, jitter) if jitter else 0
        arrives_ns = left_ns + self._link.delay_one_way_ns + wander
        self._agenda.at(arrives_ns, lambda: self._arrive(message))

    def _arrive(self, message: _Message) -> None:
        message.arrived = True
        while self._under_way and self._under_way[0].arrived:
            data = self._under_way.popleft().data
            self.trace.update(self._agenda.now_ns.to_bytes(8, "big") + data)
            self._receive(data)
