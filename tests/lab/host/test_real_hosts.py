"""Nodes on hosts of their own, without a controller: here plain namespaces, joined by veth pairs.

s 192.0.2.1 == 192.0.2.2 m 198.51.100.1 == 198.51.100.2 r
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from sentinel_sim.host.certificates import issue

pytestmark = pytest.mark.lab

NODE = (sys.executable, "-m", "sentinel_node.daemon.main")
PORT = 5000
TO_RELAY, TO_RECEIVER = f"192.0.2.2:{PORT}", f"198.51.100.2:{PORT}"
END_TIMEOUT_S = 40.0
PIPE_BYTES = 12_000_000


class Hosts:
    """Three namespaces and the nodes that run in them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = ExitStack()
        self._names = {host: f"sentinel-t{os.getpid()}-{host}" for host in "smr"}
        self.logs: list[Path] = []
        issue(folder / "certificates", ("s", "m", "r"))
        for name in ("received", "kept"):
            (folder / name).mkdir()

    def __enter__(self) -> Hosts:
        for name in self._names.values():
            ip("netns", "add", name)
            self._stack.callback(ip, "netns", "delete", name)
        self._link("s", "192.0.2.1/30", "m", "192.0.2.2/30")
        self._link("m", "198.51.100.1/30", "r", "198.51.100.2/30")
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def start(self, host: str, *arguments: str) -> subprocess.Popen[str]:
        """A node, which is killed at the end if it still runs."""
        log = self.folder / f"{host}-{len(self.logs)}.log"
        self.logs.append(log)
        own = ("--node", host, "--certificates", str(self.folder / "certificates" / host))
        with log.open("w") as err:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self._names[host], *NODE, *own, *arguments],
                stdout=subprocess.PIPE,
                stderr=err,
                text=True,
            )
        self._stack.callback(end, process)
        return process

    def receiver(self) -> subprocess.Popen[str]:
        more = ("--upstream", "m", "--folder", str(self.folder / "received"), "--flows", "1")
        return self.start("r", "--role", "receiver", "--listen", f"0.0.0.0:{PORT}", *more)

    def relay(self) -> subprocess.Popen[str]:
        where = ("--listen", f"0.0.0.0:{PORT}", "--target", TO_RECEIVER)
        more = ("--upstream", "s", "--downstream", "r", "--folder", str(self.folder / "kept"))
        return self.start("m", "--role", "intermediate", *where, *more)

    def sender(self, *arguments: str) -> subprocess.Popen[str]:
        more = ("--downstream", "m", "--receiver", "r")
        return self.start("s", "--role", "sender", "--target", TO_RELAY, *more, *arguments)

    def received(self) -> Path | None:
        """The payload's file, once it is there."""
        return next((self.folder / "received").glob("*.payload"), None)

    def received_bytes(self) -> int:
        path = self.received()
        return path.stat().st_size if path is not None else 0

    def said(self) -> str:
        """All logs."""
        return "\n".join(f"{log.name}:\n{log.read_text()}" for log in self.logs)

    def _link(self, a: str, a_address: str, b: str, b_address: str) -> None:
        ends = {a: (f"{a}{b}", a_address), b: (f"{b}{a}", b_address)}
        ip(
            *("link", "add", ends[a][0], "netns", self._names[a], "type", "veth"),
            *("peer", "name", ends[b][0], "netns", self._names[b]),
        )
        for host, (device, address) in ends.items():
            inside = ("-n", self._names[host])
            ip(*inside, "address", "add", address, "dev", device)
            ip(*inside, "link", "set", device, "up")


