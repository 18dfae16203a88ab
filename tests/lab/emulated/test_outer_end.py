"""The FSU where packets enter the wire: on tc and on XDP it tells the same, packet by packet."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.lab.emulated.runs import bulk, measure

from sentinel_sim.backends.base import RunMeasurement
from sentinel_sim.plan.model import Arm, OuterEnd

pytestmark = pytest.mark.lab

DELAY_MS = 5
TCP = 6


@pytest.fixture(scope="module")
def measured() -> dict[OuterEnd, RunMeasurement]:
    """One flow over two links, its window so small that no queue ever drops."""
    spec = bulk(Arm.TUNED, delay_ms=DELAY_MS, seconds=1, window_bytes=64 * 1024)
    ends = (OuterEnd.TC, OuterEnd.XDP, OuterEnd.OFF)
    runs = [replace(spec, fsu_outer=outer, key=f"outer_{outer}") for outer in ends]
    return dict(zip(ends, measure(*runs), strict=True))


def halves(run: RunMeasurement, node: str, point: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """(what flowed towards the receiver, and back) as the node's FSU at that link has it."""
    [flow] = [
        flow
        for flow in run.fsu[node]["flows"]
        if flow["protocol"] == TCP and flow["point"] == point
    ]
    found = {name: int(flow[name].get("bytes_total", 0)) for name in ("forward", "backward")}
    data = max(found, key=lambda name: found[name])
    return flow[data], flow["backward" if data == "forward" else "forward"]


@pytest.mark.parametrize("outer", [OuterEnd.TC, OuterEnd.XDP])
def test_what_a_node_sends_is_what_the_next_one_gets(
    measured: dict[OuterEnd, RunMeasurement], outer: OuterEnd
) -> None:
    """Super-packets included: cut on the way, they were counted right before."""
    run = measured[outer]
    assert not any(wire.queue_dropped for wire in run.wires)
    for link, sender, receiver in (("n0--n1", "n0", "n1"), ("n1--n2", "n1", "n2")):
        sent, acks_got = halves(run, sender, link)
        got, acks_sent = halves(run, receiver, link)
        for name in ("bytes_total", "packets_total"):
            assert sent[name] == got[name]
            assert acks_sent[name] == acks_got[name]
    assert int(halves(run, "n0", "n0--n1")[0]["bytes_total"]) > run.flows[0].bytes_delivered


@pytest.mark.parametrize("outer", [OuterEnd.TC, OuterEnd.XDP])
def test_each_node_knows_the_round_trip_to_both_ends(
    measured: dict[OuterEnd, RunMeasurement], outer: OuterEnd
) -> None:
    run, link_us = measured[outer], 2_000 * DELAY_MS
    for node, point, links_ahead in (("n0", "n0--n1", 2), ("n1", "n1--n2", 1), ("n2", "n1--n2", 0)):
        ahead_us = int(halves(run, node, point)[0]["rtt_us"])
        assert links_ahead * link_us <= ahead_us <= links_ahead * link_us + 5_000


def test_without_it_no_round_trip_is_made_up(measured: dict[OuterEnd, RunMeasurement]) -> None:
    flows = [flow for node in measured[OuterEnd.OFF].fsu.values() for flow in node["flows"]]
    assert any(flow["protocol"] == TCP for flow in flows)
    for flow in flows:
        assert "rtt_us" not in flow.get("forward", {})
        assert "rtt_us" not in flow.get("backward", {})
