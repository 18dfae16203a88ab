"""One run at this node: its threads, connections, flows, measurements; and its orderly end."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Concatenate, ParamSpec

from sentinel_node.daemon.connection import SampleBudget, TrackedConnection
from sentinel_node.daemon.control.interface import ControlPlane
from sentinel_node.daemon.control.starting import Preparations
from sentinel_node.daemon.process_stats import Usage, resident_bytes
from sentinel_node.daemon.records import FlowRecord, Resumption
from sentinel_node.daemon.sampler import Sampler
from sentinel_node.daemon.stop import SocketWaiter, StopSignal
from sentinel_node.daemon.switching import adapt_switching
from sentinel_node.errors import Stopped

if TYPE_CHECKING:
    from sentinel_node.daemon.control.flow_sync import FlowSync

logger = logging.getLogger(__name__)

MAX_EVENTS = 1000

P = ParamSpec("P")


class BufferGauge:
    """User-space bytes held by all relayed connections of a run, now and at most."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.now_bytes = 0
        self.max_bytes = 0

    def add(self, delta_bytes: int) -> None:
        """`delta_bytes` more (or fewer) are held."""
        with self._lock:
            self.now_bytes += delta_bytes
            self.max_bytes = max(self.max_bytes, self.now_bytes)


class NodeRun:
    """Everything this node does and measures for one run, from first command to release.

    `on_change` is called from worker threads whenever a piece of work begins or ends.
    """

    def __init__(
        self,
        name: str,
        sampler: Sampler,
        on_change: Callable[[], None],
        *,
        control: ControlPlane | None = None,
        sync: FlowSync | None = None,
        data_cpus: frozenset[int] = frozenset(),
    ) -> None:
        """`data_cpus`: where this run's threads run; empty: wherever the process may."""
        self.name = name
        self._data_cpus = data_cpus
        self.control = control
        """The streams to the neighbours when the run was opened; None: there were none."""
        self.sync = sync
        self.preparations = Preparations()
        self.stop = StopSignal()
        self.gauge = BufferGauge()
        self.flows: list[FlowRecord] = []
        self.connections: list[TrackedConnection] = []
        self.events: list[str] = []
        self.resumptions: list[Resumption] = []
        self.events_dropped = 0
        self.rss_bytes_max = resident_bytes()
        self._usage = Usage.now()
        self._sampler = sampler
        self._samples = SampleBudget()
        self._on_change = on_change
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._active = 0
        self._ended = 0
        self._closed = False
        self._on_close: list[Callable[[], None]] = []
        sampler.add(self)

    @property
    def active(self) -> int:
        """Flows (relayed connections at an intermediate) that have not ended."""
        return self._active

    @property
    def ended(self) -> int:
        """Flows (relayed connections at an intermediate) that have ended."""
        return self._ended

    @property
    def closed(self) -> bool:
        """True from the moment of release."""
        return self._closed

    def usage(self) -> Usage:
        """What the process used since the run began."""
        return Usage.now().since(self._usage)

    def sample(self, now_ns: int) -> None:
        """Keep the peak of the resident memory."""
        del now_ns
        self.rss_bytes_max = max(self.rss_bytes_max, resident_bytes())

    def event(self, text: str) -> None:
        """Keep one readable line for the report, and log it."""
        logger.info("run %s: %s", self.name, text)
        with self._lock:
            if len(self.events) < MAX_EVENTS:
                self.events.append(text)
            else:
                self.events_dropped += 1

    def resumed(self, resumption: Resumption) -> None:
        """A flow in custody went on from where its next node wanted it."""
        with self._lock:
            self.resumptions.append(resumption)
        self.event(
            f"flow {resumption.flow_id} to {resumption.next_hop}: goes on from "
            f"{resumption.offset}, {resumption.replayed_bytes} bytes sent again"
        )

    def track(self, sock: socket.socket, direction: str, opened_ns: int) -> TrackedConnection:
        """Own `sock` from here on; it is closed by `untrack`."""
        connection = TrackedConnection(sock, direction, opened_ns, self._samples)
        with self._lock:
            self._samples.joined()
            self.connections.append(connection)
        return connection

    def watch(self, connection: TrackedConnection) -> None:
        """The connection stands: name it and sample it."""
        connection.established()
        self._sampler.add(connection)

    def untrack(self, connection: TrackedConnection, *, reset: bool = False) -> None:
        """Take the last sample and close the connection; its measurements stay."""
        self._sampler.remove(connection)
        connection.close(time.monotonic_ns(), reset=reset)

    def on_close(self, work: Callable[[], None]) -> None:
        """Have `work` done when the run ends, after its last thread."""
        self._on_close.append(work)

    def add_flow(self, record: FlowRecord) -> None:
        """Report this flow."""
        with self._lock:
            self.flows.append(record)

    def begin_work(self, count: int = 1) -> None:
        """`count` more flows are to be waited for."""
        with self._lock:
            self._active += count
        self._on_change()

    def end_work(self) -> None:
        """One flow has ended."""
        with self._lock:
            self._active -= 1
            self._ended += 1
        self._on_change()

    def spawn(
        self,
        label: str,
        work: Callable[Concatenate[NodeRun, P], None],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> None:
        """Run `work(self, ...)` in a thread of its own. Raises Stopped on a released run."""

        def body() -> None:
            try:
                if self._data_cpus:
                    os.sched_setaffinity(0, self._data_cpus)  # 0: the calling thread
                work(self, *args, **kwargs)
            except Stopped:
                logger.debug("run %s: %s stopped", self.name, label)
            finally:
                with self._lock:
                    self._threads.discard(thread)
                adapt_switching()

        thread = threading.Thread(target=body, name=f"{self.name}:{label}")
        with self._lock:
            if self._closed:
                raise Stopped
            self._threads.add(thread)
            # Inside the lock, so that close() never meets a thread that was not started.
            thread.start()
        adapt_switching()

    def close(self) -> int:
        """Stop every thread, close every socket. Gives how many connections were still open.

        Blocks until the last thread has ended; they all wake at once. Idempotent.
        """
        with self._lock:
            if self._closed:
                return 0
            self._closed = True
            still_open = sum(connection.is_open for connection in self.connections)
            threads = tuple(self._threads)
        self.stop.set()
        for thread in threads:
            thread.join()
        self.preparations.close()
        for prepared in self.preparations.all():
            if prepared.connection is not None:  # no flow came for it
                self.untrack(prepared.connection, reset=True)
        for work in self._on_close:
            work()
        self._sampler.remove(self)
        self.stop.close()
        self._on_change()
        return still_open


ConnectionHandler = Callable[[NodeRun, socket.socket, int], None]
"""Gets (run, non-blocking socket, accepted_ns) and owns the socket."""


def accept_in_background(run: NodeRun, listener: socket.socket, handle: ConnectionHandler) -> None:
    """Give each connection to `handle` in a thread of its own until the run is stopped.

    Owns `listener`. Raises Stopped if the run was released already.
    """
    try:
        run.spawn("accept", _accept_all, listener, handle)
    except Stopped:
        listener.close()
        raise


def _accept_all(run: NodeRun, listener: socket.socket, handle: ConnectionHandler) -> None:
    with listener:
        waiter = SocketWaiter(listener, run.stop)
        while True:
            waiter.readable()
            try:
                sock, _ = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                continue  # the peer gave up between poll and accept
            accepted_ns = time.monotonic_ns()
            sock.setblocking(False)
            try:
                run.spawn("connection", handle, sock, accepted_ns)
            except Stopped:
                sock.close()
                raise
