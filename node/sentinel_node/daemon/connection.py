"""A TCP connection that is watched: its samples of `struct tcp_info`, its end, its identity."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass

from sentinel_node.daemon import sockets, tcp_info

MAX_SAMPLES = 2048
"""Of one connection, as long as there are few."""
ALL_SAMPLES = 128 * MAX_SAMPLES
"""Of all connections of a run together: about 100 MB."""
LEAST_SAMPLES = 16
CONGESTION_NAME_BYTES = 16


@dataclass(frozen=True, slots=True)
class RawSample:
    """`struct tcp_info` as the kernel gave it at `t_ns`."""

    t_ns: int
    raw: bytes


class SampleBudget:
    """How many samples each of a run's connections may keep; fewer, the more there are."""

    def __init__(self) -> None:
        self._connections = 0
        self.each = MAX_SAMPLES

    def joined(self) -> None:
        """One more connection is sampled; called under the run's lock."""
        self._connections += 1
        self.each = max(LEAST_SAMPLES, min(MAX_SAMPLES, ALL_SAMPLES // self._connections))


class TrackedConnection:
    """Owns one socket. The worker uses `sock`; the sampler looks at it from its own thread.

    `direction` is "out" where this end sends payload and "in" where it reads it. Samples are
    bounded: when there are as many as `budget` allows, every second one is dropped and the
    interval doubled.
    """

    def __init__(
        self,
        sock: socket.socket,
        direction: str,
        opened_ns: int,
        budget: SampleBudget | None = None,
    ) -> None:
        self.sock = sock
        self.direction = direction
        self.opened_ns = opened_ns
        self.name = ""
        self.flow_id = 0
        self.bytes_moved = 0
        self.congestion_control = ""
        self.send_buffer_bytes = 0
        self.receive_buffer_bytes = 0
        self.last: RawSample | None = None
        self._samples: list[RawSample] = []
        self._budget = budget or SampleBudget()
        self._stride = 1
        self._ticks = 0
        self._lock = threading.Lock()
        self._open = True

    @property
    def is_open(self) -> bool:
        """False once the socket was closed."""
        return self._open

    @property
    def samples(self) -> tuple[RawSample, ...]:
        """What was sampled so far, the last look at the end included."""
        with self._lock:
            last = (self.last,) if self.last is not None else ()
            return (*self._samples, *last)

    def left_bytes(self) -> int:
        """Bytes of the stream that left this host, each counted once; from any thread."""
        with self._lock:
            raw = tcp_info.read_raw(self.sock) if self._open else self._last_raw()
        return tcp_info.left_stream_bytes(raw)

    def change(self, change: Callable[[socket.socket], None]) -> bool:
        """Set options of the socket, from any thread; False: it is closed."""
        with self._lock:
            if self._open:
                change(self.sock)
            return self._open

    def _last_raw(self) -> bytes:
        return self.last.raw if self.last is not None else b""

    def established(self) -> None:
        """The connection stands: from now on it has a name and can be sampled."""
        self.name = sockets.describe(self.sock)

    def sample(self, now_ns: int) -> None:
        """Take one sample, unless the socket is closed."""
        with self._lock:
            self._ticks += 1
            if not self._open or self._ticks % self._stride:
                return
            self._samples.append(RawSample(now_ns, tcp_info.read_raw(self.sock)))
            while len(self._samples) >= self._budget.each:
                del self._samples[1::2]
                self._stride *= 2

    def close(self, now_ns: int, *, reset: bool = False) -> None:
        """Take the last sample and close, with a RST to the peer if `reset`. Idempotent."""
        with self._lock:
            if not self._open:
                return
            self._open = False
            self.last = RawSample(now_ns, tcp_info.read_raw(self.sock))
            name = self.sock.getsockopt(
                socket.IPPROTO_TCP, socket.TCP_CONGESTION, CONGESTION_NAME_BYTES
            )
            self.congestion_control = name.rstrip(b"\0").decode()
            get = self.sock.getsockopt
            self.send_buffer_bytes = get(socket.SOL_SOCKET, socket.SO_SNDBUF)
            self.receive_buffer_bytes = get(socket.SOL_SOCKET, socket.SO_RCVBUF)
            if reset:
                sockets.reset(self.sock)
            else:
                self.sock.close()
