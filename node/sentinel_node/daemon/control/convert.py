"""Between the control plane's messages in node_control.proto and this node's own values."""

from __future__ import annotations

from sentinel_node.core.control.messages import BUCKET_FLOWS_MAX
from sentinel_node.daemon.control.holder import ControlHolder
from sentinel_node.daemon.control.interface import PeerStatus
from sentinel_node.daemon.control.settings import (
    DEFAULT_HEARTBEAT_NS,
    DEFAULT_OPEN_TIMEOUT_NS,
    ControlSettings,
    DetectorKind,
    DetectorSettings,
    Neighbour,
    read_secret,
)
from sentinel_node.errors import RequestError
from sentinel_proto.v1 import node_control_pb2 as pb


def detector_settings(spec: pb.DetectorSpec) -> DetectorSettings:
    """Zero or empty takes the default. Raises RequestError for an unknown kind."""
    default = DetectorSettings()
    kinds = ", ".join(kind.value for kind in DetectorKind)
    if spec.kind and spec.kind not in set(DetectorKind):
        raise RequestError(f"detector {spec.kind!r} is unknown; known: {kinds}")
    return DetectorSettings(
        kind=DetectorKind(spec.kind) if spec.kind else default.kind,
        threshold=spec.threshold or default.threshold,
        min_deviation_ns=spec.min_deviation_ns or default.min_deviation_ns,
        pause_ns=spec.pause_ns,
        multiplier=spec.multiplier or default.multiplier,
    )


def control_settings(node: str, request: pb.ConnectRequest) -> ControlSettings:
    """What a Connect command asks for. Raises RequestError or PrivilegeError."""
    if not 0 <= request.port <= 65535:
        raise RequestError(f"port must be from 0 to 65535, got {request.port}")
    return ControlSettings(
        node=node,
        secret=read_secret(request.secret_path),
        neighbours=tuple(
            Neighbour(n.name, n.address, n.port, n.propagation_ns, n.rate_bps)
            for n in request.neighbours
        ),
        listen=tuple(request.listen_addresses),
        port=request.port,
        heartbeat_ns=request.heartbeat_ns or DEFAULT_HEARTBEAT_NS,
        detector=detector_settings(request.detector),
        open_timeout_ns=request.open_timeout_ns or DEFAULT_OPEN_TIMEOUT_NS,
        flows_max=request.flows_max or BUCKET_FLOWS_MAX,
    )


def peer_report(status: PeerStatus) -> pb.PeerReport:
    """One neighbour as it is."""
    age_ns = status.heartbeat_age_ns
    return pb.PeerReport(
        name=status.name,
        connected=status.connected,
        suspected=status.suspected,
        epoch=status.epoch,
        sessions=status.sessions,
        heartbeat_age_ns=-1 if age_ns is None else age_ns,
        refused=status.refused,
        sent_messages=status.sent_messages,
        sent_bytes=status.sent_bytes,
        received_messages=status.received_messages,
        received_bytes=status.received_bytes,
    )


def all_connected(holder: ControlHolder) -> bool:
    """There is a control plane, and every neighbour has a session."""
    plane = holder.plane
    return plane is not None and all(peer.connected for peer in plane.peers.values())


def control_reply(holder: ControlHolder) -> pb.ReadControlReply:
    """How the control plane stands."""
    plane = holder.plane
    if plane is None:
        return pb.ReadControlReply(open=False)
    return pb.ReadControlReply(
        open=True,
        all_connected=all_connected(holder),
        peers=[peer_report(status) for status in plane.peers.values()],
        epoch=plane.epoch,
        suspicions=plane.suspicions,
        mistakes=plane.mistakes,
        strangers=plane.strangers,
        events=holder.events,
    )
