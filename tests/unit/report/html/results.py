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
    results.write_result(directory, {**built, **changes})
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
    return record
