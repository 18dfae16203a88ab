"""Nodes of the custody data plane in one process: real threads, loopback sockets, a fake control.

`Control` joins the control planes of all nodes. One thread plays the event loop of every node; it
may delay messages, lose them or deliver them out of order, by a seeded choice.
"""

from __future__ import annotations

import heapq
import random
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from sentinel_node.core.control.codec import Message, decode, encode
from sentinel_node.core.custody.effects import Release
from sentinel_node.daemon.control.interface import PeerChange, PeerEvent, PeerStatus
from sentinel_node.daemon.custody.flow_spec import CustodyFlowSpec
from sentinel_node.daemon.custody.hub import CustodyHub
from sentinel_node.daemon.custody.onward import Onward
from sentinel_node.daemon.custody.receiver import CustodyListenSpec, start_custody_listening
from sentinel_node.daemon.custody.relay import CustodyRelaySpec, start_custody_relay
from sentinel_node.daemon.custody.sender import SenderFlow
from sentinel_node.daemon.custody.sources import SeedSource, Source
from sentinel_node.daemon.records import FlowRecord
from sentinel_node.daemon.run import NodeRun
from sentinel_node.daemon.sampler import Sampler
from sentinel_node.errors import NodeError

LOOPBACK = "127.0.0.1"
RUN = "custody-test"
TIMEOUT_S = 30.0


def send_in_thread(
    run: NodeRun, hub: CustodyHub, spec: CustodyFlowSpec, record: FlowRecord
) -> None:
    """As daemon.sender does it."""
    try:
        SenderFlow(run, hub, spec, record).run_to_end()
    except NodeError as error:
        record.error = str(error)
    finally:
        record.end()
        run.end_work()


class Control:
    """All control streams between the nodes of one test."""

    def __init__(self, seed: int = 0, *, delay_s: float = 0.0, loss: float = 0.0) -> None:
        self._random = random.Random(seed)
        self._delay_s = delay_s
        self._loss = loss
        self._changed = threading.Condition()
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        self._closed = False
        self.planes: dict[str, Plane] = {}
        self.down: set[frozenset[str]] = set()
        self._thread = threading.Thread(target=self._work, name="control")
        self._thread.start()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def post(self, work: Callable[[], None], *, lossy: bool = False) -> None:
        with self._changed:
            if lossy and self._random.random() < self._loss:
                return
            # Each message waits by itself, so that they overtake each other.
            wait_s = self._delay_s * self._random.uniform(0.5, 1.5) if lossy else 0.0
            heapq.heappush(self._queue, (time.monotonic() + wait_s, next(self._numbers), work))
            self._changed.notify()

    def join(self, plane: Plane) -> None:
        """A daemon starts: every neighbour has a session with it."""
        self.planes[plane.node] = plane
        for other in self.planes.values():
            if other is not plane:
                self._tell(other, plane.node, PeerChange.UP, restarted=plane.epoch > 1)
                self._tell(plane, other.node, PeerChange.UP)

    def leave(self, plane: Plane) -> None:
        """A daemon dies."""
        del self.planes[plane.node]
        for other in self.planes.values():
            self._tell(other, plane.node, PeerChange.DOWN)

    def cut(self, a: str, b: str) -> None:
        """The session breaks; what is said is lost."""
        self.down.add(frozenset((a, b)))
        self._tell(self.planes[a], b, PeerChange.DOWN)
        self._tell(self.planes[b], a, PeerChange.DOWN)

    def mend(self, a: str, b: str) -> None:
        """A new session."""
        self.down.discard(frozenset((a, b)))
        self._tell(self.planes[a], b, PeerChange.UP)
        self._tell(self.planes[b], a, PeerChange.UP)

    def carry(self, source: str, target: str, message: Message) -> bool:
        plane = self.planes.get(target)
        if plane is None or frozenset((source, target)) in self.down:
            return False
        data = encode(message)
        self.post(lambda: plane.deliver(source, decode(data)), lossy=True)
        return True

    def _tell(
        self, plane: Plane, peer: str, change: PeerChange, *, restarted: bool = False
    ) -> None:
        epoch = self.planes[peer].epoch if peer in self.planes else 0
        event = PeerEvent(peer, change, time.monotonic_ns(), epoch, restarted)
        self.post(lambda: plane.tell(event))

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._closed and (
                    not self._queue or self._queue[0][0] > time.monotonic()
                ):
                    wait_s = self._queue[0][0] - time.monotonic() if self._queue else None
                    self._changed.wait(wait_s)
                if self._closed:
                    return
                work = heapq.heappop(self._queue)[2]
            work()


class Plane:
    """One node's ControlPlane."""

    def __init__(self, control: Control, node: str, epoch: int) -> None:
        self._control = control
        self._node = node
        self._epoch = epoch
        self._handlers: dict[type, Callable[[str, Any], object]] = {}
        self._peer_handlers: list[Callable[[PeerEvent], None]] = []
        self.refused: list[object] = []

    @property
    def node(self) -> str:
        return self._node

    @property
    def epoch(self) -> int:
        return self._epoch

    @property
    def peers(self) -> Mapping[str, PeerStatus]:
        return {}

    def send(self, peer: str, message: Message) -> bool:
        return self._control.carry(self._node, peer, message)

    def handle(self, kind: type, handler: Callable[[str, Any], object]) -> Callable[[], None]:
        self._handlers[kind] = handler
        return lambda: self._handlers.pop(kind, None) and None

    def on_peer(self, handler: Callable[[PeerEvent], None]) -> Callable[[], None]:
        self._peer_handlers.append(handler)
        return lambda: self._peer_handlers.remove(handler)

    def deliver(self, peer: str, message: Message) -> None:
        handler = self._handlers.get(type(message))
        refusal = handler(peer, message) if handler else None
        if refusal is not None:
            self.refused.append(refusal)

    def tell(self, event: PeerEvent) -> None:
        for handler in tuple(self._peer_handlers):
            handler(event)


