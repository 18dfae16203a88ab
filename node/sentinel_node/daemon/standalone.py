"""A node without a controller, as on real hosts: one run, described on the command line.

Each flow that ends becomes one JSON line on standard output; the log goes to standard error.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from sentinel_node.core.custody.effects import Release
from sentinel_node.daemon import service_manager
from sentinel_node.daemon.control.alone import ControlThread, Joined
from sentinel_node.daemon.control.settings import ControlSettings
from sentinel_node.daemon.custody.onward import Onward
from sentinel_node.daemon.custody.orders import CustodyOrder
from sentinel_node.daemon.custody.receiver import CustodyListenSpec, start_custody_listening
from sentinel_node.daemon.custody.relay import CustodyRelaySpec, start_custody_relay
from sentinel_node.daemon.receiver import ListenSpec, start_listening
from sentinel_node.daemon.records import FlowRecord
from sentinel_node.daemon.relay import RelaySpec, start_relaying
from sentinel_node.daemon.run import NodeRun
from sentinel_node.daemon.sampler import Sampler
from sentinel_node.daemon.sender import FlowOrder, SendSpec, start_sending
from sentinel_node.errors import NodeError

NS_PER_S = 1_000_000_000
PATIENCE_S = 60.0
"""How long a sender waits for the next node's control plane before it gives up."""
LINGER_S = 5.0
"""How long a node that is done waits for upstream, which hears of the end, to go."""


@dataclass(frozen=True, slots=True)
class CustodySend:
    """Flows to send in custody, all of one source; see CustodyOrder."""

    flow_ids: tuple[int, ...]
    seed: int
    target: Onward
    receiver: str
    size_bytes: int = 0
    duration_ns: int = 0
    file_path: str = ""
    pipe_path: str = ""
    release: Release = Release.DELIVERED
    resume: bool = False

    def send_spec(self, joined: Joined) -> SendSpec:
        """What the sender is asked for, over this control plane."""
        custody = CustodyOrder(
            joined.hub,
            self.target.peer,
            self.receiver,
            file_path=self.file_path,
            pipe_path=self.pipe_path,
            resume=self.resume,
            release=self.release,
        )
        return SendSpec(
            tuple(
                FlowOrder(
                    flow_id,
                    self.seed,
                    self.target.address,
                    self.target.port,
                    self.target.source_address,
                    size_bytes=self.size_bytes,
                    duration_ns=self.duration_ns,
                    custody=custody,
                )
                for flow_id in self.flow_ids
            ),
            self.target.profile,
        )


PlainSpec = ListenSpec | RelaySpec | SendSpec
CustodySpec = CustodyListenSpec | CustodyRelaySpec | CustodySend
StandaloneSpec = PlainSpec | CustodySpec


@dataclass(frozen=True, slots=True)
class StandaloneConfig:
    """What to do, under which run name, and after how many flows to finish (0: never).

    `control`: the neighbours; with a CustodySpec only, and always.
    """

    run_id: str
    role: str
    spec: StandaloneSpec
    flows: int = 0
    control: ControlSettings | None = None


def flow_line(record: FlowRecord) -> str:
    """One flow as a line of JSON."""
    duration_s = (record.last_byte_ns - record.start_ns) / NS_PER_S if record.last_byte_ns else None
    line: dict[str, Any] = {
        "flow_id": record.flow_id,
        "connection": record.connection,
        "payload_bytes": record.payload_bytes,
        "duration_s": duration_s,
        "rate_bps": record.payload_bytes * 8 / duration_s if duration_s else None,
        "sha256": record.sha256.hex(),
        "complete": record.complete,
        "sha256_ok": record.sha256_ok,
        "error": record.error or None,
    }
    books = record.custody
    if books is not None:
        # Not the payload's SHA-256, but the running one over its blocks.
        line["running_hash"] = line.pop("sha256")
        line["attempts"] = books.attempts
        line["replayed_bytes"] = books.replayed_bytes
        line["duplicate_bytes"] = books.duplicate_bytes
        line["refused"] = books.refused
        if books.file:
            line["file"] = books.file
    return json.dumps(line)


def run_standalone(config: StandaloneConfig) -> bool:
    """Run until the flows are done or SIGTERM or SIGINT comes. False if a flow failed.

    Raises NodeError if the node cannot begin (address, option, privilege, neighbour).
    """
    changed = threading.Event()
    with ExitStack() as stack:
        is_stopping = stack.enter_context(_signals(changed))
        joined = None
        if config.control is not None:
            control = ControlThread(config.control, config.role, changed.set)
            joined = stack.enter_context(control)
        sampler = Sampler()
        stack.callback(sampler.close)
        run = NodeRun(
            config.run_id,
            sampler,
            changed.set,
            control=joined.plane if joined is not None else None,
            sync=joined.sync if joined is not None else None,
        )
        stack.callback(run.close)
        lifetime = _Lifetime(run, joined, changed, is_stopping)
        if isinstance(config.spec, CustodySend):
            lifetime.await_downstream(config.spec.target.peer)
        if not is_stopping():
            lifetime.watch(_begin(run, config, joined), _upstream(config.spec))
    lifetime.print_ended()
    return not any(record.error for record in run.flows)


