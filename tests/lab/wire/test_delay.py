"""The delay of a real wire: as long as asked, in order, and never skipped."""

from __future__ import annotations

import asyncio
import os
import signal
import statistics
from dataclasses import replace

import numpy as np
import pytest
from tests.lab.wire.bench import IN_GUEST, Bench, arrivals
from tests.lab.wire.conftest import DELAYLINE
from tests.lab.wire.plans import MBIT, MS, chain

from sentinel_sim.backends.emulated.backend import EmulatedBackend
from sentinel_sim.backends.emulated.options import EmulationOptions
from sentinel_sim.errors import EmulationError
from sentinel_sim.wire.delayline_stage import DelayLineStage

RATE_BPS = (5 if IN_GUEST else 50) * MBIT
ATTEMPTS = 3
"""Of the whole measurement: what another program does to one of them says nothing of the wire."""

# 5 us per km: 100, 1000, 5000 and 20,000 km; the slow guest is asked for 50 ms and more.
DELAYS_MS = [25.0, 100.0] if IN_GUEST else [0.5, 5.0, 25.0, 100.0]


def tolerance_ns(rtt_ns: float) -> float:
    """The validity gate's: max(0.2 ms, 1 %)."""
    return max(0.2 * MS, 0.01 * rtt_ns)


@pytest.mark.parametrize("delay_ms", DELAYS_MS)
async def test_idle_round_trips_take_as_long_as_asked(wire_backend: str, delay_ms: float) -> None:
    spec = chain(delay_ns=int(delay_ms * MS), rate_bps=RATE_BPS)
    wanted_ns = spec.paths[0].rtt_base_ns
    errors_ns = []
    async with EmulatedBackend(spec, EmulationOptions(wire_backend)) as backend:
        for _ in range(ATTEMPTS):
            rtt_ns = await backend.idle_rtt_ns(spec)
            errors_ns.append(abs(statistics.median(rtt_ns) - wanted_ns))
            if errors_ns[-1] <= tolerance_ns(wanted_ns):
                return
    pytest.fail(f"off by {[e / MS for e in errors_ns]} ms of {wanted_ns / MS} ms")


async def one_way_ns(bench: Bench, jitter_ns: int, reorder: bool) -> tuple[list[int], list[int]]:
    """Sequence numbers in order of arrival, and the gaps between arrivals."""
    plain = chain(delay_ns=20 * MS, jitter_ns=jitter_ns, rate_bps=RATE_BPS, queue_bytes=10**8)
    bench.configure(replace(plain, links=tuple(replace(x, reorder=reorder) for x in plain.links)))
    count = 300
    with bench.receiver(1 << 24) as receiver, bench.sender() as sender:
        for number in range(count):
            sender.send(number.to_bytes(4, "big") + bytes(60))
            if number % 4 == 3:
                await asyncio.sleep(0.001)
        await bench.drained(count)
        found = arrivals(receiver)
    return [x.number for x in found], [int(g) for g in np.diff([x.at_real_ns for x in found])]


async def test_jitter_varies_the_delay_and_keeps_the_order(bench: Bench) -> None:
    numbers, gaps_ns = await one_way_ns(bench, 5 * MS, reorder=False)
    assert numbers == list(range(300))
    assert max(gaps_ns) > 1 * MS


async def test_jitter_reorders_where_that_is_asked_for(bench: Bench) -> None:
    numbers, _ = await one_way_ns(bench, 5 * MS, reorder=True)
    assert sorted(numbers) == list(range(300))
    assert numbers != list(range(300))


@pytest.mark.parametrize("backend", [] if IN_GUEST else [DELAYLINE])
async def test_a_dead_delay_line_lets_nothing_pass(backend: str) -> None:
    """Rather than letting it pass undelayed: silence is seen, a missing delay would not be."""
    own = Bench(chain(delay_ns=1 * MS), backend)
    try:
        own.configure(chain(delay_ns=1 * MS))
        prober = own.prober()
        try:
            assert len(await prober.probe(3, 0.01, 2.0)) == 3
            stage = own.wire.stage
            assert isinstance(stage, DelayLineStage)
            process = stage.process
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            assert await prober.probe(3, 0.01, 0.5) == []
            with pytest.raises(EmulationError, match="has died"):
                stage.drops()
            with pytest.raises(EmulationError, match=r"has died|does not answer"):
                stage.held_packets()
        finally:
            prober.close()
    finally:
        own.close()
