"""What is in custody on disk comes back whole, wherever writing it was cut."""

from __future__ import annotations

import random
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.node.custody.net import RUN, Control, Net
from tests.unit.node.custody.test_data_plane import chain, pipe_of, running_hash, wait_for

from sentinel_node.core.custody.effects import Release
from sentinel_node.core.custody.journal import Extent, Kind, read_journal, record
from sentinel_node.core.custody.running_hash import BLOCK_BYTES
from sentinel_node.core.framing import FlowHeader, FlowTrailer, flow_token
from sentinel_node.daemon.control.interface import control_flow_id
from sentinel_node.daemon.custody.flow_file import FlowFile
from sentinel_node.daemon.custody.journal import Batch, Journal, recover
from sentinel_node.daemon.custody.sources import PipeSource
from sentinel_node.daemon.custody.wake import Wake

TOKEN = flow_token("run", 1)
HEADER = FlowHeader(1, TOKEN, None, custody=True)


def journal_of(pieces: list[bytes]) -> bytes:
    body = HEADER.encode()
    out = record(Kind.HEADER, 0, (body,)) + body
    offset = 0
    for piece in pieces:
        out += record(Kind.DATA, offset, (piece[:3], piece[3:])) + piece
        offset += len(piece)
    trailer = FlowTrailer(TOKEN, offset, bytes(32)).encode()
    return out + record(Kind.TRAILER, offset, (trailer,)) + trailer


def image_of(data: bytes):  # type: ignore[no-untyped-def]  # noqa: ANN201
    return read_journal(lambda place, count: data[place : place + count], len(data))


@settings(max_examples=60)
@given(st.lists(st.binary(min_size=1, max_size=40), max_size=5), st.data())
def test_a_journal_cut_or_damaged_anywhere_gives_a_whole_prefix_and_nothing_else(
    pieces: list[bytes], data: st.DataObject
) -> None:
    whole = journal_of(pieces)
    image = image_of(whole)
    assert image.header == HEADER
    assert image.trailer is not None
    assert not image.torn
    cut = data.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:cut]
    if data.draw(st.booleans()):
        damaged = whole[:cut] + bytes([whole[cut] ^ data.draw(st.integers(1, 255))])
        damaged += whole[cut + 1 :]
    part = image_of(damaged)
    assert part.extents == image.extents[: len(part.extents)]
    for extent in part.extents:
        assert isinstance(extent, Extent)
        end = extent.place + extent.length
        assert damaged[extent.place : end] == whole[extent.place : end]
    assert part.torn or len(damaged) < len(whole)


def durable_net(folder: Path) -> Net:
    return Net(1, journals=folder, read_rate_limit_bps=200_000_000)


def test_a_durable_relay_confirms_a_pipe_and_keeps_the_promise_when_it_dies(
    tmp_path: Path,
) -> None:
    """The sender lets go of what is on the relay's disk; the relay dies; nothing is lost."""
    data = random.Random(5).randbytes(6_000_000)
    with (
        chain(1, journals=tmp_path, read_rate_limit_bps=100_000_000) as net,
        pipe_of(data) as (pipe, _),
    ):
        sent = net.send(PipeSource(pipe), release=Release.DURABLE_CUSTODY)
        wait_for(lambda: sent.confirmed and sent.confirmed[-1] >= 3_000_000)
        net.restart("r1")
        record = sent.wait()
        assert (record.error, record.complete) == ("", True)
        got = net.received()
        wait_for(lambda: got.ended)
        assert got.sha256 == record.sha256 == running_hash(data)
        assert record.custody is not None
        assert record.custody.exposure_bytes_max > 0
        assert any("found on disk" in event for event in net.nodes["r1"].run.events)
        wait_for(lambda: net.nodes["r1"].run.active == 0)
        assert list((tmp_path / "r1").iterdir()) == []


