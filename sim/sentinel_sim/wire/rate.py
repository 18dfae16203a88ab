"""The rate stage: a token bucket with a finite queue, and optionally a band for control traffic.

Counts layer 2 bytes as the kernel's qdiscs do: headers of every segment included, without the
24 bytes of preamble, frame check sequence and gap.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

CONTROL_TOS = 0xC0
"""DSCP CS6 (RFC 4594, network control) marks what belongs into the control band."""

CONTROL_SHARE_DIVISOR = 20
"""The control band's assured share is 1/20 of the rate; it may borrow the rest, first."""

SUPER_PACKET_BYTES = 65_536
"""A GSO packet must fit into the bucket, or it can never be sent."""

CATCH_UP_NS = 2_000_000
"""The bucket covers this much time, so that a late timer does not lower the rate."""


def burst_bytes(rate_bps: int) -> int:
    """Bucket depth: at least two super-packets, at least CATCH_UP_NS of the rate."""
    return max(2 * SUPER_PACKET_BYTES, rate_bps * CATCH_UP_NS // 8_000_000_000)


def queue_limit_bytes(queue_bytes: int) -> int:
    """The byte limit of the queue; one super-packet at least, or nothing could ever pass."""
    return max(queue_bytes, SUPER_PACKET_BYTES + 4096)


def tbf_lines(interface: str, rate_bps: int, queue_bytes: int) -> list[str]:
    """`tc` lines for a plain token bucket filter at the interface's root."""
    limit = queue_limit_bytes(queue_bytes)
    return [
        f"qdisc replace dev {interface} root handle 1: tbf rate {rate_bps}bit"
        f" burst {burst_bytes(rate_bps)} limit {limit}"
    ]


def htb_lines(interface: str, rate_bps: int, queue_bytes: int) -> list[str]:
    """`tc` lines for HTB with a strict-priority band for control traffic (tc-htb(8))."""
    burst = burst_bytes(rate_bps)
    control_bps = max(rate_bps // CONTROL_SHARE_DIVISOR, 8_000)
    limit = queue_limit_bytes(queue_bytes)
    shape = f"burst {burst} cburst {burst} quantum {SUPER_PACKET_BYTES}"
    return [
        f"qdisc replace dev {interface} root handle 1: htb default 20",
        f"class replace dev {interface} parent 1: classid 1:1 htb"
        f" rate {rate_bps}bit ceil {rate_bps}bit {shape}",
        f"class replace dev {interface} parent 1:1 classid 1:10 htb"
        f" rate {control_bps}bit ceil {rate_bps}bit prio 0 {shape}",
        f"class replace dev {interface} parent 1:1 classid 1:20 htb"
        f" rate {rate_bps - control_bps}bit ceil {rate_bps}bit prio 1 {shape}",
        f"qdisc replace dev {interface} parent 1:10 handle 10: bfifo limit {limit}",
        f"qdisc replace dev {interface} parent 1:20 handle 20: bfifo limit {limit}",
        f"filter replace dev {interface} parent 1: protocol ip prio 1 handle 800::800 u32"
        f" match ip tos {CONTROL_TOS:#x} 0xfc flowid 1:10",
    ]


def rate_lines(interface: str, rate_bps: int, queue_bytes: int, control_band: bool) -> list[str]:
    """`tc` lines of the rate stage, with or without the control band."""
    build = htb_lines if control_band else tbf_lines
    return build(interface, rate_bps, queue_bytes)


def rate_change_lines(
    interface: str, rate_bps: int, queue_bytes: int, control_band: bool
) -> list[str]:
    """`tc` lines that change the rate of the stage that stands; what is queued stays, and counts.

    HTB is changed class by class (the kernel cannot change its qdisc), TBF in place.
    """
    lines = rate_lines(interface, rate_bps, queue_bytes, control_band)
    return [line for line in lines if line.startswith("class")] if control_band else lines


@dataclass(frozen=True, slots=True)
class RateCounters:
    """What the rate stage of one direction counted since its qdisc was made."""

    bytes_sent: int
    packets_sent: int
    """Wire packets: the kernel counts the segments of GSO packets."""
    dropped: int
    """Refused by the full queue, in queue entries (a super-packet counts once)."""
    backlog_bytes: int
    control_bytes: int


class QueueSample(NamedTuple):
    """One look at the rate stage of one direction."""

    time_ns: int
    bytes_sent: int
    backlog_bytes: int
    sure: bool = True
    """False: the reading was interrupted, so its time is vague; its backlog still counts."""


def drain_rate_bps(
    samples: Sequence[QueueSample], floor_bytes: int, shortest_ns: int
) -> float | None:
    """Bits per second while the queue was backlogged.

    A stretch is backlogged while every look in it finds more than `floor_bytes` (choose what is
    sent between two looks, and the queue cannot have run empty in between); it is measured
    from its first sure sample to its last. None if the stretches last less than `shortest_ns`
    together.
    """
    total_bytes = total_ns = 0
    stretches = itertools.groupby(samples, lambda sample: sample.backlog_bytes > floor_bytes)
    for backlogged, stretch in stretches:
        sure = [sample for sample in stretch if sample.sure]
        if backlogged and sure:
            total_ns += sure[-1].time_ns - sure[0].time_ns
            total_bytes += sure[-1].bytes_sent - sure[0].bytes_sent
    if total_ns < max(shortest_ns, 1):
        return None
    return total_bytes * 8e9 / total_ns
