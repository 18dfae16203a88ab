"""One run of the arm `fsu`: the engine, and the nodes' control planes beside it, in virtual time.

A call of the agenda at an instant comes before what the engine does at it. Work of the nodes takes
no time here: a daemon needs about a millisecond to get ready for a flow.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sentinel_node.core.control.messages import FlowState, PathMetadata
from sentinel_node.core.control.refusals import Refusal
from sentinel_node.core.start.adjustment import SEND_BUFFER, WINDOW, Adjustment, Anew
from sentinel_node.core.start.buffer_plan import BufferPlan, HostLimits, StartMode
from sentinel_node.core.start.careful_resume import PathMemory
from sentinel_node.core.start.outgoing import RELAY_LIMIT_BYTES, Outgoing, link_plan
from sentinel_node.core.sync.checkpoints import NO_PAYLOAD
from sentinel_node.core.sync.flow_log import Delivered
from sentinel_node.core.sync.paths import hop_names
from sentinel_node.daemon.control import reports
from sentinel_node.daemon.control.interface import control_flow_id
from sentinel_proto.v1 import node_control_pb2 as pb
from sentinel_sim.backends.emulated import forecasting
from sentinel_sim.backends.emulated.profiles import buffers
from sentinel_sim.backends.simulated.control.agenda import Agenda, Clock
from sentinel_sim.backends.simulated.control.band import ControlBand
from sentinel_sim.backends.simulated.control.node import VirtualNode
from sentinel_sim.backends.simulated.control.starts import (
    Prepared,
    apply_receiving,
    apply_sending,
    hold_back,
    resize,
)
from sentinel_sim.backends.simulated.translate import TICK_NS, link_name
from sentinel_sim.engine.layout import FINISHED, Array
from sentinel_sim.engine.simulation import Samples, Simulation
from sentinel_sim.errors import SimulationError
from sentinel_sim.plan.model import FlowPlan, LinkPlan, RunSpec

ONWARD = "onward connection"
SETTLE_NS = 2_000_000_000
"""After the data: for the last check to be made at every receiver, beside the way there."""


@dataclass(slots=True)
class _Flow:
    """One flow, its place among the connections, and how far its end is told."""

    plan: FlowPlan
    name: int
    nodes: tuple[str, ...]
    first: int
    prepared: dict[str, Prepared] = field(default_factory=dict)
    delivered: bool = False
    ended: set[int] = field(default_factory=set)
    """Connections that have ended, by the hop they lead to."""


def payload_bytes(row: Array, position: str) -> int:
    """Bytes of a stream up to a segment; only its last one may be shorter."""
    segments, mss = int(row[position]), int(row["mss"])
    short = mss - int(row["last_bytes"]) if segments and segments == int(row["total"]) else 0
    return segments * mss - short


class FsuSimulation:
    """Drives one simulation and its nodes; takes the place of `Simulation.advance`."""

    def __init__(
        self,
        spec: RunSpec,
        simulation: Simulation,
        memories: Mapping[str, PathMemory],
        *,
        tick_ns: int = TICK_NS,
        beating: bool = True,
    ) -> None:
        """`tick_ns`: the simulation's.

        `beating` false: no heartbeats but the first, where nobody asks for liveness.
        """
        self._beating = beating
        self._spec = spec
        self._simulation = simulation
        self._memories = memories
        self._agenda = Agenda()
        self.clock = Clock(simulation, self._agenda, tick_ns)
        self.on_tick: Callable[[Samples], None] = lambda samples: None
        """Called at the end of each interval."""
        receive, send = buffers(spec)
        self._host = HostLimits(receive[2], send[2], RELAY_LIMIT_BYTES)
        self._mode = StartMode.MANAGED if spec.managed else StartMode.CAREFUL
        self._bands: dict[tuple[str, str], ControlBand] = {}
        self._nodes = self._connected()
        self._flows = {flow.name: flow for flow in self._all_flows()}
        self._open = list(self._flows.values())
        self._settled_by_ns: int | None = None
        for node in self._nodes.values():
            node.begin()
            node.sync.on_flow(partial(self._prepare, node))
        for flow in self._flows.values():
            start_ns = int(simulation.world.conns[flow.first]["start"])
            self._agenda.at(start_ns, partial(self._announce, flow))

    @property
    def done(self) -> bool:
        """All data was delivered, and every flow's end was checked (or will never be)."""
        if not self._simulation.done:
            return False
        now_ns = self._simulation.now_ns
        if self._settled_by_ns is None:
            longest_ns = max(path.rtt_base_ns for path in self._spec.paths)
            self._settled_by_ns = now_ns + 2 * longest_ns + SETTLE_NS
        names = tuple(self._flows)
        receivers = {flow.nodes[-1] for flow in self._flows.values()}
        left = sum(self._nodes[node].sync.unchecked(names) for node in receivers)
        return left == 0 or now_ns >= self._settled_by_ns

    def advance(self, ticks: int) -> list[Samples]:
        """Run for `ticks` intervals; the samples of each."""
        found: list[Samples] = []
        for _ in range(ticks):
            self._agenda.run_before(self.clock.tick_end_ns)
            found.append(self.clock.finish_tick())
            self._agenda.now_ns = self._simulation.now_ns
            self._tell_ends()
            self.on_tick(found[-1])
        return found

    def set_control_loss(self, link: LinkPlan, source: str, loss: float) -> None:
        """Of control messages that leave `source` over the link from now on."""
        band = self._bands.get((link.name, source))
        if band is not None:
            band.loss = loss

    def control_bytes(self, link: LinkPlan, source: str) -> int:
        """Of the control stream that left `source` over the link; layer 2."""
        band = self._bands.get((link.name, source))
        return band.bytes_sent if band is not None else 0

    def digest(self) -> bytes:
        """Of every control message that came, and when."""
        bands = sorted(self._bands.items())
        return hashlib.sha256(b"".join(band.trace.digest() for _, band in bands)).digest()

    def report(self) -> dict[str, Any]:
        """As `forecasting.control_report` gives it of daemons."""
        return {
            name: {
                "adjustments": [forecasting.plain(one) for one in self._adjustments(name)],
                "sync": [
                    forecasting.plain(reports.sync_report(flow.plan.flow_id, node.sync.logs[key]))
                    for key, flow in self._flows.items()
                    if key in node.sync.logs
                ],
                "plane": forecasting.plain(node.report()),
            }
            for name, node in self._nodes.items()
        }

    def _connected(self) -> dict[str, VirtualNode]:
        """All nodes with a link, and a stream over the first link of each pair."""
        pairs: dict[frozenset[str], LinkPlan] = {}
        for link in sorted(self._spec.links, key=lambda one: one.name):
            pairs.setdefault(frozenset(link.ends), link)
        around: dict[str, list[str]] = {}
        for link in pairs.values():
            around.setdefault(link.a, []).append(link.b)
            around.setdefault(link.b, []).append(link.a)
        seed = self._spec.seed
        secret = hashlib.sha256(f"control {seed}".encode()).digest()
        nodes = {
            name: VirtualNode(
                name, tuple(peers), self._agenda, seed=seed, secret=secret, beating=self._beating
            )
            for name, peers in sorted(around.items())
        }
        for link in pairs.values():
            for source, target in ((link.a, link.b), (link.b, link.a)):
                band = ControlBand(
                    self.clock,
                    link,
                    self._simulation.link_names.index(link_name(link, source)),
                    ahead=self._spec.control_band,
                    seed=seed,
                    receive=partial(nodes[target].receive, source),
                )
                self._bands[link.name, source] = band
                nodes[source].connect(target, band.send)
        return nodes

    def _all_flows(self) -> list[_Flow]:
        flows = sorted(self._spec.flows, key=lambda flow: flow.flow_id)
        return [
            _Flow(
                flow,
                control_flow_id(self._spec.key, flow.flow_id),
                self._spec.paths[flow.path].nodes,
                int(first),
            )
            for flow, first in zip(flows, self._simulation.heads, strict=True)
        ]

    def _row(self, flow: _Flow, hop: int) -> Array:
        """The connection that leads to hop `hop` of the flow's path (1: the first link)."""
        row: Array = self.clock.simulation.world.conns[flow.first + hop - 1]
        return row

    def _left(self, flow: _Flow) -> int:
        """Payload bytes that have left the sender's host, each counted once."""
        return payload_bytes(self._row(flow, 1), "nxt")

    def _announce(self, flow: _Flow) -> None:
        """The sender tells of its flow and connects at the same instant."""
        node, now_ns = self._nodes[flow.nodes[0]], self._agenda.now_ns
        said = reports.announcement(
            pb.FlowSpec(announcement=forecasting.announcement(self._spec, flow.plan))
        )
        assert said is not None  # the arm fsu announces every flow
        announced = said.of_flow(
            flow.name, node.sync.version(), size_bytes=flow.plan.size_bytes, now_ns=now_ns
        )
        path = announced.path
        told = node.sync.announce(
            announced,
            partial(self._left, flow),
            lambda state: self._follow(flow, node.name, state, path),
            now_ns=now_ns,
        )
        if isinstance(told, Refusal):
            raise SimulationError(f"flow {flow.plan.flow_id} was not announced: {told.detail}")
        node.sample_own()
        prepared = flow.prepared[node.name] = Prepared()
        if self._mode is StartMode.MANAGED:
            node.sync.offers.expect(flow.name, prepared.offered)
        self._outward(flow, prepared, told, path, 1, "start window")

    def _prepare(self, node: VirtualNode, state: FlowState, path: PathMetadata) -> None:
        """A forecast has come: get ready for the flow, the side that data comes from first."""
        flow = self._flows.get(state.flow_id)
        if flow is None or hop_names(path) != flow.nodes:
            return
        here = flow.nodes.index(node.name)
        if node.name in flow.prepared:
            self._follow(flow, node.name, state, path)
            return
        if here == 0:
            return
        prepared = flow.prepared[node.name] = Prepared()
        plan = link_plan(state, path, here, self._host, self._mode, None)
        window = self._spec.window_bytes or plan.window_clamp_bytes
        apply_receiving(self._row(flow, here), window)
        self._adjusted(flow, prepared, "receive buffer", plan)
        if self._mode is StartMode.MANAGED:
            self._offer(node, flow, here, window)
        if here + 1 < len(flow.nodes):
            onward = self._outward(flow, prepared, state, path, here + 1, "send buffer")
            self._adjusted(flow, prepared, ONWARD, onward)
            self.clock.simulation.wake("start", flow.first + here, self._agenda.now_ns)

    def _offer(self, node: VirtualNode, flow: _Flow, here: int, window_bytes: int) -> None:
        """Say upstream what this node takes at once, and hear the same of the next one.

        The SYN never comes first here: a forecast takes no time to be followed.
        """
        node.sync.offers.say(flow.name, window_bytes, self._agenda.now_ns)
        if here + 1 < len(flow.nodes):
            node.sync.offers.expect(flow.name, flow.prepared[node.name].offered)

    def _outward(
        self,
        flow: _Flow,
        prepared: Prepared,
        state: FlowState,
        path: PathMetadata,
        hop: int,
        what: str,
    ) -> BufferPlan:
        """Plan the connection to hop `hop` and have it begin so."""
        source, target = flow.nodes[hop - 1 : hop + 1]
        outgoing = Outgoing.of(
            self._memories[source],
            self._host,
            target,
            state,
            path,
            hop,
            self._mode,
            now_ns=self._agenda.now_ns,
        )
        prepared.outgoing = outgoing
        apply_sending(self._row(flow, hop), outgoing.plan)
        index = flow.first + hop - 1
        prepared.gate = hold_back(self.clock, index, outgoing)
        self._adjusted(flow, prepared, what, outgoing.plan)
        return outgoing.plan

    def _adjusted(
        self, flow: _Flow, prepared: Prepared, what: str, plan: BufferPlan, before_bytes: int = 0
    ) -> None:
        prepared.add(Adjustment(flow.name, what, plan, self._agenda.now_ns, before_bytes))

    def _follow(self, flow: _Flow, name: str, state: FlowState, path: PathMetadata) -> None:
        """Another rate is predicted: windows, buffers and pacing follow at once."""
        prepared, here = flow.prepared[name], flow.nodes.index(name)
        anew = Anew.of(
            state,
            path,
            here,
            self._host,
            self._mode,
            prepared.outgoing if here + 1 not in flow.ended else None,
            window_fixed=bool(self._spec.window_bytes),
        )
        if anew.window is not None:
            apply_receiving(self._row(flow, here), anew.window.window_clamp_bytes)
            self._adjusted(flow, prepared, WINDOW, anew.window, anew.offset_bytes)
        if anew.sending is not None:
            resize(self._row(flow, here + 1), anew.sending)
            if prepared.gate is not None:
                prepared.gate.limit(anew.sending.pacing_Bps)
            self._adjusted(flow, prepared, SEND_BUFFER, anew.sending, anew.offset_bytes)

    def _tell_ends(self) -> None:
        """What ended since the last tick: at the receiver, for the sender, and each connection."""
        for flow in tuple(self._open):
            self._arrived(flow)
            last = self._row(flow, len(flow.nodes) - 1)
            if not flow.delivered and last["last_byte"] > 0:
                flow.delivered = True
                total = payload_bytes(last, "total")
                receiver = self._nodes[flow.nodes[-1]].sync
                receiver.delivered(flow.name, Delivered(total, NO_PAYLOAD))
            ended = [self._close(flow, hop) for hop in range(1, len(flow.nodes))]
            if all(ended) and flow.delivered:
                self._open.remove(flow)

    def _arrived(self, flow: _Flow) -> None:
        """What came under a prediction made in mid-flow; to the tick."""
        for here, name in enumerate(flow.nodes[1:], 1):
            prepared = flow.prepared.get(name)
            if prepared is not None and prepared.waiting:
                came = payload_bytes(self._row(flow, here), "rcv_nxt")
                prepared.reached(came, self._simulation.now_ns)

    def _close(self, flow: _Flow, hop: int) -> bool:
        """Has the connection to hop `hop` ended? If it has just now, see to what follows."""
        row = self._row(flow, hop)
        if row["state"] != FINISHED:
            return False
        source, now_ns = flow.nodes[hop - 1], self._simulation.now_ns
        if hop in flow.ended:
            return True
        flow.ended.add(hop)
        if hop == 1:
            total = payload_bytes(row, "total")
            self._nodes[source].sync.finish(flow.name, total, NO_PAYLOAD, now_ns=now_ns)
        prepared = flow.prepared.get(source)
        if prepared is not None:
            prepared.close(row, now_ns)
        return True

    def _adjustments(self, name: str) -> list[pb.Adjustment]:
        found = []
        for flow in self._flows.values():
            prepared = flow.prepared.get(name)
            if prepared is None:
                continue
            here = flow.nodes.index(name)
            first_byte_ns = int(self._row(flow, here)["first_byte"]) if here else 0
            for one in prepared.adjustments:
                if one.what == ONWARD:
                    # It is ready when the connection stands.
                    ready_ns = int(self._row(flow, here + 1)["first_write"])
                    one = dataclasses.replace(one, ready_ns=ready_ns)
                found.append(reports.adjustment_report(flow.plan.flow_id, one, first_byte_ns))
        return found
