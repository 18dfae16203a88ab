"""All is said to be delivered, of a flow that an earlier life of the sender's daemon sent."""

from __future__ import annotations

from sentinel_node.core.control.custody_messages import DeliveredAck
from sentinel_node.core.control.refusals import Reason, Refusal
from sentinel_node.daemon.custody.flow_spec import CustodyFlowSpec


def is_claim(spec: CustodyFlowSpec, read_bytes: int, refusal: Refusal, ack: DeliveredAck) -> bool:
    """It was refused only because this life has read no more than `read_bytes` of the source.

    The source can be read again, and then its hash decides.
    """
    return (
        refusal.reason is Reason.DAMAGED
        and spec.resume
        and spec.source.replayable
        and ack.complete
        and read_bytes < ack.offset
        and spec.source.size_bytes in (None, ack.offset)
    )
