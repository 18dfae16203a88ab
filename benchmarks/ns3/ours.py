"""Our packet engine on a case."""

from __future__ import annotations

import time

import numpy as np
from cases import BUFFER_BYTES, INITIAL_WINDOW, MSS_BYTES, Case
from outcome import Outcome, Series

from sentinel_sim.backends.simulated.kernel import kernel
from sentinel_sim.engine.layout import LOSS
from sentinel_sim.engine.simulation import DELIVERED, Simulation
from sentinel_sim.engine.spec import ConnectionSpec, FlowSpec, LinkSpec, NetworkSpec

SPEED_S = 0.5
"""The same run is made again until it has taken so long; one takes a few hundredths."""


def network(case: Case) -> NetworkSpec:
    """Segmentation offload is off: ns-3 has none, each segment is a packet of its own there."""
    links = tuple(
        LinkSpec(name, case.rate_bps, case.link_delay_ns, case.queue_bytes)
        for name in ("a>", "a<", "b>", "b<")
    )
    connection = ConnectionSpec(
        forward=("a>", "b>"),
        backward=("b<", "a<"),
        control=case.control,
        mss=MSS_BYTES,
        send_max=BUFFER_BYTES,
        receive_max=BUFFER_BYTES,
        fixed_window=BUFFER_BYTES,
        initial_window=INITIAL_WINDOW,
        hystart=case.hystart,
        segmentation_offload=False,
    )
    return NetworkSpec(links, (FlowSpec(1, (connection,), duration_ns=2 * case.duration_ns),), 1)


def measure(case: Case) -> Outcome:
    """As fast as it goes, without looking at it in between. Raises if two runs differ."""
    wall_s = cpu_s = 0.0
    packets = 0
    delivered = set()
    while wall_s < SPEED_S:
        simulation = Simulation(network(case), kernel(), case.tick_ns)
        began, cpu_began = time.perf_counter(), time.process_time()
        samples = simulation.advance(case.ticks)
        wall_s += time.perf_counter() - began
        cpu_s += time.process_time() - cpu_began
        simulation.verify()
        packets += int(simulation.world.conns["data_arrived"][0])
        delivered.add(samples.flows[:, 0, DELIVERED].tobytes())
    if len(delivered) != 1:
        raise RuntimeError(f"{case.name}: equal simulations gave different results")
    return Outcome(packets, wall_s, cpu_s, trace(case))


def trace(case: Case) -> Series:
    """The run once more, stopped at each tick to read the sender's state."""
    simulation = Simulation(network(case), kernel(), case.tick_ns)
    rows = []
    timeouts = 0
    was_lost = False
    for _ in range(case.ticks):
        samples = simulation.advance(1)
        sender = simulation.world.conns[0]
        is_lost = bool(sender["ca_state"] == LOSS)
        timeouts += is_lost and not was_lost
        was_lost = is_lost
        drops = int(simulation.world.links["queue_dropped"].sum())
        delivered = int(samples.flows[0, 0, DELIVERED])
        state = (sender["cwnd"], sender["ssthresh"], sender["srtt"])
        rows.append((delivered, *state, drops, timeouts))
    return Series(case.tick_ns, np.array(rows, np.float64))


def warm_up(case: Case) -> None:
    """Compile the engine, or load it, before anything is measured."""
    Simulation(network(case), kernel(), case.tick_ns).advance(1)
