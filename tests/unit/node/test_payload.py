"""The payload depends on seed, flow and offset, and on nothing else."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from hypothesis import given
from hypothesis import strategies as st

from sentinel_node.core.payload import FILL_SLACK_BYTES, PayloadStream, payload_key

U64 = st.integers(0, 2**64 - 1)


def take(stream: PayloadStream, count: int) -> bytes:
    out = bytearray(count + FILL_SLACK_BYTES)
    stream.fill(memoryview(out), count)
    return bytes(out[:count])


def test_payload_is_the_aes_256_ctr_key_stream() -> None:
    expected = Cipher(AES(payload_key(7, 1)), CTR(bytes(16))).encryptor().update(bytes(1000))
    assert take(PayloadStream(7, 1), 1000) == expected


def test_payload_never_changes_between_versions() -> None:
    digest = hashlib.sha256(take(PayloadStream(7, 1), 1_000_000)).hexdigest()
    assert digest == "df6ce72dde680b9bbe439b51e4e3f76009ea04ddeed09aecc73667ecc0c78c66"


@given(seed=U64, flow_id=U64, cuts=st.lists(st.integers(0, 5000), max_size=8))
def test_any_cutting_into_pieces_gives_the_same_bytes(
    seed: int, flow_id: int, cuts: list[int]
) -> None:
    stream = PayloadStream(seed, flow_id)
    pieces = b"".join(take(stream, count) for count in cuts)
    assert pieces == take(PayloadStream(seed, flow_id), sum(cuts))
    assert stream.offset_bytes == sum(cuts)


@given(offset=st.integers(0, 400_000), count=st.integers(0, 2000))
def test_seek_goes_to_the_byte(offset: int, count: int) -> None:
    whole = take(PayloadStream(3, 4), offset + count)
    assert take(PayloadStream(3, 4, offset), count) == whole[offset:]
    stream = PayloadStream(3, 4, 999)
    stream.seek(offset)
    assert take(stream, count) == whole[offset:]


def test_offsets_beyond_4_gib_of_cipher_blocks_are_reached_directly() -> None:
    far = 2**36 + 5
    assert take(PayloadStream(1, 1, far), 100)[11:] == take(PayloadStream(1, 1, far + 11), 89)


def test_fill_touches_only_what_it_was_asked_for() -> None:
    out = bytearray(b"\xaa" * (100 + FILL_SLACK_BYTES))
    PayloadStream(1, 1).fill(memoryview(out), 100)
    assert out[100:] == b"\xaa" * FILL_SLACK_BYTES


@given(a=st.tuples(U64, U64), b=st.tuples(U64, U64))
def test_different_flows_have_different_payload(a: tuple[int, int], b: tuple[int, int]) -> None:
    assert (take(PayloadStream(*a), 32) == take(PayloadStream(*b), 32)) == (a == b)


@pytest.mark.parametrize(("seed", "flow_id"), [(-1, 1), (1, -1), (2**64, 1), (1, 2**64)])
def test_numbers_beyond_64_bits_are_refused(seed: int, flow_id: int) -> None:
    with pytest.raises(ValueError, match="unsigned 64-bit"):
        PayloadStream(seed, flow_id)


def test_a_buffer_without_slack_is_refused() -> None:
    with pytest.raises(ValueError, match="slack"):
        PayloadStream(1, 1).fill(memoryview(bytearray(100)), 100)
