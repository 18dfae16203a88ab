"""Carries out runs in virtual time. Thin: what happens is decided in `sentinel_sim.engine`."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import resource
import time
from datetime import UTC, datetime
from typing import Any

from sentinel_node.core.start.careful_resume import PathMemory
from sentinel_node.core.start.outgoing import empty_memory
from sentinel_sim.backends.base import Engine, ProgressHook, RunMeasurement
from sentinel_sim.backends.simulated import assemble, kernel
from sentinel_sim.backends.simulated.control.virtual import FsuSimulation
from sentinel_sim.backends.simulated.faults import DisturbedSimulation, LinkFaults
from sentinel_sim.backends.simulated.translate import TICK_NS, link_name, setup
from sentinel_sim.engine.simulation import Samples, Simulation
from sentinel_sim.plan.model import BIN_NS, Arm, RunSpec
from sentinel_sim.plan.seeds import derive

SLICE_TICKS = 10
"""Between two looks at the connections, and at whether to go on."""
PATIENCE_NS = 60_000_000_000
PATIENCE_FACTOR = 3
FLOWS_LOOKED_AT = 64
"""Of more flows than this, TCP's state is not sampled."""

Driver = Simulation | FsuSimulation | DisturbedSimulation
"""What advances a simulation, with all that goes on beside it."""


