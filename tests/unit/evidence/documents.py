"""Result documents with known truth, as `result.json` would hold them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

NAMED_KM = (100.0, 1000.0, 5000.0, 10000.0, 20000.0)
Truth = Callable[[float], float]
"""km -> goodput in bit/s."""


def run(
    arm: str = "fsu",
    km: float | None = 1000.0,
    repeat: int = 0,
    *,
    goodput_bps: float | None = 90e6,
    params: Mapping[str, Any] | None = None,
    **changes: Any,  # noqa: ANN401  any key of a run
) -> dict[str, Any]:
    rtt_s = 0.05 if km is None else 2 * km * 1.8 / 200_000
    given = {
        "key": f"{arm}_{km}km_r{repeat}",
        "arm": arm,
        "distance_km": km,
        "params": dict(params or {"congestion_control": "cubic"}),
        "repeat": repeat,
        "seed": 1,
        "spec_sha256": "0" * 64,
        "failed_attempts": [],
        "discarded_attempts": [],
        "valid": True,
        "invalid_reasons": [],
        "goodput_bps": goodput_bps,
        "steady_goodput_bps": None,
        "confirmed_bps": None,
        "confirm_latency_s": None,
        "delivered_latency_s": None,
        "latency_resolution_s": 0.0,
        "time_to_first_byte_s": rtt_s,
        "completion_s": 1.0,
        "flow_completion_s": None,
        "bytes_sent": 1_000_000,
        "bytes_delivered": 1_000_000,
        "sha256_ok": True,
        "retransmitted_bytes": 0,
        "exposure_bytes_max": None,
        "requested": {"rtt_s": rtt_s, "rate_bps": 100_000_000, "loss": 0.0},
        "achieved": {
            "rtt_s": {"idle": rtt_s, "loaded_p50": rtt_s * 1.5},
            "rate_bps": 100e6,
            "loss": 0.0,
            "lateness_s": None,
        },
        "theory": {
            "goodput_bps": 95.6e6,
            "capacity_bps": 100_000_000,
            "mss_bytes": 1448,
            "framing": "as tested",
        },
        "offloads_sha256": "same",
        "cpu": {},
        "notes": [],
        "wires": [],
    }
    return {**given, **changes}


def result(runs: Sequence[Mapping[str, Any]], **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    from sentinel_sim.experiment.records import summarise

    given = {
        "schema": "sentinel-sim/result/1",
        "name": "synthetic",
        "backend": "emulated",
        "valid": all(one["valid"] for one in runs),
        "invalid_reasons": [],
        "complete": True,
        "seed": 1,
        "environment": {
            "kernel": "6.1-test",
            "wire_backend": "delayline",
            "versions": {},
            "commit": None,
            "command": "sentinel-sim run synthetic.yaml",
        },
        "steady_rule": "as tested",
        "limits": {},
        "plan": {"quick": False, "notes": []},
        "runs": list(runs),
        "summary": summarise([dict(one) for one in runs]),
        "verdicts": [],
    }
    return {**given, **changes}


def sweep(
    truth: Truth,
    noise: Callable[[], float] = lambda: 1.0,
    *,
    arm: str = "fsu",
    repeats: int = 3,
    distances: Sequence[float] = NAMED_KM,
    **changes: Any,  # noqa: ANN401
) -> list[dict[str, Any]]:
    """`repeats` runs at each distance; `noise` gives a factor for each run."""
    return [
        run(arm, km, repeat, goodput_bps=truth(km) * noise(), **changes)
        for km in distances
        for repeat in range(repeats)
    ]
