"""How well the FSUs on the way predicted a run's traffic and knew its RTT (pure).

From the flow records that were read after the run. Only halves that carried data count: TCP, with
packets of `DATA_PACKET_BYTES` or more on average, so neither acknowledgements, probes nor control.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from typing import Any

from sentinel_sim.backends.base import RunMeasurement
from sentinel_sim.experiment.figures import FsuFigures
from sentinel_sim.plan.model import RunSpec

TCP = 6
DATA_PACKET_BYTES = 512
LEAST_SCORED = 10
"""Predictions of a half before its error says anything."""
REMEMBERED_NS = 8_600_000_000
"""For so long at least the FSU knows a flow's least RTT (see sentinel_abi.h)."""

Half = Mapping[str, Any]


def fsu_figures(spec: RunSpec, measured: RunMeasurement) -> FsuFigures | None:
    """Over all FSUs that saw data; None where none predicted any of it."""
    scored = [half for _, _, half in _data_halves(measured) if _scored(half) >= LEAST_SCORED]
    if not scored:
        return None
    error = sum(_error_bytes(half) for half in scored)
    last = sum(_error_of_last(half) for half in scored)
    ratios = list(_rtt_ratios(spec, measured))
    return FsuFigures(
        mase=error / last if last else None,
        error_share=error / sum(int(half["bytes_total"]) for half in scored),
        predictions=sum(map(_scored, scored)),
        halves=len(scored),
        interval_s=int(scored[0]["prediction"]["interval_ns"]) / 1e9,
        rtt_error_share=max((abs(one - 1) for one in ratios), default=None),
        rtt_connections=len(ratios),
    )


def _data_halves(measured: RunMeasurement) -> Iterator[tuple[str, str, Half]]:
    """(node, point, half); a point is named after its link."""
    for node, report in measured.fsu.items():
        for flow in report.get("flows", ()):
            for half in (flow.get("forward") or {}, flow.get("backward") or {}):
                size = int(half.get("avg_packet_size", 0))
                if flow.get("protocol") == TCP and size >= DATA_PACKET_BYTES:
                    yield node, str(flow.get("point", "")), half


def _scored(half: Half) -> int:
    """Predictions of this half that were held against what came; the first interval has none."""
    found = half.get("prediction") or {}
    return int(found["intervals"]) - 1 if found.get("mean_error_bytes") is not None else 0


def _error_bytes(half: Half) -> float:
    return float(half["prediction"]["mean_error_bytes"]) * _scored(half)


def _error_of_last(half: Half) -> float:
    """What predicting the last value would have been off by, in all."""
    mase = half["prediction"].get("mase")
    return _error_bytes(half) / float(mase) if mase else 0.0


def _rtt_ratios(spec: RunSpec, measured: RunMeasurement) -> Iterator[float]:
    """Least RTT by the FSU where a connection begins, over that of TCP itself (tcpi_min_rtt)."""
    by_tcp: dict[tuple[str, str], list[float]] = {}
    for flow in measured.flows:
        nodes = spec.paths[flow.path].nodes
        for node, least_ns in _connections(flow.tcp_info):
            if node not in nodes[:-1]:  # after a repair flows may go another way
                continue
            after = nodes[nodes.index(node) + 1]
            by_tcp.setdefault((node, after), []).append(least_ns)
    by_fsu: dict[tuple[str, str], list[float]] = {}
    for node, point, half in _data_halves(measured):
        if least := int(half.get("rtt_min_ns", 0)):
            by_fsu.setdefault((node, point), []).append(least)
    for (node, after), leasts in by_tcp.items():
        seen = by_fsu.get((node, f"{node}--{after}")) or by_fsu.get((node, f"{after}--{node}"))
        if seen:
            yield statistics.median(seen) / statistics.median(leasts)


def _connections(samples: tuple[dict[str, Any], ...]) -> Iterator[tuple[str, float]]:
    """(first node, least RTT in ns) of those that did not outlast the FSU's memory."""
    found: dict[str, list[dict[str, Any]]] = {}
    for one in samples:
        if one.get("min_rtt_us"):
            found.setdefault(str(one["connection"]), []).append(one)
    for name, mine in found.items():
        if mine[-1]["t_ns"] - mine[0]["t_ns"] <= REMEMBERED_NS:
            yield name.partition("->")[0], min(one["min_rtt_us"] for one in mine) * 1e3