class SimulatedBackend:
    """Simulates each run from its own seed; nothing is shared between runs but compiled code."""

    name = "simulated"

    def __init__(self) -> None:
        self._earlier: dict[str, dict[str, PathMemory]] = {}

    async def __aenter__(self) -> SimulatedBackend:
        return self

    async def __aexit__(self, *exc: object) -> None:
        return None

    def environment(self) -> dict[str, Any]:
        """What this backend adds to the result's environment."""
        return {
            "wire_backend": "simulated",
            "wire_order": "rate+queue, loss, delay+jitter",
            "offloads": {},
            "loss_seeded": True,
            "jitter_seeded": True,
            "engine": Engine.PACKET.value,
            "simulator": kernel.versions(),
        }

    async def run(self, spec: RunSpec, progress: ProgressHook) -> RunMeasurement:
        """Simulate one run. Raises InfeasibleError, SimulationError."""
        started_utc = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        wall_s, cpu_s = time.monotonic(), time.process_time()
        progress("configuring", 0.0)
        made = setup(spec)
        parts = TICK_NS // BIN_NS if spec.burstiness else 1
        simulation = Simulation(made.network, kernel.kernel(), TICK_NS // parts)
        fsu: FsuSimulation | None = None
        driver: Driver = simulation
        if spec.arm is Arm.FSU:
            memories = await self._memories(spec)
            driver = fsu = FsuSimulation(spec, simulation, memories, tick_ns=TICK_NS // parts)
        elif spec.faults:
            driver = DisturbedSimulation(simulation, TICK_NS // parts)
        faults = _faults(spec, driver, made.traffic_ns)
        fine, tcp = await _traffic(
            spec, simulation, driver, made.traffic_ns, SLICE_TICKS * parts, progress
        )
        if faults is not None:
            faults.finish()
        samples = assemble.coarser(fine, parts)
        simulation.verify()
        idle, loaded = assemble.round_trips_ns(simulation.world.probes)
        flows = tuple(
            assemble.flow_measurement(spec, index, simulation, samples, tcp[index])
            for index in range(len(spec.flows))
        )
        wall_s, cpu_s = time.monotonic() - wall_s, time.process_time() - cpu_s
        rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return RunMeasurement(
            started_utc=started_utc,
            traffic_start_ns=made.traffic_ns,
            traffic_end_ns=max(flow.last_byte_ns or 0 for flow in flows),
            rtt_idle_ns=idle,
            rtt_loaded_ns=loaded,
            flows=flows,
            wires=tuple(
                assemble.wire_measurement(
                    link,
                    source,
                    simulation,
                    samples,
                    fsu.control_bytes(link, source) if fsu is not None else 0,
                    faults.tracks[link_name(link, source)] if faults is not None else None,
                )
                for link in spec.links
                for source in (link.a, link.b)
            ),
            fsu={},
            cpu={
                "by_process": {"simulator": round(cpu_s / max(wall_s, 1e-9), 4)},
                "seconds": round(wall_s, 3),
                "packet_hops_per_s": round(simulation.packet_hops / max(wall_s, 1e-9)),
            },
            rss_bytes_max={"simulator": rss},
            offloads={},
            notes=(
                "trace "
                + assemble.trace_fingerprint(simulation, samples, fsu.digest() if fsu else b""),
            ),
            extra={
                "packet_hops": simulation.packet_hops,
                **({"control": fsu.report()} if fsu is not None else {}),
            },
            engine=Engine.PACKET,
            faults=faults.events if faults is not None else (),
            bins=assemble.path_bins(spec, simulation, fine) if spec.burstiness else (),
        )

    async def _memories(self, spec: RunSpec) -> dict[str, PathMemory]:
        """What each node remembers when the run begins (RFC 9959).

        As in the emulation, the first run over a path starts cold, and later repeats know what an
        earlier flow found. That flow is simulated for itself, from a seed of its own: so a run
        depends on nothing but its spec, in whatever order and process runs are made.
        """
        nodes = sorted(spec.roles)
        if spec.repeat == 0 or spec.managed:
            return {node: empty_memory() for node in nodes}
        seed = derive(0, "earlier")
        cold = dataclasses.replace(spec, repeat=0, key="earlier", seed=seed, faults=())
        point = repr(cold)
        if point not in self._earlier:
            memories = {node: empty_memory() for node in nodes}
            made = setup(cold)
            simulation = Simulation(made.network, kernel.kernel(), TICK_NS)
            fsu = FsuSimulation(cold, simulation, memories, beating=False)
            await _traffic(cold, simulation, fsu, made.traffic_ns, SLICE_TICKS, lambda *_: None)
            self._earlier[point] = memories
        return copy.deepcopy(self._earlier[point])


def _faults(spec: RunSpec, driver: Driver, traffic_ns: int) -> LinkFaults | None:
    if not spec.faults or isinstance(driver, Simulation):
        return None
    fsu = driver if isinstance(driver, FsuSimulation) else None
    faults = LinkFaults(spec, driver.clock, traffic_ns, fsu)
    driver.on_tick = faults.on_tick
    return faults


async def _traffic(
    spec: RunSpec,
    simulation: Simulation,
    driver: Driver,
    traffic_ns: int,
    slice_ticks: int,
    progress: ProgressHook,
) -> tuple[Samples, list[list[dict[str, Any]]]]:
    """Simulate until every flow is done and the links are empty, or time is up."""
    limit_ns = traffic_ns + spec.expected_duration_ns * PATIENCE_FACTOR + PATIENCE_NS
    flows = sorted(spec.flows, key=lambda flow: flow.flow_id)
    names = [assemble.labels(spec, flow) for flow in flows]
    samples: list[Samples] = []
    tcp: list[list[dict[str, Any]]] = [[] for _ in flows]
    while not driver.done and simulation.now_ns < limit_ns:
        # In a thread, so that signals are heard while a first call compiles.
        found: Samples | list[Samples] = await asyncio.to_thread(driver.advance, slice_ticks)
        samples += [found] if isinstance(found, Samples) else found
        progress("traffic", max(simulation.now_ns - traffic_ns, 0) / 1e9)
        if len(flows) <= FLOWS_LOOKED_AT and simulation.now_ns > traffic_ns:
            _look(simulation, names, tcp)
    simulation.stop_probing()
    while simulation.done and simulation.under_way:
        samples.append(simulation.advance(1))
    return assemble.joined(samples), tcp


def _look(simulation: Simulation, names: list[list[str]], tcp: list[list[dict[str, Any]]]) -> None:
    conns = simulation.world.conns
    for index, labels in enumerate(names):
        first = int(simulation.heads[index])
        for hop, label in enumerate(labels):
            row = conns[first + hop]
            if row["srtt"] > 0:
                tcp[index].append(assemble.tcp_sample(label, simulation.now_ns, row))
