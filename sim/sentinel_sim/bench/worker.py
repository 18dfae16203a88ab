"""The process of a user-space lane: relays packets through the box and observes each.

    python -m sentinel_sim.bench.worker LANE WORK --netns PATH --inside IF --outside IF \\
        --listen ADDRESS --cpu N --tag TAG

`af-packet` bridges frames between two packet sockets: poll, then one recv and one send for each.
`asyncio` relays datagrams with asyncio's datagram protocol. Both do the work of observer.FlowTable
before they pass a packet on; with WORK `empty` they only pass it on. Python's cyclic garbage
collector is off: nothing here makes cycles, and its pauses are not what is to be measured.

Commands on standard input, a line of JSON each in answer: `reset` forgets all flows, `report`
tells packets and flows since.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import select
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from sentinel_bpf.bench_programs import SERVER_ADDRESS, SERVER_PORT
from sentinel_bpf.netns import run_in_netns
from sentinel_sim.bench.lanes import Lane, Work
from sentinel_sim.bench.observer import FlowTable, shipped_table

RECEIVE_BUFFER_BYTES = 1 << 20
_SO_RCVBUFFORCE = 33
_ETH_P_ALL = 0x0003
_UDP = 17
_FRAME_MAX = 2048
_BURST = 64
"""Frames between two looks at the command channel."""


class Control:
    """Answers commands; `stopped` once the input is closed."""

    def __init__(self, table: FlowTable) -> None:
        self._table = table
        self.stopped = False

    def read(self) -> None:
        """One readable command."""
        line = sys.stdin.readline()
        if not line:
            self.stopped = True
        elif line.strip() == "reset":
            self._table.clear()
            self._say({})
        elif line.strip() == "report":
            self._say(
                {
                    "packets": self._table.packets,
                    "by_port": self._table.packets_by_port(),
                    "network": self._table.network is not None,
                }
            )
        else:
            sys.stdout.write(f"error unknown command {line.strip()!r}\n")
            sys.stdout.flush()

    @staticmethod
    def _say(value: dict[str, object]) -> None:
        sys.stdout.write(json.dumps(value) + "\n")
        sys.stdout.flush()


def ready() -> None:
    """Tell that packets will be taken from now on."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()


def _deepen(receiver: socket.socket) -> None:
    receiver.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)


def bridge(options: argparse.Namespace, table: FlowTable, full: bool) -> None:
    """The lane af-packet."""

    def packet_socket(interface: str, protocol: int) -> socket.socket:
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        if protocol:
            _deepen(made)
        made.bind((interface, protocol))
        made.setblocking(False)
        return made

    receiver = run_in_netns(options.netns, lambda: packet_socket(options.inside, _ETH_P_ALL))
    sender = run_in_netns(options.netns, lambda: packet_socket(options.outside, 0))
    control = Control(table)
    poller = select.poll()
    poller.register(sys.stdin, select.POLLIN)
    poller.register(receiver, select.POLLIN)
    commands = sys.stdin.fileno()
    observe = table.observe if full else None
    with receiver, sender:
        ready()
        while not control.stopped:
            for fd, _ in poller.poll():
                if fd == commands:
                    control.read()
                else:
                    _bridge_burst(receiver, sender, observe)


def _bridge_burst(
    receiver: socket.socket,
    sender: socket.socket,
    observe: Callable[[bytes, int], None] | None,
) -> None:
    for _ in range(_BURST):
        try:
            frame = receiver.recv(_FRAME_MAX)
        except BlockingIOError:
            return
        if observe is not None:
            observe(frame, time.monotonic_ns())
        sender.send(frame)


class Relay(asyncio.DatagramProtocol):
    """The lane asyncio: what comes in goes on to the sink."""

    def __init__(self, table: FlowTable, onward: asyncio.DatagramTransport, full: bool) -> None:
        self._table = table
        self._onward = onward
        self._full = full
        self._target = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep our own end: the packet's target."""
        address, port = transport.get_extra_info("sockname")
        self._target = socket.inet_aton(address) + port.to_bytes(2, "big")

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Observe, then pass on."""
        if self._full:
            source = socket.inet_aton(addr[0]) + addr[1].to_bytes(2, "big")
            now_ns = time.monotonic_ns()
            self._table.observe_datagram(source, self._target, _UDP, len(data), now_ns)
        self._onward.sendto(data)


async def relay(options: argparse.Namespace, table: FlowTable, full: bool) -> None:
    """Run until the command channel closes."""

    def receiving() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        _deepen(made)
        made.bind((options.listen, SERVER_PORT))
        return made

    def sending() -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.connect((SERVER_ADDRESS, SERVER_PORT))
        return made

    loop = asyncio.get_running_loop()
    inside, outside = (run_in_netns(options.netns, make) for make in (receiving, sending))
    for one in (inside, outside):
        one.setblocking(False)
    onward, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, sock=outside)
    inward, _ = await loop.create_datagram_endpoint(lambda: Relay(table, onward, full), sock=inside)
    control, stopped = Control(table), asyncio.Event()

    def command() -> None:
        control.read()
        if control.stopped:
            stopped.set()

    loop.add_reader(sys.stdin, command)
    ready()
    await stopped.wait()
    loop.remove_reader(sys.stdin)
    inward.close()
    onward.close()


def main() -> None:
    """Parse, pin, relay until the input is closed."""
    parser = argparse.ArgumentParser(prog="python -m sentinel_sim.bench.worker")
    parser.add_argument("lane", type=Lane)
    parser.add_argument("work", type=Work)
    for name in ("--inside", "--outside", "--listen", "--tag"):
        parser.add_argument(name, required=True)
    parser.add_argument("--netns", type=Path, required=True)
    parser.add_argument("--cpu", type=int, required=True)
    options = parser.parse_args()
    os.sched_setaffinity(0, {options.cpu})
    gc.disable()
    table, full = shipped_table(), options.work is Work.FULL
    if options.lane is Lane.AF_PACKET:
        bridge(options, table, full)
    else:
        asyncio.run(relay(options, table, full))


if __name__ == "__main__":
    main()
