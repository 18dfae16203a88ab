"""What was made ready at a node: which window a connection may have before its flow is known."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import cast

import pytest

from sentinel_node.core.control.messages import (
    FlowPhase,
    FlowState,
    PathHop,
    PathMetadata,
    Version,
    WindowOffer,
)
from sentinel_node.core.start.buffer_plan import FlowForecast, HostLimits, StartMode, plan_buffers
from sentinel_node.core.start.gate import Look
from sentinel_node.core.start.outgoing import Outgoing, empty_memory
from sentinel_node.daemon.connection import TrackedConnection
from sentinel_node.daemon.control.starting import Preparations, Prepared

AVAILABLE = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")
LIMITS = HostLimits(1 << 30, 1 << 30, 1 << 30)


def ready(preparations: Preparations, flow_id: int, rate_Bps: int) -> int:
    """A flow whose listener is set; gives its window."""
    prepared = preparations.begin(flow_id)
    assert prepared is not None
    forecast = FlowForecast(rate_Bps, 20_000_000, 0, 1448, None)
    prepared.plan_in = plan_buffers(forecast, LIMITS, mode=StartMode.CAREFUL, saved=None)
    prepared.window_clamp_bytes = prepared.plan_in.window_clamp_bytes
    return prepared.window_clamp_bytes


def come(preparations: Preparations, flow_id: int) -> None:
    prepared = preparations.get(flow_id)
    assert prepared is not None
    prepared.inward = TrackedConnection(cast(socket.socket, None), "in", 0)


def test_nobody_awaited_has_no_window() -> None:
    preparations = Preparations()
    assert preparations.awaited_window_bytes() == 0
    preparations.begin(1)
    assert preparations.awaited_window_bytes() == 0, "announced, but its listener is not set yet"


def test_the_largest_of_those_that_have_not_come_counts() -> None:
    preparations = Preparations()
    small, large = ready(preparations, 1, 10**6), ready(preparations, 2, 10**8)
    assert 0 < small < large
    assert preparations.awaited_window_bytes() == large
    come(preparations, 2)
    assert preparations.awaited_window_bytes() == small
    come(preparations, 1)
    assert preparations.awaited_window_bytes() == 0


class Tcp:
    """A connection that notes what it is told of its window."""

    def __init__(self) -> None:
        self.believed: list[int] = []

    def look(self) -> Look:
        return Look(0, 1, 0)

    def acked_bytes(self) -> int:
        return 0

    def pace(self, rate_Bps: int) -> None:
        assert rate_Bps > 0

    def believe(self, window_bytes: int) -> bool:
        self.believed.append(window_bytes)
        return True


LINK_NS = 38_000_000


def managed() -> Prepared:
    """Of a flow that its operator vouches for, over a link of 38 ms."""
    version = Version(1, 1)
    state = FlowState(1, "a", version, FlowPhase.PREDICTED, 0, 0, 10**7, peak_rate_Bps=10**7)
    path = PathMetadata(1, version, (PathHop("a", 0, 0), PathHop("b", LINK_NS, 8 * 10**7)))
    prepared = Prepared(1)
    prepared.outgoing = Outgoing.of(
        empty_memory(), LIMITS, "b", state, path, 1, StartMode.MANAGED, now_ns=0
    )
    return prepared


@pytest.mark.parametrize(
    ("ready_ns", "believed"), [(5_000_000 + LINK_NS, [10**6]), (5_000_001 + LINK_NS, [])]
)
@pytest.mark.parametrize("gate_first", [False, True])
def test_an_offer_is_believed_only_if_the_next_node_was_ready_for_the_syn(
    ready_ns: int, believed: list[int], gate_first: bool
) -> None:
    prepared, tcp = managed(), Tcp()
    with socket.socket() as sock:
        prepared.connecting(sock, 5_000_000, lambda note: None)
    gate = prepared.begin(tcp) if gate_first else None
    prepared.offered(WindowOffer(1, 10**6, ready_ns))
    gate = gate or prepared.begin(tcp)
    assert gate is not None
    gate.room(0)
    gate.room(1_000_000)
    assert tcp.believed == believed


def test_an_offer_is_for_the_first_connection_only() -> None:
    prepared, first, second = managed(), Tcp(), Tcp()
    with socket.socket() as sock:
        prepared.connecting(sock, 5_000_000, lambda note: None)
    prepared.offered(WindowOffer(1, 10**6, 0))
    for tcp in (first, second):
        gate = prepared.begin(tcp)
        assert gate is not None
        gate.room(0)
    assert (first.believed, second.believed) == ([10**6], [])


def test_a_vouched_connection_is_opened_with_a_pacing_rate_and_gets_back_what_it_was_to_have() -> (
    None
):
    notes: list[str] = []
    prepared = managed()
    available = AVAILABLE.read_text().split()
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
        prepared.connecting(sock, 0, notes.append)
        assert (congestion_control(sock) == b"bbr") == ("bbr" in available) == (not notes)
        sock.connect(listener.getsockname())
        prepared.established(sock)
        assert congestion_control(sock) == b"reno"


def congestion_control(sock: socket.socket) -> bytes:
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0")
