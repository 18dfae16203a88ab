"""Start-ups as ns-3.37 computed them (benchmarks/ns3, 2026-11-23): 100 Mbit/s, RTT 100 ms."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.engine.nets import MS, both_ways, bulk, connection, run_for, start

from sentinel_sim.engine.simulation import DELIVERED

BDP_BYTES = 1_250_000


@pytest.mark.parametrize(
    ("control", "hystart", "queue_bdp", "ns3_s"),
    [
        ("reno", True, 1, 1.6918),
        ("cubic", True, 1, 1.5397),
        ("cubic", False, 1, 1.6918),
        ("bbr", True, 3, 1.581),
    ],
)
def test_eight_bdp_are_delivered_when_ns_3_has_delivered_them(
    control: str, hystart: bool, queue_bdp: int, ns3_s: float
) -> None:
    queue = queue_bdp * BDP_BYTES
    links = tuple(
        link
        for name in "ab"
        for link in both_ways(name, rate_bps=10**8, delay_ns=25 * MS, queue_bytes=queue)
    )
    way = connection(
        "a",
        "b",
        control=control,
        hystart=hystart,
        segmentation_offload=False,
        fixed_window=64 << 20,
    )
    samples = run_for(start(links, bulk(1, way)), 2.5)
    ticks = np.searchsorted(samples.flows[:, 0, DELIVERED], 8 * BDP_BYTES)
    assert samples.times_ns[ticks] / 1e9 == pytest.approx(ns3_s, rel=0.03)
