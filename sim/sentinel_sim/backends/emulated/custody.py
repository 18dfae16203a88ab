"""Custody in the emulated network: what nodes are told, and where they write."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sentinel_proto.v1 import node_control_pb2 as pb
from sentinel_sim.backends.base import CustodyMeasurement
from sentinel_sim.errors import EmulationError
from sentinel_sim.faults.events import Resumption
from sentinel_sim.host.ownership import Ownership
from sentinel_sim.plan.model import Custody, FlowPlan, PathPlan, RunSpec

DISK = Path("/var/tmp")
"""Survives a daemon, and by the Filesystem Hierarchy Standard also a boot."""
IN_MEMORY = frozenset({"tmpfs", "ramfs"})
CAPACITY_LEAST_BYTES = 256 << 20
BDPS = 4
"""Of the whole path: what is in custody waits for the receiver's word, a round trip away, and more
while a queue drains or a connection is made anew."""
FLOW_LEAST_BYTES = 4 << 20
MOUNTS = Path("/proc/self/mounts")


def filesystem_of(path: Path, mounts: str) -> str:
    """The kind of file system that `path` lies on, by the text of /proc/self/mounts."""
    found = [line.split()[1:3] for line in mounts.splitlines()]
    over = [(Path(at), kind) for at, kind in found if path.is_relative_to(at)]
    # The last mount on the longest path is the one that is seen.
    return max(enumerate(over), key=lambda one: (len(one[1][0].parts), one[0]))[1][1]


@dataclass
class CustodyDisk:
    """A folder for each node and run with durable custody; nothing is left of it afterwards."""

    ownership: Ownership
    disk: Path = DISK
    _made: set[Path] = field(default_factory=set)

    @property
    def _root(self) -> Path:
        return self.disk / f"sentinel-{self.ownership.run_id}"

    def folder(self, spec: RunSpec, node: str) -> str:
        """Where the node writes in this run; "" if it does not. Raises EmulationError."""
        if spec.custody is not Custody.DURABLE:
            return ""
        folder = self._root / hashlib.sha256(spec.key.encode()).hexdigest()[:16] / node
        if folder in self._made:
            return str(folder)
        kind = filesystem_of(self.disk, MOUNTS.read_text())
        if kind in IN_MEMORY:
            raise EmulationError(
                f"run {spec.key}: custody durable needs a disk, but {self.disk} is {kind}; mount a "
                f"disk there, or write 'custody: memory'"
            )
        if not self._made:
            self.ownership.record_directory(self._root)
            self._root.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(mode=0o700, parents=True)
        self._made.add(folder)
        return str(folder)

    def clear(self) -> None:
        """Remove what the runs so far wrote."""
        for folder in self._made:
            shutil.rmtree(folder)
        self._made.clear()


def listening(spec: RunSpec, path: PathPlan, folder: str) -> pb.CustodyListen | None:
    """For the path's receiver; None without custody."""
    if spec.custody is Custody.NONE:
        return None
    return pb.CustodyListen(upstream=path.nodes[-2], folder=folder)


def relaying(spec: RunSpec, path: PathPlan, node: str, folder: str) -> pb.CustodyRelay | None:
    """For an intermediate of the path; None without custody."""
    if spec.custody is Custody.NONE:
        return None
    here = path.nodes.index(node)
    flows = sum(flow.path == path.index for flow in spec.flows)
    return pb.CustodyRelay(
        upstream=path.nodes[here - 1],
        downstream=path.nodes[here + 1],
        capacity_bytes=max(CAPACITY_LEAST_BYTES, BDPS * path.bdp_bytes, flows * FLOW_LEAST_BYTES),
        flows_max=flows,
        free_on_durable_custody=spec.custody is Custody.DURABLE,
        journal_folder=folder,
    )


def sending(spec: RunSpec, flow: FlowPlan, *, resume: bool) -> pb.CustodyFlow | None:
    """For the flow's sender; `resume`: another life of its daemon began the flow."""
    if spec.custody is Custody.NONE:
        return None
    nodes = spec.paths[flow.path].nodes
    return pb.CustodyFlow(
        next_hop=nodes[1],
        receiver=nodes[-1],
        resume=resume,
        free_on_durable_custody=spec.custody is Custody.DURABLE,
    )


def measured(sent: pb.FlowReport, received: pb.FlowReport) -> CustodyMeasurement | None:
    """What both ends of a flow counted; None if it was not in custody."""
    if not sent.HasField("custody"):
        return None
    return CustodyMeasurement(
        attempts=sent.custody.attempts,
        duplicate_bytes=received.custody.duplicate_bytes,
        retained_bytes_max=sent.custody.retained_bytes_max,
    )


def resumptions(
    reports: Mapping[str, pb.CollectReply], run_start_ns: int
) -> tuple[Resumption, ...]:
    """All nodes', by time."""
    found = [
        Resumption(
            node=node,
            next_hop=one.next_hop,
            flow_id=one.flow_id,
            at_ns=one.at_ns - run_start_ns,
            offset=one.offset,
            replayed_bytes=one.replayed_bytes,
        )
        for node, reply in reports.items()
        for one in reply.resumptions
    ]
    return tuple(sorted(found, key=lambda one: (one.at_ns, one.node, one.flow_id)))
