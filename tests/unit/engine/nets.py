"""Small networks for tests of the engine, and the rate of a flow in steady state."""

from __future__ import annotations

import numpy as np

from sentinel_sim.backends.simulated.kernel import kernel
from sentinel_sim.engine.simulation import DELIVERED, Samples, Simulation
from sentinel_sim.engine.spec import (
    ConnectionSpec,
    FlowSpec,
    LinkSpec,
    LossModel,
    NetworkSpec,
)

MSS = 1448
MS = 1_000_000
SECOND = 1_000_000_000
NO_LOSS = LossModel()
PLENTY = 1 << 30


def both_ways(
    name: str,
    *,
    rate_bps: int = 1_000_000_000,
    delay_ns: int = 5 * MS,
    queue_bytes: int = 12_500_000,
    loss: LossModel = NO_LOSS,
    back_loss: LossModel = NO_LOSS,
    jitter_ns: int = 0,
) -> tuple[LinkSpec, LinkSpec]:
    """A link `name` in both directions: `name>` and `name<`."""
    there = LinkSpec(f"{name}>", rate_bps, delay_ns, queue_bytes, loss, jitter_ns)
    back = LinkSpec(f"{name}<", rate_bps, delay_ns, queue_bytes, back_loss, jitter_ns)
    return there, back


def connection(*names: str, control: str = "cubic", **changes: object) -> ConnectionSpec:
    """Over the links `names`, with buffers that limit nothing."""
    given: dict[str, object] = {
        "forward": tuple(f"{name}>" for name in names),
        "backward": tuple(f"{name}<" for name in reversed(names)),
        "control": control,
        "mss": MSS,
        "send_max": PLENTY,
        "receive_max": PLENTY,
    }
    return ConnectionSpec(**{**given, **changes})  # type: ignore[arg-type]


def bulk(flow_id: int, *connections: ConnectionSpec, start_ns: int = 0) -> FlowSpec:
    """A flow that never ends by itself."""
    return FlowSpec(flow_id, connections, start_ns, duration_ns=1 << 50)


def start(
    links: tuple[LinkSpec, ...],
    *flows: FlowSpec,
    seed: int = 1,
    tick_ns: int = 10 * MS,
    **more: object,
) -> Simulation:
    """A simulation, not yet advanced."""
    spec = NetworkSpec(links, flows, seed, **more)  # type: ignore[arg-type]
    return Simulation(spec, kernel(), tick_ns)


def run_for(simulation: Simulation, seconds: float, tick_ns: int = 10 * MS) -> Samples:
    """Advance, and prove that everything is accounted for."""
    samples = simulation.advance(round(seconds * SECOND / tick_ns))
    simulation.verify()
    return samples


def run_to_end(simulation: Simulation, ticks: int = 100_000) -> Samples:
    """Until all flows are done; fails the test if they never are."""
    samples = simulation.advance(ticks)
    simulation.verify()
    assert simulation.done, "the flows did not end"
    return samples


def rate_bps(samples: Samples, flow: int = 0, skip: float = 0.25) -> float:
    """Payload bit/s of a flow, without the first part of the time."""
    first = int(len(samples.times_ns) * skip)
    count = samples.flows[-1, flow, DELIVERED] - samples.flows[first, flow, DELIVERED]
    return float(count * 8e9 / (samples.times_ns[-1] - samples.times_ns[first]))


def final(simulation: Simulation, name: str) -> np.ndarray:
    """A field of all connections as it stands."""
    return simulation.world.conns[name].copy()
