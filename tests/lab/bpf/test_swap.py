"""Another version of the FSU takes over while packets flow: none is lost, none is unseen."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.lab.bpf.test_attach import PROGRAM, RECEIVER, Chain, a_socket

from sentinel_bpf.attach import attach_xdp
from sentinel_bpf.flow_map import read_counters
from sentinel_bpf.loader import CompiledSource, ProgramSet

pytestmark = pytest.mark.lab

GBIT = 1_000_000_000
SO_MAX_PACING_RATE = 47
Counts = tuple[int, tuple[int, int], tuple[int, int]]
"""Packets that the FSU saw; (packets, dropped) at the wire, and at the sender."""


def counted(netns: Path, interface: str, direction: str) -> tuple[int, int]:
    """(packets, dropped) that the kernel counted on the way in (`rx`) or out (`tx`)."""
    words = ["ip", "-n", netns.name, "-j", "-s", "link", "show", "dev", interface]
    [link] = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)
    stats = link["stats64"][direction]
    return int(stats["packets"]), int(stats["dropped"])


def paced_transfer(chain: Chain, size: int, done: threading.Event, told: dict[str, int]) -> None:
    """`size` bytes over TCP at 1 Gbit/s; sets `done` at the end, `told` how many arrived."""

    def drain(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            while data := connection.recv(1 << 20):
                told["bytes"] = told.get("bytes", 0) + len(data)

    try:
        with a_socket(chain.receiver, socket.SOCK_STREAM) as listener:
            listener.bind((RECEIVER, 0))
            listener.listen(1)
            reader = threading.Thread(target=drain, args=(listener,))
            reader.start()
            with a_socket(chain.sender, socket.SOCK_STREAM) as client:
                client.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, GBIT // 8)
                client.connect(listener.getsockname())
                client.sendall(bytes(size))
                client.shutdown(socket.SHUT_WR)
                client.recv(1)
            reader.join()
    finally:
        done.set()


def at_rest(read: Callable[[], Counts]) -> Counts:
    """Counters that are read one after the other: once a packet on its way is in all of them."""
    before = read()
    for _ in range(100):
        if (now := read()) == before:
            return now
        before = now
    raise AssertionError(f"packets go on long after the transfer: {before}")


def test_versions_are_swapped_under_a_gigabit_and_no_packet_is_lost_or_unseen(
    new_netns: Callable[[str], Path], flow_source: CompiledSource
) -> None:
    chain = Chain(new_netns)
    size, done, told = 100_000_000, threading.Event(), dict[str, int]()
    with flow_source.instantiate() as first:
        shared = {name: first.map_fd(name) for name in first.map_names()}
        attachment = attach_xdp(first.prog_fd(PROGRAM), "wa", chain.wire)
        before, _ = counted(chain.wire, "wa", "rx")
        sent_before, _ = counted(chain.sender, "a0", "tx")
        seen_before = read_counters(first.map_fd("fsu_counters"))["passed"]
        sender = threading.Thread(target=paced_transfer, args=(chain, size, done, told))
        sender.start()
        versions: list[ProgramSet] = []
        try:
            while not done.wait(0.02):
                versions.append(flow_source.instantiate(share=shared))
                attachment.swap(versions[-1].prog_fd(PROGRAM))
            sender.join()
            seen, (after, dropped), (sent_after, not_sent) = at_rest(
                lambda: (
                    read_counters(first.map_fd("fsu_counters"))["passed"] - seen_before,
                    counted(chain.wire, "wa", "rx"),
                    counted(chain.sender, "a0", "tx"),
                )
            )
            program = attachment.state().program_id
        finally:
            attachment.close()
            for version in versions:
                version.close()
    assert len(versions) >= 5
    assert program != 0
    assert told["bytes"] == size
    assert dropped == not_sent == 0
    # Packets, not TCP's word: a host that stalls makes TCP send twice what was never lost.
    assert seen == after - before == sent_after - sent_before >= size // 1448


def test_a_program_that_is_refused_leaves_the_old_one(
    new_netns: Callable[[str], Path], flow_source: CompiledSource
) -> None:
    from sentinel_bpf.errors import BpfError

    chain = Chain(new_netns)
    with flow_source.instantiate() as first:
        attachment = attach_xdp(first.prog_fd(PROGRAM), "wa", chain.wire)
        try:
            before = attachment.state()
            with pytest.raises(BpfError, match="cannot swap"):
                attachment.swap(first.map_fd("fsu_counters"))
            assert attachment.state() == before
        finally:
            attachment.close()
