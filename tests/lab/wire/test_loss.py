"""Loss on a real wire: the share that was asked for, and a pattern that follows from the seed."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from tests.lab.wire.bench import IN_GUEST, Bench, arrivals
from tests.lab.wire.plans import MBIT, chain

from sentinel_bpf.loss import loss_pattern

PACKETS = 100_000 if IN_GUEST else 1_000_000
TINY_BYTES = 20
FULL_BYTES = 1400
FAST_BPS = 20 * MBIT if IN_GUEST else 150 * MBIT
ROOMY_BYTES = 500_000_000
"""A queue that takes all that a test sends."""


@pytest.mark.parametrize("loss", [0.001, 0.01])
async def test_the_share_of_dropped_packets_is_the_requested_loss(
    bench: Bench, loss: float
) -> None:
    bench.configure(chain(loss=loss, rate_bps=FAST_BPS, queue_bytes=ROOMY_BYTES, seed=2026))
    before = bench.unplanned()
    with bench.receiver(1 << 16), bench.sender() as sender:
        await bench.send(sender, PACKETS, TINY_BYTES, gso=True)
        probes = await bench.drained(PACKETS, limit_s=60.0)
    reading = bench.loss_reading()
    assert reading.seen == PACKETS  # every wire packet on its own, though they left 32 at a time
    assert probes.packets_in == probes.packets_out == PACKETS - reading.dropped
    assert bench.unplanned() == before
    share = reading.dropped / reading.seen
    assert abs(share / loss - 1) <= 3 / math.sqrt(PACKETS * loss)


async def missing(bench: Bench, seed: int, gso: bool, count: int) -> npt.NDArray[np.bool_]:
    """Which of `count` packets the wire dropped when its loss started from `seed`.

    Full packets: of tiny ones the token bucket lets more through at once than a veth's ring
    holds, and the kernel, which then tries again (net/sched/sch_generic.c, dev_requeue_skb),
    puts a segment of a cut packet behind its neighbours.
    """
    bench.configure(chain(loss=0.02, rate_bps=FAST_BPS, queue_bytes=ROOMY_BYTES, seed=seed))
    with bench.receiver(1 << 30) as receiver, bench.sender() as sender:
        await bench.send(sender, count, FULL_BYTES, gso=gso)
        await bench.drained(count)
        numbers = [arrival.number for arrival in arrivals(receiver)]
    assert numbers == sorted(set(numbers))
    gone = np.ones(count, dtype=np.bool_)
    gone[numbers] = False
    return gone


async def test_the_drop_pattern_is_a_function_of_the_seed_alone(bench: Bench) -> None:
    count = 2_000 if IN_GUEST else 6_000
    first = await missing(bench, 7, True, count)
    assert np.array_equal(first, loss_pattern(7, count, 0.02))
    again = await missing(bench, 7, False, count)  # other timing, other merging: same packets
    assert np.array_equal(again, first)
    another = await missing(bench, 8, True, count)
    assert np.array_equal(another, loss_pattern(8, count, 0.02))
    assert not np.array_equal(another, first)
