"""One seed in, one random stream per named use.

A stream depends only on the seed and its name, never on what was drawn before: adding a link
or a run changes no other's losses.
"""

from __future__ import annotations

import hashlib
import random


def derive(seed: int, *name: str | int) -> int:
    """A 62-bit seed that depends only on `seed` and `name`."""
    key = repr((seed, *name)).encode()
    return int.from_bytes(hashlib.sha256(key).digest()[:8], "big") >> 2


def stream(seed: int, *name: str | int) -> random.Random:
    """A generator that depends only on `seed` and `name`."""
    return random.Random(derive(seed, *name))
