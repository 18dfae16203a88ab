"""Payload bytes from a seed: never stored, the same on every machine, at any offset.

The bytes of a flow are the AES-256-CTR key stream (NIST SP 800-38A, section 6.5) whose key is
SHA-256 over the seed and the flow id. They do not compress and do not repeat, and byte `n` can
be made without the bytes before it, which a sender needs that resumes at an offset.
"""

from __future__ import annotations

import hashlib
import struct
from typing import cast

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

CIPHER_BLOCK_BYTES = 16
FILL_SLACK_BYTES = CIPHER_BLOCK_BYTES - 1
"""`cryptography` wants this much room behind what it writes; the bytes there stay untouched."""

_KEY = struct.Struct(">QQ")
_DOMAIN = b"sentinel-payload-1\0"
_ZEROS = memoryview(bytes(256 * 1024))
_U64_MAX = (1 << 64) - 1


def payload_key(seed: int, flow_id: int) -> bytes:
    """The AES key of a flow. `seed` and `flow_id` are unsigned 64-bit numbers."""
    for name, value in (("seed", seed), ("flow_id", flow_id)):
        if not 0 <= value <= _U64_MAX:
            raise ValueError(f"{name} must be an unsigned 64-bit number, got {value}")
    return hashlib.sha256(_DOMAIN + _KEY.pack(seed, flow_id)).digest()


class PayloadStream:
    """The payload of one flow, written piece by piece into buffers of the caller."""

    def __init__(self, seed: int, flow_id: int, offset_bytes: int = 0) -> None:
        self._key = payload_key(seed, flow_id)
        self._encryptor = self._encryptor_at(offset_bytes)

    @property
    def offset_bytes(self) -> int:
        """Index of the next byte that `fill` writes."""
        return self._offset_bytes

    def seek(self, offset_bytes: int) -> None:
        """Continue at `offset_bytes`, forward or back."""
        self._encryptor = self._encryptor_at(offset_bytes)

    def fill(self, out: memoryview, count_bytes: int) -> None:
        """Write the next `count_bytes` bytes at the start of `out`.

        `out` must be at least FILL_SLACK_BYTES longer than that. Releases the interpreter lock
        while it works. Raises ValueError if `out` is too short.
        """
        if count_bytes < 0 or len(out) < count_bytes + FILL_SLACK_BYTES:
            raise ValueError(
                f"cannot fill {count_bytes} bytes into a buffer of {len(out)}; "
                f"it needs {FILL_SLACK_BYTES} bytes of slack"
            )
        done = 0
        while done < count_bytes:
            step = min(count_bytes - done, len(_ZEROS))
            # Any object with the buffer protocol is taken; the library's hint says bytes.
            self._encryptor.update_into(cast(bytes, _ZEROS[:step]), cast(bytes, out[done:]))
            done += step
        self._offset_bytes += count_bytes

    def _encryptor_at(self, offset_bytes: int) -> CipherContext:
        if offset_bytes < 0:
            raise ValueError(f"offset_bytes must not be negative, got {offset_bytes}")
        block, within = divmod(offset_bytes, CIPHER_BLOCK_BYTES)
        counter = block.to_bytes(CIPHER_BLOCK_BYTES, "big")
        encryptor = Cipher(AES(self._key), CTR(counter)).encryptor()
        encryptor.update(bytes(within))
        self._offset_bytes = offset_bytes
        return encryptor