def _upstream(spec: StandaloneSpec) -> str:
    return spec.upstream if isinstance(spec, CustodyListenSpec | CustodyRelaySpec) else ""


@contextmanager
def _signals(changed: threading.Event) -> Iterator[Callable[[], bool]]:
    """Gives whether SIGTERM or SIGINT came; sets `changed` when one does."""
    stopping = threading.Event()

    def on_signal(number: int, frame: object) -> None:
        stopping.set()
        changed.set()

    numbers = (signal.SIGTERM, signal.SIGINT)
    previous = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield stopping.is_set
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class _Lifetime:
    """What the main thread does while others work: wait, print, and tell the service manager."""

    def __init__(
        self,
        run: NodeRun,
        joined: Joined | None,
        changed: threading.Event,
        is_stopping: Callable[[], bool],
    ) -> None:
        self._run = run
        self._joined = joined
        self._changed = changed
        self._is_stopping = is_stopping
        self._printed: set[int] = set()
        self._alive_s = service_manager.watchdog_interval_s()

    def await_downstream(self, name: str) -> None:
        """A flow that nobody answers for is better not begun. Raises NodeError."""
        self._run.event(f"waiting for {name}'s control plane")
        end_s = time.monotonic() + PATIENCE_S
        while not self._is_stopping() and not self._is_connected(name):
            if time.monotonic() >= end_s:
                raise NodeError(
                    f"{name} did not prove itself within {PATIENCE_S:g} s: "
                    f"{self._trouble(name) or 'nothing was heard'}; does it run at --downstream's "
                    "address, and are its certificates of the same authority?"
                )
            self._wait(end_s - time.monotonic())

    def watch(self, wanted: int, upstream: str) -> None:
        """Until `wanted` flows have ended (0: for ever) or a signal comes.

        `upstream`: who has to hear of it; "": nobody.
        """
        service_manager.notify("READY=1")
        while not self._is_stopping() and not (wanted and self._run.ended >= wanted):
            self._wait(None)
            self.print_ended()
        self.print_ended()
        if upstream and wanted:
            self._linger(upstream)

    def print_ended(self) -> None:
        """A line for each flow that ended since."""
        for index, record in enumerate(tuple(self._run.flows)):
            if record.ended and index not in self._printed:
                self._printed.add(index)
                sys.stdout.write(flow_line(record) + os.linesep)
        sys.stdout.flush()

    def _linger(self, upstream: str) -> None:
        """Upstream has to hear of the end: until it has gone, or for a while."""
        end_s = time.monotonic() + LINGER_S
        while not self._is_stopping() and self._is_connected(upstream):
            if time.monotonic() >= end_s:
                return
            self._wait(end_s - time.monotonic())

    def _trouble(self, peer: str) -> str:
        return self._joined.plane.trouble(peer) if self._joined is not None else ""

    def _is_connected(self, peer: str) -> bool:
        return self._joined is not None and self._joined.plane.peers[peer].connected

    def _wait(self, timeout_s: float | None) -> None:
        limits = [limit for limit in (timeout_s, self._alive_s) if limit is not None]
        self._changed.wait(min(limits, default=None))
        self._changed.clear()
        if self._alive_s is not None:
            service_manager.notify("WATCHDOG=1")


def _begin(run: NodeRun, config: StandaloneConfig, joined: Joined | None) -> int:
    """Start; gives how many flows have to end before the node does (0: no limit)."""
    spec = config.spec
    if isinstance(spec, CustodySpec):
        assert joined is not None  # StandaloneConfig says so
        return _begin_in_custody(run, spec, joined, config.flows)
    if isinstance(spec, SendSpec):
        start_sending(run, spec)
        return len(spec.orders)
    if isinstance(spec, ListenSpec):
        run.event(f"listening on {spec.address} port {start_listening(run, spec)}")
    else:
        run.event(f"relaying from {spec.listen_address} port {start_relaying(run, spec)}")
    return config.flows


def _begin_in_custody(run: NodeRun, spec: CustodySpec, joined: Joined, flows: int) -> int:
    if isinstance(spec, CustodySend):
        for flow_id in spec.flow_ids:
            run.event(f"flow {flow_id}: go on after a crash with --resume {flow_id}")
        start_sending(run, spec.send_spec(joined))
        return len(spec.flow_ids)
    run.event(f"control plane: {spec.upstream} is expected on port {joined.port}")
    if isinstance(spec, CustodyListenSpec):
        port = start_custody_listening(run, joined.hub, spec)
        run.event(f"listening on {spec.address} port {port}")
    else:
        port = start_custody_relay(run, joined.hub, spec)
        run.event(f"relaying from {spec.listen_address} port {port}")
    return flows
