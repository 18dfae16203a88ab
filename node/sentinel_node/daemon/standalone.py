"""A node without a controller, as on real hosts: one run, described on the command line.

Each flow that ends becomes one JSON line on standard output; the log goes to standard error.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from dataclasses import dataclass

from sentinel_node.daemon import service_manager
from sentinel_node.daemon.receiver import ListenSpec, start_listening
from sentinel_node.daemon.records import FlowRecord
from sentinel_node.daemon.relay import RelaySpec, start_relaying
from sentinel_node.daemon.run import NodeRun
from sentinel_node.daemon.sampler import Sampler
from sentinel_node.daemon.sender import SendSpec, start_sending

NS_PER_S = 1_000_000_000

StandaloneSpec = ListenSpec | RelaySpec | SendSpec


@dataclass(frozen=True, slots=True)
class StandaloneConfig:
    """What to do, under which run name, and after how many flows to finish (0: never)."""

    run_id: str
    spec: StandaloneSpec
    flows: int = 0


def flow_line(record: FlowRecord) -> str:
    """One flow as a line of JSON."""
    duration_s = (record.last_byte_ns - record.start_ns) / NS_PER_S if record.last_byte_ns else None
    return json.dumps(
        {
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
    )


def run_standalone(config: StandaloneConfig) -> bool:
    """Run until the flows are done or SIGTERM or SIGINT comes. False if a flow failed.

    Raises NodeError if the node cannot begin (address, option, privilege).
    """
    changed = threading.Event()
    stopping = False

    def on_signal(number: int, frame: object) -> None:
        nonlocal stopping
        stopping = True
        changed.set()

    previous = {
        number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)
    }
    sampler = Sampler()
    run = NodeRun(config.run_id, sampler, changed.set)
    printed: set[int] = set()
    try:
        wanted = _begin(run, config)
        service_manager.notify("READY=1")
        interval_s = service_manager.watchdog_interval_s()
        while not stopping and not (wanted and run.ended >= wanted):
            changed.wait(interval_s)
            changed.clear()
            if interval_s is not None:
                service_manager.notify("WATCHDOG=1")
            _print_ended(run, printed)
    finally:
        run.close()
        sampler.close()
        for number, handler in previous.items():
            signal.signal(number, handler)
    _print_ended(run, printed)
    return not any(record.error for record in run.flows)


def _begin(run: NodeRun, config: StandaloneConfig) -> int:
    """Start; gives how many flows have to end before the node does (0: no limit)."""
    spec = config.spec
    if isinstance(spec, SendSpec):
        start_sending(run, spec)
        return len(spec.orders)
    if isinstance(spec, ListenSpec):
        run.event(f"listening on {spec.address} port {start_listening(run, spec)}")
    else:
        run.event(f"relaying from {spec.listen_address} port {start_relaying(run, spec)}")
    return config.flows


def _print_ended(run: NodeRun, printed: set[int]) -> None:
    for index, record in enumerate(tuple(run.flows)):
        if record.ended and index not in printed:
            printed.add(index)
            sys.stdout.write(flow_line(record) + os.linesep)
    sys.stdout.flush()
