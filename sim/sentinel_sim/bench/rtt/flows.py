"""The traffic: one process with many real TCP connections, at either end.

    python -m sentinel_sim.bench.rtt.flows requests --target HOST:PORT --flows N --interval S
    python -m sentinel_sim.bench.rtt.flows stream --target HOST:PORT --flows N --rate BPS
    python -m sentinel_sim.bench.rtt.flows echo --listen FD
    python -m sentinel_sim.bench.rtt.flows sink --listen FD

`requests` sends one segment on each flow and waits for as many bytes to come back, `--interval`
seconds from one request to the next on average (never two at once). `stream` sends without end on
each flow, paced by the kernel. The sending end says `ready` on standard output as soon as every
flow has been answered (or, for `stream`, acknowledged). All end when standard input is closed, and
then print a line of JSON: what was done.
"""

from __future__ import annotations

import argparse
import gc
import heapq
import json
import random
import resource
import selectors
import socket
import sys
import time
from typing import Protocol

from sentinel_node.daemon.tcp_info import field, read_raw

REQUEST_BYTES = (100, 1200)
"""Below one segment, so that one request is one sample of the RTT."""
CHUNK = bytes(16384)
UNSENT_BYTES = len(CHUNK)
RECEIVE_BYTES = 1 << 16
CONNECTING_AT_ONCE = 50
"""More handshakes at once would be a burst, which is no part of what is compared."""
SO_MAX_PACING_RATE = 47
TCP_NOTSENT_LOWAT = 25
CONGESTION_CONTROL = b"cubic"
SPARE_FILES = 64
POLL_S = 0.05

Address = tuple[str, int]


class End(Protocol):
    """One end of all flows."""

    def handle(self, sock: socket.socket, events: int) -> None:
        """`sock` is readable or writable."""
        ...

    def advance(self, now_s: float) -> float:
        """Do what is due; how many seconds until something else is."""
        ...

    def report(self) -> dict[str, int]:
        """What was done."""
        ...


class Answering:
    """Accepts every connection; gives all that comes back (`echo`), or throws it away."""

    def __init__(
        self, selector: selectors.BaseSelector, listener: socket.socket, *, echo: bool
    ) -> None:
        self._selector, self._listener, self._echo = selector, listener, echo
        self._flows = self._received = 0
        listener.setblocking(False)
        selector.register(listener, selectors.EVENT_READ)

    def handle(self, sock: socket.socket, events: int) -> None:
        if sock is self._listener:
            made, _ = sock.accept()
            made.setblocking(False)
            self._selector.register(made, selectors.EVENT_READ)
            self._flows += 1
            return
        try:
            data = sock.recv(RECEIVE_BYTES)
        except ConnectionResetError:
            data = b""
        self._received += len(data)
        if not data:
            self._selector.unregister(sock)
            sock.close()
        elif self._echo:
            sock.sendall(data)  # one request at a time: there is always room in the buffer

    def advance(self, now_s: float) -> float:
        return POLL_S

    def report(self) -> dict[str, int]:
        return {"flows": self._flows, "received_bytes": self._received}


class Opening:
    """Opens the flows, some at a time, and says when all of them work."""

    def __init__(self, selector: selectors.BaseSelector, target: Address, flows: int) -> None:
        self._selector, self._target, self._to_open = selector, target, flows
        self._opening = 0
        self._waited_for = flows

    def open_more(self) -> None:
        """Start as many handshakes as may be under way."""
        while self._to_open and self._opening < CONNECTING_AT_ONCE:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, CONGESTION_CONTROL)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.prepare(sock)
            sock.connect_ex(self._target)
            self._selector.register(sock, selectors.EVENT_WRITE)
            self._to_open -= 1
            self._opening += 1

    def prepare(self, sock: socket.socket) -> None:
        """Options that have to be set before the handshake."""

    def opened(self, sock: socket.socket) -> None:
        """The handshake is over. Raises OSError if it failed."""
        if code := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(code, f"connection to {self._target} failed")
        self._opening -= 1
        self.open_more()

    def works(self) -> None:
        """One more flow has been answered."""
        self._waited_for -= 1
        if not self._waited_for:
            sys.stdout.write("ready\n")
            sys.stdout.flush()


