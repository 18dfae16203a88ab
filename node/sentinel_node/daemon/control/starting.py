"""What is made ready at this node for a flow before its first byte: the fsu arm.

On announcement, for the link before: receive buffer and window of the listener (its children
inherit both, and the SYN-ACK's window scale follows), and the receive start window. For the link
after: send buffer, pacing rate, start window, and the connection itself, which waits under the
flow's name until the flow comes. Sizes are those of `core.start.buffer_plan`.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sentinel_node.core.control.messages import FlowState, PathMetadata, WindowOffer
from sentinel_node.core.start.adjustment import Adjustment, note_reached
from sentinel_node.core.start.buffer_plan import BufferPlan, HostLimits, StartMode
from sentinel_node.core.start.gate import Gate, Tcp
from sentinel_node.core.start.outgoing import RELAY_LIMIT_BYTES, Outgoing, empty_memory, packets
from sentinel_node.daemon.connection import TrackedConnection
from sentinel_node.daemon.control.routes import set_start_window
from sentinel_node.daemon.sockets import PACED_FROM_START, TcpProfile, family_of, open_paced
from sentinel_node.daemon.tcp_info import field as field_of

_TRIPLES = Path("/proc/sys/net/ipv4")


@dataclass(slots=True)
class Prepared:
    """All that was made ready for one flow at this node."""

    flow_id: int
    adjustments: list[Adjustment] = field(default_factory=list)
    first_byte_ns: int = 0
    connection: TrackedConnection | None = None
    """The onward connection, once it stands."""
    outgoing: Outgoing | None = None
    inward: TrackedConnection | None = None
    """The connection that the flow came over."""
    gate: Gate | None = None
    plan_in: BufferPlan | None = None
    """Of the link that the flow comes over."""
    start_window: bool = False
    """Connections from upstream begin with the planned window (a route's initrwnd)."""
    window_clamp_bytes: int = 0
    """The largest window that is advertised upstream; the kernel moves it, and is put right."""
    window_fixed: bool = False
    """It was asked for by the operator, and follows no prediction."""
    waiting: list[Adjustment] = field(default_factory=list)
    """Adjusted in mid-flow, before what was sent under the prediction came."""
    syn_there_ns: int = 0
    """When the SYN of the onward connection was at the next node at the earliest."""
    offered_bytes: int = 0
    """The next node takes so much before it acknowledges anything; 0: it said nothing."""
    latest: FlowState | None = None
    """A newer prediction, to which nothing was adjusted yet."""
    _congestion_control: bytes = b""
    """What a connection that is being opened gets once it stands."""
    done: threading.Event = field(default_factory=threading.Event)
    """The onward connection stands, or failed."""

    def connecting(self, sock: socket.socket, now_ns: int, note: Callable[[str], None]) -> None:
        """A SYN leaves now, for the flow's first connection or a later one.

        `note` is told if the kernel cannot pace a vouched first flight.
        """
        if self.outgoing is None:
            return
        if not self.syn_there_ns:
            self.syn_there_ns = now_ns + self.outgoing.propagation_ns
        if self.outgoing.plan.mode is StartMode.MANAGED:
            self._congestion_control = open_paced(sock)
            if not self._congestion_control:
                note(f"its first flight is paced by the handshake: no {PACED_FROM_START} here")

    def established(self, sock: socket.socket) -> None:
        """The connection stands; before anything is written."""
        name, self._congestion_control = self._congestion_control, b""
        if name:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name)

    def offered(self, offer: WindowOffer) -> None:
        """What the next node takes at once, if it was ready for the SYN; on the loop's thread."""
        if self.syn_there_ns and offer.ready_ns > self.syn_there_ns:
            return
        self.offered_bytes = offer.window_bytes
        if self.gate is not None:
            self.gate.offered(offer.window_bytes)

    def begin(self, tcp: Tcp) -> Gate | None:
        """The gate of the connection that the flow goes on over; by the thread that writes."""
        self.gate = gate = None if self.outgoing is None else self.outgoing.gate(tcp)
        offered, self.offered_bytes = self.offered_bytes, 0
        if gate is not None and offered:
            gate.offered(offered)  # it came before there was a gate
        return gate


MEMORY = empty_memory()
"""What earlier flows of this daemon found, by path (RFC 9959); lives as long as the daemon."""


def host_limits() -> HostLimits:
    """What this network namespace allows."""
    receive, send = (
        int((_TRIPLES / name).read_text().split()[2]) for name in ("tcp_rmem", "tcp_wmem")
    )
    return HostLimits(receive, send, RELAY_LIMIT_BYTES)


def receiving_profile(base: TcpProfile, plan: BufferPlan) -> TcpProfile:
    """The options of a listener for a planned flow."""
    return TcpProfile(
        congestion_control=base.congestion_control,
        # Not the planned buffer: how much of it is window depends on the size of packets in
        # memory, which the plan cannot know. A fixed multiple of the window holds it always.
        window_clamp_bytes=base.window_clamp_bytes or plan.window_clamp_bytes,
        notsent_lowat_bytes=base.notsent_lowat_bytes,
    )


