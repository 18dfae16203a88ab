"""What the arm `fsu` says of its flows ahead of the data, and what came of it (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf.json_format import MessageToDict

from sentinel_proto.v1 import node_control_pb2 as pb
from sentinel_sim.plan.model import Arm, FlowPlan, PathPlan, RunSpec

ERROR_BOUND_MS = 20
"""Of the predicted rate: how far a replica may be off before a correction is sent."""
GRID_NS = 10_000_000
FLOWS_PER_GRID = 50
"""With more flows at once the grid is stretched, so that sampling stays a small part of a CPU."""
MAX_SILENCE_NS = 1_000_000_000


def announced_path(spec: RunSpec, path: PathPlan) -> tuple[str, ...]:
    """The nodes along which flows are announced; empty for the other arms."""
    return path.nodes if spec.arm is Arm.FSU else ()


def hops(spec: RunSpec, path: PathPlan) -> list[pb.HopSpec]:
    """The path's nodes and links as the operator knows them."""
    links = {link.name: link for link in spec.links}
    found = [pb.HopSpec(node=path.nodes[0])]
    for node, name in zip(path.nodes[1:], path.links, strict=True):
        link = links[name]
        found.append(
            pb.HopSpec(node=node, propagation_ns=link.delay_one_way_ns, rate_bps=link.rate_bps)
        )
    return found


def announcement(spec: RunSpec, flow: FlowPlan) -> pb.Announcement | None:
    """The forecast of one flow; None for the other arms.

    It asks for the whole path. How many flows share it is not told ahead: the nodes count those
    that are live (`sentinel_node.core.sync.shares`).
    """
    if spec.arm is not Arm.FSU:
        return None
    path = spec.paths[flow.path]
    rate_Bps = max(1, path.rate_bps // 8)
    stretch = -(-len(spec.flows) // FLOWS_PER_GRID)
    return pb.Announcement(
        hops=hops(spec, path),
        rate_Bps=rate_Bps,
        rtt_ns=path.rtt_base_ns,
        error_bound_bytes=rate_Bps * ERROR_BOUND_MS // 1000,
        interval_ns=GRID_NS * stretch,
        max_silence_ns=MAX_SILENCE_NS * stretch,
        managed=spec.managed,
    )


def control_report(
    reports: Mapping[str, pb.CollectReply], planes: Mapping[str, pb.ReadControlReply]
) -> dict[str, Any]:
    """By node: what was made ready, what was known of each flow, how the plane stood."""
    return {
        node: {
            "adjustments": [plain(one) for one in reply.adjustments],
            "sync": [plain(one) for one in reply.sync],
            "plane": plain(planes[node]) if node in planes else None,
        }
        for node, reply in reports.items()
    }


def plain(message: Any) -> dict[str, Any]:  # noqa: ANN401  any message
    """A protobuf message as a raw log has it."""
    # 64-bit integers become text there (proto3 JSON); figures are wanted here.
    found: dict[str, Any] = _numbers(MessageToDict(message, preserving_proto_field_name=True))
    return found


def _numbers(value: Any) -> Any:  # noqa: ANN401  any JSON value
    if isinstance(value, dict):
        return {key: _numbers(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_numbers(one) for one in value]
    if isinstance(value, str) and value.lstrip("-").isdecimal():
        return int(value)
    return value
