"""Custody over real sockets and threads: whatever breaks, every byte arrives once and is right."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.unit.node.custody.net import TIMEOUT_S, Control, Net, Sent

from sentinel_node.core.custody.running_hash import RunningHash
from sentinel_node.core.payload import FILL_SLACK_BYTES, PayloadStream
from sentinel_node.daemon.custody.sender import SenderFlow
from sentinel_node.daemon.custody.sources import PipeSource, SeedSource
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
        threading.Event().wait(0.001)  # of other threads, which tell nobody


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


@pytest.mark.parametrize("forgetful", ["", "r1", "receiver"])
def test_a_sender_started_anew_learns_that_all_is_delivered(tmp_path: Path, forgetful: str) -> None:
    """It checks the receiver's hash against its source; whoever else died meanwhile."""
    size_bytes = 300_001
    with chain(1, folder=tmp_path) as net:
        net.send(size_bytes=size_bytes).wait()
        net.restart("sender")
        if forgetful:
            net.restart(forgetful)
        again = net.send(size_bytes=size_bytes, resume=True)
        record = again.wait()
        assert (record.error, record.complete) == ("", True)
        assert record.sha256 == payload_hash(size_bytes)
        assert again.confirmed[-1] == size_bytes


def test_a_claim_of_an_attempt_that_is_over_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection breaks just after the receiver's word, before the flow's thread read it."""
    size_bytes = 300_001
    look_into_claim = SenderFlow._look_into_claim
    first_epoch: list[int] = []

    def look_late(flow: SenderFlow) -> None:
        if flow._claim and not first_epoch:
            first_epoch.append(flow._downlink.epoch)
            flow._downlink.lose("broken by the test")
        if flow._downlink.epoch not in first_epoch:
            look_into_claim(flow)

    monkeypatch.setattr(SenderFlow, "_look_into_claim", look_late)
    with chain(1, folder=tmp_path) as net:
        net.send(size_bytes=size_bytes).wait()
        net.restart("sender")
        net.restart("r1")
        record = net.send(size_bytes=size_bytes, resume=True).wait()
        assert (record.error, record.complete) == ("", True)
        assert first_epoch


def test_a_sender_started_anew_does_not_believe_a_wrong_hash() -> None:
    size_bytes = 200_000
    with chain(1) as net:
        net.send(size_bytes=size_bytes).wait()
        net.restart("sender")
        other = SeedSource(8, 1, size_bytes)
        again = net.send(other, size_bytes=size_bytes, resume=True, stall_s=1.5)
        record = again.wait()
        assert not record.complete
        assert "gave up" in record.error


def delivered(sent: Sent) -> int:
    """What the sender knows to be delivered."""
    assert sent.record.custody is not None
    _, (_, values) = sent.record.custody.series()
    return values[-1] if values else 0


@contextmanager
def pipe_of(data: bytes, *, pause_at: int | None = None) -> Iterator[tuple[int, threading.Event]]:
    """A pipe that `data` is written to; waits before byte `pause_at` until the event is set."""
    reader, writer = os.pipe()
    go_on = threading.Event()

    def write() -> None:
        with os.fdopen(writer, "wb", buffering=0) as out:
            try:
                out.write(data[:pause_at])
                if pause_at is not None:
                    go_on.wait(TIMEOUT_S)
                    out.write(data[pause_at:])
            except BrokenPipeError:
                return

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield reader, go_on
    finally:
        go_on.set()
        thread.join(TIMEOUT_S)


def running_hash(data: bytes) -> bytes:
    running = RunningHash()
    running.update(data)
    return running.finish().digest


@pytest.mark.parametrize("seed", range(4))
def test_a_pipe_survives_broken_connections_and_dead_relays(seed: int) -> None:
    """Nothing of it can be read again; and what was confirmed is never more than delivered."""
    choice = random.Random(seed)
    data = choice.randbytes(6_000_000)
    with (
        chain(2, control=Control(seed, delay_s=0.001)) as net,
        pipe_of(data, pause_at=3_000_000) as (pipe, go_on),
    ):
        sent = net.send(PipeSource(pipe, 8 << 20))
        wait_for(lambda: sent.record.payload_bytes >= 1_000_000)
        net.restart(choice.choice(net.names[1:-1]))
        go_on.set()
        wait_for(lambda: sent.record.payload_bytes >= 4_000_000)
        net.break_connection(choice.choice(net.names), choice)
        net.restart(choice.choice(net.names[1:-1]))
        record = sent.wait()
        assert (record.error, record.complete) == ("", True)
        got = net.received()
        wait_for(lambda: got.ended)
        assert got.sha256 == record.sha256 == running_hash(data)
        assert got.payload_bytes == len(data)
        assert record.custody is not None
        assert record.custody.exposure_bytes_max == 0


def test_a_slow_receiver_fills_the_memory_and_no_more_and_the_pipe_waits() -> None:
    data = random.Random(1).randbytes(12_000_000)
    capacity = 2 << 20
    with (
        chain(2, capacity_bytes=capacity, read_rate_limit_bps=160_000_000) as net,
        pipe_of(data) as (pipe, _),
    ):
        source = PipeSource(pipe, capacity)
        record = net.send(source).wait()
        assert record.error == ""
        for name in ("r1", "r2"):
            assert 0 < net.nodes[name].run.gauge.max_bytes <= capacity
        assert record.custody is not None
        assert record.custody.retained_bytes_max <= capacity
        assert net.received().sha256 == running_hash(data)


def test_a_receiver_that_dies_has_its_file_and_the_flow_goes_on_from_there(tmp_path: Path) -> None:
    data = random.Random(2).randbytes(8_000_000)
    with (
        chain(1, folder=tmp_path) as net,
        pipe_of(data, pause_at=4_000_000) as (pipe, go_on),
    ):
        sent = net.send(PipeSource(pipe))
        wait_for(lambda: sent.record.payload_bytes >= 3_000_000)
        net.restart("receiver")
        go_on.set()
        record = sent.wait()
        assert record.error == ""
        (path,) = tmp_path.glob("*.payload")
        assert path.read_bytes() == data
        assert sent.confirmed[-1] == len(data)


def test_a_receiver_that_dies_without_a_file_is_sent_a_replayable_flow_again() -> None:
    size_bytes = 12_000_000
    with chain(2, read_rate_limit_bps=400_000_000) as net:
        sent = net.send(size_bytes=size_bytes)
        wait_for(lambda: delivered(sent) >= 2_000_000)
        net.restart("receiver")
        check(net, sent.wait(), size_bytes)
        assert sent.record.custody is not None
        assert sent.record.custody.replayed_bytes > 0


def test_a_pipe_whose_bytes_the_receiver_lost_says_which_are_gone() -> None:
    data = random.Random(3).randbytes(2_000_000)
    with chain(1) as net, pipe_of(data, pause_at=1_000_000) as (pipe, go_on):
        sent = net.send(PipeSource(pipe))
        wait_for(lambda: sent.confirmed and sent.confirmed[-1] >= 500_000)
        net.restart("receiver")
        go_on.set()
        record = sent.wait()
        assert not record.complete
        assert "bytes [0, " in record.error
        assert "were delivered once, and the receiver lost them" in record.error


def test_a_sender_that_is_started_anew_resumes_where_the_relay_stands() -> None:
    size_bytes = 20_000_000
    with chain(1, read_rate_limit_bps=400_000_000) as net:
        first = net.send(size_bytes=size_bytes)
        wait_for(lambda: first.record.payload_bytes >= size_bytes // 3)
        net.restart("sender")
        assert first.wait().error
        sent = net.send(size_bytes=size_bytes, resume=True)
        record = sent.wait()
        assert (record.error, record.complete) == ("", True)
        got = net.received()
        assert got.sha256 == record.sha256 == payload_hash(size_bytes)
        (resumed,) = net.nodes["sender"].run.resumptions
        assert 0 < resumed.offset < size_bytes, "what the relay has is not sent again"


def test_without_the_next_node_the_sender_gives_up_and_says_how_far_it_came() -> None:
    with chain(1) as net:
        sent = net.send(size_bytes=400_000_000, stall_s=0.5)
        wait_for(lambda: sent.record.payload_bytes >= 1_000_000)
        net.kill("r1")
        error = sent.wait().error
        assert "gave up after 0.5 s without progress" in error
        assert "delivered" in error
        assert "ECONNREFUSED" in error or "refused" in error or "r1" in error


def test_a_broken_control_session_delays_and_loses_nothing() -> None:
    size_bytes = 30_000_000
    with chain(2) as net:
        sent = net.send(size_bytes=size_bytes)
        wait_for(lambda: sent.record.payload_bytes >= size_bytes // 3)
        net.control.cut("r1", "r2")
        net.control.cut("sender", "r1")
        net.control.mend("r1", "r2")
        net.control.mend("sender", "r1")
        check(net, sent.wait(), size_bytes)


def test_many_flows_share_a_relay_and_leave_nothing_behind() -> None:
    size_bytes, flows = 400_000, 12
    with chain(1, flows_max=flows, capacity_bytes=8 << 20) as net:
        sent = [net.send(size_bytes=size_bytes, flow_id=number + 1) for number in range(flows)]
        for number, one in enumerate(sent):
            check(net, one.wait(), size_bytes, number + 1)
        wait_for(lambda: net.nodes["r1"].run.active == 0)
        assert net.nodes["r1"].run.gauge.now_bytes == 0
        assert not any(c.is_open for c in net.nodes["r1"].run.connections)


def test_one_flow_too_many_is_refused_and_goes_when_there_is_room() -> None:
    data = bytes(100_000)
    with chain(1, flows_max=1) as net, pipe_of(data, pause_at=70_000) as (pipe, go_on):
        first = net.send(PipeSource(pipe), flow_id=1)
        wait_for(lambda: first.record.payload_bytes >= 1)
        second = net.send(size_bytes=5000, flow_id=2)
        wait_for(lambda: any("too many flows" in e for e in net.nodes["sender"].run.events))
        go_on.set()
        assert first.wait().error == ""
        check(net, second.wait(), 5000, 2)


@pytest.mark.parametrize("seed", range(4))
def test_what_is_delivered_while_a_relay_takes_it_up_again_leaves_no_gap(seed: int) -> None:
    """The relay behind delivers what it has, while the one before it is still being given it."""
    choice = random.Random(seed)
    data = choice.randbytes(6_000_000)
    with (
        chain(3, read_rate_limit_bps=200_000_000) as net,
        pipe_of(data) as (pipe, _),
    ):
        sent = net.send(PipeSource(pipe))
        for _ in range(3):
            before = delivered(sent)
            wait_for(lambda before=before: delivered(sent) > before + 500_000)
            net.restart(choice.choice(("r1", "r2")))
        record = sent.wait()
        assert (record.error, record.complete) == ("", True)
        got = net.received()
        wait_for(lambda: got.ended)
        assert got.error == ""
        assert got.sha256 == record.sha256 == running_hash(data)
