"""From a run of the plan to what the engine simulates (pure)."""

from __future__ import annotations

from dataclasses import dataclass

from sentinel_sim.backends.emulated.profiles import buffers
from sentinel_sim.engine.spec import (
    ConnectionSpec,
    FlowSpec,
    LinkSpec,
    LossModel,
    NetworkSpec,
    ProbeSpec,
)
from sentinel_sim.errors import InfeasibleError
from sentinel_sim.experiment.framing import HEADERS_BYTES
from sentinel_sim.plan.model import (
    Arm,
    Custody,
    FaultKind,
    FaultPlan,
    FlowPlan,
    LinkPlan,
    PathPlan,
    RunSpec,
)
from sentinel_sim.topology.graph import ways

TICK_NS = 10_000_000
"""Grid of the series, as in the emulation."""
IDLE_PROBES = 20
IDLE_INTERVAL_NS = 10_000_000
LOADED_INTERVAL_NS = 100_000_000
RELAY_BUFFER_BYTES = 1 << 20
SIMULATED_FAULTS = frozenset({FaultKind.PARTITION, FaultKind.LOSS, FaultKind.RATE})
WINDOW_NUM, WINDOW_DEN = 87, 256
"""Share of a receive buffer that is window: tcpi_scaling_ratio of Linux 6.18 for 1448-byte
segments that crossed a veth with XDP (each costs 4.3 KB of memory there), measured once."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What is simulated, and when its traffic begins."""

    network: NetworkSpec
    traffic_ns: int


def direction(link: LinkPlan, source: str) -> str:
    """`a->b` with the node names."""
    return f"{source}->{link.b if source == link.a else link.a}"


def link_name(link: LinkPlan, source: str) -> str:
    """The engine's name of the direction of `link` that leaves from `source`."""
    return f"{link.name} {direction(link, source)}"


def setup(spec: RunSpec) -> Setup:
    """Everything the engine needs. Raises InfeasibleError for what it does not model."""
    refuse_unmodelled(spec)
    links = {link.name: link for link in spec.links}
    for link in spec.links:
        if link.reorder and link.jitter_ns > 0:
            raise InfeasibleError(
                f"link {link.name}: jitter that reorders packets is not simulated",
                cure="leave `reorder` out, or use --backend emulated",
            )
    path = spec.paths[0]
    idle_ns = IDLE_PROBES * IDLE_INTERVAL_NS + 2 * path.rtt_base_ns + LOADED_INTERVAL_NS
    traffic_ns = -(-idle_ns // TICK_NS) * TICK_NS
    there_and_back = (*_way(path, links), *_way_back(path, links))
    loaded = range(traffic_ns, traffic_ns + spec.expected_duration_ns, LOADED_INTERVAL_NS)
    idle = range(0, IDLE_PROBES * IDLE_INTERVAL_NS, IDLE_INTERVAL_NS)
    network = NetworkSpec(
        links=tuple(_link(link, source) for link in spec.links for source in (link.a, link.b)),
        flows=tuple(_flow(spec, flow, links, traffic_ns) for flow in spec.flows),
        seed=spec.seed,
        probes=tuple(ProbeSpec(at, there_and_back) for at in (*idle, *loaded)),
    )
    return Setup(network, traffic_ns)


def refuse_unmodelled(spec: RunSpec) -> None:
    """What no engine of ours models. Raises InfeasibleError."""
    if spec.custody is not Custody.NONE:
        raise InfeasibleError(
            f"run {spec.key}: custody is not simulated, and this run asks for {spec.custody}",
            cure="leave `experiment.custody` out, or use --backend emulated",
        )
    for fault in spec.faults:
        _refuse_fault(spec, fault)


def _refuse_fault(spec: RunSpec, fault: FaultPlan) -> None:
    why, cure = "", "use --backend emulated, or leave it to other arms with its `arms:`"
    if fault.kind not in SIMULATED_FAULTS or fault.control_only:
        why = "it strikes daemons or their control streams, and those are not what is simulated"
    elif fault.kind is FaultKind.PARTITION and spec.arm is Arm.FSU:
        why = "it cuts control streams too, and their sessions do not break in the simulation"
    elif fault.kind is FaultKind.PARTITION and spec.repair and _has_detour(spec, fault.target):
        why = "a supervisor would lead the path another way, and there is none in the simulation"
        cure += ", or set `experiment.repair: off`"
    if why:
        raise InfeasibleError(
            f"run {spec.key}: fault {fault.index + 1}, {fault.kind} of {fault.target}, is not"
            f" simulated: {why}",
            cure=cure,
        )


def _has_detour(spec: RunSpec, link: str) -> bool:
    """Is there another way for a path that leads over the link, where packets are forwarded?"""
    if spec.arm.splits:
        return False
    rest = tuple(one for one in spec.links if one.name != link)
    struck = (path for path in spec.paths if link in path.links)
    return any(ways(spec.roles, rest, path.nodes[0], path.nodes[-1]) for path in struck)


def _link(link: LinkPlan, source: str) -> LinkSpec:
    return LinkSpec(
        name=link_name(link, source),
        rate_bps=link.rate_bps,
        delay_ns=link.delay_one_way_ns,
        queue_bytes=link.queue_bytes,
        loss=LossModel(link.loss),
        jitter_ns=link.jitter_ns,
    )


def _way(path: PathPlan, links: dict[str, LinkPlan]) -> tuple[str, ...]:
    hops = zip(path.links, path.nodes[:-1], strict=True)
    return tuple(link_name(links[name], node) for name, node in hops)


def _way_back(path: PathPlan, links: dict[str, LinkPlan]) -> tuple[str, ...]:
    hops = zip(reversed(path.links), reversed(path.nodes[1:]), strict=True)
    return tuple(link_name(links[name], node) for name, node in hops)


def _flow(spec: RunSpec, flow: FlowPlan, links: dict[str, LinkPlan], traffic_ns: int) -> FlowSpec:
    path = spec.paths[flow.path]
    forward, backward = _way(path, links), _way_back(path, links)
    mtus = [links[name].mtu for name in path.links]
    if spec.arm.splits:
        last = len(forward) - 1
        connections = tuple(
            _connection(spec, (forward[hop],), (backward[last - hop],), mtus[hop], hop < last)
            for hop in range(len(forward))
        )
    else:
        connections = (_connection(spec, forward, backward, min(mtus), False),)
    return FlowSpec(
        flow_id=flow.flow_id,
        connections=connections,
        start_ns=traffic_ns + flow.start_ns,
        size_bytes=flow.size_bytes,
        duration_ns=flow.duration_ns,
    )


def _connection(
    spec: RunSpec,
    forward: tuple[str, ...],
    backward: tuple[str, ...],
    mtu: int,
    relayed: bool,
) -> ConnectionSpec:
    receive, send = buffers(spec)
    return ConnectionSpec(
        forward=forward,
        backward=backward,
        control=spec.congestion_control,
        mss=mtu - HEADERS_BYTES,
        send_max=send[2],
        receive_max=receive[2] * WINDOW_NUM // WINDOW_DEN,
        fixed_window=spec.window_bytes or 0,
        relay_bytes=RELAY_BUFFER_BYTES if relayed else 0,
    )
