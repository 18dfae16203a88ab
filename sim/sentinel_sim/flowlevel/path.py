"""What a chain of connections over one path may do, as the flow engine sees it (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sentinel_sim.flowlevel.limits import UNLIMITED, Segment, chain_limit_bps

INITIAL_SEGMENTS = 10
"""RFC 6928."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Rates are layer 2 bit/s; times from the start of the flow."""

    limit_bps: int
    ramp_bps: int
    """What the slowest start allows in its first round trip."""
    rtt_ns: int
    """Of the connection that starts slowest: the longest."""
    begin_ns: int
    """When that connection may send its first byte."""
    lag_ns: int
    """From there to the receiver."""
    first_byte_ns: int
    """At the receiver: each connection is opened when the one before it is accepted, so that each
    one-way delay counts three times, with or without relays."""
    path_ns: int
    """One way, from end to end."""
    wire_per_payload: float
    """Bits on the links for each bit delivered: headers, and what is sent again after losses."""


def chain_of(segments: Sequence[Segment], headers_bytes: int) -> Chain:
    """One flow over these connections, in order; one segment: an unsplit flow."""
    rtts = [segment.rtt_ns for segment in segments]
    slowest = len(rtts) - 1 - rtts[::-1].index(max(rtts))
    segment = segments[slowest]
    delays = [rtt // 2 for rtt in rtts]
    size = segment.mss_bytes + headers_bytes
    per_payload = size / segment.mss_bytes / (1.0 - max(one.loss for one in segments))
    limit = chain_limit_bps(segments)
    return Chain(
        limit_bps=limit if limit == UNLIMITED else round(limit * per_payload),
        ramp_bps=INITIAL_SEGMENTS * size * 8_000_000_000 // segment.rtt_ns,
        rtt_ns=segment.rtt_ns,
        begin_ns=3 * sum(delays[:slowest]) + 2 * delays[slowest],
        lag_ns=sum(delays[slowest:]),
        first_byte_ns=3 * sum(delays),
        path_ns=sum(delays),
        wire_per_payload=per_payload,
    )
