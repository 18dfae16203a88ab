"""What a forecast makes ready on simulated connections: buffers, windows, pacing, the gate.

The plan and the gate are the daemon's own (`sentinel_node.core.start`); here they meet the rows of
the engine instead of sockets and routes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sentinel_node.core.control.messages import WindowOffer
from sentinel_node.core.start.adjustment import Adjustment, note_reached
from sentinel_node.core.start.buffer_plan import BufferPlan
from sentinel_node.core.start.gate import Gate, Look
from sentinel_node.core.start.outgoing import Outgoing, packets
from sentinel_sim.backends.simulated.control.agenda import Clock
from sentinel_sim.engine.layout import BOUNDLESS, Array


@dataclass(slots=True)
class Prepared:
    """What was made ready for one flow at one node."""

    adjustments: list[Adjustment] = field(default_factory=list)
    waiting: list[Adjustment] = field(default_factory=list)
    """Adjusted in mid-flow, before what was sent under the prediction came."""
    outgoing: Outgoing | None = None
    gate: Gate | None = None

    def offered(self, offer: WindowOffer) -> None:
        """The next node takes so much before it acknowledges anything."""
        if self.gate is not None:
            self.gate.offered(offer.window_bytes)

    def add(self, one: Adjustment) -> None:
        """It was made ready."""
        self.adjustments.append(one)
        if one.offset_bytes:
            self.waiting.append(one)

    def reached(self, payload_bytes: int, now_ns: int) -> None:
        """So much of the flow is here."""
        self.waiting = note_reached(self.waiting, payload_bytes, now_ns)

    def close(self, row: Array, now_ns: int) -> None:
        """The connection has ended well: remember what it found."""
        if self.gate is not None:
            self.gate.close()
        if self.outgoing is not None:
            self.outgoing.observe(
                cwnd_bytes=int(row["cwnd"]) * int(row["mss"]),
                min_rtt_ns=int(row["min_rtt"]),
                now_ns=now_ns,
            )


class EngineTcp:
    """A simulated connection as the gate sees it (`core.start.gate.Tcp`)."""

    def __init__(self, row: Array) -> None:
        self._row = row

    def look(self) -> Look:
        """By the engine's counters."""
        row = self._row
        return Look(self.acked_bytes(), int(row["srtt"]), int(row["resent_segments"]))

    def acked_bytes(self) -> int:
        """By the engine's counters."""
        return int(self._row["una"]) * int(self._row["mss"])

    def believe(self, window_bytes: int) -> bool:
        """The window's edge, before the first acknowledgement moves it."""
        row = self._row
        if row["una"]:
            return False
        row["edge"] = max(int(row["edge"]), window_bytes // int(row["mss"]))
        return True

    def pace(self, rate_Bps: int) -> None:
        """In segments per second; once a limit was set, TCP goes on pacing itself."""
        self._row["pace_most"] = rate_Bps / float(self._row["mss"])


def apply_receiving(row: Array, window_bytes: int) -> None:
    """The receiving end offers this window from now on (TCP_WINDOW_CLAMP, initrwnd)."""
    row["fixed_window"] = window_bytes
    edge = int(row["rcv_nxt"]) * int(row["mss"]) + window_bytes
    row["advertised"] = max(int(row["advertised"]), edge)


def apply_sending(row: Array, plan: BufferPlan) -> None:
    """Send buffer, unsent bytes and start window of a connection that is not open yet."""
    resize(row, plan)
    row["cwnd"] = row["initial_window"] = packets(plan.jump_window_bytes)


def resize(row: Array, plan: BufferPlan) -> None:
    """Send buffer and unsent bytes of a connection under way."""
    row["send_buffer"] = row["send_max"] = plan.send_buffer_bytes
    row["unsent_most"] = max(plan.unsent_bytes // int(row["mss"]), 2)


class Gatekeeper:
    """Asks one connection's gate, as often as the daemon's writer does, until the start is over."""

    def __init__(self, clock: Clock, index: int, gate: Gate) -> None:
        self._clock = clock
        self._agenda = clock.agenda
        self._index = index
        self._gate = gate
        self._written = 0
        self._look()

    def _look(self) -> None:
        simulation = self._clock.simulation
        row = simulation.world.conns[self._index]
        written, mss = int(row["written"]), int(row["mss"])
        if written > self._written:
            self._gate.sent((written - self._written) * mss)
            self._written = written
        room = self._gate.room(self._agenda.now_ns)
        most = BOUNDLESS if room is None else written + room // mss
        before, row["write_most"] = int(row["write_most"]), most
        if most > before:
            simulation.wake("nudge_at", self._index, self._agenda.now_ns)
        if not self._gate.over:
            self._agenda.at(self._agenda.now_ns + self._gate.look_ns, self._look)


def hold_back(clock: Clock, index: int, outgoing: Outgoing) -> Gate | None:
    """The gate of a connection that is not open yet; None for a slow start."""
    gate = outgoing.gate(EngineTcp(clock.simulation.world.conns[index]))
    if gate is not None:
        Gatekeeper(clock, index, gate)
    return gate
