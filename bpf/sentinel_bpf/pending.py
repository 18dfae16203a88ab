"""RTT samples that are measured already, and wait in the entry to be taken.

A half is written only by packets of its own direction (sentinel_rtt.h): an acknowledgement leaves
its time in the exchange, and the next packet that is sent makes a sample of it. A flow that waits
for its user to say something would show an RTT that is one sample old for as long as that takes.
So whoever reads an entry takes what waits, as the next packet will: by the same arithmetic, in a
copy. The map stays as it is.
"""

from __future__ import annotations

from typing import cast

from sentinel_bpf import abi
from sentinel_bpf.reference import rtt
from sentinel_bpf.reference.state import MASK32, HalfState


def take_pending(half: abi.FlowHalf, own: abi.Exchange, other: abi.Exchange) -> None:
    """Bring the RTT of `half` up to date. `own` and `other` are its direction's words and the
    opposite one's.

    What the kernel computes from the RTT (bdp_bytes, optimal_buffer_size) stays as published.
    """
    state = cast(HalfState, half)  # the same fields under the same names
    if sample_ns := rtt.waiting_ns(own.probe, other.stamp, half.probe_sent_ns):
        value = own.probe & MASK32
        rtt.take_sample(state, sample_ns, value, half.probe_sent_ns + sample_ns)
    if sample_ns := rtt.waiting_ns(own.ts_probe, other.ts_stamp, half.ts_sent_ns):
        rtt.take_ts_sample(state, sample_ns)
