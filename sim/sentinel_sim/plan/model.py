"""What one run is: every quantity resolved, nothing left to look up.

Made by `plan.expand` from a `Topology`; executed by a backend. All values are frozen, all
quantities carry their unit in the name: `_ns` nanoseconds, `_bps` bits per second, `_bytes`,
`_km` kilometres. `loss` is a probability per wire packet (at most one MTU), not a percentage.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

ParamValue = str | int | float
BIN_NS = 1_000_000
"""Of the bins in which bytes are counted for burstiness."""
MOST_BINS = 131_072
"""Counted in one run: what comes later is in no figure of burstiness."""


class Arm(StrEnum):
    """One treatment (design: section 5)."""

    DIRECT = "direct"
    TUNED = "tuned"
    SPLIT = "split"
    FSU = "fsu"

    @property
    def splits(self) -> bool:
        """TCP ends at every node, which confirms locally."""
        return self in (Arm.SPLIT, Arm.FSU)


class Role(StrEnum):
    """What a node does."""

    SENDER = "sender"
    INTERMEDIATE = "intermediate"
    RECEIVER = "receiver"


@dataclass(frozen=True, slots=True)
class LinkPlan:
    """One link (emulated by one wire) with the values of this run; the same both ways."""

    name: str
    """`a--b`, the two node names in file order; unique (a third part is added when parallel)."""
    a: str
    b: str
    distance_km: float | None
    """None when the file gives `delay_one_way` instead of a length."""
    delay_one_way_ns: int
    rate_bps: int
    queue_bytes: int
    loss: float
    jitter_ns: int
    reorder: bool
    mtu: int
    cost: int = 1
    """Of routing over it, as the file says."""

    @property
    def ends(self) -> tuple[str, str]:
        """Both nodes."""
        return self.a, self.b


@dataclass(frozen=True, slots=True)
class PathPlan:
    """A loop-free way from a sender to a receiver; chosen by networkx on `cost`."""

    index: int
    nodes: tuple[str, ...]
    """Sender first, receiver last."""
    links: tuple[str, ...]
    """Names of the links, in order; one fewer than `nodes`."""
    rtt_base_ns: int
    """Twice the sum of the one-way delays."""
    rate_bps: int
    """Of the slowest link."""
    loss: float
    """Combined over the links, one direction: 1 - prod(1 - loss)."""
    bdp_bytes: int
    """rate_bps x rtt_base / 8."""


class OuterEnd(StrEnum):
    """What observes where a node's packets enter the wire."""

    OFF = "off"
    TC = "tc"
    XDP = "xdp"


class Custody(StrEnum):
    """Where nodes that confirm bytes keep them until the receiver has them (arms that split)."""

    NONE = "none"
    """Nowhere: what a relay has read and not written is lost with its connection."""
    MEMORY = "memory"
    """In memory: what a daemon held is lost with it, and is sent again by the sender."""
    DURABLE = "durable"
    """On disk, synced before it is confirmed; payload at the receiver, too."""


class WorkloadKind(StrEnum):
    """What the sender sends."""

    BULK = "bulk"
    TRANSFER = "transfer"
    MANY = "many"


@dataclass(frozen=True, slots=True)
class FlowPlan:
    """One application flow. Exactly one of `size_bytes` and `duration_ns` is set."""

    flow_id: int
    path: int
    """Index into `RunSpec.paths`."""
    start_ns: int
    """After the start of the run's traffic."""
    size_bytes: int | None
    duration_ns: int | None


class FaultKind(StrEnum):
    """What is done to a node or a link (see `topology.faults`)."""

    KILL_DAEMON = "kill-daemon"
    FREEZE_DAEMON = "freeze-daemon"
    RESTART_DAEMON = "restart-daemon"
    KILL_NODE = "kill-node"
    PARTITION = "partition"
    LOSS = "loss"
    RATE = "rate"
    CORRUPT_CONTROL = "corrupt-control"
    REPLAY_CONTROL = "replay-control"


LINK_FAULTS = frozenset(
    {
        FaultKind.PARTITION,
        FaultKind.LOSS,
        FaultKind.RATE,
        FaultKind.CORRUPT_CONTROL,
        FaultKind.REPLAY_CONTROL,
    }
)


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """One fault of one run. Exactly one of `at_ns` and `at_bytes` is set."""

    index: int
    """Its place among the file's faults: equal in all arms."""
    kind: FaultKind
    target: str
    """A node, or a link by its name."""
    at_ns: int | None = None
    """After the start of the run's traffic."""
    at_bytes: int | None = None
    """Payload bytes that the senders have written in all."""
    for_ns: int | None = None
    """None: to the run's end (or for good, for what does not last)."""
    direction: str | None = None
    """`a->b`; None: both ways."""
    control_only: bool = False
    """Of a partition: only packets that are marked for the control band."""
    loss: float = 0.0
    """Beside the link's own."""
    rate_bps: int | None = None
    corrupt: float = 0.0
    """Share of the packets with control messages that are corrupted."""
    replay: float = 0.0
    """Share of the control messages after which an older one is sent again."""

    @property
    def strikes_link(self) -> bool:
        """Is the target a link?"""
        return self.kind in LINK_FAULTS


@dataclass(frozen=True, slots=True)
class RunSpec:
    """One (arm, distance, params, repeat) execution."""

    key: str
    """Stable identity of the run inside its experiment, for resume: a readable slug."""
    arm: Arm
    distance_km: float | None
    """Sum of the link lengths of path 0, before route_factor; None if links give delays."""
    params: dict[str, ParamValue] = field(hash=False)
    """Every other swept key, `congestion_control`, and `size_bytes` for transfers."""
    repeat: int
    seed: int
    """Derived from the experiment's seed and the run's name, never shared between runs."""
    congestion_control: str
    window_bytes: int | None
    """Fixed socket window (window-law tests); None lets the arm's profile decide."""
    workload: WorkloadKind
    flows: tuple[FlowPlan, ...]
    paths: tuple[PathPlan, ...]
    links: tuple[LinkPlan, ...]
    roles: dict[str, Role] = field(hash=False)
    """Every node of the topology with its role, in file order."""
    control_band: bool
    """Strict-priority band for control traffic in the rate stage (HTB); else TBF."""
    xdp: bool
    """False: no FSU is attached (the no-XDP baseline)."""
    fsu_outer: OuterEnd
    """What is attached at the outer end of every link (with `xdp` only)."""
    managed: bool = False
    """Arm `fsu`: start with the links' rates as known capacity, not from earlier flows."""
    faults: tuple[FaultPlan, ...] = ()
    """What is broken during the run, in the file's order."""
    repair: bool = True
    """A supervisor repairs what breaks (in runs with faults only)."""
    custody: Custody = Custody.NONE
    """Always `NONE` in an arm that does not split."""
    burstiness: bool = False
    """Bytes are counted at every hop of path 0, in bins of `BIN_NS`."""

    @property
    def has_control_plane(self) -> bool:
        """The nodes have control streams with each other."""
        return self.arm is Arm.FSU or self.custody is not Custody.NONE

    @property
    def expected_duration_ns(self) -> int:
        """How long the traffic takes at best: for progress and time left, not for results."""
        ends = []
        for flow in self.flows:
            path = self.paths[flow.path]
            if flow.duration_ns is not None:
                body = flow.duration_ns
            else:
                body = (flow.size_bytes or 0) * 8 * 1_000_000_000 // path.rate_bps
            ends.append(flow.start_ns + body + path.rtt_base_ns)
        return max(ends, default=0)
