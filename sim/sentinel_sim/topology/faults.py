"""Faults that a topology file asks for: what is broken, when, and for how long.

Each kind is a class of its own, so that a file can only say what has a meaning. Names of nodes
and links are checked by `structure`, times are resolved by `plan.faults`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from sentinel_sim.topology.fields import Amount, Duration, Loss, Name, Rate
from sentinel_sim.topology.units import UnitError, shorten

MAX_FAULTS = 1000
MAX_ARMS = 8
Channel = Literal["all", "control"]


def _read_text(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 100:
        raise UnitError(f"must be a name, got {shorten(value)}; write it as the file does")
    return value


LinkName = Annotated[
    str,
    BeforeValidator(_read_text),
    WithJsonSchema(
        {
            "type": "string",
            "description": "A link by the names of its ends, 'a--b'; parallel links are counted:"
            " 'a--b--1', 'a--b--2'.",
            "examples": ["lisbon--madeira"],
        }
    ),
]
Direction = Annotated[
    str,
    BeforeValidator(_read_text),
    WithJsonSchema(
        {
            "type": "string",
            "description": "Only what goes this way; both ways if not given.",
            "examples": ["lisbon->madeira"],
        }
    ),
]
ArmName = Annotated[str, BeforeValidator(_read_text), WithJsonSchema({"type": "string"})]


class _Fault(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    at: Duration | None = Field(
        default=None,
        description="When: after the start of the run's traffic, the same zero as the flows' own"
        " starts; rtt is that of the longest path. Exactly one of at and at_bytes.",
    )
    at_bytes: Amount | None = Field(
        default=None,
        description="When: as soon as the senders have written this many payload bytes in all.",
    )
    arms: Annotated[tuple[ArmName, ...], Field(min_length=1, max_length=MAX_ARMS)] | None = Field(
        default=None, description="Only in runs of these arms; in all if not given."
    )

    @property
    def target(self) -> str:
        """The node or link that it strikes."""
        raise NotImplementedError


class _NodeFault(_Fault):
    node: Name = Field(description="The name of a node.")

    @property
    def target(self) -> str:
        """The node."""
        return self.node


class LinkFault(_Fault):
    """What strikes a link."""

    link: LinkName
    direction: Direction | None = None
    lasts: Duration | None = Field(
        default=None, alias="for", description="How long; to the run's end if not given."
    )

    @property
    def target(self) -> str:
        """The link."""
        return self.link


class KillDaemon(_NodeFault):
    """SIGKILL to the node's daemon; the node goes on forwarding IP."""

    kind: Literal["kill-daemon"]


class FreezeDaemon(_NodeFault):
    """SIGSTOP to the node's daemon: it neither works nor dies; SIGCONT after `for`."""

    kind: Literal["freeze-daemon"]
    lasts: Duration | None = Field(
        default=None, alias="for", description="Until it is thawed; never if not given."
    )


class RestartDaemon(_NodeFault):
    """Kill the node's daemon and start it again at once: a new incarnation that knows nothing."""

    kind: Literal["restart-daemon"]


class KillNode(_NodeFault):
    """The node loses power: all its processes are killed, and nothing passes its links."""

    kind: Literal["kill-node"]
    lasts: Duration | None = Field(
        default=None, alias="for", description="Until it boots; to the run's end if not given."
    )


class Partition(LinkFault):
    """Nothing enters the link; what is on its way already still arrives."""

    kind: Literal["partition"]
    channel: Channel = Field(
        default="all", description="control: only packets marked for the control band (DSCP CS6)."
    )


class AddLoss(LinkFault):
    """Random loss beside the link's own; both are independent."""

    kind: Literal["loss"]
    loss: Loss


class ChangeRate(LinkFault):
    """The link's rate becomes this; its queue keeps its size in bytes."""

    kind: Literal["rate"]
    rate_bps: Rate = Field(alias="rate")


class CorruptControl(LinkFault):
    """One bit of a control message is turned on its way, TCP's checksum kept right."""

    kind: Literal["corrupt-control"]
    share: Loss = Field(description="Of the packets with control messages, as a percentage.")


class ReplayControl(LinkFault):
    """Control messages that went over the link are sent again, those of earlier sessions too.

    The sending daemon does it; the fault ends with that daemon, if it is killed or replaced.
    """

    kind: Literal["replay-control"]
    share: Loss = Field(description="After this share of them an older one follows.")


KINDS: dict[str, type[_Fault]] = {
    "kill-daemon": KillDaemon,
    "freeze-daemon": FreezeDaemon,
    "restart-daemon": RestartDaemon,
    "kill-node": KillNode,
    "partition": Partition,
    "loss": AddLoss,
    "rate": ChangeRate,
    "corrupt-control": CorruptControl,
    "replay-control": ReplayControl,
}

Fault = Annotated[
    KillDaemon
    | FreezeDaemon
    | RestartDaemon
    | KillNode
    | Partition
    | AddLoss
    | ChangeRate
    | CorruptControl
    | ReplayControl,
    Field(discriminator="kind"),
]