def test_a_durable_relay_ends_a_flow_whose_sender_is_gone(tmp_path: Path) -> None:
    """All of a pipe is confirmed and on disk: relay and receiver end it without the sender."""
    data = random.Random(6).randbytes(3_000_000)
    with (
        chain(1, journals=tmp_path, read_rate_limit_bps=50_000_000) as net,
        pipe_of(data) as (pipe, _),
    ):
        sent = net.send(PipeSource(pipe), release=Release.DURABLE_CUSTODY)
        wait_for(lambda: sent.confirmed and sent.confirmed[-1] == len(data))
        wait_for(lambda: [f.trailer for f in recover(tmp_path / "r1")] != [None])
        net.kill("sender")
        net.restart("r1")
        wait_for(lambda: net.received().ended)
        assert net.received().error == ""
        assert net.received().sha256 == running_hash(data)


def test_a_receiver_that_said_complete_still_knows_it_when_it_and_the_custodian_died(
    tmp_path: Path,
) -> None:
    """Custodian and sender let go of everything, and the word of it never reached the sender."""
    data = random.Random(8).randbytes(9 * BLOCK_BYTES + 31_064)
    received, journals = tmp_path / "received", tmp_path / "journals"
    received.mkdir()
    journals.mkdir()
    with (
        chain(1, journals=journals, folder=received) as net,
        pipe_of(data, pause_at=len(data)) as (pipe, end),
    ):
        sent = net.send(PipeSource(pipe), release=Release.DURABLE_CUSTODY)
        wait_for(lambda: sent.confirmed and sent.confirmed[-1] == len(data))
        net.control.cut("sender", "r1")
        end.set()
        wait_for(lambda: any(flow.ended for flow in net.nodes["receiver"].run.flows))
        wait_for(lambda: net.nodes["r1"].run.active == 0)
        assert list((journals / "r1").iterdir()) == []
        net.restart("receiver")
        net.restart("r1")
        net.control.mend("sender", "r1")
        record = sent.wait()
        assert (record.error, record.complete) == ("", True)
        assert record.sha256 == running_hash(data)
        again = net.received()
        assert (again.ended, again.complete, again.sha256) == (True, True, record.sha256)
        assert again.payload_bytes == len(data)


def test_a_receiver_takes_a_torn_end_for_none(tmp_path: Path) -> None:
    """It was being written when the node died: nobody was told of it, and it comes again."""
    name, token = control_flow_id(RUN, 1), flow_token(RUN, 1)
    file = FlowFile(tmp_path, name)
    file.write(memoryview(b"abc"))
    header = FlowHeader(1, token, 3, custody=True)
    trailer = FlowTrailer(token, 3, running_hash(b"abc"))
    file.finish(header, trailer)
    file.close()
    (path,) = tmp_path.glob("*.end")
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        again = FlowFile(tmp_path, name)
        assert again.read_end().trailer is None
        again.close()
    path.write_bytes(whole)
    again = FlowFile(tmp_path, name)
    image = again.read_end()
    again.close()
    assert (image.header, image.trailer) == (header, trailer)


def test_what_was_delivered_before_it_was_written_down_is_not_looked_for(tmp_path: Path) -> None:
    """The disk lacks bytes that the receiver had before their turn came; it says so late."""
    data = random.Random(7).randbytes(500_000)
    name, token = control_flow_id(RUN, 1), flow_token(RUN, 1)
    received, kept = tmp_path / "received", tmp_path / "journals" / "r1"
    received.mkdir()
    kept.mkdir(parents=True)
    (received / f"{name:016x}.payload").write_bytes(data[:200_000])
    header = FlowHeader(1, token, len(data), True, True, 1, 0, True)
    journal = Journal(kept, name, Wake())
    for start, end in ((0, 100_000), (2 * BLOCK_BYTES, len(data))):
        trailer = FlowTrailer(token, len(data), running_hash(data)) if end == len(data) else None
        view = memoryview(data)[start:end]
        journal.begin(header, Batch(start, end, (view,), trailer))
        journal.wait_idle()
        assert journal.take_done() is not None
    journal.close(remove=False)
    with chain(1, control=Control(delay_s=0.05), journals=kept.parent, folder=received) as net:
        wait_for(lambda: any(flow.ended for flow in net.nodes["receiver"].run.flows))
        assert (received / f"{name:016x}.payload").read_bytes() == data
        assert net.received().sha256 == running_hash(data)
        assert not any("gone from the disk" in event for event in net.nodes["r1"].run.events)
