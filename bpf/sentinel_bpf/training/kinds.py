"""All generated kinds, by name: what the network is trained on."""

from __future__ import annotations

from sentinel_bpf.training.bursty import BURSTY, Kind
from sentinel_bpf.training.traffic import STEADY, Packets, stream

KINDS: dict[str, Kind] = STEADY | BURSTY
"""Name of the kind -> how a flow of it is made."""


def generate(kind: str, seed: int, part: str, number: int) -> Packets:
    """Flow `number` of a kind; `part` ("train", "validate", "test") names disjoint streams."""
    times_ns, sizes = KINDS[kind](stream(seed, part, kind, number))
    return Packets(f"{kind}/{part}/{number}", times_ns, sizes)
