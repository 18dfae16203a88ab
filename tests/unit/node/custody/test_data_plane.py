"""Custody over real sockets and threads: whatever breaks, every byte arrives once and is right."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.unit.node.custody.net import TIMEOUT_S, Control, Net

from sentinel_node.core.custody.running_hash import RunningHash
from sentinel_node.core.payload import FILL_SLACK_BYTES, PayloadStream
from sentinel_node.daemon.records import FlowRecord


@contextmanager
def chain(relays: int = 1, **options: Any) -> Iterator[Net]:  # noqa: ANN401
    net = Net(relays, **options)
    try:
        yield net
    finally:
        net.close()


def payload_hash(size_bytes: int, flow_id: int = 1, seed: int = 7) -> bytes:
    memory = memoryview(bytearray(size_bytes + FILL_SLACK_BYTES))
    PayloadStream(seed, flow_id).fill(memory, size_bytes)
    running = RunningHash()
    running.update(memory[:size_bytes])
    return running.finish().digest


def wait_for(condition: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline_s, "it did not happen"
        time.sleep(0.001)


def check(net: Net, sent: FlowRecord, size_bytes: int, flow_id: int = 1) -> FlowRecord:
    assert sent.error == ""
    assert sent.complete
    got = net.received(flow_id)
    wait_for(lambda: got.ended)
    assert (got.error, got.complete, got.sha256_ok) == ("", True, True)
    assert got.payload_bytes == sent.payload_bytes == size_bytes
    assert got.sha256 == sent.sha256 == payload_hash(size_bytes, flow_id)
    return got


@pytest.mark.parametrize("relays", [0, 1, 3])
@pytest.mark.parametrize("size_bytes", [1, 65536, 3_000_017])
def test_a_flow_arrives_and_is_confirmed_and_delivered(relays: int, size_bytes: int) -> None:
    with chain(relays) as net:
        sent = net.send(size_bytes=size_bytes)
        check(net, sent.wait(), size_bytes)
        assert sent.confirmed[-1] == size_bytes
        assert sent.record.custody is not None
        confirmed, delivered = sent.record.custody.series()
        assert confirmed[1][-1] == delivered[1][-1] == size_bytes
        assert sent.record.custody.attempts == 1
        for name in net.names[1:-1]:
            wait_for(lambda name=name: net.nodes[name].run.active == 0)
            assert net.nodes[name].run.gauge.now_bytes == 0


@pytest.mark.parametrize("seed", range(6))
def test_connections_that_break_anywhere_lose_nothing(seed: int) -> None:
    choice = random.Random(seed)
    size_bytes = 24_000_000
    control = Control(seed, delay_s=0.002, loss=0.05)
    with chain(1 + seed % 3, control=control) as net:
        sent = net.send(size_bytes=size_bytes)
        breaks = sorted(choice.randrange(size_bytes) for _ in range(5))
        for offset in breaks:
            wait_for(lambda offset=offset: sent.record.payload_bytes >= offset)
            net.break_connection(choice.choice(net.names), choice)
        check(net, sent.wait(), size_bytes)


@pytest.mark.parametrize("seed", range(4))
def test_relays_that_die_with_bytes_in_custody_lose_nothing_of_a_replayable_flow(
    seed: int,
) -> None:
    choice = random.Random(seed)
    size_bytes = 16_000_000
    with chain(2, control=Control(seed, delay_s=0.001)) as net:
        sent = net.send(size_bytes=size_bytes)
        for part in (1, 2, 3):
            wait_for(lambda part=part: sent.record.payload_bytes >= part * size_bytes // 4)
            net.restart(choice.choice(net.names[1:-1]))
        check(net, sent.wait(), size_bytes)
        assert sent.record.custody is not None
        assert sent.record.custody.attempts <= 20
