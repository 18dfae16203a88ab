"""Predictor states of C and Python side by side, and strategies for packets and networks."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from sentinel_bpf import predict_abi as abi
from sentinel_bpf.predict_reference import Network, PredictState
from sentinel_bpf.training.traffic import Packets

Packet = tuple[int, int]


def as_dict(state: abi.Predict | PredictState) -> dict[str, int | list[int]]:
    """Every field by name; arrays as lists."""
    found: dict[str, int | list[int]] = {}
    for field in abi.Predict._fields_:
        if field[0] != "pad":
            value = getattr(state, field[0])
            found[field[0]] = int(value) if isinstance(value, int) else list(value)
    return found


def random_network(seed: int, interval_shift: int = abi.SHIFT_DEFAULT) -> Network:
    """Weights over their whole range: nonsense, but the same nonsense everywhere."""
    rng = random.Random(seed)
    return Network(
        hidden=tuple(
            tuple(rng.randint(-128, 127) for _ in range(abi.NETWORK_INPUTS))
            for _ in range(abi.NETWORK_HIDDEN)
        ),
        output=tuple(rng.randint(-32768, 32767) for _ in range(abi.NETWORK_HIDDEN)),
        direct=tuple(rng.randint(-32768, 32767) for _ in range(abi.NETWORK_INPUTS)),
        interval_shift=interval_shift,
    )


def random_packets(seed: int, count: int) -> list[Packet]:
    """Gaps from nanoseconds to hours, any size, and time that goes back now and then."""
    rng = random.Random(seed)
    now, packets = rng.randint(0, 2**40), []
    longest = rng.choice([20, 24, 26, 30, 43])
    sizes = [60, 1514] if seed % 2 else [0, 1, 60, 1514, 65535, 70000, 2**31, 2**32 - 1]
    for _ in range(count):
        now += int(2 ** rng.uniform(0, longest))
        if rng.random() < 0.02:
            now = max(0, now - rng.randint(0, 10**8))
        packets.append((now, rng.choice(sizes)))
    return packets


def as_packets(packets: Sequence[Packet]) -> Packets:
    """For training.library."""
    times, sizes = zip(*packets, strict=True) if packets else ((), ())
    return Packets("test", np.array(times, np.int64), np.array(sizes, np.int64))


def run_reference(packets: Sequence[Packet], network: Network | None) -> PredictState:
    """The reference's state after these packets."""
    state = PredictState()
    for now_ns, size in packets:
        state.packet(network, now_ns, size)
    return state
