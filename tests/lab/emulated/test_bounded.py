"""Ten seconds of benchmarks/bounded.py: a relay before a slow receiver neither grows nor leaks."""

from __future__ import annotations

import argparse
import asyncio

from benchmarks.bounded import judge, measure


def test_a_relay_before_a_slow_receiver_neither_grows_nor_leaks() -> None:
    options = argparse.Namespace(flows=60, minutes=0.15, flow_kbit=64, custody="none")
    record = asyncio.run(measure(options))
    assert len(record.probes) >= 6
    broken = {rule: why for rule, why in judge(record).items() if why}
    broken.pop("latency", None)  # time is measured by the benchmark
    assert not broken
