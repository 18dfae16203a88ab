"""A window is opened on a connection that stands, as its peer's kernel sees it."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sentinel_bpf.netns import run_in_netns
from sentinel_node.daemon import sockets

pytestmark = pytest.mark.lab

WINDOW_BYTES = 26_000_000
UNSCALED_BYTES = 65_535


@pytest.fixture
def inside() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Run something in a namespace of its own, whose sockets may have large buffers."""
    name = f"sentinel-t{os.getpid()}-o"
    subprocess.run(("ip", "netns", "add", name), check=True)
    try:
        settings = ("sysctl", "-q", "net.ipv4.tcp_rmem=4096 131072 67108864")
        subprocess.run(("ip", "-n", name, "link", "set", "lo", "up"), check=True)
        subprocess.run(("ip", "netns", "exec", name, *settings), check=True)
        yield lambda call: run_in_netns(Path("/run/netns") / name, call)
    finally:
        subprocess.run(("ip", "netns", "delete", name), check=True)


def send_window(sock: socket.socket) -> int:
    """What the peer offers, by this end's kernel."""
    sock.setsockopt(socket.IPPROTO_TCP, sockets.TCP_REPAIR, 1)
    raw = sock.getsockopt(socket.IPPROTO_TCP, sockets.TCP_REPAIR_WINDOW, 20)
    sock.setsockopt(socket.IPPROTO_TCP, sockets.TCP_REPAIR, -1)
    return int.from_bytes(raw[4:8], "little")


def exchange(sender: socket.socket, receiver: socket.socket) -> None:
    """A little data, and back, so that both know what was acknowledged."""
    for here, there in ((sender, receiver), (receiver, sender)):
        here.sendall(b"x" * 1000)
        got = 0
        while got < 1000:
            got += len(there.recv(1000 - got))


def pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sender = socket.create_connection(listener.getsockname())
        receiver, _ = listener.accept()
    return sender, receiver


def test_the_peer_may_send_a_whole_window_at_once(
    inside: Callable[[Callable[[], None]], None],
) -> None:
    def check() -> None:
        sender, receiver = pair()
        with sender, receiver:
            assert send_window(sender) <= UNSCALED_BYTES
            assert sockets.open_window(receiver, WINDOW_BYTES)
            exchange(sender, receiver)
            assert send_window(sender) >= WINDOW_BYTES
            sender.setblocking(False)
            sender.setsockopt(socket.SOL_SOCKET, sockets.SO_SNDBUFFORCE, WINDOW_BYTES)
            # Nobody reads: all that goes lies in the receiver's buffer.
            sent = 0
            try:
                while sent < WINDOW_BYTES:
                    sent += sender.send(bytes(1 << 20))
            except BlockingIOError:
                pass
            assert sent > WINDOW_BYTES // 2

    inside(check)


def test_a_sender_that_is_told_needs_no_acknowledgement(
    inside: Callable[[Callable[[], None]], None],
) -> None:
    def check() -> None:
        sender, receiver = pair()
        with sender, receiver:
            assert send_window(sender) <= UNSCALED_BYTES
            assert sockets.believe_window(sender, WINDOW_BYTES)
            assert send_window(sender) == WINDOW_BYTES
            exchange(sender, receiver)
            assert send_window(sender) < WINDOW_BYTES, "what the peer offers itself is what counts"
            assert not sockets.believe_window(sender, WINDOW_BYTES)

    inside(check)


def test_a_listener_that_was_set_takes_the_window_at_once(
    inside: Callable[[Callable[[], None]], None],
) -> None:
    """What `believe_window` relies on: a window said over the control plane is there."""

    def check() -> None:
        with socket.socket() as listener:
            profile = sockets.TcpProfile(window_clamp_bytes=WINDOW_BYTES)
            sockets.apply_profile(listener, profile)
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            sender = socket.create_connection(listener.getsockname())
            receiver, _ = listener.accept()
        with sender, receiver:
            assert not sockets.open_window(receiver, WINDOW_BYTES), "it is open"

    inside(check)


def test_a_window_is_never_made_smaller(inside: Callable[[Callable[[], None]], None]) -> None:
    def check() -> None:
        sender, receiver = pair()
        with sender, receiver:
            assert sockets.open_window(receiver, WINDOW_BYTES)
            assert not sockets.open_window(receiver, WINDOW_BYTES // 2)
            exchange(sender, receiver)
            assert send_window(sender) >= WINDOW_BYTES

    inside(check)


def test_without_it_the_window_begins_small(inside: Callable[[Callable[[], None]], None]) -> None:
    def check() -> None:
        sender, receiver = pair()
        with sender, receiver:
            exchange(sender, receiver)
            assert send_window(sender) < WINDOW_BYTES // 10

    inside(check)
