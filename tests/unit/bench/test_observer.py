"""The user-space function: a datagram from a socket counts as the frame that carried it."""

from __future__ import annotations

import socket

from hypothesis import given
from hypothesis import strategies as st

from sentinel_bpf.frames import ETH_IPV4, UDP, ethernet, ipv4, udp
from sentinel_bpf.training import weights
from sentinel_sim.bench.observer import FlowTable, shipped_table

packets = st.lists(
    st.tuples(
        st.sampled_from(["10.0.0.1", "10.0.0.9", "200.1.1.1"]),
        st.integers(1, 65_535),
        st.integers(0, 1200),
        st.integers(1, 5_000_000_000),
    ),
    max_size=40,
)


@given(packets)
def test_datagram_and_frame_leave_the_same_state(sequence: list[tuple[str, int, int, int]]) -> None:
    by_frame, by_datagram = FlowTable(), FlowTable()
    target, now_ns = ("10.0.0.2", 5201), 10**12
    for address, port, size, gap_ns in sequence:
        now_ns += gap_ns
        payload = bytes(size)
        packet = ipv4(udp(port, target[1], payload), UDP, source=address, target=target[0])
        by_frame.observe(ethernet(packet, ETH_IPV4), now_ns)
        ends = [
            socket.inet_aton(where) + number.to_bytes(2, "big")
            for where, number in ((address, port), target)
        ]
        by_datagram.observe_datagram(ends[0], ends[1], UDP, size, now_ns)
    assert by_frame.entries() == by_datagram.entries()
    assert by_frame.packets == by_datagram.packets == len(sequence)


def test_the_shipped_network_predicts_and_outlives_clear() -> None:
    table = shipped_table()
    table.clear()
    assert table.network == weights.load().network


def test_clear_forgets_everything() -> None:
    table = FlowTable()
    table.observe(ethernet(ipv4(udp(7, 9), UDP), ETH_IPV4), 5)
    assert table.packets_by_port() == {7: 1}
    table.clear()
    assert table.packets == 0
    assert table.packets_by_port() == {}
