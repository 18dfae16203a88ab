"""Two nodes and one wire as the product builds them, and raw UDP to send through it.

No node daemons: what goes through the wire is exactly what a test sends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sentinel_bpf.netns import run_in_netns
from sentinel_bpf.wire import LossReading, ProbeReading
from sentinel_sim.backends.emulated.deployment import Deployment
from sentinel_sim.backends.emulated.kernel_parts import KernelParts, KernelSources
from sentinel_sim.backends.emulated.layout import Layout
from sentinel_sim.backends.emulated.prober import Prober, kernel_stamp_ns
from sentinel_sim.backends.emulated.sampling import QueueSampler, QueueTrace
from sentinel_sim.host.ownership import Ownership
from sentinel_sim.plan.model import LinkPlan, RunSpec
from sentinel_sim.wire.names import NAMESPACE_DIRECTORY
from sentinel_sim.wire.wire import Wire

IN_GUEST = "SENTINEL_STOCK_KERNEL" in os.environ
"""The slow guest of scripts/stock-kernel.sh: netem is tested there, with less traffic."""

UDP_SEGMENT = 103
"""linux/udp.h: the kernel cuts what one send() gives into datagrams of this size (GSO)."""
SO_SNDBUFFORCE = 32
SO_RCVBUFFORCE = 33
SEND_BUFFER_BYTES = 1 << 30
"""What waits in a queue of the wire still counts against the socket that sent it."""
SO_TIMESTAMPNS = 35
SEGMENTS = 32
HEADERS_BYTES = 14 + 20 + 8
SEQUENCE = struct.Struct("!I")
"""The probes tell UDP packets apart by the first four bytes of payload, too."""
PORT = 9
IDLE_POLL_S = 0.02


def datagrams(first: int, count: int, size_bytes: int) -> bytes:
    """`count` payloads of `size_bytes` one after the other, each headed by its number."""
    padding = bytes(size_bytes - SEQUENCE.size)
    return b"".join(SEQUENCE.pack(n) + padding for n in range(first, first + count))


async def until(met: Callable[[], bool], what: str, limit_s: float = 30.0) -> None:
    """Look again and again until `met`; TimeoutError naming `what` after `limit_s`."""
    deadline = time.monotonic() + limit_s
    while not met():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {limit_s:g} s")
        await asyncio.sleep(IDLE_POLL_S)


@dataclass(frozen=True)
class Arrival:
    """One datagram at the receiver."""

    number: int
    at_real_ns: int
    """The kernel's receive stamp, CLOCK_REALTIME."""


