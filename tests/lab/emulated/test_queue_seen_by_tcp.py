"""The bottleneck's queue belongs to the path, not to the sender."""

from __future__ import annotations

import statistics

from tests.lab.emulated.runs import bulk, measure

from sentinel_sim.plan.model import Arm


def test_tcp_has_its_whole_window_in_flight() -> None:
    """TCP small queues would otherwise hold back what exceeds a millisecond of the wire's queue."""
    spec = bulk(Arm.TUNED, delay_ms=5, hops=2, seconds=4.0)
    (measured,) = measure(spec)
    flow = measured.flows[0]
    busy = [
        sample
        for sample in flow.tcp_info
        if sample["notsent_bytes"] > 0 and sample["t_ns"] > flow.first_write_ns + 500_000_000
    ]
    assert len(busy) > 20
    share = statistics.median(sample["unacked"] / sample["snd_cwnd"] for sample in busy)
    assert share > 0.9
