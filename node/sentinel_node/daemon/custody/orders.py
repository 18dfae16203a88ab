"""From commands to custody: what a request asks for, and a sender's order carried out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sentinel_node.core.custody.effects import Release
from sentinel_node.daemon.control.interface import ControlPlane
from sentinel_node.daemon.custody.hub import CustodyHub
from sentinel_node.daemon.custody.onward import Onward
from sentinel_node.daemon.custody.receiver import DEFAULT_RETURN_TIMEOUT_NS, CustodyListenSpec
from sentinel_node.daemon.custody.relay import (
    DEFAULT_CAPACITY_BYTES,
    DEFAULT_FLOWS_MAX,
    CustodyRelaySpec,
)
from sentinel_node.daemon.custody.sources import FileSource, PipeSource, SeedSource, Source
from sentinel_node.daemon.receiver import ListenSpec
from sentinel_node.daemon.relay import RelaySpec
from sentinel_node.errors import RequestError
from sentinel_proto.v1 import node_control_pb2 as pb


@dataclass(frozen=True, slots=True)
class CustodyOrder:
    """What custody adds to a sender's order."""

    hub: CustodyHub = field(repr=False)
    next_hop: str
    receiver: str
    file_path: str = ""
    pipe_path: str = ""
    resume: bool = False
    release: Release = Release.DELIVERED

    def __post_init__(self) -> None:
        for name in ("next_hop", "receiver"):
            if not getattr(self, name):
                raise RequestError(f"custody: {name} must be named")
        if self.file_path and self.pipe_path:
            raise RequestError("custody: give file_path or pipe_path, not both")

    @property
    def has_source(self) -> bool:
        """The payload is not made from a seed."""
        return bool(self.file_path or self.pipe_path)

    def open_source(self, seed: int, flow_id: int, size_bytes: int, end_ns: int | None) -> Source:
        """Raises RequestError if it cannot be read."""
        if self.file_path:
            return FileSource(Path(self.file_path))
        if self.pipe_path:
            return PipeSource.open(Path(self.pipe_path))
        return SeedSource(seed, flow_id, size_bytes or None, end_ns)


class Hubs:
    """The hub of the control plane that stands. Used on the event loop's thread only."""

    def __init__(self) -> None:
        self._hub: CustodyHub | None = None

    def of(self, plane: ControlPlane | None, *peers: str) -> CustodyHub:
        """Raises RequestError without a plane, or if one of `peers` is no neighbour on it."""
        if plane is None:
            raise RequestError(
                "custody is asked for, but this node has no control plane: call Connect first"
            )
        for peer in peers:
            if peer not in plane.peers:
                known = ", ".join(sorted(plane.peers)) or "none"
                raise RequestError(
                    f"custody: {peer!r} is no neighbour of {plane.node}; neighbours are: {known}"
                )
        if self._hub is None or self._hub.plane is not plane:
            self._hub = CustodyHub(plane)
        return self._hub


def _release(*, durable: bool) -> Release:
    return Release.DURABLE_CUSTODY if durable else Release.DELIVERED


def custody_listen(asked: pb.CustodyListen, plain: ListenSpec) -> CustodyListenSpec:
    """What a Listen command with custody asks for."""
    return CustodyListenSpec(
        address=plain.address,
        port=plain.port,
        upstream=asked.upstream,
        profile=plain.profile,
        series_interval_ns=plain.series_interval_ns,
        read_rate_limit_bps=plain.read_rate_limit_bps,
        return_timeout_ns=asked.return_timeout_ns or DEFAULT_RETURN_TIMEOUT_NS,
        folder=existing_folder(asked.folder),
        expected=plain.expected,
    )


def custody_relay(asked: pb.CustodyRelay, plain: RelaySpec) -> CustodyRelaySpec:
    """What a Relay command with custody asks for."""
    return CustodyRelaySpec(
        listen_address=plain.listen_address,
        listen_port=plain.listen_port,
        upstream=asked.upstream,
        onward=Onward(
            peer=asked.downstream,
            address=plain.target_address,
            port=plain.target_port,
            source_address=plain.source_address,
            profile=plain.connect_profile,
        ),
        accept_profile=plain.accept_profile,
        capacity_bytes=asked.capacity_bytes or DEFAULT_CAPACITY_BYTES,
        flows_max=asked.flows_max or DEFAULT_FLOWS_MAX,
        release=_release(durable=asked.free_on_durable_custody),
        journal_folder=existing_folder(asked.journal_folder),
        expected=plain.expected,
    )


def existing_folder(path: str) -> Path | None:
    """None for no path. Raises RequestError if it is not there."""
    folder = Path(path) if path else None
    if folder is not None and not folder.is_dir():
        raise RequestError(f"custody: folder {folder} is not there; mkdir -p {folder}")
    return folder


def custody_order(asked: pb.CustodyFlow, hub: Callable[[str], CustodyHub]) -> CustodyOrder:
    """What a flow with custody asks for."""
    return CustodyOrder(
        hub=hub(asked.next_hop),
        next_hop=asked.next_hop,
        receiver=asked.receiver,
        file_path=asked.file_path,
        pipe_path=asked.pipe_path,
        resume=asked.resume,
        release=_release(durable=asked.free_on_durable_custody),
    )
