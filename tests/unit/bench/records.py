"""A benchmark result made by hand, with figures that a test chooses."""

from __future__ import annotations

from typing import Any

from sentinel_sim.bench.lanes import LANES_OF, Mode, variants_of
from sentinel_sim.bench.result import Records, Result, build
from sentinel_sim.bench.schedule import full_settings

DELAYS_NS = {"forward": 5_000, "xdp-native": 6_000, "af-packet": 30_000, "asyncio": 60_000}
RATES = {"xdp-native": 700_000.0, "af-packet": 60_000.0, "asyncio": 30_000.0}
ENVIRONMENT = {"kernel": "6.1-fake", "machine": "x86_64", "cpu": "fake", "commit": "abc"}


def trial(variant: str, place: tuple[int, int], **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    delay_ns = DELAYS_NS.get(variant, 8_000) + 10 * place[0] + place[1]
    base = {
        "variant": variant, "flows": 1, "block": place[0], "half": place[1], "placement": "thread",
        "rate_pps": 10_000, "sent": 100, "received": 100, "observed": 100, "sound": True,
        "generator_kept_up": True, "delay_p50_ns": delay_ns, "delay_p99_ns": 2 * delay_ns,
        "cpu_share": delay_ns / 1e5, "cpu_by_task": {}, "cpu_ns_per_packet": delay_ns / 2,
        "voluntary_per_s": 9_000.0 + place[1], "involuntary_per_s": 3.0,
        "host_switches_per_s": 250.0 + place[0],
    }  # fmt: skip
    return {**base, **changes}


def records(mode: Mode = Mode.ALL, **of_trials: Any) -> Records:  # noqa: ANN401
    found = Records()
    lanes = LANES_OF[mode]
    places = [(block, half) for block in range(3) for half in (0, 1)]
    for variant in variants_of(lanes):
        for place in places:
            found.trials.append(trial(variant.name, place, **of_trials))
            if variant.in_kernel:
                found.trials.append(trial(variant.name, place, placement="softirq"))
    for lane in lanes:
        for number in range(3):
            found.throughput.append(
                {"variant": str(lane), "flows": 1, "pass": number,
                 "pps": RATES.get(str(lane), 5e5) + number, "bound_by": "lane"}
            )  # fmt: skip
        found.costs.append(
            {"lane": str(lane), "flows": 1, "state": "hot", "method": "",
             "full_ns": [100.0, 101.0, 99.0], "empty_ns": [20.0, 20.0, 20.0],
             "net_ns": {"mean": 80.0, "ci95": [78.0, 82.0], "n": 3, "ci98": [77.0, 83.0]}}
        )  # fmt: skip
        found.flow_checks.append(
            {"variant": str(lane), "flows": 1, "packets": 9, "received": 9, "flows_sent": 1,
             "flows_right": 1, "program_ns": None, "attempts": 1, "agrees": True}
        )  # fmt: skip
    if "xdp-native" in lanes:
        found.live.append({"kind": "full", "flows": 1, "packets": 9, "pps": [2e6, 2.1e6]})
    found.generator.append({"packets": 9, "pps": 1e6, "refused": 0})
    return found


def result(mode: Mode = Mode.ALL, given: Records | None = None, **environment: str) -> Result:
    settings = full_settings(mode, None, 1)
    return build(
        settings,
        10_000,
        {**ENVIRONMENT, **environment},
        records(mode) if given is None else given,
        complete=True,
    )