class Bench:
    """One wire between n0 and n1; the traffic of the tests goes from n0 to n1."""

    def __init__(self, spec: RunSpec, wire_backend: str) -> None:
        self.backend = wire_backend
        with contextlib.ExitStack() as undo:
            self._sources = KernelSources()
            undo.callback(self._sources.close)
            ownership = Ownership.create()
            self.layout = Layout.of(ownership.run_id, spec)
            self.deployment = Deployment(self.layout, ownership, wire_backend)
            undo.callback(self.deployment.close)
            self.parts = KernelParts(self.layout, self._sources, ownership)
            undo.callback(self.parts.close)
            self.deployment.build()
            self.parts.load_fsus(len(spec.flows))
            self.parts.load_wires()
            self._undo = undo.pop_all()

    def close(self) -> None:
        """Take everything down."""
        self._undo.close()

    @property
    def link(self) -> LinkPlan:
        """The one link, as the network was built."""
        return self.layout.links[0]

    @property
    def wire(self) -> Wire:
        """Its wire."""
        return self.deployment.wires[self.link.name]

    def configure(self, spec: RunSpec) -> None:
        """As at the start of every run."""
        self.parts.configure(spec)
        self.deployment.configure(spec)
        self.parts.reset(spec)

    def probe_reading(self) -> ProbeReading:
        """Stamps and counts of the direction n0 -> n1."""
        return self.parts.read_probes((self.link.name, "a"))

    def loss_reading(self) -> LossReading:
        """What the loss stage of n0 -> n1 did."""
        return self.parts.read_loss((self.link.name, "a"))

    def unplanned(self) -> dict[str, int]:
        """Drops of n0 -> n1 that no experiment asks for, since the network was built."""
        dropped = self.deployment.tx_dropped()[self.link.name, "a"]
        return {**self.wire.stage.drops()["a"], "node_interface": dropped}

    @contextlib.contextmanager
    def queue_trace(self) -> Iterator[QueueTrace]:
        """Watch the rate stage of n0 -> n1 while the block lasts."""
        with QueueSampler({self.link.name: self.wire.names}) as sampler:
            yield sampler.traces[self.link.name, "a"]

    def prober(self, kind: type[Prober] = Prober) -> Prober:
        """Echo requests from n0 to n1."""
        source, target = self.layout.address("n0", 0), self.layout.address("n1", 0)
        return kind(self.layout.namespace("n0"), source, target)

    def _socket(self, node: str) -> socket.socket:
        path = NAMESPACE_DIRECTORY / self.layout.namespace(node)
        return run_in_netns(path, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))

    @contextlib.contextmanager
    def sender(self) -> Iterator[socket.socket]:
        """A UDP socket in n0, connected to the receiver's port in n1."""
        with self._socket("n0") as sock:
            sock.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, SEND_BUFFER_BYTES)
            sock.bind((self.layout.address("n0", 0), 0))
            sock.connect((self.layout.address("n1", 0), PORT))
            everywhere = os.sched_getaffinity(0)
            os.sched_setaffinity(0, self.deployment.cpus_of("n0"))  # as the product pins what sends
            try:
                yield sock
            finally:
                os.sched_setaffinity(0, everywhere)

    @contextlib.contextmanager
    def receiver(self, buffer_bytes: int) -> Iterator[socket.socket]:
        """A UDP socket in n1 that stamps what arrives; never blocks."""
        with self._socket("n1") as sock:
            sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, buffer_bytes)
            sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
            sock.bind((self.layout.address("n1", 0), PORT))
            sock.setblocking(False)
            yield sock

    async def send(self, sock: socket.socket, count: int, size_bytes: int, gso: bool) -> None:
        """`count` datagrams of `size_bytes` payload, with pauses: a veth's ring holds 256 packets.

        With `gso` they leave the node 32 at a time, as one super-packet each.
        """
        at_once = SEGMENTS if gso else 1
        if gso:
            sock.setsockopt(socket.SOL_UDP, UDP_SEGMENT, size_bytes)
        for index, first in enumerate(range(0, count, at_once)):
            sock.send(datagrams(first, min(at_once, count - first), size_bytes))
            if index % 32 == 31:
                await asyncio.sleep(0.001)

    async def drained(self, sent: int, limit_s: float = 30.0) -> ProbeReading:
        """Wait until all `sent` packets have left the wire or were dropped by the loss stage."""

        def done() -> bool:
            return self.probe_reading().packets_out + self.loss_reading().dropped == sent

        try:
            await until(done, "", limit_s)
        except TimeoutError:
            probes = self.probe_reading()
            raise AssertionError(
                f"of {sent} packets sent {probes.packets_in} entered the delay stage and"
                f" {probes.packets_out} left it; {self.loss_reading()}; {self.unplanned()}"
            ) from None
        return self.probe_reading()

    async def drained_but_overflow(self, sent: int, trace: QueueTrace) -> ProbeReading:
        """As `drained`, where the full queue drops some of what was `sent`, one packet each."""

        def done() -> bool:
            last = trace.last
            left = self.probe_reading().packets_out
            return last is not None and left == last.packets_sent and left + last.dropped == sent

        await until(done, "the wire is not empty")
        return self.probe_reading()


def arrivals(sock: socket.socket) -> list[Arrival]:
    """All datagrams that wait at the receiver, in the order in which they came."""
    found = []
    while True:
        try:
            data, ancillary, _, _ = sock.recvmsg(2048, 128)
        except BlockingIOError:
            return found
        stamp_ns = kernel_stamp_ns(ancillary)
        assert stamp_ns is not None
        found.append(Arrival(SEQUENCE.unpack_from(data)[0], stamp_ns))
