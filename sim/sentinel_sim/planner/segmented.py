"""What the packet engine has to simulate to check a placement (pure).

Unlike the arm `split` of `run`, which ends TCP at every node, connections here end only where
relays stand; the nodes between them forward.
"""

from __future__ import annotations

import itertools

from sentinel_sim.backends.emulated.profiles import STOCK_RMEM, STOCK_WMEM, tuned_buffer_bytes
from sentinel_sim.backends.simulated.translate import (
    RELAY_BUFFER_BYTES,
    WINDOW_DEN,
    WINDOW_NUM,
    link_name,
)
from sentinel_sim.engine.spec import ConnectionSpec, FlowSpec, LinkSpec, LossModel, NetworkSpec
from sentinel_sim.experiment.framing import HEADERS_BYTES
from sentinel_sim.planner.network import Offer
from sentinel_sim.planner.placement import stops
from sentinel_sim.planner.response import Loop


def network_spec(
    offer: Offer, relays: tuple[str, ...], *, stock: bool, duration_ns: int, seed: int
) -> NetworkSpec:
    """One bulk flow over these relays; `stock` takes the buffers of arm `direct`."""
    pairs = list(itertools.pairwise(stops(offer, relays)))
    connections = tuple(
        _connection(offer, a, b, stock=stock, relayed=index < len(pairs) - 1)
        for index, (a, b) in enumerate(pairs)
    )
    used = {link.name: link for a, b in pairs for link in offer.way(a, b)}
    links = tuple(
        LinkSpec(
            name=link_name(link, end),
            rate_bps=link.rate_bps,
            delay_ns=link.delay_one_way_ns,
            queue_bytes=link.queue_bytes,
            loss=LossModel(link.loss),
            jitter_ns=link.jitter_ns,
        )
        for link in used.values()
        for end in link.ends
    )
    flow = FlowSpec(0, connections, duration_ns=duration_ns)
    return NetworkSpec(links, (flow,), seed)


def _connection(offer: Offer, a: str, b: str, *, stock: bool, relayed: bool) -> ConnectionSpec:
    links, nodes = offer.way(a, b), offer.nodes_on(a, b)
    loop = offer.loop(a, b)
    receive, send = _buffers(loop, stock=stock)
    return ConnectionSpec(
        forward=tuple(link_name(link, node) for link, node in zip(links, nodes, strict=False)),
        backward=tuple(
            link_name(link, node)
            for link, node in zip(reversed(links), reversed(nodes), strict=False)
        ),
        control=offer.control,
        mss=loop.mtu - HEADERS_BYTES,
        send_max=send,
        receive_max=receive * WINDOW_NUM // WINDOW_DEN,
        fixed_window=offer.window_bytes or 0,
        relay_bytes=RELAY_BUFFER_BYTES if relayed else 0,
    )


def _buffers(loop: Loop, *, stock: bool) -> tuple[int, int]:
    """(receive, send) memory in bytes, by the same rules as in `run`."""
    if stock:
        return STOCK_RMEM[2], STOCK_WMEM[2]
    top = tuned_buffer_bytes(loop.rate_bps * loop.rtt_ns // 8_000_000_000)
    return top, top
