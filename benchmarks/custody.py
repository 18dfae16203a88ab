"""What custody costs a relay: a custodian against the copying relay, in turns.

    python benchmarks/custody.py [--seconds 2] [--repeat 5] [--capacity-mb 64] [--json]

Each relay is a process of its own on loopback; source and sink are as cheap as they can be (one
block again and again; MSG_TRUNC throws away unread), and are the same for both. The sink says
every MiB what it has, as a receiver does, over a Unix socket that stands in for the control plane:
what is measured is the data plane.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from statistics import median
from typing import Any

from sentinel_node.core.control.custody_messages import DeliveredAck
from sentinel_node.core.framing import HEADER_BYTES, FlowHeader, flow_token
from sentinel_node.daemon.control.interface import control_flow_id
from sentinel_node.daemon.custody.hub import CustodyHub
from sentinel_node.daemon.custody.onward import Onward
from sentinel_node.daemon.custody.relay import CustodyRelaySpec, start_custody_relay
from sentinel_node.daemon.process_stats import Usage
from sentinel_node.daemon.relay import RelaySpec, start_relaying
from sentinel_node.daemon.run import NodeRun
from sentinel_node.daemon.sampler import Sampler

LOOPBACK = "127.0.0.1"
RUN = "bench"
FLOW = 1
BLOCK_BYTES = 256 * 1024
ACK_BYTES = 1024 * 1024
_WORD = struct.Struct(">QQ")


class LocalPlane:
    """The relay's control plane: what it says is counted, what it hears comes by `hear`."""

    node = "relay"
    epoch = 1
    peers: Mapping[str, Any] = {}

    def __init__(self) -> None:
        self.said = 0
        self._handlers: dict[type, Callable[[str, Any], object]] = {}

    def send(self, peer: str, message: object) -> bool:
        """Count it."""
        del peer, message
        self.said += 1
        return True

    def handle(self, kind: type, handler: Callable[[str, Any], object]) -> Callable[[], None]:
        """As the real one."""
        self._handlers[kind] = handler
        return lambda: None

    def on_peer(self, handler: object) -> Callable[[], None]:
        """Nobody comes or goes."""
        del handler
        return lambda: None

    def hear(self, word: socket.socket) -> None:
        """Delivered acknowledgements from the sink: (attempt, offset)."""
        name = control_flow_id(RUN, FLOW)
        while data := word.recv(_WORD.size):
            epoch, offset = _WORD.unpack(data)
            ack = DeliveredAck(name, epoch, "sink", offset, offset, bytes(32), False)
            self._handlers[DeliveredAck]("sink", ack)


def relay_process(
    mode: str, target_port: int, capacity_bytes: int, pipe: Connection, word: socket.socket
) -> None:
    """Relay one flow; gives the port, and at the end CPU seconds and messages said."""
    sampler = Sampler()
    run = NodeRun(RUN, sampler, lambda: None)
    plane = LocalPlane()
    if mode == "copy":
        port = start_relaying(run, RelaySpec(LOOPBACK, 0, LOOPBACK, target_port))
    else:
        spec = CustodyRelaySpec(
            LOOPBACK,
            0,
            "source",
            Onward("sink", LOOPBACK, target_port),
            capacity_bytes=capacity_bytes,
            flows_max=1,
        )
        port = start_custody_relay(run, CustodyHub(plane), spec)
    threading.Thread(target=plane.hear, args=(word,), daemon=True).start()
    before = Usage.now()
    pipe.send(port)
    pipe.recv()
    usage = Usage.now().since(before)
    pipe.send((usage.cpu_seconds, plane.said, run.gauge.max_bytes, run.events))
    run.close()
    sampler.close()


def sink(server: socket.socket, total: list[int], word: socket.socket) -> None:
    """Read the header, throw the payload away, and say what came."""
    sock, _ = server.accept()
    unused = bytearray(1 << 20)
    # The relay's run is released while it holds bytes: it resets its connections.
    with sock, suppress(ConnectionResetError):
        header = FlowHeader.decode(sock.recv(HEADER_BYTES, socket.MSG_WAITALL))
        said = 0
        while count := sock.recv_into(unused, len(unused), socket.MSG_TRUNC):
            total[0] += count
            if header.custody and total[0] - said >= ACK_BYTES:
                said = total[0]
                word.send(_WORD.pack(header.transfer_epoch, said))


def measure(mode: str, seconds: float, capacity_bytes: int) -> dict[str, Any]:
    """Gbit/s through one relay, and what it cost."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    word, word_there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with socket.create_server((LOOPBACK, 0)) as server:
        target_port = server.getsockname()[1]
        process = context.Process(
            target=relay_process, args=(mode, target_port, capacity_bytes, there, word_there)
        )
        process.start()
        port = here.recv()
        total = [0]
        reader = threading.Thread(target=sink, args=(server, total, word), daemon=True)
        reader.start()
        custody = mode == "custody"
        header = FlowHeader(FLOW, flow_token(RUN, FLOW), None, True, custody, fresh=custody)
        block = bytes(BLOCK_BYTES)
        with socket.create_connection((LOOPBACK, port)) as source:
            source.sendall(header.encode())
            begin = time.perf_counter()
            while time.perf_counter() - begin < seconds:
                source.sendall(block)
            rate = total[0] * 8 / (time.perf_counter() - begin) / 1e9
        here.send(None)
        cpu_s, said, held, _events = here.recv()
        process.join(10)
        reader.join(10)
    return {
        "gbit_per_s": rate,
        "relay_cpu_s_per_gbyte": cpu_s / (total[0] / 1e9),
        "messages": said,
        "held_bytes_max": held,
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="for each figure")
    parser.add_argument("--repeat", type=int, default=5, help="of which the median counts")
    parser.add_argument("--capacity-mb", type=int, default=64, help="memory of the custodian")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    samples: dict[str, list[dict[str, Any]]] = {"copy": [], "custody": []}
    for _ in range(options.repeat):
        for mode, figures in samples.items():
            figures.append(measure(mode, options.seconds, options.capacity_mb << 20))
    result = {
        mode: {key: median(figure[key] for figure in figures) for key in figures[0]}
        for mode, figures in samples.items()
    }
    ratio = result["custody"]["gbit_per_s"] / result["copy"]["gbit_per_s"]
    if options.json:
        sys.stdout.write(json.dumps({**result, "ratio": ratio}, indent=1) + "\n")
        return 0
    for mode, figure in result.items():
        sys.stdout.write(
            "{mode:8} {gbit_per_s:6.2f} Gbit/s  {relay_cpu_s_per_gbyte:6.3f} relay CPU s/GB  "
            "{messages:6.0f} messages  {held_bytes_max:10.0f} bytes held\n".format(
                mode=mode, **figure
            )
        )
    sys.stdout.write(f"custody / copy: {ratio:.2f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
