"""Burstiness at every hop of a run, from bytes in bins (pure).

The same traffic is judged everywhere: the middle `MIDDLE` of the time from the traffic's start to
the return of the last write(), moved at each hop by the propagation until there. So start-up and
the end stay out, and no hop sees bytes that another does not (but for what waits in queues at the
borders).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sentinel_sim.backends.base import LinkBins, RunMeasurement, WireMeasurement
from sentinel_sim.evidence import burstiness
from sentinel_sim.experiment.figures import Burstiness, BurstPoint, BurstScale, Percentiles
from sentinel_sim.plan.model import LinkPlan, RunSpec

SECOND_NS = 1_000_000_000
MIDDLE = 0.8
LADDER = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Lengths of blocks, in bins."""
ETHERNET_BYTES = 14
UNTOLD_SHARE = 1e-3
"""If more of the bytes went into a queue than came out, it cannot be told which ones waited."""

Counts = burstiness.Counts


def burstiness_of(spec: RunSpec, measured: RunMeasurement) -> Burstiness | None:
    """At the sender, and behind every queue of path 0; None if that was not counted."""
    if not measured.bins:
        return None
    links = {link.name: link for link in spec.links}
    first = measured.bins[0]
    begin, length = _window(measured, first)
    if length < burstiness.FEWEST_BLOCKS:
        return None
    wires = {(wire.link, wire.direction): wire for wire in measured.wires}
    sender = first.direction.partition("->")[0]
    offered = np.array(first.offered, np.int64)[begin : begin + length]
    points = [_point(0, f"offered by {sender}", offered, links[first.link], first.bin_ns)]
    passed_ns = 0
    for queues, one in enumerate(measured.bins, start=1):
        start = begin + round(passed_ns / one.bin_ns)
        wire = wires[one.link, one.direction]
        points.append(_behind(queues, one, links[one.link], wire, slice(start, start + length)))
        passed_ns += links[one.link].delay_one_way_ns
    if any(point is None for point in points):
        return None
    return Burstiness(
        bin_s=first.bin_ns / SECOND_NS,
        window_s=length * first.bin_ns / SECOND_NS,
        points=tuple(point for point in points if point is not None),
    )


def cut_notes(measured: RunMeasurement) -> tuple[str, ...]:
    """Says so if the traffic went on longer than its bytes were counted."""
    if not measured.bins:
        return ()
    first = measured.bins[0]
    if _end_bin(measured, first) <= len(first.offered):
        return ()
    length_s = len(first.offered) * first.bin_ns / SECOND_NS
    return (f"burstiness: bytes were counted for {length_s:g} s only, the traffic was longer",)


def _end_bin(measured: RunMeasurement, bins: LinkBins) -> int:
    """The bin in which the last write() of any flow returned."""
    ends = [flow.send_end_ns or measured.traffic_end_ns for flow in measured.flows]
    return (max(ends) - bins.start_ns) // bins.bin_ns


def _window(measured: RunMeasurement, bins: LinkBins) -> tuple[int, int]:
    """(first bin, number of bins) of the middle of the sending time."""
    start = (measured.traffic_start_ns - bins.start_ns) // bins.bin_ns
    end = min(_end_bin(measured, bins), len(bins.offered))
    length = int(max(end - start, 0) * MIDDLE)
    return start + (end - start - length) // 2, length


def _behind(
    queues: int, bins: LinkBins, link: LinkPlan, wire: WireMeasurement, window: slice
) -> BurstPoint | None:
    departed = np.array(bins.departed, np.int64)
    where = f"behind {bins.direction}"
    waited = queue_delays_s(bins)
    return _point(queues, where, departed[window], link, bins.bin_ns, waited, wire)


def _point(
    queues: int,
    place: str,
    counts: Counts,
    link: LinkPlan,
    bin_ns: int,
    waited: tuple[float, Percentiles] | None = None,
    wire: WireMeasurement | None = None,
) -> BurstPoint | None:
    if not counts.any():
        return None
    mean = float(counts.mean())
    return BurstPoint(
        queues=queues,
        place=place,
        mean_bps=mean * 8 * SECOND_NS / bin_ns,
        burst_bytes=burstiness.burst(counts, mean),
        scales=tuple(_scales(counts, link.mtu + ETHERNET_BYTES, bin_ns)),
        queue_delay_s=None if waited is None else waited[1],
        queue_delay_mean_s=None if waited is None else waited[0],
        queue_dropped=0 if wire is None else wire.queue_dropped,
        loss_dropped=0 if wire is None else wire.loss_dropped,
    )


def _scales(counts: Counts, packet_bytes: int, bin_ns: int) -> list[BurstScale]:
    found = []
    for bins in LADDER:
        dispersion = burstiness.dispersion(counts, bins, packet_bytes)
        variation = burstiness.variation(counts, bins)
        peak = burstiness.peak_to_mean(counts, bins)
        if dispersion is None or variation is None or peak is None:
            continue
        time_s = bins * bin_ns / SECOND_NS
        found.append(BurstScale(time_s, dispersion, variation, peak, len(counts) // bins))
    return found


def queue_delays_s(bins: LinkBins) -> tuple[float, Percentiles] | None:
    """(mean, percentiles) over the bytes of the horizontal distance between the two counts.

    A FIFO's delay is that distance (Le Boudec and Thiran 2001, section 1.4). Exact to about one
    bin. None where bytes went in that did not come out, or nothing came.
    """
    offered = _cumulative(bins.offered)
    departed = _cumulative(bins.departed)
    if departed[-1] == 0 or abs(offered[-1] - departed[-1]) > UNTOLD_SHARE * offered[-1]:
        return None
    levels = np.unique(np.concatenate([offered, departed]))
    levels = levels[levels <= min(offered[-1], departed[-1])]
    delays = np.maximum(_when(departed, levels) - _when(offered, levels), 0.0)
    seconds = (delays[1:] + delays[:-1]) / 2 * bins.bin_ns / SECOND_NS
    weights = np.diff(levels)
    order = np.argsort(seconds)
    share = np.cumsum(weights[order]) / weights.sum()
    p50, p99 = (float(seconds[order[np.searchsorted(share, one)]]) for one in (0.5, 0.99))
    return float(np.average(seconds, weights=weights)), Percentiles(p50, p99)


def _cumulative(counts: Sequence[int]) -> Counts:
    return np.concatenate([[0], np.cumsum(np.array(counts, np.int64))])


def _when(total: Counts, levels: Counts) -> npt.NDArray[np.float64]:
    """At which bin border `total` reached each level, in bins; linear inside a bin."""
    rising = np.flatnonzero(np.diff(total)) + 1
    # Only borders around a rise: on a plateau the moment would not be defined.
    xs = np.concatenate([rising - 1, rising])
    order = np.lexsort((xs, total[xs]))
    xs = xs[order]
    return np.asarray(np.interp(levels, total[xs], xs), np.float64)
