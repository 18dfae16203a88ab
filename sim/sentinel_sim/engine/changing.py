"""Links that change while packets are on them, between two steps of the engine.

What waits for its transmission leaves at the new rate, and does not pass a link that is cut; what
has left arrives. Loss strikes a packet when it comes to the queue: one that waits when the loss
changes has been judged by the old one.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from sentinel_sim.engine.build import fill_loss, fill_rate
from sentinel_sim.engine.layout import NEVER, Array, World
from sentinel_sim.engine.spec import LossModel
from sentinel_sim.engine.timeline import set_due

CERTAIN = LossModel(good=1.0)


def set_rate(world: World, index: int, rate_bps: int, queue_bytes: int) -> None:
    """Transmit at `rate_bps` from now on; the queue's limit stays what it is, in bytes."""
    link, now = world.links[index], int(world.state[0]["now"])
    before = int(link["step"])
    fill_rate(link, rate_bps, queue_bytes)
    after = int(link["step"])
    # Whole numbers of any size: times are long beside the length of a byte.
    link["free"] = now + max(int(link["free"]) - now, 0) * after // before
    link["fraction"] = 0
    packets = world.packets[_rows(link)]
    departed = packets["departed"]
    waiting = np.maximum(departed - now, 0)
    shift = np.rint(waiting * (after / before)).astype(np.int64) - waiting
    due = np.maximum.accumulate(packets["due"] + shift)  # jitter never reorders
    world.packets["departed"][_rows(link)] = departed + shift
    world.packets["due"][_rows(link)] = due
    if len(due):
        link["last_due"] = due[-1]
        _set_due(world, index, int(due[0]))


def set_loss(world: World, index: int, loss: LossModel) -> None:
    """Lose what comes from now on by this model."""
    fill_loss(world.links[index], loss)


def cut(world: World, index: int) -> int:
    """Nothing leaves from now on, until `set_loss`; gives how many packets waited and are lost."""
    link, now = world.links[index], int(world.state[0]["now"])
    packets = world.packets[_rows(link)]
    waiting = packets["departed"] > now  # the last ones: a queue is first in, first out
    count = int(np.count_nonzero(waiting))
    link["tail"] -= count
    link["lost"] += count
    link["lost_bytes"] += int(packets["size"][waiting].sum())
    if count == len(packets):
        _set_due(world, index, NEVER)
    set_loss(world, index, CERTAIN)
    return count


def _rows(link: Array) -> Array:
    """Places of the packets under way, in the order in which they left."""
    places = np.arange(int(link["head"]), int(link["tail"])) & int(link["mask"])
    return int(link["first"]) + places


def _set_due(world: World, index: int, when_ns: int) -> None:
    # Called as plain Python: there is no compiled entry but the kernel's.
    cast(Any, set_due).py_func(world, index, when_ns)
