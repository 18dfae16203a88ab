"""Packets that the driver carries itself over the links of a simulation.

They take the transmitter's time and are counted like all others; what becomes of them after they
left it is the driver's business. Meant for a few packets beside the data (control messages).
"""

from __future__ import annotations

from sentinel_sim.engine.build import STEP_BITS
from sentinel_sim.engine.layout import World

FULL_PACKET_BYTES = 1514


def carry(world: World, index: int, size: int, *, ahead: bool, lost: bool) -> int | None:
    """Send one packet of `size` bytes (layer 2) over link `index`, now; when it has left, in ns.

    None: the queue is full. `ahead`: it waits for one packet in transmission at most (a
    strict-priority band), else behind all that waits. `lost` behind the transmitter.
    """
    link, state = world.links[index], world.state[0]
    now = int(state["now"])
    step = int(link["step"])
    waits = max(int(link["free"]) - now, 0)
    state["originated"] += 1
    link["offered"] += 1
    link["offered_bytes"] += size
    if not ahead and waits > int(link["queue_ns"]):
        link["queue_dropped"] += 1
        link["dropped_bytes"] += size
        return None
    takes = size * step >> STEP_BITS
    link["free"] = now + waits + takes
    for counted, amount in (("accepted", 1), ("accepted_bytes", size)):
        link[counted] += amount
    outcome = "lost" if lost else "arrived"
    link[outcome] += 1
    link[f"{outcome}_bytes"] += size
    if not lost:
        state["delivered"] += 1
    if ahead:
        waits = min(waits, FULL_PACKET_BYTES * step >> STEP_BITS)
    return now + waits + takes
