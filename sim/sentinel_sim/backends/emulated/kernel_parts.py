"""The kernel programs of a deployment: FSUs at link ends, loss and stamps in the wires."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from sentinel_bpf.attach import attach_tc, attach_xdp
from sentinel_bpf.compiling import Compilation
from sentinel_bpf.errors import BpfError, BpfUnavailableError
from sentinel_bpf.loader import CompiledSource
from sentinel_bpf.wire import LossReading, LossStage, ProbeReading, WireProbes
from sentinel_sim.backends.base import LinkBins
from sentinel_sim.backends.emulated.byte_bins import PathBins
from sentinel_sim.backends.emulated.daemons import FlowMaps
from sentinel_sim.backends.emulated.fault_stages import loss_seed, lossy_by_fault
from sentinel_sim.backends.emulated.fsu_cost import FsuCost
from sentinel_sim.backends.emulated.fsu_points import FsuPoints
from sentinel_sim.backends.emulated.layout import Layout
from sentinel_sim.errors import EmulationError, MissingCapabilityError
from sentinel_sim.host.ownership import Ownership
from sentinel_sim.plan.model import RunSpec
from sentinel_sim.wire.names import NAMESPACE_DIRECTORY, WireNames, other
from sentinel_sim.wire.wire import SIDES

FLOWS_MAX_DEFAULT = 4096
"""Of each link end; 0.9 KB a flow, allocated at once."""
FLOWS_HEADROOM = 4
"""An LRU map should hold four times the flows expected."""

Direction = tuple[str, str]
"""(link name, side from which the packets come)."""


def sample_mask(rate_bps: int) -> int:
    """Which packets are stamped: all on slow links, one in 2, 4 or 8 on faster ones.

    So that a run of seconds gives thousands of transits, at a cost below one percent.
    """
    for mask, fastest_bps in ((0, 200_000_000), (1, 1_000_000_000), (3, 4_000_000_000)):
        if rate_bps <= fastest_bps:
            return mask
    return 7


class KernelSources:
    """All sources, compiled once for all nodes and wires, beside what is done meanwhile.

    Each method waits for its source the first time. Raises MissingCapabilityError without bcc,
    headers or privilege, EmulationError if it does not compile.
    """

    def __init__(self) -> None:
        self._flow_math, self._flow_tc, self._wire = (
            Compilation(name) for name in ("flow_math", "flow_math_tc", "wire")
        )

    def flow_math(self) -> CompiledSource:
        """The FSU for XDP."""
        return _compiled(self._flow_math)

    def flow_tc(self) -> CompiledSource:
        """The FSU for tc."""
        return _compiled(self._flow_tc)

    def wire(self) -> CompiledSource:
        """The wire's programs."""
        return _compiled(self._wire)

    def close(self) -> None:
        """Free what the compilations keep, and give up those that are under way."""
        for compilation in (self._flow_math, self._flow_tc, self._wire):
            compilation.close()


def _compiled(compilation: Compilation) -> CompiledSource:
    try:
        return compilation.source()
    except BpfUnavailableError as error:
        raise MissingCapabilityError(str(error), cure=error.cure or "make setup") from error
    except BpfError as error:
        raise EmulationError(str(error)) from error


