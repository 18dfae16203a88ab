"""The rate stage of a real wire: how fast it drains, what its queue drops, who may overtake."""

from __future__ import annotations

import asyncio
import socket
import statistics

import pytest
from tests.lab.wire.bench import HEADERS_BYTES, IN_GUEST, Bench
from tests.lab.wire.plans import MBIT, MS, SECOND, chain

from sentinel_sim.backends.emulated.prober import Prober
from sentinel_sim.plan.model import RunSpec
from sentinel_sim.wire.rate import CONTROL_TOS, burst_bytes, queue_limit_bytes

PAYLOAD_BYTES = 1400
WIRE_PACKET_BYTES = PAYLOAD_BYTES + HEADERS_BYTES
RATE_BPS = (20 if IN_GUEST else 100) * MBIT
ATTEMPTS = 6
"""Of the measurement of a rate: a timer that other programs hold up loses tokens."""


def packets_for(seconds: float, rate_bps: int) -> int:
    """How many full packets this rate sends in that time."""
    return int(rate_bps * seconds / 8 / WIRE_PACKET_BYTES)


async def drain(bench: Bench, spec: RunSpec, count: int, gso: bool) -> float:
    """Send `count` packets at once, check that each is counted; the rate at which they left."""
    bench.configure(spec)
    before = bench.unplanned()
    with bench.queue_trace() as trace, bench.receiver(1 << 16), bench.sender() as sender:
        await bench.send(sender, count, PAYLOAD_BYTES, gso=gso)
        probes = await bench.drained(count)
    assert trace.last is not None
    assert trace.last.packets_sent == count
    assert trace.last.bytes_sent == count * WIRE_PACKET_BYTES
    assert (trace.last.dropped, trace.last.control_bytes) == (0, 0)
    assert probes.packets_in == probes.packets_out == count
    assert bench.unplanned() == before
    drained_bps = trace.backlogged_bps(spec.links[0].rate_bps)
    assert drained_bps is not None
    return drained_bps


@pytest.mark.parametrize("control_band", [True, False], ids=["htb", "tbf"])
@pytest.mark.parametrize("gso", [True, False], ids=["gso", "single"])
async def test_a_full_queue_drains_at_the_requested_rate_and_every_packet_is_counted(
    bench: Bench, control_band: bool, gso: bool
) -> None:
    rate_bps = RATE_BPS if gso else RATE_BPS // 4  # well below what Python can send one by one
    spec = chain(rate_bps=rate_bps, queue_bytes=50_000_000, control_band=control_band)
    errors = []
    for _ in range(ATTEMPTS):
        drained_bps = await drain(bench, spec, packets_for(1.5, rate_bps), gso)
        errors.append(drained_bps / rate_bps - 1)
        if abs(errors[-1]) <= 0.01:
            return
    pytest.fail(f"off by {[f'{error:+.2%}' for error in errors]}")


async def test_a_queue_of_one_bdp_drops_what_does_not_fit_and_nothing_else_does(
    bench: Bench,
) -> None:
    spec = chain(rate_bps=RATE_BPS, delay_ns=10 * MS, control_band=False)
    bdp_bytes = spec.paths[0].bdp_bytes
    assert spec.links[0].queue_bytes == bdp_bytes
    bench.configure(spec)
    before = bench.unplanned()
    count = 8 * bdp_bytes // WIRE_PACKET_BYTES
    with bench.queue_trace() as trace, bench.receiver(1 << 16), bench.sender() as sender:
        for _ in range(count):
            sender.send(bytes(PAYLOAD_BYTES))
        probes = await bench.drained_but_overflow(count, trace)
    assert trace.last is not None
    assert trace.last.dropped > 0
    assert trace.last.packets_sent + trace.last.dropped == count
    assert probes.packets_in == probes.packets_out == trace.last.packets_sent
    assert bench.unplanned() == before
    at_once = queue_limit_bytes(bdp_bytes) + burst_bytes(RATE_BPS) - 2 * WIRE_PACKET_BYTES
    assert trace.last.bytes_sent >= at_once


class MarkedProber(Prober):
    """Probes of the control band."""

    def _open(self) -> socket.socket:
        raw = super()._open()
        raw.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, CONTROL_TOS)
        return raw


@pytest.mark.parametrize("control_band", [True, False], ids=["htb", "tbf"])
async def test_only_marked_probes_overtake_a_full_queue_and_only_in_the_control_band(
    bench: Bench, control_band: bool
) -> None:
    spec = chain(rate_bps=RATE_BPS, queue_bytes=50_000_000, control_band=control_band)
    bench.configure(spec)
    count = packets_for(0.6, RATE_BPS)
    marked, plain = bench.prober(MarkedProber), bench.prober()
    try:
        with bench.receiver(1 << 16), bench.sender() as sender:
            await bench.send(sender, count, PAYLOAD_BYTES, gso=True)
            both = await asyncio.gather(marked.probe(5, 0.005, 5.0), plain.probe(5, 0.005, 5.0))
            marked_ns, plain_ns = (statistics.median(rtt_ns) for rtt_ns in both)
            await bench.drained(count + 10)
    finally:
        marked.close()
        plain.close()
    base_ns = spec.paths[0].rtt_base_ns
    packet_ns = WIRE_PACKET_BYTES * 8 * SECOND // RATE_BPS
    assert plain_ns > base_ns + 1000 * packet_ns
    if control_band:
        # Behind at most the super-packet that is being sent, and a burst.
        assert marked_ns < base_ns + 100 * packet_ns
    else:
        assert marked_ns > base_ns + 1000 * packet_ns