def ip(*arguments: str) -> None:
    subprocess.run(("ip", *arguments), check=True)


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def result(process: subprocess.Popen[str], hosts: Hosts) -> dict[str, Any]:
    """Its one line of JSON."""
    try:
        out, _ = process.communicate(timeout=END_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        pytest.fail(f"a node did not end\n{hosts.said()}")
    assert out.count("\n") == 1, (out, hosts.said())
    line: dict[str, Any] = json.loads(out)
    return line


def wait_for(condition: Callable[[], bool], hosts: Hosts) -> None:
    end_s = time.monotonic() + END_TIMEOUT_S
    while not condition():
        if time.monotonic() > end_s:
            pytest.fail(f"did not come about\n{hosts.said()}")
        threading.Event().wait(0.005)  # of other processes, which tell nobody


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    with Hosts(tmp_path) as hosts:
        yield hosts


def check(hosts: Hosts, sent: dict[str, Any], got: dict[str, Any], data: bytes) -> None:
    assert (sent["complete"], sent["error"]) == (True, None), hosts.said()
    assert (got["sha256_ok"], got["error"]) == (True, None), hosts.said()
    assert got["running_hash"] == sent["running_hash"]
    assert hashlib.sha256(Path(got["file"]).read_bytes()).digest() == hashlib.sha256(data).digest()


def test_a_pipe_survives_the_death_of_the_relay(hosts: Hosts) -> None:
    """Its bytes can be read once, and are let go of when the relay has them on disk."""
    data = random.Random(1).randbytes(PIPE_BYTES)
    fifo = hosts.folder / "fifo"
    os.mkfifo(fifo)
    half = threading.Event()

    def feed() -> None:
        with fifo.open("wb", buffering=0) as out:
            out.write(data[: PIPE_BYTES // 2])
            half.wait(END_TIMEOUT_S)
            out.write(data[PIPE_BYTES // 2 :])

    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    receiver, relay = hosts.receiver(), hosts.relay()
    sender = hosts.sender("--file", str(fifo), "--release", "durable-custody")
    wait_for(lambda: hosts.received_bytes() > 1_000_000, hosts)
    relay.kill()
    relay.wait()
    hosts.relay()
    half.set()
    sent, got = result(sender, hosts), result(receiver, hosts)
    feeder.join(END_TIMEOUT_S)
    check(hosts, sent, got, data)
    assert sent["attempts"] > 1
    assert sent["refused"].keys() <= {"stale-epoch"}, sent


def test_a_sender_that_died_is_gone_on_with(hosts: Hosts) -> None:
    data = random.Random(2).randbytes(100_000_000)
    path = hosts.folder / "file"
    path.write_bytes(data)
    receiver = hosts.receiver()
    hosts.relay()
    sender = hosts.sender("--file", str(path))
    wait_for(lambda: hosts.received_bytes() > 1_000_000, hosts)
    sender.kill()
    sender.communicate()
    arrived = hosts.received_bytes()
    assert 0 < arrived < len(data), "killed too late to show anything"
    again = hosts.logs[-1].read_text().rpartition("--resume ")[2].split()[0]
    second = hosts.sender("--file", str(path), "--resume", again)
    sent, got = result(second, hosts), result(receiver, hosts)
    check(hosts, sent, got, data)
    assert got["flow_id"] == sent["flow_id"] == int(again)
    assert f"flow {again} to m: goes on from" in hosts.logs[-1].read_text()


def test_a_node_of_another_authority_gets_nowhere(hosts: Hosts) -> None:
    """It knows the addresses and the names; nothing is taken from it."""
    issue(hosts.folder / "certificates", ("s",), renew=True)
    hosts.receiver()
    hosts.relay()
    (hosts.folder / "other").mkdir()
    issue(hosts.folder / "other", ("s",))
    path = hosts.folder / "file"
    path.write_bytes(bytes(100_000))
    foreign = hosts.sender(
        *("--file", str(path), "--certificates", str(hosts.folder / "other" / "s")),
    )
    wait_for(lambda: "CERTIFICATE_VERIFY_FAILED" in hosts.logs[-1].read_text(), hosts)
    assert foreign.poll() is None, "it still tries"
    foreign.terminate()
    assert foreign.communicate()[0] == "", "it sent nothing"
    assert hosts.received() is None
    own = hosts.sender("--file", str(path))
    assert result(own, hosts)["complete"]
