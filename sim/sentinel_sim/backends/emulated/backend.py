"""The emulated backend: carries out runs on this host's kernel."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sentinel_bpf.wire import ProbeReading
from sentinel_node.daemon.client import NodeClient
from sentinel_node.errors import NodeError
from sentinel_proto.v1 import node_control_pb2 as pb
from sentinel_sim.backends.base import ProgressHook, RunMeasurement
from sentinel_sim.backends.emulated.assemble import (
    flow_measurements,
    fsu_report,
    node_facts,
    wire_measurement,
)
from sentinel_sim.backends.emulated.calibration import (
    CALIBRATION_DELAY_NS,
    base_cost_ns,
    correction_of,
)
from sentinel_sim.backends.emulated.control_links import ControlLinks
from sentinel_sim.backends.emulated.custody import CustodyDisk, resumptions
from sentinel_sim.backends.emulated.daemons import Daemons
from sentinel_sim.backends.emulated.deployment import Deployment
from sentinel_sim.backends.emulated.disruption import Disruption
from sentinel_sim.backends.emulated.fault_stages import FaultStages
from sentinel_sim.backends.emulated.forecasting import control_report
from sentinel_sim.backends.emulated.kernel_parts import KernelParts, KernelSources
from sentinel_sim.backends.emulated.layout import Layout
from sentinel_sim.backends.emulated.options import EmulationOptions
from sentinel_sim.backends.emulated.prober import Prober
from sentinel_sim.backends.emulated.sampling import CpuMeter, QueueSampler
from sentinel_sim.backends.emulated.scene import Scene
from sentinel_sim.backends.emulated.traffic import Reports, Traffic
from sentinel_sim.backends.emulated.wire_readings import WireReadings
from sentinel_sim.errors import EmulationError
from sentinel_sim.host.ownership import Ownership
from sentinel_sim.plan.model import RunSpec
from sentinel_sim.wire.processors import Processors
from sentinel_sim.wire.wire import SIDES

IDLE_PROBES = 20
IDLE_INTERVAL_S = 0.004
LOADED_INTERVAL_S = 0.1


@dataclass(frozen=True)
class _Load:
    """One run's traffic, from its first command to empty wires."""

    start_ns: int
    end_ns: int
    reports: Reports
    cpu: dict[str, object]
    sampler: QueueSampler
    planes: Mapping[str, pb.ReadControlReply]
    """How each node's control plane stood at the end; empty without one."""
    disruption: Disruption


