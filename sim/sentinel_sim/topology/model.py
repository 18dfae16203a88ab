"""The topology file as a frozen, validated model; the published JSON Schema is made from it.

Field names carry the unit of the value (`rate_bps`), the file's key is the alias (`rate`).
A `Topology` that exists is sound field by field and in its structure (`structure`); whether
there is a path for the traffic is `graph`'s business, whether a host can carry it
`feasibility`'s. Files are read by `reader.load`, never by calling the model directly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    PrivateAttr,
    WithJsonSchema,
    model_validator,
)

from sentinel_sim.plan.model import Arm, Custody, OuterEnd, ParamValue, Role
from sentinel_sim.topology import structure
from sentinel_sim.topology.arrival import Arrival, StopRule
from sentinel_sim.topology.expression import parse_amount, parse_duration
from sentinel_sim.topology.faults import MAX_FAULTS, Fault
from sentinel_sim.topology.fields import (
    Amount,
    ArrivalField,
    CongestionControl,
    DistanceKm,
    Duration,
    Location,
    Loss,
    Name,
    Rate,
    RealNumber,
    Size,
    StopField,
    Switch,
    Time,
    WholeNumber,
)
from sentinel_sim.topology.problems import KeyPath, dotted
from sentinel_sim.topology.units import UnitError, closest, shorten

MAX_NODES = 64
MAX_LINKS = 128
MAX_SWEEP_VALUES = 100
MAX_FLOWS = 10_000
ARM_NAMES = tuple(str(arm) for arm in Arm)
DEFAULT_QUEUE = parse_amount("1 bdp")
DEFAULT_DURATION = parse_duration("max(8 s, 60 rtt)")
DEFAULT_REPEATS_CI95 = StopRule(0.05)


def read_arm(value: object) -> Arm:
    """An arm by its name. Raises UnitError."""
    known = list(ARM_NAMES)
    if value in known:
        return Arm(value)
    near = closest(value, known) if isinstance(value, str) else None
    hint = f"did you mean {near!r}? " if near else ""
    raise UnitError(f"is no arm, got {shorten(value)}; {hint}arms: {', '.join(known)}")


def read_sweep_value(value: object) -> ParamValue:
    """A value as the swept key would have it; checked against that key later. Raises UnitError."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, str | int | float):
        return value
    raise UnitError(f"must be one plain value, got {shorten(value)}; write a list of values")


def _refuse_trace(value: object) -> object:
    if isinstance(value, Mapping) and value.get("kind") == "trace":
        raise UnitError(
            "replaying a capture is not available in this version, got kind 'trace'; "
            "use bulk, transfer or many"
        )
    return value


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Node(_Part):
    """A host: what it does, and optionally where it stands."""

    role: Role = Field(description="What the node does.")
    location: Location | None = None


class NodeDefaults(_Part):
    """What nodes have unless they say otherwise."""

    role: Role | None = None


class LinkDefaults(_Part):
    """What links have unless they say otherwise. Every key of a link except `endpoints`."""

    rate_bps: Rate | None = Field(default=None, alias="rate")
    queue: Amount | None = Field(
        default=None,
        description="Queue of the rate stage, as '1 bdp' of the path, '250 packets', '12 MB'.",
    )
    distance_km: DistanceKm | None = None
    delay_one_way_ns: Time | None = Field(
        default=None, alias="delay_one_way", description="One-way delay, instead of a length."
    )
    route_factor: Annotated[float, RealNumber(1.0, 10.0)] | None = Field(
        default=None, description="Route length / great circle; 1 if not given."
    )
    loss: Loss | None = None
    jitter_ns: Time | None = Field(
        default=None, alias="jitter", description="Largest deviation from the delay, both ways."
    )
    reorder: Switch | None = Field(
        default=None, description="May jitter reorder packets? Default off."
    )
    mtu_bytes: Size | None = Field(default=None, alias="mtu", description="'1500 B' if not given.")
    cost: Annotated[int, WholeNumber(1, 1_000_000)] | None = Field(
        default=None, description="Routing cost; flows take the cheapest paths. 1 if not given."
    )


class Link(LinkDefaults):
    """A bidirectional link between two nodes; all values hold in each direction."""

    endpoints: tuple[Name, Name] = Field(description="The names of two nodes.")
    rate_bps: Rate = Field(alias="rate")
    queue: Amount = DEFAULT_QUEUE
    loss: Loss = 0.0
    jitter_ns: Time = Field(default=0, alias="jitter")
    reorder: Switch = False
    mtu_bytes: Size = Field(1500, alias="mtu")
    cost: Annotated[int, WholeNumber(1, 1_000_000)] = 1


class Defaults(_Part):
    """Given once, used by every node and link that does not say otherwise."""

    nodes: NodeDefaults = NodeDefaults()
    links: LinkDefaults = LinkDefaults()


Flows = Annotated[int, WholeNumber(1, MAX_FLOWS)]


class BulkWorkload(_Part):
    """Every flow sends as fast as it can for the whole duration."""

    kind: Literal["bulk"]
    duration: Duration = DEFAULT_DURATION
    flows: Flows | None = Field(default=None, description="Default: one per path.")


class TransferWorkload(_Part):
    """Every flow sends a fixed number of bytes; one run per size."""

    kind: Literal["transfer"]
    sizes: Annotated[tuple[Amount, ...], Field(min_length=1, max_length=MAX_SWEEP_VALUES)]
    flows: Flows | None = Field(default=None, description="Default: one per path.")


class ManyWorkload(_Part):
    """Many transfers of one size that start one after another."""

    kind: Literal["many"]
    flows: Flows
    size: Amount
    arrival: ArrivalField = Arrival("at_once")


