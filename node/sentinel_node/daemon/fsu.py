"""The FSU's flow records of this node, read through map descriptors the supervisor handed over.

The daemon has no right to bpf(2) beyond reading these descriptors. Without a descriptor the
node reports that none is attached, which differs from an empty map.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sentinel_node.errors import FlowMapError
from sentinel_proto.v1 import node_control_pb2 as pb

if TYPE_CHECKING:
    from sentinel_bpf.flow_map import FlowHalf, FlowRecord


@dataclass(frozen=True, slots=True)
class FsuMaps:
    """Inherited read-only descriptors: of IPv4 flows, IPv6 flows, and the FSU's counters."""

    flows4_fd: int
    flows6_fd: int | None = None
    counters_fd: int | None = None


def flow_metrics(record: FlowRecord) -> pb.FlowMetrics:
    """One flow record as a message."""
    return pb.FlowMetrics(
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


def read_flow_metrics(maps: FsuMaps | None) -> pb.ReadFlowMetricsReply:
    """All flow records and counters. Raises FlowMapError if a map cannot be read."""
    if maps is None:
        return pb.ReadFlowMetricsReply(attached=False)
    # Imported here: a node without an FSU needs nothing of sentinel_bpf.
    from sentinel_bpf import flow_map
    from sentinel_bpf.errors import BpfError

    try:
        records = flow_map.read_flows(maps.flows4_fd, maps.flows6_fd)
        counters = {} if maps.counters_fd is None else flow_map.read_counters(maps.counters_fd)
    except (BpfError, OSError) as error:
        raise FlowMapError(f"reading the FSU's maps: {error}") from error
    return pb.ReadFlowMetricsReply(
        attached=True, flows=[flow_metrics(record) for record in records], counters=counters
    )
