"""Faults strike when asked, repairs mend what they can, and afterwards everything is whole."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import pytest
from tests.unit.emulated.specs import link, path, spec

from sentinel_sim.backends.base import RunMeasurement
from sentinel_sim.backends.emulated.backend import EmulatedBackend
from sentinel_sim.backends.emulated.options import EmulationOptions
from sentinel_sim.experiment.gate import judge, timing_reasons
from sentinel_sim.experiment.metrics import compute
from sentinel_sim.host.commands import run_command
from sentinel_sim.host.doctor import wire_backend
from sentinel_sim.plan.model import Arm, FaultKind, FaultPlan, FlowPlan, RunSpec, WorkloadKind

pytestmark = pytest.mark.lab

MS = 1_000_000
RATE_BPS = 50_000_000


def diamond() -> RunSpec:
    """s to r over x (path 0, used) and over y (the stand-by); half a megabyte every 250 ms."""
    links = tuple(link(a, b, 5, RATE_BPS) for a, b in ("sx", "xr", "sy", "yr"))
    paths = (path(0, ("s", "x", "r"), links[:2]), path(1, ("s", "y", "r"), links[2:]))
    flows = tuple(FlowPlan(i, 0, (i - 1) * 250 * MS, 500_000, None) for i in range(1, 11))
    made = spec(links, paths, Arm.TUNED)
    return replace(made, flows=flows, workload=WorkloadKind.MANY)


FAULTS = (
    FaultPlan(0, FaultKind.KILL_DAEMON, "x", at_ns=300 * MS),
    FaultPlan(1, FaultKind.LOSS, "s--x", at_bytes=600_000, for_ns=200 * MS, loss=0.02),
    FaultPlan(2, FaultKind.RATE, "s--x", at_ns=700 * MS, for_ns=200 * MS, rate_bps=5_000_000),
    FaultPlan(3, FaultKind.PARTITION, "x--r", at_ns=1500 * MS),
)


def broken() -> RunSpec:
    return replace(diamond(), key="broken", faults=FAULTS)


def whole() -> RunSpec:
    return replace(diamond(), key="whole", flows=diamond().flows[:4])


@dataclass(frozen=True)
class Found:
    """Two runs on one network, and what stood before, between and after them."""

    broken: RunMeasurement
    whole: RunMeasurement
    routes: list[str]
    filters: list[str]
    pids: list[dict[str, int]]


def state(backend: EmulatedBackend) -> tuple[str, str, dict[str, int]]:
    """Routes and addresses of all nodes; filters of all wires; daemons."""
    layout = backend.layout
    routes, filters = "", ""
    for node in layout.nodes:
        for words in (("route",), ("-o", "addr", "show", "dev", "lo")):
            done = run_command(("ip", "-n", layout.namespace(node), *words))
            routes += "".join(sorted(done.stdout.splitlines(keepends=True)))
    for one in layout.links:
        names = layout.wire_names(one.name)
        for side in "ab":
            words = ("filter", "show", "dev", names.outer(side), "ingress")
            filters += run_command(("tc", "-n", names.namespace, *words)).stdout
    return routes, filters, backend.pids()


async def both() -> Found:
    async with EmulatedBackend(broken(), EmulationOptions(wire_backend())) as backend:
        await backend.prepare(whole())
        states = [state(backend)]
        first = await backend.run(broken(), lambda phase, done: None)
        states.append(state(backend))
        second = await backend.run(whole(), lambda phase, done: None)
        states.append(state(backend))
    routes, filters, pids = (list(column) for column in zip(*states, strict=True))
    return Found(first, second, routes, filters, pids)


@pytest.fixture(scope="module")
def found() -> Found:
    return asyncio.run(both())


def test_every_fault_is_recorded_with_its_planned_and_its_actual_time(found: Found) -> None:
    events = found.broken.faults
    assert [event.kind for event in events] == [fault.kind.value for fault in FAULTS]
    for event, fault in zip(events, FAULTS, strict=True):
        assert not event.failed, event.detail
        assert event.actual_ns is not None
        assert fault.at_ns is None or event.actual_ns >= fault.at_ns
        if event.planned_end_ns is not None:
            assert event.ended_ns is not None
            assert event.ended_ns >= event.planned_end_ns
    assert (events[1].actual_bytes or 0) >= 600_000
    assert events[3].planned_end_ns is None
    assert events[3].ended_ns is not None, "lifted at the run's end"


def test_a_killed_daemon_is_replaced_and_the_path_is_led_around_the_cut(found: Found) -> None:
    repairs = {event.fault: event for event in found.broken.repairs}
    assert set(repairs) == {"daemon-dead", "path-broken"}
    assert all(event.repaired for event in repairs.values())
    assert [step for step, _ in repairs["daemon-dead"].steps] == ["restart-daemon", "reconnect"]
    assert repairs["path-broken"].path == ("s", "s--y", "y", "y--r", "r")
    cut_ns = found.broken.faults[3].actual_ns or 0
    assert repairs["path-broken"].failed_ns + repairs["path-broken"].time_to_detect_ns > cut_ns
    assert found.pids[0]["node x"] != found.pids[1]["node x"]


def test_every_flow_arrives_and_the_run_is_as_valid_as_its_timing(found: Found) -> None:
    for measured, run in ((found.broken, broken()), (found.whole, whole())):
        assert [flow.sha256_ok for flow in measured.flows] == [True] * len(run.flows)
        figures = compute(run, measured)
        allowed = timing_reasons(run, measured, figures)
        assert set(judge(run, measured, figures)) <= set(allowed)


def test_what_a_cut_refused_is_counted_apart_and_nothing_is_unaccounted(found: Found) -> None:
    wires = {(wire.link, wire.direction): wire for wire in found.broken.wires}
    assert wires["x--r", "x->r"].cut_dropped > 0
    assert wires["s--y", "s->y"].packets_in > 100, "the detour carries the flows"
    for wire in wires.values():
        assert wire.drops_unplanned == {}
        assert wire.packets_in == wire.packets_out + wire.loss_dropped
    lossy = wires["s--x", "s->x"].loss_periods
    assert [period.probability for period in lossy] == [0.0, 0.02, 0.0]
    assert [lossy[0].dropped, lossy[2].dropped] == [0, 0]
    assert [p.rate_bps for p in wires["s--x", "s->x"].rate_periods] == [
        RATE_BPS,
        5_000_000,
        RATE_BPS,
    ]


def test_afterwards_everything_is_as_before(found: Found) -> None:
    assert found.routes[1] == found.routes[0]
    assert found.filters[2] == found.filters[0]
    assert found.whole.faults == found.whole.repairs == ()
    assert all(wire.cut_dropped == 0 for wire in found.whole.wires)
    assert all(not wire.loss_periods and not wire.rate_periods for wire in found.whole.wires)


def replayed() -> RunSpec:
    """All of the way to x is replayed for as long as the flows run."""
    fault = FaultPlan(0, FaultKind.REPLAY_CONTROL, "s--x", at_ns=0, for_ns=1500 * MS, replay=0.9)
    base = diamond()
    return replace(
        base,
        key="replayed",
        arm=Arm.FSU,
        paths=base.paths[:1],
        flows=base.flows[:5],
        faults=(fault,),
    )


async def while_replaying() -> RunMeasurement:
    async with EmulatedBackend(replayed(), EmulationOptions(wire_backend())) as backend:
        return await backend.run(replayed(), lambda phase, done: None)


def test_replayed_control_messages_are_refused_and_the_flows_do_not_notice() -> None:
    measured = asyncio.run(while_replaying())
    (event,) = measured.faults
    assert "messages replayed by s" in event.detail, event
    assert "messages replayed by x" in event.detail, event
    peers = measured.extra["control"]["x"]["plane"]["peers"]
    (refused,) = (peer["refused"] for peer in peers if peer["name"] == "s")
    assert sum(refused.values()) > 20
    assert set(refused) <= {"replayed", "too-old"}
    figures = compute(replayed(), measured)
    assert figures.sha256_ok
    assert figures.sync is not None
    assert figures.sync.final_ok, figures.sync
