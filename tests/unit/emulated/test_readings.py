"""Readings of queues, processes and offloads."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sentinel_sim.backends.emulated.kernel_parts import sample_mask
from sentinel_sim.backends.emulated.offloads import parse_features
from sentinel_sim.backends.emulated.sampling import CpuMeter, QueueTrace
from sentinel_sim.wire.qdisc_stats import (
    NETLINK_HEADER,
    NLMSG_DONE,
    message_types,
    rate_counters,
)
from sentinel_sim.wire.rate import QueueSample

GBIT = 1_000_000_000
MS = 1_000_000

ETHTOOL = """Features for snab120a:
rx-checksumming: on
tx-checksumming: on
	tx-checksum-ipv4: off [fixed]
tcp-segmentation-offload: off
	tx-tcp-segmentation: off [requested on]
generic-segmentation-offload: on
generic-receive-offload: on
large-receive-offload: off [fixed]
"""


class Nested(dict[str, Any]):
    """Stands for a message of pyroute2."""

    def get_attr(self, name: str) -> Any:  # noqa: ANN401
        return self[name]


def message(index: int, handle: int, *, sent: int, drops: int, backlog: int) -> Nested:
    basic = {"bytes": sent, "packets": sent // 1500}
    queue = {"drops": drops, "backlog": backlog}
    stats = Nested(TCA_STATS_BASIC=basic, TCA_STATS_QUEUE=queue)
    return Nested(index=index, handle=handle, TCA_STATS2=stats)


def test_htb_is_read_from_its_root_and_leaves() -> None:
    messages = [
        message(5, 0x10000, sent=9000, drops=0, backlog=0),
        message(5, 0x100000, sent=1500, drops=1, backlog=0),
        message(5, 0x200000, sent=7500, drops=4, backlog=3000),
        message(6, 0x10000, sent=1, drops=99, backlog=1),
    ]
    counters = rate_counters(messages, 5)
    assert (counters.bytes_sent, counters.packets_sent) == (9000, 6)
    assert (counters.dropped, counters.backlog_bytes, counters.control_bytes) == (5, 3000, 1500)


def test_tbf_is_its_own_leaf_and_has_no_control_band() -> None:
    counters = rate_counters([message(5, 0x10000, sent=9000, drops=2, backlog=3000)], 5)
    assert (counters.dropped, counters.backlog_bytes, counters.control_bytes) == (2, 3000, 0)


def test_offloads_are_read_and_indented_details_are_not_confused_with_them() -> None:
    assert parse_features(ETHTOOL) == {
        "tcp-segmentation-offload": "off",
        "generic-segmentation-offload": "on",
        "generic-receive-offload": "on",
        "tx-checksumming": "on",
    }


def test_a_short_backlog_gives_no_drain_rate() -> None:
    trace = QueueTrace([QueueSample(0, 0, 10**7), QueueSample(100 * MS, 12_500_000, 10**7)])
    assert trace.backlogged_bps(GBIT) is None


def test_a_long_backlog_gives_the_drain_rate() -> None:
    trace = QueueTrace([QueueSample(i * 100 * MS, i * 12_500_000, 2 * 10**7) for i in range(8)])
    assert trace.backlogged_bps(GBIT) == GBIT


def test_a_queue_that_may_have_run_empty_in_between_gives_no_drain_rate() -> None:
    # 10 MB are gone in 80 ms at 1 Gbit/s, and the next reading comes after 100 ms.
    trace = QueueTrace([QueueSample(i * 100 * MS, i * 11_000_000, 10**7) for i in range(8)])
    assert trace.backlogged_bps(GBIT) is None


def test_cpu_shares_are_of_named_processes_and_sum_up() -> None:
    meter = CpuMeter({"me": os.getpid()})
    total = sum(i * i for i in range(200_000))
    reading = meter.read()
    assert total > 0
    by_process = reading["by_process"]
    assert isinstance(by_process, dict)
    assert set(by_process) == {"me"}
    assert by_process["me"] >= 0.0


def test_slow_links_have_every_packet_stamped() -> None:
    assert sample_mask(100_000_000) == 0
    assert sample_mask(GBIT) == 1
    assert sample_mask(10 * GBIT) == 7


def netlink_message(kind: int, body_bytes: int) -> bytes:
    return NETLINK_HEADER.pack(NETLINK_HEADER.size + body_bytes, kind, 2, 1, 0) + bytes(
        (body_bytes + 3) & ~3
    )


def test_netlink_messages_are_told_apart_whatever_their_length() -> None:
    datagram = netlink_message(36, 45) + netlink_message(36, 20) + netlink_message(NLMSG_DONE, 4)
    assert message_types(datagram) == [36, 36, NLMSG_DONE]
    assert message_types(b"") == []


@given(st.binary(max_size=200))
def test_any_datagram_is_walked_to_its_end(datagram: bytes) -> None:
    assert len(message_types(datagram)) <= len(datagram) // NETLINK_HEADER.size
