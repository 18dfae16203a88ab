"""Carries out runs as rates that flows share. Thin: what happens is decided in `flowlevel`."""

from __future__ import annotations

import asyncio
import hashlib
import resource
import time
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sentinel_sim.backends.base import Engine, ProgressHook, RunMeasurement
from sentinel_sim.backends.simulated import flow_kernel
from sentinel_sim.backends.simulated.backend import PATIENCE_FACTOR, PATIENCE_NS
from sentinel_sim.backends.simulated.flow_translate import FlowNetwork, flow_network, measurements
from sentinel_sim.backends.simulated.translate import TICK_NS
from sentinel_sim.flowlevel.traffic import CHANGES, EVENTS, PEAK, moved_at
from sentinel_sim.plan.model import RunSpec

LOOKS_MOST = 2_000
"""At what all flows have moved, in one run."""
VALUES_MOST = 20_000_000
"""Looks times flows: 160 MB."""


class FlowBackend:
    """Each run is a function of its plan; nothing is drawn, so its seed changes nothing."""

    name = "simulated"

    async def __aenter__(self) -> FlowBackend:
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None

    def environment(self) -> dict[str, Any]:
        """What this backend adds to the result's environment."""
        return {
            "wire_backend": "simulated",
            "wire_order": None,
            "offloads": {},
            "loss_seeded": False,
            "jitter_seeded": False,
            "engine": Engine.FLOW.value,
            "simulator": flow_kernel.versions(),
        }

    async def run(self, spec: RunSpec, progress: ProgressHook) -> RunMeasurement:
        """Compute one run. Raises InfeasibleError."""
        started_utc = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        wall_s, cpu_s = time.monotonic(), time.process_time()
        progress("configuring", 0.0)
        network = flow_network(spec)
        times_ns, moved = await _traffic(spec, network, progress)
        flows = measurements(network, times_ns, moved)
        wall_s, cpu_s = time.monotonic() - wall_s, time.process_time() - cpu_s
        rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        tally = network.traffic.tally
        return RunMeasurement(
            started_utc=started_utc,
            traffic_start_ns=0,
            traffic_end_ns=max((flow.last_byte_ns or 0 for flow in flows), default=0),
            rtt_idle_ns=(),
            rtt_loaded_ns=(),
            flows=flows,
            wires=(),
            fsu={},
            cpu={
                "by_process": {"simulator": round(cpu_s / max(wall_s, 1e-9), 4)},
                "seconds": round(wall_s, 3),
                "events_per_s": round(int(tally[EVENTS]) / max(wall_s, 1e-9)),
            },
            rss_bytes_max={"simulator": rss},
            offloads={},
            notes=(f"flow engine: rates only, no packets; trace {_fingerprint(network)}",),
            extra={
                "events": int(tally[EVENTS]),
                "rate_changes": int(tally[CHANGES]),
                "flows_at_a_time": int(tally[PEAK]),
            },
            engine=Engine.FLOW,
        )


async def _traffic(
    spec: RunSpec, network: FlowNetwork, progress: ProgressHook
) -> tuple[list[int], NDArray[np.float64]]:
    """Advance from look to look, until every flow has ended or time is up."""
    expected_ns = spec.expected_duration_ns
    limit_ns = expected_ns * PATIENCE_FACTOR + PATIENCE_NS
    looks = max(min(LOOKS_MOST, VALUES_MOST // max(len(network.flows), 1)), 1)
    tick_ns = max(-(-expected_ns // looks), TICK_NS)
    advance, traffic = flow_kernel.advance(), network.traffic
    times_ns, moved = [0], [np.zeros(len(network.flows))]
    now_ns = 0
    while (traffic.ended_ns < 0).any() and now_ns < limit_ns:
        now_ns += tick_ns
        # In a thread, so that signals are heard while a first call compiles.
        await asyncio.to_thread(advance, network.shares, traffic, now_ns)
        progress("traffic", now_ns / 1e9)
        times_ns.append(now_ns)
        moved.append(moved_at(network.shares, traffic, now_ns))
    return times_ns, np.array(moved)


def _fingerprint(network: FlowNetwork) -> str:
    """Equal for equal runs."""
    digest = hashlib.sha256()
    for part in (network.traffic.ended_ns, network.traffic.moved_bits, network.traffic.tally):
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()[:32]
