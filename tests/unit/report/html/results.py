"""Result directories for the tests of the page: written as a run writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.unit.experiment.support import measurement, spec

from sentinel_sim.experiment import rawlog, results
from sentinel_sim.experiment.rawlog import raw_run
from sentinel_sim.experiment.records import record_of
from sentinel_sim.plan.model import Arm

ENVIRONMENT = {
    "kernel": "6.1-test",
    "wire_backend": "netem",
    "commit": "0123456789abcdef0123456789abcdef01234567+dirty.9",
    "topology_sha256": "f0" * 32,
    "versions": {},
    "command": "sentinel-sim run topologies/chile-usa.yaml --resume results/x",
}
TOPOLOGY = {
    "name": "chile-usa",
    "nodes": {
        "valparaiso": {"role": "sender", "location": [-33.05, -71.61]},
        "panama": {"role": "intermediate", "location": [8.98, -79.52]},
        "boston": {"role": "receiver", "location": [42.36, -71.06]},
    },
    "links": [
        {"endpoints": ["valparaiso", "panama"]},
        {"endpoints": ["panama", "boston"]},
    ],
}
CONTROL = {
    node: {
        "adjustments": [
            {
                "what": what,
                "ready_ns": 1_000_000,
                "first_byte_ns": first_ns,
                "basis": "no earlier flow is remembered: slow start from 10 packets",
            }
        ]
    }
    for node, what, first_ns in (
        ("m", "receive buffer", 3_000_000),
        ("b", "onward connection", 500_000),
    )
}
FSU = {
    "error_share": 0.2,
    "predictions": 300,
    "halves": 4,
    "interval_s": 0.033554432,
    "rtt_error_share": 0.004,
    "rtt_connections": 2,
}
SYNC = {
    "error_bytes": {"p50": 1.0, "p99": 2.0},
    "samples": 9,
    "checks": 1,
    "checks_ok": 1,
    "final_ok": True,
}
FAULTS = [
    {
        "number": number,
        "index": number - 1,
        "kind": kind,
        "target": "a--m",
        "direction": None,
        "planned_ns": number * 500_000_000,
        "planned_bytes": None,
        "actual_ns": number * 500_000_000 + 1_000_000,
        "actual_bytes": 1,
        "planned_end_ns": None,
        "ended_ns": end_ns,
        "detail": "",
        "failed": False,
    }
    for number, kind, end_ns in ((1, "partition", 800_000_000), (2, "kill-daemon", None))
]
REPAIRS = [
    {
        "fault": "daemon-dead",
        "target": "m",
        "failed_ns": 1_010_000_000,
        "time_to_detect_ns": 5_000_000,
        "time_to_repair_ns": 200_000_000,
        "repaired": True,
        "steps": [["restart-daemon", True]],
        "bytes_replayed": None,
        "path": [],
        "detail": "",
    }
]
BURSTINESS = {
    "bin_s": 0.001,
    "window_s": 8.0,
    "points": [
        {
            "queues": queues,
            "place": place,
            "mean_bps": 6e7,
            "burst_bytes": 5e6,
            "scales": [
                {
                    "time_s": time_s,
                    "dispersion_packets": 3.0 + time_s * 1e3 / (queues + 1),
                    "variation": 0.8 / (queues + 1) ** 0.1,
                    "peak_to_mean": 1.7,
                    "blocks": 80,
                }
                for time_s in (0.001, 0.01, 0.1)
            ],
            "queue_delay_s": {"p50": 0.001, "p99": 0.004} if queues else None,
            "queue_delay_mean_s": 0.002 if queues else None,
            "queue_dropped": queues,
            "loss_dropped": 0,
        }
        for queues, place in enumerate(
            ("offered by a", "behind a->m", "behind m->n", "behind n->b")
        )
    ],
}
KM = (100.0, 1000.0, 5000.0, 10000.0, 20000.0)


def write(directory: Path, *, repeats: int = 3, invalid: int = 1, **changes: Any) -> Path:  # noqa: ANN401
    """Three arms, five distances: `direct` falls, `tuned` and `split` do not."""
    records = []
    for repeat in range(repeats):
        for arm in (Arm.DIRECT, Arm.TUNED, Arm.SPLIT):
            for km in KM:
                run = spec(arm, distance_km=km, repeat=repeat, key=f"{arm}_{km:g}km_r{repeat}")
                falls = 1 + km / 1000 if arm is Arm.DIRECT else 1
                goodput = (90e6 + 2e5 * repeat) / falls
                more: dict[str, Any] = {}
                if repeat == 0 and arm is Arm.TUNED and km in KM[-invalid:] and invalid:
                    more["rtt_idle_ns"] = ()
                if arm is Arm.SPLIT:
                    more["extra"] = {"control": CONTROL}
                raw = raw_run(run, measurement(run, goodput_bps=goodput, **more))
                rawlog.write_raw(directory, raw)
                records.append(_stretched(record_of(raw), km))
    built = results.build(
        name="chile-usa",
        backend="emulated",
        seed=7,
        environment=ENVIRONMENT,
        plan={"notes": ["a note <script>alert(1)</script>"], "quick": False},
        records=records,
        complete=True,
    )
    results.write_result(directory, {**built, "agreement": agreement(), **changes})
    results.write_processed(directory, TOPOLOGY, {}, [])
    return directory


def _stretched(record: dict[str, Any], km: float) -> dict[str, Any]:
    """With the RTT of its distance: the fake network has one RTT for all."""
    rtt_s = 2 * km * 1.8 / 200_000
    record["requested"]["rtt_s"] = rtt_s
    record["achieved"]["rtt_s"] = {"idle": rtt_s, "loaded_p50": 2 * rtt_s}
    for key, factor in (("delivered_latency_s", 0.6), ("confirm_latency_s", 0.3)):
        if record[key] is not None:
            wobble = 1 + 0.01 * record["repeat"]
            record[key] = {"p50": factor * rtt_s * wobble, "p99": 2 * factor * rtt_s}
    record["fsu"] = {**FSU, "mase": 1.05 + 0.01 * record["repeat"]}
    if record["arm"] == "split":
        record["sync"] = {**SYNC, "phase_error_s": {"p50": rtt_s / 9, "p99": rtt_s / 2}}
        record["faults"], record["repairs"] = FAULTS, REPAIRS
        record["burstiness"] = BURSTINESS
    return record


def agreement() -> dict[str, Any]:
    """Of two groups, one of which disagrees."""
    group = {
        "arm": "tuned",
        "distance_km": 5000.0,
        "params": {},
        "n_emulated": 3,
        "n_simulated": 3,
        "loss": 0.0,
        "goodput_ratio": 1.01,
        "goodput_ratio_ci95": [0.99, 1.03],
        "steady_ratio": 1.0,
        "intervals_overlap": True,
        "limit_share": 0.05,
        "agrees": True,
        "delivered": None,
    }
    far = {**group, "distance_km": 20000.0, "goodput_ratio": 1.2, "agrees": False}
    sides: dict[str, Any] = {"only_emulated": ["split"], "only_simulated": []}
    counts = {"rule": "as tested", "disagreeing": 1, "undecided": 0}
    return {**counts, **sides, "groups": [group, {**far, "goodput_ratio_ci95": None}]}