class Requests(Opening):
    """One request at a time on each flow."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        target: Address,
        flows: int,
        interval_s: float,
        seed: int,
    ) -> None:
        super().__init__(selector, target, flows)
        self._interval_s = interval_s
        self._random = random.Random(seed)
        self._due: list[tuple[float, int]] = []
        self._sockets: dict[int, socket.socket] = {}
        self._next_s: dict[int, float] = {}
        self._owed: dict[int, int] = {}
        self._answered: set[int] = set()
        self._exchanges = 0
        self.open_more()

    def handle(self, sock: socket.socket, events: int) -> None:
        fd = sock.fileno()
        if fd not in self._sockets:
            self.opened(sock)
            self._selector.modify(sock, selectors.EVENT_READ)
            self._sockets[fd] = sock
            # Spread over one interval, or all would send at the same moment for ever.
            first_s = time.monotonic() + self._random.uniform(0, self._interval_s)
            heapq.heappush(self._due, (first_s, fd))
            return
        data = sock.recv(RECEIVE_BYTES)
        if not data:
            raise ConnectionError("the answering end closed a flow")
        self._owed[fd] -= len(data)
        if not self._owed[fd]:
            self._exchanges += 1
            heapq.heappush(self._due, (self._next_s[fd], fd))
            if fd not in self._answered:
                self._answered.add(fd)
                self.works()

    def advance(self, now_s: float) -> float:
        while self._due and self._due[0][0] <= now_s:
            _, fd = heapq.heappop(self._due)
            size = self._random.randint(*REQUEST_BYTES)
            self._owed[fd] = size
            self._next_s[fd] = now_s + self._interval_s * self._random.uniform(0.5, 1.5)
            self._sockets[fd].sendall(CHUNK[:size])
        return self._due[0][0] - now_s if self._due else POLL_S

    def report(self) -> dict[str, int]:
        return {"flows": len(self._sockets), "exchanges": self._exchanges}


class Stream(Opening):
    """Bytes without end on each flow, paced by the kernel."""

    def __init__(
        self, selector: selectors.BaseSelector, target: Address, flows: int, rate_bps: int
    ) -> None:
        super().__init__(selector, target, flows)
        self._rate_bps = rate_bps
        self._sent = 0
        self._flows: set[socket.socket] = set()
        self._silent: set[socket.socket] = set()
        self.open_more()

    def prepare(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, self._rate_bps // 8)
        sock.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT_BYTES)

    def handle(self, sock: socket.socket, events: int) -> None:
        if sock not in self._flows:
            self.opened(sock)
            self._flows.add(sock)
            self._silent.add(sock)
        try:
            self._sent += sock.send(CHUNK)
        except BlockingIOError:
            return  # it is called writable where less than a chunk is

    def advance(self, now_s: float) -> float:
        for sock in [s for s in self._silent if (field(read_raw(s), "bytes_acked") or 0) > 1]:
            self._silent.remove(sock)
            self.works()
        return POLL_S

    def report(self) -> dict[str, int]:
        return {"flows": len(self._flows), "sent_bytes": self._sent}


def carry_on(selector: selectors.BaseSelector, end: End) -> None:
    """Serve all flows until standard input is closed."""
    selector.register(sys.stdin, selectors.EVENT_READ)
    while True:
        wait_s = max(end.advance(time.monotonic()), 0.0)
        for key, events in selector.select(min(wait_s, POLL_S)):
            if key.fileobj is sys.stdin:
                return
            assert isinstance(key.fileobj, socket.socket)
            end.handle(key.fileobj, events)


def make_end(options: argparse.Namespace, selector: selectors.BaseSelector) -> End:
    """What the command line asks for."""
    if options.what in ("echo", "sink"):
        listener = socket.socket(fileno=options.listen)
        return Answering(selector, listener, echo=options.what == "echo")
    host, _, port = options.target.rpartition(":")
    target = (host, int(port))
    if options.what == "requests":
        return Requests(selector, target, options.flows, options.interval, options.seed)
    return Stream(selector, target, options.flows, options.rate)


def parse_arguments() -> argparse.Namespace:
    """The command line above."""
    parser = argparse.ArgumentParser(description=__doc__)
    kinds = parser.add_subparsers(dest="what", required=True)
    for kind in ("echo", "sink"):
        kinds.add_parser(kind).add_argument("--listen", type=int, required=True)
    for kind in ("requests", "stream"):
        sending = kinds.add_parser(kind)
        sending.add_argument("--target", required=True)
        sending.add_argument("--flows", type=int, required=True)
        sending.add_argument("--seed", type=int, default=1)
        if kind == "requests":
            sending.add_argument("--interval", type=float, required=True, help="seconds")
        else:
            sending.add_argument("--rate", type=int, required=True, help="bits/s of each flow")
    return parser.parse_args()


def main() -> None:
    """Run one end."""
    options = parse_arguments()
    gc.disable()  # nothing here makes cycles; a pause would be in the round trips
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = getattr(options, "flows", most) + SPARE_FILES
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, most), most))
    with selectors.DefaultSelector() as selector:
        end = make_end(options, selector)
        carry_on(selector, end)
        sys.stdout.write(json.dumps(end.report()) + "\n")


if __name__ == "__main__":
    main()
