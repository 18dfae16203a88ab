"""What the wires did during one run (pure)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sentinel_sim.backends.base import RunMeasurement, WireMeasurement
from sentinel_sim.experiment.figures import Achieved, Lateness, RttAchieved, WireFigures
from sentinel_sim.plan.model import RunSpec

SECOND_NS = 1_000_000_000
LATENESS_SAMPLES_MIN = 500


def achieved(spec: RunSpec, measured: RunMeasurement) -> Achieved:
    """What the wires did, held against the request for path 0."""
    forward = forward_wires(spec, measured.wires)
    rates = {link.name: link.rate_bps for link in spec.links}
    slowest = [
        wire.rate_backlogged_bps
        for wire in forward
        if rates[wire.link] == spec.paths[0].rate_bps and wire.rate_backlogged_bps is not None
    ]
    return Achieved(
        rtt_s=RttAchieved(
            idle=_median_s(measured.rtt_idle_ns), loaded_p50=_median_s(measured.rtt_loaded_ns)
        ),
        rate_bps=min(slowest, default=None),
        loss=_combined_loss(forward),
        lateness_s=worst_lateness(measured.wires),
    )


def lateness_of(wire: WireMeasurement) -> Lateness | None:
    """Percentiles of one direction of one wire; None without samples."""
    if not wire.lateness_ns:
        return None
    p50, p99, p999 = np.quantile(np.asarray(wire.lateness_ns, dtype=np.float64), [0.5, 0.99, 0.999])
    return Lateness(
        p50=float(p50) / SECOND_NS,
        p99=float(p99) / SECOND_NS,
        p999=float(p999) / SECOND_NS,
        wire=wire.link,
        direction=wire.direction,
        samples=len(wire.lateness_ns),
    )


def worst_lateness(wires: Sequence[WireMeasurement]) -> Lateness | None:
    """The direction with the highest p99 among those with enough samples.

    Where none has `LATENESS_SAMPLES_MIN`, the one with most samples stands in; its count says so.
    """
    known = [found for wire in wires if (found := lateness_of(wire)) is not None]
    if not known:
        return None
    enough = [found for found in known if found.samples >= LATENESS_SAMPLES_MIN]
    if enough:
        return max(enough, key=lambda found: found.p99)
    return max(known, key=lambda found: found.samples)


def wire_figures(wire: WireMeasurement) -> WireFigures:
    """The compact form of one wire direction."""
    return WireFigures(
        link=wire.link,
        direction=wire.direction,
        lateness_s=lateness_of(wire),
        base_cost_s=wire.base_cost_ns / SECOND_NS,
        packets_in=wire.packets_in,
        packets_out=wire.packets_out,
        loss_seen=wire.loss_seen,
        loss_dropped=wire.loss_dropped,
        queue_dropped=wire.queue_dropped,
        drops_unplanned=dict(wire.drops_unplanned),
        rate_backlogged_bps=wire.rate_backlogged_bps,
        control_bytes=wire.control_bytes,
        cut_dropped=wire.cut_dropped,
        corrupted=wire.corrupted,
    )


def forward_wires(spec: RunSpec, wires: Sequence[WireMeasurement]) -> list[WireMeasurement]:
    """The wires of path 0 in the direction of the payload, in path order."""
    path = spec.paths[0]
    wanted = {
        (link, f"{a}->{b}"): place
        for place, (link, a, b) in enumerate(
            zip(path.links, path.nodes[:-1], path.nodes[1:], strict=True)
        )
    }
    found = [wire for wire in wires if (wire.link, wire.direction) in wanted]
    return sorted(found, key=lambda wire: wanted[wire.link, wire.direction])


def _combined_loss(wires: Sequence[WireMeasurement]) -> float | None:
    seen = [wire for wire in wires if wire.loss_seen > 0]
    if not seen:
        return None
    kept = 1.0
    for wire in seen:
        kept *= 1.0 - wire.loss_dropped / wire.loss_seen
    return 1.0 - kept


def _median_s(samples_ns: Sequence[int]) -> float | None:
    return float(np.median(samples_ns)) / SECOND_NS if samples_ns else None
