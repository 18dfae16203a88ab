"""A sender does not feel the wire's queue, as little as a queue in another city."""

from __future__ import annotations

import fcntl
import socket
import struct
import termios

from tests.lab.wire.bench import Bench, until
from tests.lab.wire.plans import MBIT, chain

PACKETS = 100
PAYLOAD_BYTES = 1000


def unsent_bytes(sock: socket.socket) -> int:
    """What the kernel still charges to the socket (SIOCOUTQ, udp(7))."""
    answer = fcntl.ioctl(sock, termios.TIOCOUTQ, struct.pack("i", 0))
    return int(struct.unpack("i", answer)[0])


async def test_what_waits_in_the_wire_is_not_charged_to_its_sender(bench: Bench) -> None:
    bench.configure(chain(rate_bps=MBIT, queue_bytes=10_000_000))
    burst = 2 * 65_536  # passes at once; more waits
    with bench.queue_trace() as trace, bench.receiver(1 << 16), bench.sender() as sender:
        count = PACKETS + burst // PAYLOAD_BYTES
        await bench.send(sender, count, PAYLOAD_BYTES, gso=False)
        await until(lambda: unsent_bytes(sender) == 0, "the socket's packets left the node", 0.3)
        await until(lambda: bool(trace.samples) and trace.samples[-1][2] > 0, "queue sampled", 0.3)
        await bench.drained(count)
