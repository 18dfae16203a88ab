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
    from sentinel_bpf.flow_map import FlowHalf, FlowRecord


@dataclass(frozen=True, slots=True)
class FsuPoint:
    """Inherited read-only descriptors: of IPv4 flows, IPv6 flows, and the FSU's counters."""

    name: str
    """Of the link."""
    flows4_fd: int
    flows6_fd: int
    counters_fd: int


def parse_point(text: str) -> FsuPoint:
    """`LINK:FD:FD:FD`, the descriptors in the order of FsuPoint. Raises RequestError."""
    name, *numbers = text.rsplit(":", 3)
    if not name or len(numbers) != 3 or not all(number.isdecimal() for number in numbers):
        raise RequestError(f"--fsu-point takes LINK:FD:FD:FD, got {text!r}")
    flows4, flows6, counters = map(int, numbers)
    return FsuPoint(name, flows4, flows6, counters)


def flow_metrics(record: FlowRecord, point: str) -> pb.FlowMetrics:
    """One flow record as a message."""
    return pb.FlowMetrics(
        point=point,
        source_address=record.source_address,
        target_address=record.target_address,
        source_port=record.source_port,
        target_port=record.target_port,
        protocol=record.protocol,
        forward=_half(record.forward),
        backward=_half(record.backward),
    )


def _half(half: FlowHalf) -> pb.FlowMetricsHalf:
    return pb.FlowMetricsHalf(
        bytes_total=half.bytes_total,
        packets_total=half.packets_total,
        last_timestamp=half.last_timestamp,
        avg_packet_size=half.avg_packet_size,
        throughput_bps=half.throughput_bps,
        rtt_us=half.rtt_us,
        optimal_buffer_size=half.optimal_buffer_size,
    )


def read_flow_metrics(points: Sequence[FsuPoint]) -> pb.ReadFlowMetricsReply:
    """All flow records, and the counters of all points added up. Raises FlowMapError if a map
    cannot be read.
    """
    if not points:
        return pb.ReadFlowMetricsReply(attached=False)
    # Imported here: a node without an FSU needs nothing of sentinel_bpf.
    from sentinel_bpf import flow_map
    from sentinel_bpf.errors import BpfError

    flows: list[pb.FlowMetrics] = []
    counters: Counter[str] = Counter()
    for point in points:
        try:
            records = flow_map.read_flows(point.flows4_fd, point.flows6_fd)
            counters.update(flow_map.read_counters(point.counters_fd))
        except (BpfError, OSError) as error:
            raise FlowMapError(f"reading the maps of the FSU at {point.name}: {error}") from error
        flows += [flow_metrics(record, point.name) for record in records]
    return pb.ReadFlowMetricsReply(attached=True, flows=flows, counters=counters)