@dataclass
class Node:
    """One daemon's worth of objects."""

    plane: Plane
    hub: CustodyHub
    run: NodeRun
    port: int = 0


@dataclass
class Sent:
    """One flow that is being sent."""

    record: FlowRecord
    thread: threading.Thread
    confirmed: list[int] = field(default_factory=list)

    def wait(self) -> FlowRecord:
        self.thread.join(TIMEOUT_S)
        assert not self.thread.is_alive(), "the flow did not end"
        return self.record


class Net:
    """sender > r1 > ... > rN > receiver."""

    def __init__(
        self,
        relays: int = 1,
        *,
        capacity_bytes: int = 16 << 20,
        flows_max: int = 4,
        folder: Path | None = None,
        journals: Path | None = None,
        read_rate_limit_bps: int = 0,
        release: Release = Release.DELIVERED,
        control: Control | None = None,
    ) -> None:
        self.control = control or Control()
        self.names = ["sender", *(f"r{i}" for i in range(1, relays + 1)), "receiver"]
        self._capacity_bytes, self._flows_max = capacity_bytes, flows_max
        self._folder, self._journals = folder, journals
        self._rate_bps = read_rate_limit_bps
        self._release = release
        self.sampler = Sampler()
        self.nodes: dict[str, Node] = {}
        self.records: list[FlowRecord] = []
        self.old_events: list[str] = []
        for name in reversed(self.names):
            self.start(name)

    def close(self) -> None:
        for name in list(self.nodes):
            self.kill(name)
        self.sampler.close()
        self.control.close()

    def start(self, name: str, port: int = 0, epoch: int = 1) -> Node:
        plane = Plane(self.control, name, epoch)
        run = NodeRun(RUN, self.sampler, lambda: None)
        node = self.nodes[name] = Node(plane, CustodyHub(plane), run, port)
        index = self.names.index(name)
        if name == "receiver":
            spec = CustodyListenSpec(
                LOOPBACK, port, self.names[index - 1], folder=self._folder,
                read_rate_limit_bps=self._rate_bps,
            )  # fmt: skip
            node.port = start_custody_listening(run, node.hub, spec)
            self.records += run.flows
        elif index:
            folder = None if self._journals is None else self._journals / name
            if folder is not None:
                folder.mkdir(exist_ok=True)
            relay = CustodyRelaySpec(
                LOOPBACK, port, self.names[index - 1], self.onward(name),
                capacity_bytes=self._capacity_bytes, flows_max=self._flows_max,
                release=self._release, journal_folder=folder,
            )  # fmt: skip
            node.port = start_custody_relay(run, node.hub, relay)
        self.control.join(plane)
        return node

    def kill(self, name: str) -> None:
        """All that the process had in memory is gone, its connections are reset."""
        node = self.nodes.pop(name)
        self.control.leave(node.plane)
        node.hub.close()
        node.run.close()
        self.old_events += node.run.events

    def restart(self, name: str) -> None:
        port, epoch = self.nodes[name].port, self.nodes[name].plane.epoch
        self.kill(name)
        self.start(name, port, epoch + 1)

    def onward(self, name: str) -> Onward:
        peer = self.names[self.names.index(name) + 1]
        return Onward(peer, LOOPBACK, self.nodes[peer].port)

    def send(
        self,
        source: Source | None = None,
        *,
        size_bytes: int = 1 << 20,
        flow_id: int = 1,
        stall_s: float = 20.0,
        release: Release = Release.DELIVERED,
        resume: bool = False,
    ) -> Sent:
        node = self.nodes["sender"]
        record = FlowRecord(flow_id, 10_000_000)
        sent = Sent(record, threading.Thread())
        spec = CustodyFlowSpec(
            flow_id, source or SeedSource(7, flow_id, size_bytes), self.onward("sender"),
            "receiver", release=release, resume=resume, stall_timeout_ns=round(stall_s * 1e9),
            on_confirm=sent.confirmed.append,
        )  # fmt: skip
        node.run.add_flow(record)
        node.run.begin_work()
        sent.thread = threading.Thread(
            target=send_in_thread, args=(node.run, node.hub, spec, record)
        )
        sent.thread.start()
        return sent

    def received(self, flow_id: int = 1) -> FlowRecord:
        """The receiver's record of the flow, in its present life."""
        (record,) = [r for r in self.nodes["receiver"].run.flows if r.flow_id == flow_id]
        return record

    def break_connection(self, name: str, choice: random.Random) -> None:
        """End some open connection of the node under its feet."""
        open_ones = [c for c in self.nodes[name].run.connections if c.is_open and c.name]
        if open_ones:
            with suppress(OSError):
                choice.choice(open_ones).sock.shutdown(2)