@dataclass
class KernelParts:
    """Loaded and attached programs; `close` detaches them all."""

    layout: Layout
    sources: KernelSources
    ownership: Ownership
    timed: bool = False
    """Whether the kernel times the FSUs; see `fsu_cost`."""
    probes: dict[Direction, WireProbes] = field(default_factory=dict)
    loss: dict[Direction, LossStage] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._stack = ExitStack()
        self._attached_loss: ExitStack | None = None
        self._fsu = FsuPoints(self.layout, self.ownership, self.sources.flow_tc)
        self._cost: FsuCost | None = None
        self._bins = PathBins(self.layout, self.sources.wire)

    def load_fsus(self, flows: int) -> None:
        """Load an FSU for each link end; `flows`: how many connections are expected at once."""
        self._stack.callback(self._fsu.close)
        self._fsu.load(self.sources.flow_math(), max(FLOWS_MAX_DEFAULT, FLOWS_HEADROOM * flows))
        if self.timed:
            self._cost = FsuCost(self._fsu.statistics)
            self._stack.callback(self._cost.close)

    def load_wires(self) -> None:
        """Load probes and a loss stage for each wire direction, and attach the probes."""
        for link in self.layout.links:
            for side in SIDES:
                self._load_wire(link.name, side)

    def _load_wire(self, link: str, source: str) -> None:
        probes = WireProbes(self.sources.wire())
        self._stack.callback(probes.close)
        loss = LossStage(self.sources.wire())
        self._stack.callback(loss.close)
        self.probes[link, source] = probes
        self.loss[link, source] = loss
        names, target = self.layout.wire_names(link), self._target(link, source)
        wire = NAMESPACE_DIRECTORY / names.namespace
        entry = attach_tc(probes.enter_fd, names.mid(other(source)), "ingress", wire)
        self._stack.callback(entry.close)
        node = NAMESPACE_DIRECTORY / self.layout.namespace(target)
        leave = attach_tc(probes.leave_fd, names.node_end(other(source)), "ingress", node)
        self._stack.callback(leave.close)

    def _target(self, link: str, source: str) -> str:
        plan = next(plan for plan in self.layout.links if plan.name == link)
        return plan.b if source == "a" else plan.a

    def flow_maps(self, node: str) -> list[FlowMaps]:
        """Read-only descriptors of the maps of the node's FSUs; the caller closes them."""
        return self._fsu.flow_maps(node)

    @property
    def fsu(self) -> FsuPoints:
        """The FSUs at the link ends."""
        return self._fsu

    def configure(self, spec: RunSpec) -> None:
        """Attach what this run needs, detach what it does not."""
        if spec.xdp:
            self._fsu.attach(spec.fsu_outer)
        else:
            self._fsu.detach()
        self._set_loss(spec)

    def reset(self, spec: RunSpec) -> None:
        """Start the stamps' counts at zero, while nothing is under way."""
        masks = {link.name: sample_mask(link.rate_bps) for link in spec.links}
        for (link, _), probes in self.probes.items():
            probes.configure(masks[link])
        self._bins.attach(spec)

    def _set_loss(self, spec: RunSpec) -> None:
        if self._attached_loss is not None:
            self._attached_loss.close()
        self._attached_loss = stack = ExitStack()
        lossy = lossy_by_fault(spec)
        for link in spec.links:
            for source in SIDES:
                stage = self.loss[link.name, source]
                stage.configure(loss_seed(spec, link.name, source), link.loss)
                if link.loss > 0 or link.name in lossy:
                    names: WireNames = self.layout.wire_names(link.name)
                    wire = NAMESPACE_DIRECTORY / names.namespace
                    interface = names.mid(other(source))
                    stack.callback(attach_xdp(stage.xdp_fd, interface, wire).close)

    def begin_cost(self) -> None:
        """Time the FSUs from here on, if that was asked for."""
        if self._cost is not None:
            self._cost.begin()

    def end_cost(self) -> dict[str, Any]:
        """{"fsu_cost": what they took since `begin_cost`}; empty if it was not asked for."""
        return {} if self._cost is None else {"fsu_cost": self._cost.end()}

    def read_probes(self, direction: Direction) -> ProbeReading:
        """What the independent stamps of one wire direction saw since `configure`."""
        return self.probes[direction].read()

    def read_loss(self, direction: Direction) -> LossReading:
        """What the loss stage of one wire direction did since `configure`."""
        return self.loss[direction].read()

    def read_bins(self) -> tuple[LinkBins, ...]:
        """Bytes in bins along path 0 since `reset`; empty if the run did not ask for them."""
        return self._bins.read()

    def program_facts(self) -> dict[str, Any]:
        """Sizes of the FSU as the kernel sees it, for the result's environment."""
        facts = self._fsu.stats()
        if facts is None:
            return {}
        return {
            "verified_instructions": facts.verified_instructions,
            "translated_instructions": facts.translated_instructions,
            "jited_bytes": facts.jited_bytes,
            "heartbeat": self._fsu.heartbeat(),
        }

    def close(self) -> None:
        """Detach and unload everything."""
        self._bins.close()
        for stack in (self._attached_loss, self._stack):
            if stack is not None:
                stack.close()
        self._attached_loss = None
        self.probes.clear()
        self.loss.clear()
