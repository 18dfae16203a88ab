"""The FSU's flow records of this node, read through a map descriptor the supervisor handed over.

The daemon has no right to bpf(2) beyond reading this one descriptor. Without a descriptor the
node reports that none is attached, which differs from an empty map.
"""

from __future__ import annotations

from sentinel_proto.v1 import node_control_pb2 as pb

from sentinel_node.errors import FlowMapError

HALF_FIELDS = (
    "bytes_total",
    "packets_total",
    "last_timestamp",
    "avg_packet_size",
    "throughput_bps",
    "rtt_us",
    "optimal_buffer_size",
)


def _half(half: object) -> pb.FlowMetricsHalf:
    return pb.FlowMetricsHalf(**{name: int(getattr(half, name)) for name in HALF_FIELDS})


def read_flow_metrics(map_fd: int | None) -> pb.ReadFlowMetricsReply:
    """All flow records and counters. Raises FlowMapError if the map cannot be read."""
    if map_fd is None:
        return pb.ReadFlowMetricsReply(attached=False)
    # Imported here: a node without an FSU needs nothing of sentinel_bpf.
    from sentinel_bpf import flow_map

    reply = pb.ReadFlowMetricsReply(attached=True)
    try:
        records = flow_map.read_flows(map_fd)
        counters = flow_map.read_counters(map_fd)
    except OSError as error:
        raise FlowMapError(
            f"reading the FSU map through descriptor {map_fd}: {error.strerror}"
        ) from error
    for record in records:
        reply.flows.append(
            pb.FlowMetrics(
                source_address=record.source_address,
                target_address=record.target_address,
                source_port=record.source_port,
                target_port=record.target_port,
                protocol=record.protocol,
                forward=_half(record.forward),
                backward=_half(record.backward),
            )
        )
    reply.counters.update({name: int(value) for name, value in counters.items()})
    return reply