class EmulatedBackend:
    """Builds the network once, then sets it anew for each run of one topology."""

    name = "emulated"

    def __init__(self, first: RunSpec, options: EmulationOptions) -> None:
        """`first`: any run of the plan; its nodes, links and paths make the network."""
        self._first = first
        self._options = options
        self._open = False

    async def __aenter__(self) -> EmulatedBackend:
        self._sources = KernelSources()
        self._ownership = Ownership.create()
        self._layout = Layout.of(self._ownership.run_id, self._first)
        self._deployment = Deployment(self._layout, self._ownership, self._options.wire_backend)
        self._parts = KernelParts(
            self._layout, self._sources, self._ownership, self._options.fsu_cost
        )
        self._daemons = Daemons(
            self._layout,
            self._ownership,
            Path(self._ownership.directory) / "logs",
            self._deployment.env,
            self._deployment.cpus_of,
            self._deployment.node_directory,
        )
        self._stages = FaultStages(
            self._layout, self._sources.wire, self._deployment.wires, self._parts.loss
        )
        self._wires = WireReadings(self._deployment, self._parts, self._stages)
        self.custody_disk = CustodyDisk(self._ownership)
        self._processors: Processors | None = None
        self._open = True
        try:
            if self._options.keep_awake:
                self._processors = Processors(
                    f"sentinel-{self._layout.run_id}",
                    self._deployment.env,
                    self._ownership.record_child,
                )
            await self._build()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def _build(self) -> None:
        deployment = self._deployment
        deployment.build_nodes()
        self._parts.load_fsus(len(self._first.flows))
        descriptors = {node: self._parts.flow_maps(node) for node in self._layout.nodes}
        try:
            self._daemons.launch(deployment.net, descriptors)
        finally:
            for fd in (
                fd for one in descriptors.values() for maps in one for fd in maps.descriptors
            ):
                os.close(fd)
        # While the daemons start.
        deployment.build_links()
        self._parts.load_wires()
        await self._daemons.connect()
        self.scene = Scene(
            self._layout,
            deployment,
            self._parts,
            self._daemons,
            self._stages,
            self.custody_disk,
            ControlLinks(self._layout, self._daemons.clients, deployment.node_directory),
        )
        await self._calibrate()

    async def __aexit__(self, *exc: object) -> None:
        if not self._open:
            return
        self._open = False
        try:
            await self._daemons.stop()
        finally:
            if self._processors is not None:
                self._processors.close()
            self._stages.detach()
            self._parts.close()
            self._sources.close()
            self._deployment.close()

    async def _calibrate(self) -> None:
        """Find what each wire costs beyond the delay asked for: idle, unshaped, without loss."""
        links = tuple(replace(link, loss=0.0) for link in self._first.links)
        self._parts.configure(replace(self._first, links=links))
        for link in self._layout.links:
            wire = self._deployment.wires[link.name]
            probe_link = replace(link, delay_one_way_ns=CALIBRATION_DELAY_NS, jitter_ns=0)
            wire.set_delay(probe_link, 0)
        self._deployment.raise_pollers()
        costs = await asyncio.gather(
            *(base_cost_ns(self._layout, link) for link in self._layout.links)
        )
        for link, cost_ns in zip(self._layout.links, costs, strict=True):
            self._deployment.wires[link.name].base_cost_ns = dict.fromkeys(SIDES, cost_ns)

    def environment(self) -> dict[str, Any]:
        """What this backend adds to the result's environment."""
        return {
            "wire_backend": self._options.wire_backend,
            "wire_order": "rate+queue, loss, delay+jitter",
            "run_id": self._layout.run_id,
            "offloads": self._deployment.offloads(),
            "wire_base_cost_ns": {
                link: dict(wire.base_cost_ns) for link, wire in self._deployment.wires.items()
            },
            "loss_seeded": True,
            "jitter_seeded": self._options.wire_backend == "delayline",
            "fsu_program": self._parts.program_facts(),
            "bpf_stats": self._options.fsu_cost or None,
            "iptables": self._deployment.iptables or None,
            "polling_threads": self._deployment.pollers,
            "awake": self._processors.describe() if self._processors is not None else None,
        }

    @property
    def layout(self) -> Layout:
        """Names and addresses of the network that stands."""
        return self._layout

    @property
    def clients(self) -> Mapping[str, NodeClient]:
        """The connections to the node daemons."""
        return self._daemons.clients

    def node_pid(self, node: str) -> int:
        """The shell that holds a node's namespaces."""
        return self._deployment.node_pids[node]

    def pids(self) -> dict[str, int]:
        """The processes of this experiment, by readable name."""
        daemons = {f"node {n}": p.pid for n, p in self._daemons.processes.items()}
        processors = self._processors.pids if self._processors is not None else {}
        return {**self._deployment.pids, **daemons, **processors, "controller": os.getpid()}

    def probe_reading(self, link: str, source: str) -> ProbeReading:
        """What the stamps of one wire direction saw since `prepare`."""
        return self._parts.read_probes((link, source))

    async def prepare(self, spec: RunSpec) -> None:
        """Set kernel TCP, wires and kernel programs for a run; all counts start at zero."""
        self._parts.configure(spec)
        self._deployment.configure(spec)
        self._parts.reset(spec)
        self._stages.detach()
        if spec.faults:
            self._stages.attach(spec)

    async def idle_rtt_ns(self, spec: RunSpec) -> list[int]:
        """Set everything for `spec`, calibrate, and measure round trips of the empty path 0."""
        await self.prepare(spec)
        prober = self._path_prober(spec)
        try:
            await self._correct_base_cost(prober, spec)
            return await self._probe_idle(prober, spec)
        finally:
            prober.close()

    async def run(self, spec: RunSpec, progress: ProgressHook) -> RunMeasurement:
        """Execute one run. Raises EmulationError."""
        progress("configuring", 0.0)
        await self.prepare(spec)
        before = self._wires.unplanned_drops()
        started_utc = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        progress("probing", 0.0)
        prober, loaded = self._path_prober(spec), list[int]()
        try:
            correction_ns = await self._correct_base_cost(prober, spec)
            idle = await self._probe_idle(prober, spec)
            load = await self._load_with_control(spec, progress, prober, loaded)
        finally:
            prober.close()
        reports = load.reports.by_node
        resumed = resumptions(reports, load.start_ns)
        wires = self._wires.read(spec, load.sampler, before)
        return RunMeasurement(
            started_utc=started_utc,
            traffic_start_ns=load.start_ns,
            traffic_end_ns=load.end_ns,
            rtt_idle_ns=tuple(idle),
            rtt_loaded_ns=tuple(loaded),
            flows=flow_measurements(spec, reports, load.start_ns, load.reports.resumed),
            wires=tuple(wire_measurement(state) for state in wires),
            fsu=await self._read_fsu(load.start_ns),
            cpu=load.cpu,
            rss_bytes_max={n: reply.rss_bytes_max for n, reply in reports.items()},
            offloads=self._deployment.offloads(),
            extra={"base_cost_correction_ns": correction_ns, **self._extra(load)},
            notes=tuple(f"{node}: {why}" for node, why in load.reports.lost.items()),
            faults=load.disruption.faults,
            repairs=load.disruption.repairs(resumed),
            resumptions=resumed,
            bins=self._parts.read_bins(),
        )

    async def _correct_base_cost(self, prober: Prober, spec: RunSpec) -> int:
        """Calibrate once more, at this run's own delays, over path 0; what was added per wire."""
        path = spec.paths[0]
        correction_ns = correction_of(await self._probe_idle(prober, spec), path, IDLE_PROBES)
        for link in spec.links if correction_ns else ():
            if link.name in path.links:
                wire = self._deployment.wires[link.name]
                for source in SIDES:
                    wire.base_cost_ns[source] += correction_ns
                wire.set_delay(link, spec.seed)
        return correction_ns

    def _path_prober(self, spec: RunSpec) -> Prober:
        path = spec.paths[0]
        ends = path.nodes[0], path.nodes[-1]
        source, target = (self._layout.address(node, path.index) for node in ends)
        return Prober(self._layout.namespace(ends[0]), source, target)

    async def _probe_idle(self, prober: Prober, spec: RunSpec) -> list[int]:
        patience_s = 1.0 + 2 * spec.paths[0].rtt_base_ns / 1e9
        return await prober.probe(IDLE_PROBES, IDLE_INTERVAL_S, patience_s)

    async def _load_with_control(
        self, spec: RunSpec, progress: ProgressHook, prober: Prober, loaded: list[int]
    ) -> _Load:
        """Only the arm `fsu` and custody need a control plane; others are not disturbed by one."""
        if not spec.has_control_plane:
            return await self._load(spec, progress, prober, loaded)
        progress("connecting", 0.0)
        control = self.scene.control
        try:
            await control.open(spec)
            return await self._load(spec, progress, prober, loaded, control)
        finally:
            await control.close()

    async def _leave(self, control: ControlLinks | None) -> dict[str, pb.ReadControlReply]:
        """How the nodes' planes stood; then they end, or their heartbeats would never drain."""
        if control is None:
            return {}
        planes = await control.read()
        await control.close()
        return planes

    async def _load(
        self,
        spec: RunSpec,
        progress: ProgressHook,
        prober: Prober,
        loaded: list[int],
        control: ControlLinks | None = None,
    ) -> _Load:
        """Send the traffic, watch it, and wait until the wires are empty again."""
        traffic = Traffic(
            spec, self._layout, self._daemons.clients, self.custody_disk, self._options.hashed
        )
        targets = await traffic.prepare()
        disruption = self.scene.disruption(spec, traffic, controlled=control is not None)
        await disruption.watch()
        names = {link: wire.names for link, wire in self._deployment.wires.items()}
        start_ns = time.monotonic_ns()
        meter = CpuMeter(self.pids())
        self._parts.begin_cost()
        if self._processors is not None:
            self._processors.reset()
        ended = asyncio.Event()
        probing = asyncio.ensure_future(self._probe_loaded(prober, spec, loaded, ended))

        def on_bytes(sender: str, count: int) -> None:
            disruption.on_bytes(sender, count)
            progress("traffic", (time.monotonic_ns() - start_ns) / 1e9)

        with QueueSampler(names) as sampler:
            try:
                await disruption.begin(start_ns)
                await traffic.send(targets, on_bytes)
                end_ns = time.monotonic_ns()
                await disruption.end()
                reports = await traffic.collect()
                planes = await self._leave(control)
            finally:
                ended.set()
                probing.cancel()
                await asyncio.gather(probing, return_exceptions=True)
                await disruption.end()
            stalls = self._processors.stalls() if self._processors is not None else {}
            cpu = {**meter.read(), "stalls": stalls, **self._parts.end_cost()}
            progress("draining", 0.0)
            await self._wires.drain()
        return _Load(start_ns, end_ns, reports, cpu, sampler, planes, disruption)

    async def _probe_loaded(
        self, prober: Prober, spec: RunSpec, into: list[int], ended: asyncio.Event
    ) -> None:
        """One probe at a time until the traffic has ended; the links' queues are part of it."""
        patience_s = 1.0 + 8 * spec.paths[0].rtt_base_ns / 1e9
        while not ended.is_set():
            into += await prober.probe(1, 0.0, patience_s)
            await asyncio.sleep(LOADED_INTERVAL_S)

    async def _read_fsu(self, since_ns: int) -> dict[str, Any]:
        """Every node's flow map, read by its daemon."""
        found = {}
        for node, client in self._daemons.clients.items():
            try:
                found[node] = fsu_report(await client.read_flow_metrics(), since_ns)
            except NodeError as error:
                raise EmulationError(f"{node}: {error}") from error
        return found

    def _extra(self, load: _Load) -> dict[str, Any]:
        reports = load.reports
        control = control_report(reports.by_node, load.planes) if load.planes else None
        return {
            **node_facts(reports.by_node),
            "control": control,
            "delay_stages": {
                link: wire.stage.describe() for link, wire in self._deployment.wires.items()
            },
        }