def sending_profile(base: TcpProfile, plan: BufferPlan) -> TcpProfile:
    """The options of a connection that sends a planned flow."""
    return TcpProfile(
        congestion_control=base.congestion_control,
        send_buffer_bytes=plan.send_buffer_bytes // 2,
        notsent_lowat_bytes=base.notsent_lowat_bytes or plan.unsent_bytes,
    )


def set_send_start(target: str, plan: BufferPlan) -> bool:
    """The start window of the next connection to `target`; False for IPv6, which is not done."""
    if family_of(target) != socket.AF_INET:
        return False
    set_start_window(target, cwnd_packets=packets(plan.jump_window_bytes))
    return True


def set_receive_start(source: str, plan: BufferPlan) -> bool:
    """The window that the next connection from `source` is offered at once."""
    if family_of(source) != socket.AF_INET:
        return False
    set_start_window(source, rwnd_packets=packets(plan.window_clamp_bytes))
    return True


def outgoing_to(
    target: str, state: FlowState, path: PathMetadata, hop: int, mode: StartMode
) -> Outgoing:
    """The connection for the link that leads to hop `hop`. Borrows what is remembered of it."""
    now_ns = time.monotonic_ns()
    return Outgoing.of(MEMORY, host_limits(), target, state, path, hop, mode, now_ns=now_ns)


def observe_end(outgoing: Outgoing, connection: TrackedConnection | None) -> None:
    """The connection has ended well."""
    if connection is not None and connection.last is not None:
        observe(outgoing, connection.last.raw)


def observe(outgoing: Outgoing, raw: bytes) -> None:
    """The connection's last struct tcp_info: remember what it found."""
    outgoing.observe(
        cwnd_bytes=(field_of(raw, "snd_cwnd") or 0) * (field_of(raw, "snd_mss") or 0),
        min_rtt_ns=(field_of(raw, "min_rtt") or 0) * 1000,
        now_ns=time.monotonic_ns(),
    )


class Preparations:
    """What was made ready at this node in one run, by flow. From any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flows: dict[int, Prepared] = {}
        self._undo = contextlib.ExitStack()

    def begin(self, flow_id: int) -> Prepared | None:
        """The flow's new record; None if there is one already."""
        with self._lock:
            if flow_id in self._flows:
                return None
            self._flows[flow_id] = Prepared(flow_id)
            return self._flows[flow_id]

    def get(self, flow_id: int) -> Prepared | None:
        """What was made ready for a flow."""
        with self._lock:
            return self._flows.get(flow_id)

    def awaited_window_bytes(self) -> int:
        """The largest window of the flows that are ready for and have not come; 0: none is."""
        with self._lock:
            return max(
                (
                    one.window_clamp_bytes
                    for one in self._flows.values()
                    if one.plan_in is not None and one.inward is None
                ),
                default=0,
            )

    def adjusted(
        self,
        prepared: Prepared,
        what: str,
        plan: BufferPlan,
        offset_bytes: int = 0,
        ready_ns: int = 0,
    ) -> None:
        """`what` is ready, now or since then, for what comes after `offset_bytes` of payload."""
        at_ns = ready_ns or time.monotonic_ns()
        one = Adjustment(prepared.flow_id, what, plan, at_ns, offset_bytes)
        with self._lock:
            prepared.adjustments.append(one)
            if offset_bytes:
                prepared.waiting.append(one)

    def reached(self, prepared: Prepared, payload_bytes: int, now_ns: int) -> None:
        """So much of the flow is here."""
        with self._lock:
            prepared.waiting = note_reached(prepared.waiting, payload_bytes, now_ns)

    def predicted(self, prepared: Prepared, state: FlowState) -> None:
        """A newer prediction is to be followed as soon as the flow is ready."""
        with self._lock:
            prepared.latest = state

    def take_predicted(self, prepared: Prepared) -> FlowState | None:
        """The prediction to follow now; None: there is none, or the flow is not ready for it."""
        with self._lock:
            if not prepared.done.is_set():
                return None
            state, prepared.latest = prepared.latest, None
            return state

    def first_byte(self, flow_id: int, now_ns: int) -> None:
        """The flow's data is here."""
        with self._lock:
            prepared = self._flows.get(flow_id)
            if prepared is not None and not prepared.first_byte_ns:
                prepared.first_byte_ns = now_ns

    def all(self) -> list[Prepared]:
        """Every flow's, in the order of announcement."""
        with self._lock:
            return list(self._flows.values())

    def on_close(self, undo: Callable[[], object]) -> None:
        """Call `undo` when the run ends."""
        self._undo.callback(undo)

    def close(self) -> None:
        """Undo what must not outlive the run."""
        for prepared in self.all():
            if prepared.outgoing is not None:
                prepared.outgoing.release()  # of a flow that never came, or never got through
        self._undo.close()
