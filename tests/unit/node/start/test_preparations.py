"""What was made ready at a node: which window a connection may have before its flow is known."""

from __future__ import annotations

import socket
from typing import cast

from sentinel_node.core.start.buffer_plan import FlowForecast, HostLimits, StartMode, plan_buffers
from sentinel_node.daemon.connection import TrackedConnection
from sentinel_node.daemon.control.starting import Preparations

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
