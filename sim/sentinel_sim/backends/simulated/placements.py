"""Simulates placements of relays for `plan --check`: steady goodput by the packet engine."""

from __future__ import annotations

from sentinel_sim.backends.simulated.kernel import kernel
from sentinel_sim.backends.simulated.translate import TICK_NS
from sentinel_sim.engine.simulation import DELIVERED, Simulation
from sentinel_sim.engine.spec import NetworkSpec


def steady_goodput_bps(network: NetworkSpec, duration_ns: int) -> float:
    """Delivered payload bit/s in the second half of the time, by the rule of `run`.

    Raises SimulationError if a packet or a byte is not accounted for.
    """
    simulation = Simulation(network, kernel(), TICK_NS)
    ticks = duration_ns // TICK_NS
    samples = simulation.advance(ticks)
    simulation.verify()
    half = ticks // 2
    delivered = samples.flows[:, 0, DELIVERED]
    taken_ns = samples.times_ns[ticks - 1] - samples.times_ns[half - 1]
    return float((delivered[ticks - 1] - delivered[half - 1]) * 8e9 / taken_ns)
