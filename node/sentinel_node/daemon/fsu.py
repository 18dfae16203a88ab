"""The FSU's flow records of this node, read through map descriptors the supervisor handed over.

A node has one FSU for each of its links, which sees both directions there. A flow that a node
forwards is therefore seen at two points, and each of them measures another segment of its path.

The daemon has no right to bpf(2) beyond reading these descriptors. Without a descriptor the
node reports that none is attached, which differs from an empty map.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sentinel_node.errors import FlowMapError, RequestError
from sentinel_proto.v1 import node_control_pb2 as pb

if TYPE_CHECKING:
    from sentinel_bpf.flow_map import FlowHalf
    from sentinel_bpf.snapshot import FlowEntry, Prediction


@dataclass(frozen=True, slots=True)
class FsuPoint:
    """Inherited read-only descriptors: IPv4 flows, IPv6 flows, the FSU's counters, its network."""

    name: str
    """Of the link."""
    flows4_fd: int
    flows6_fd: int
    counters_fd: int
    models_fd: int


def parse_point(text: str) -> FsuPoint:
    """`LINK:FD:FD:FD:FD`, the descriptors in the order of FsuPoint. Raises RequestError."""
    name, *numbers = text.rsplit(":", 4)
    if not name or len(numbers) != 4 or not all(number.isdecimal() for number in numbers):
        raise RequestError(f"--fsu-point takes LINK:FD:FD:FD:FD, got {text!r}")
    return FsuPoint(name, *map(int, numbers))


def flow_metrics(entry: FlowEntry, point: str, interval_ns: int) -> pb.FlowMetrics:
    """One flow with its predictions, which are for intervals of `interval_ns`, as a message."""
    record = entry.record
    return pb.FlowMetrics(
        point=point,
        source_address=record.source_address,
        target_address=record.target_address,
        source_port=record.source_port,
        target_port=record.target_port,
        protocol=record.protocol,
        forward=_half(record.forward, entry.forward, interval_ns),
        backward=_half(record.backward, entry.backward, interval_ns),
    )


def _half(half: FlowHalf, expected: Prediction, interval_ns: int) -> pb.FlowMetricsHalf:
    return pb.FlowMetricsHalf(
        bytes_total=half.bytes_total,
        packets_total=half.packets_total,
        last_timestamp=half.last_timestamp,
        avg_packet_size=half.avg_packet_size,
        throughput_bps=half.throughput_bps,
        rtt_us=half.rtt_us,
        rtt_min_ns=half.rtt_min_ns,
        bdp_bytes=half.bdp_bytes,
        optimal_buffer_size=half.optimal_buffer_size,
        prediction=_prediction(expected, interval_ns) if expected.intervals else None,
    )


def _prediction(expected: Prediction, interval_ns: int) -> pb.FlowPrediction:
    return pb.FlowPrediction(
        predicted_bytes=expected.predicted_bytes,
        interval_ns=interval_ns,
        intervals=expected.intervals,
        leader=expected.leader,
        burst=expected.burst,
        pattern_factor=expected.pattern_factor,
        asleep=expected.asleep,
        mean_error_bytes=expected.mean_error_bytes,
        mase=expected.mase,
    )


def read_flow_metrics(points: Sequence[FsuPoint]) -> pb.ReadFlowMetricsReply:
    """All flow records, and the counters of all points added up. Raises FlowMapError if a map
    cannot be read.
    """
    if not points:
        return pb.ReadFlowMetricsReply(attached=False)
    # Imported here: a node without an FSU needs nothing of sentinel_bpf.
    from sentinel_bpf import flow_map, snapshot
    from sentinel_bpf.errors import BpfError

    flows: list[pb.FlowMetrics] = []
    counters: Counter[str] = Counter()
    for point in points:
        try:
            interval_ns = 1 << snapshot.read_interval_shift(point.models_fd)
            entries = snapshot.read_all(point.flows4_fd, point.flows6_fd)
            counters.update(flow_map.read_counters(point.counters_fd))
        except (BpfError, OSError) as error:
            raise FlowMapError(f"reading the maps of the FSU at {point.name}: {error}") from error
        flows += [flow_metrics(entry, point.name, interval_ns) for entry in entries]
    return pb.ReadFlowMetricsReply(attached=True, flows=flows, counters=counters)
