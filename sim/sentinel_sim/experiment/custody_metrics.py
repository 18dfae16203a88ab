"""Exposure over time, and what custody did in a run (pure)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sentinel_sim.backends.base import FlowMeasurement, RunMeasurement
from sentinel_sim.experiment import series as cumulative
from sentinel_sim.experiment.figures import CustodyFigures, Exposure

SECOND_NS = 1_000_000_000
SLOTS = 200


def exposure_of(flows: Sequence[FlowMeasurement]) -> Exposure | None:
    """Bytes confirmed to the senders and not yet delivered, summed over the flows.

    Between samples both counters are taken as linear, so every maximum lies at a sample or at the
    end of a slot. None if no flow has confirmations.
    """
    known = [flow for flow in flows if flow.confirmed.values]
    if not known:
        return None
    start_ns = min(flow.start_ns for flow in known)
    end_ns = max(max(flow.confirmed.times_ns[-1], flow.last_byte_ns or 0) for flow in known)
    slots = np.linspace(start_ns, max(end_ns, start_ns + 1), SLOTS + 1).astype(np.int64)
    sampled = [t for f in known for t in (*f.confirmed.times_ns, *f.delivered.times_ns)]
    instants = np.unique(np.concatenate([slots, np.asarray(sampled, dtype=np.int64)]))
    total = np.zeros(instants.size, dtype=np.float64)
    for flow in known:
        total += cumulative.values_at(flow.confirmed, instants)
        total -= cumulative.values_at(flow.delivered, instants)
    # Stamps of two nodes: a byte may seem to be delivered just before it was confirmed.
    total = np.maximum(total, 0.0)
    inside = (instants >= slots[0]) & (instants <= slots[-1])
    span_ns = float(slots[-1] - slots[0])
    area = np.trapezoid(total[inside], (instants[inside] - slots[0]).astype(np.float64))
    edges = np.searchsorted(instants, slots)
    most = np.maximum.reduceat(total[: edges[-1] + 1], edges[:-1])
    most = np.maximum(most, total[edges[1:]])  # both ends belong to a slot
    return Exposure(
        max_bytes=round(float(total.max())),
        mean_bytes=float(area) / span_ns,
        times_s=tuple(float(t - slots[0]) / SECOND_NS for t in slots[1:]),
        bytes=tuple(round(float(one)) for one in most),
    )


def custody_figures(measured: RunMeasurement) -> CustodyFigures | None:
    """Over all flows and nodes; None if no flow was in custody."""
    books = [flow.custody for flow in measured.flows if flow.custody is not None]
    if not books:
        return None
    return CustodyFigures(
        attempts=sum(one.attempts for one in books),
        replayed_bytes=sum(one.replayed_bytes for one in measured.resumptions),
        duplicate_bytes=sum(one.duplicate_bytes for one in books),
        retained_bytes_max=max(one.retained_bytes_max for one in books),
    )