class TraceWorkload(_Part):
    """A capture to replay; known to the schema, refused in this version."""

    kind: Literal["trace"]
    file: str


Workload = Annotated[
    BulkWorkload | TransferWorkload | ManyWorkload | TraceWorkload, Field(discriminator="kind")
]


class Repeat(_Part):
    """How often each combination is run: at least `min`, then until narrow, at most `max`."""

    min: Annotated[int, WholeNumber(1, 1000)] = 1
    max: Annotated[int, WholeNumber(1, 1000)] | None = Field(
        default=None, description="Default: min."
    )
    until: StopField = DEFAULT_REPEATS_CI95


ArmField = Annotated[Arm, BeforeValidator(read_arm), WithJsonSchema({"enum": list(ARM_NAMES)})]
SweepValue = Annotated[
    ParamValue,
    PlainValidator(read_sweep_value),
    WithJsonSchema({"type": ["string", "number", "boolean"]}),
]
SweepValues = Annotated[tuple[SweepValue, ...], Field(min_length=1, max_length=MAX_SWEEP_VALUES)]


class Experiment(_Part):
    """What is run on the topology."""

    arms: Annotated[tuple[ArmField, ...], Field(min_length=1)] = tuple(Arm)
    congestion_control: CongestionControl = "cubic"
    workload: Annotated[Workload, BeforeValidator(_refuse_trace)] = BulkWorkload(kind="bulk")
    sweep: dict[str, SweepValues] = Field(
        default_factory=dict, description="Key to list of values; every combination is run."
    )
    repeat: Repeat = Repeat()
    seed: Annotated[int, WholeNumber(0, 2**62)] = 1
    window: Amount | None = Field(
        default=None, description="Fixed socket window, for window-law tests."
    )
    control_band: Switch = Field(
        default=True, description="Strict-priority band for control traffic in the rate stage."
    )
    xdp: Switch = Field(default=True, description="Attach the FSU; off is the no-XDP baseline.")
    fsu_outer: OuterEnd = Field(
        default=OuterEnd.TC,
        description="The FSU where a node's packets enter the wire, beyond the node's reach; RTT"
        " and BDP need it. tc: sees packets before they are cut into segments, and leaves"
        " segmentation offload alone; xdp: as at the inner end, at as much CPU; off: not there.",
    )
    managed: Switch = Field(
        default=False,
        description="Arm fsu starts with the links' rates as known capacity; off: from what an"
        " earlier flow on the link found (RFC 9959), or slowly.",
    )
    custody: Custody = Field(
        default=Custody.NONE,
        description="Arms split and fsu: who confirms bytes keeps them until the receiver has them,"
        " and a flow goes on from the receiver's next expected offset when a connection or a daemon"
        " dies. none: relays only pass on. memory: in bounded memory. durable: on disk, synced"
        " before it is confirmed, at the receiver too.",
    )
    faults: Annotated[tuple[Fault, ...], Field(max_length=MAX_FAULTS)] = Field(
        default=(), description="What is broken during every run, and when."
    )
    burstiness: Switch = Field(
        default=False,
        description="Count bytes at every hop of the first path in bins of 1 ms: index of"
        " dispersion, variation, peak to mean and empirical burst by hop, with queueing delay and"
        " drops.",
    )
    repair: Switch = Field(
        default=True,
        description="In runs with faults a supervisor restarts daemons, attaches the FSU again and"
        " leads paths around broken links; off: what breaks stays broken until the run's end.",
    )


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where a topology was read."""

    source: str
    lines: Mapping[KeyPath, int]


class Topology(_Part):
    """A whole topology file."""

    model_config = ConfigDict(title="sentinel-sim topology")

    name: Name
    defaults: Defaults = Field(default_factory=Defaults, exclude=True)
    nodes: Annotated[dict[Name, Node], Field(min_length=2, max_length=MAX_NODES)]
    links: Annotated[tuple[Link, ...], Field(min_length=1, max_length=MAX_LINKS)]
    experiment: Experiment = Experiment()

    _origin: _Origin = PrivateAttr(default_factory=lambda: _Origin("<topology>", {}))

    @model_validator(mode="before")
    @classmethod
    def _merge_defaults(cls, data: object) -> object:
        return structure.with_defaults(data)

    @model_validator(mode="after")
    def _check_structure(self) -> Topology:
        structure.check(self)
        return self

    def __eq__(self, other: object) -> bool:
        """Equal if they say the same, wherever they stand and whatever `defaults` shortened."""
        if not isinstance(other, Topology):
            return NotImplemented
        return (self.name, self.nodes, self.links, self.experiment) == (
            other.name,
            other.nodes,
            other.links,
            other.experiment,
        )

    def __hash__(self) -> int:
        return hash((self.name, self.links))

    def attach_source(self, source: str, lines: Mapping[KeyPath, int]) -> None:
        """Remember where the text came from, for `locate`; done once, by the reader."""
        self._origin = _Origin(source, lines)

    @property
    def source(self) -> str:
        """The file's name as it was given."""
        return self._origin.source

    @property
    def lines(self) -> Mapping[KeyPath, int]:
        """The line of every key in the file."""
        return self._origin.lines

    def line_of(self, path: KeyPath) -> int | None:
        """The line of a key, or of its nearest ancestor that stands in the file."""
        return structure.nearest_line(self.lines, path)

    def locate(self, *path: str | int) -> str:
        """`FILE:LINE: key.path` for messages about this key."""
        line = self.line_of(path)
        place = self.source if line is None else f"{self.source}:{line}"
        return f"{place}: {dotted(path)}"

    def to_document(self) -> dict[str, Any]:
        """The topology as plain data with every default filled in; reads back as equal."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)
