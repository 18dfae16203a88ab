"""The delay stage on kernels that have netem (tc-netem(8))."""

from __future__ import annotations

import json

from sentinel_sim.plan.model import LinkPlan

SMALLEST_PACKET_BYTES = 66
"""The delay stage holds ACKs too: its limit is counted as if all packets were this small."""


def limit_packets(link: LinkPlan, delay_ns: int) -> int:
    """How many packets the delay stage may have to hold.

    netem's default of 1000 silently drops what a long fat link has in flight: 120 Mbit/s at
    100 ms of 1500-byte packets. Twice the link's own bandwidth-delay product in the smallest
    packets is more than the rate stage can ever deliver in that time.
    """
    held_ns = delay_ns + link.jitter_ns
    return max(2 * link.rate_bps * held_ns // (8_000_000_000 * SMALLEST_PACKET_BYTES), 1000)


def microseconds(time_ns: int) -> str:
    """A time as tc takes it, exact to the nanosecond; iproute2 6.1 refuses the suffix ns."""
    return f"{time_ns // 1000}.{time_ns % 1000:03d}us"


def netem_line(interface: str, link: LinkPlan, delay_ns: int) -> str:
    """The `tc` line of one direction's delay. Loss is a stage of its own, before it."""
    words = [
        f"qdisc replace dev {interface} root handle 2: netem",
        f"limit {limit_packets(link, delay_ns)}",
        f"delay {microseconds(delay_ns)}",
    ]
    if link.jitter_ns:
        words.append(microseconds(link.jitter_ns))
    # A rate far above the link's makes netem queue in order: tc-netem(8), `rate` schedules each
    # packet behind the last one instead of sorting by time. It has to be named in any case: a
    # netem that is there keeps what a change does not mention.
    ordering_bps = link.rate_bps * 1000 if link.jitter_ns and not link.reorder else 0
    words.append(f"rate {ordering_bps}bit")
    return " ".join(words)


def parse_drops(text: str) -> int:
    """Packets that netem dropped: `tc -s -j qdisc show dev X`. Always unplanned here."""
    return sum(entry["drops"] for entry in json.loads(text) if entry["kind"] == "netem")
