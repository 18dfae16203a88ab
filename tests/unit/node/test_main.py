"""The command line, and nodes that work without a controller."""

from __future__ import annotations

import hashlib
import json
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.unit.node.support import END_TIMEOUT_S, LOOPBACK

from sentinel_node.daemon.addresses import parse_host_port, parse_target
from sentinel_node.daemon.file_payload import FilePayload
from sentinel_node.daemon.main import (
    daemon_config,
    main,
    make_parser,
)
from sentinel_node.daemon.sender import SendSpec
from sentinel_node.daemon.standalone_options import standalone_config
from sentinel_node.errors import NodeError, RequestError

NODE = (sys.executable, "-m", "sentinel_node.daemon.main")
ANY = f"{LOOPBACK}:0"


@contextmanager
def node_with_port(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A node that listens, and the port it says in its log."""
    process = subprocess.Popen(
        [*NODE, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if found := re.search(r"(?:listening on|relaying from) \S+ port (\d+)", line):
                    yield process, int(found[1])
                    break
        finally:
            process.terminate()
            process.communicate(timeout=END_TIMEOUT_S)


def test_a_chain_without_a_controller() -> None:
    with node_with_port("--role", "receiver", "--listen", ANY, "--flows", "2") as (receiver, port):
        relay = node_with_port(
            *("--role", "intermediate", "--listen", ANY, "--target", f"{LOOPBACK}:{port}"),
            *("--relay-mode", "splice"),
        )
        with relay as (_, relay_port):
            sender = subprocess.run(
                [
                    *(*NODE, "--role", "sender", "--target", f"{LOOPBACK}:{relay_port}"),
                    *("--bytes", "3000000", "--flows", "2"),
                ],
                capture_output=True,
                text=True,
                timeout=END_TIMEOUT_S,
            )
        assert sender.returncode == 0, sender.stderr
        out, _ = receiver.communicate(timeout=END_TIMEOUT_S)
    assert receiver.returncode == 0
    got = {flow["flow_id"]: flow for flow in map(json.loads, out.splitlines())}
    sent = {flow["flow_id"]: flow for flow in map(json.loads, sender.stdout.splitlines())}
    assert len(got) == 2
    assert got.keys() == sent.keys()
    for flow_id, flow in got.items():
        assert flow["sha256_ok"]
        assert flow["payload_bytes"] == 3_000_000
        assert flow["sha256"] == sent[flow_id]["sha256"]
        assert flow["error"] is None


def test_a_file_goes_over_ipv6(tmp_path: Path) -> None:
    data = random.Random(5).randbytes(700_001)
    (tmp_path / "file").write_bytes(data)
    line = ("--role", "receiver", "--listen", "[::1]:0", "--flows", "1")
    with node_with_port(*line) as (receiver, port):
        file = str(tmp_path / "file")
        sender = subprocess.run(
            [*NODE, "--role", "sender", "--target", f"[::1]:{port}", "--file", file],
            capture_output=True,
            text=True,
            timeout=END_TIMEOUT_S,
        )
        assert sender.returncode == 0, sender.stderr
        out, _ = receiver.communicate(timeout=END_TIMEOUT_S)
    got = json.loads(out)
    assert got["sha256_ok"]
    assert got["sha256"] == hashlib.sha256(data).hexdigest()


def test_a_file_that_became_shorter_fails_its_flow(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(10))
    with FilePayload(str(tmp_path / "file")) as payload:
        payload.fill(memoryview(bytearray(16)), 8)
        with pytest.raises(NodeError, match="ended after 10 bytes"):
            payload.fill(memoryview(bytearray(16)), 8)


def test_a_target_may_be_a_name() -> None:
    assert parse_target("localhost:5") in {("127.0.0.1", 5), ("::1", 5)}
    with pytest.raises(RequestError, match=r"name\.invalid is no address"):
        parse_target("name.invalid:5")


def test_a_failed_flow_is_exit_1_with_the_error_in_its_line() -> None:
    done = subprocess.run(
        [*NODE, "--role", "sender", "--target", f"{LOOPBACK}:1", "--bytes", "1"],
        capture_output=True,
        text=True,
        timeout=END_TIMEOUT_S,
    )
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"].endswith("ECONNREFUSED")


def test_sigterm_ends_a_listening_node_with_exit_0() -> None:
    with node_with_port("--role", "receiver", "--listen", ANY) as (process, _):
        process.terminate()
        process.communicate(timeout=END_TIMEOUT_S)
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--role receiver", "needs --listen"),
        ("--role sender --target 1.2.3.4:5", "exactly one of"),
        ("--role sender --target 1.2.3.4:5 --bytes 1 --duration 1", "exactly one of"),
        ("--role sender --target 1.2.3.4:5 --bytes 1 --file /etc/hostname", "exactly one of"),
        ("--role sender --target 1.2.3.4:5 --file /nonexistent", "No such file"),
        ("--role sender --target 1.2.3.4:5 --file /dev/null", "not a regular file"),
        ("--role sender --listen 1.2.3.4:5 --target 1.2.3.4:5 --bytes 1", "does not take"),
        ("--role intermediate --listen :5", "needs --target"),
        ("--role receiver --listen localhost:5", "numeric"),
        ("--role receiver --listen 1.2.3.4", "HOST:PORT"),
        ("--role receiver --listen :5 --fsu-point l:3:4:5:6", "--control only"),
        ("--role receiver --listen :5 --flows -1", "--flows"),
        ("--role receiver --control unix:/x --listen :5", "cannot be used with --control"),
        ("--role receiver --control 1.2.3.4", "HOST:PORT"),
        ("--role receiver --control unix:/x --fsu-point l:3:4:5", "LINK:FD:FD:FD:FD"),
    ],
)
def test_usage_errors_say_what_is_wrong(arguments: str, words: str) -> None:
    options = make_parser().parse_args(arguments.split())
    make = daemon_config if options.control else standalone_config
    with pytest.raises(RequestError, match=re.escape(words)):
        make(options)


def test_usage_errors_are_exit_2() -> None:
    for arguments in (
        "--role receiver --listen 1.2.3.4",
        "--role receiver --listen 192.0.2.1:5",
        f"--role receiver --control unix:/{'x' * 200}",
    ):
        done = subprocess.run(
            [*NODE, *arguments.split()], capture_output=True, text=True, timeout=END_TIMEOUT_S
        )
        assert done.returncode == 2, done.stderr
        assert "Traceback" not in done.stderr
    with pytest.raises(SystemExit) as caught:
        main(["--role", "router"])
    assert caught.value.code == 2


def test_host_and_port_forms() -> None:
    assert parse_host_port("1.2.3.4:5") == ("1.2.3.4", 5)
    assert parse_host_port(":5") == ("0.0.0.0", 5)
    assert parse_host_port("[::1]:5") == ("::1", 5)


def test_sender_options_become_flows_with_ids_of_their_own() -> None:
    line = "--role sender --target 1.2.3.4:5 --duration 1.5 --flows 3 --congestion-control reno"
    config = standalone_config(make_parser().parse_args(line.split()))
    assert isinstance(config.spec, SendSpec)
    assert len({order.flow_id for order in config.spec.orders}) == 3
    assert {order.duration_ns for order in config.spec.orders} == {1_500_000_000}
    assert config.spec.profile.congestion_control == "reno"
