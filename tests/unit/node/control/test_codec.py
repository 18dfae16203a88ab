"""Every message survives its encoding; what does not parse or is out of range is refused."""

from __future__ import annotations

import typing
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.node.control.strategies import MESSAGES

from sentinel_node.core.control import codec
from sentinel_node.core.control import messages as msg
from sentinel_proto.v1 import control_pb2 as pb

UNPHASED = pb.Forecast(epoch=1, state=pb.FlowState(origin="a", origin_epoch=1))


@given(MESSAGES)
def test_a_message_survives_its_encoding(message: codec.Message) -> None:
    assert codec.decode(codec.encode(message)) == message


def test_every_kind_of_the_protocol_has_a_codec() -> None:
    kinds = {field.name for field in pb.ControlMessage.DESCRIPTOR.oneofs_by_name["kind"].fields}
    assert kinds == set(codec._DECODE)
    assert kinds == {name for name, _ in codec._ENCODE.values()}
    assert set(codec._ENCODE) == set(typing.get_args(codec.Message))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_a_message_or_refused(body: bytes) -> None:
    try:
        message = codec.decode(body)
    except msg.MessageError:
        return
    assert codec.decode(codec.encode(message)) == message


@given(MESSAGES, st.data())
def test_damaged_bytes_are_a_message_or_refused(
    message: codec.Message, data: st.DataObject
) -> None:
    body = bytearray(codec.encode(message))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with suppress(msg.MessageError):
        codec.decode(bytes(body))


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "of a kind"),
        (b"\xff\xff", "not a control message"),
        (bytes(codec.BODY_MAX_BYTES + 1), "at most"),
        (pb.ControlMessage(heartbeat=pb.Heartbeat(epoch=1)).SerializeToString(), "interval_ns"),
        (pb.ControlMessage(hello=pb.Hello(node="a")).SerializeToString(), "peer"),
        (pb.ControlMessage(pull=pb.Pull(epoch=1, buckets=[64])).SerializeToString(), "bucket"),
        (
            pb.ControlMessage(
                custody_refusal=pb.CustodyRefusal(transfer_epoch=1)
            ).SerializeToString(),
            "reason 0 is unknown",
        ),
        (
            pb.ControlMessage(forecast=UNPHASED).SerializeToString(),
            "phase 0 is unknown",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(body: bytes, text: str) -> None:
    with pytest.raises(msg.MessageError, match=text):
        codec.decode(body)
