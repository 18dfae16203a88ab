"""What very many flows cost on a backbone: rates of all at once, and flows that come and go.

    .venv/bin/python benchmarks/flow_engine.py                       # no root; 1e3 to 1e6 flows
    .venv/bin/python benchmarks/flow_engine.py --flows 100000 --plot cost.svg

The graph is a random tree by preferential attachment plus as many random links again; each flow
takes a shortest path. `at once`: all flows are there, half of them with a limit of their own, and
are solved from nothing. `come and go`: they arrive as a Poisson process, with sizes by a Pareto law
(shape 1.3, mean 1 MB), slow start, a window of 2 MiB, 5 ms for each link one way, so fast that the
busiest link would be used to `--load`; every arrival, step of slow start and end changes rates.
Routes are not timed. The exponent is the slope of log(seconds) over log(flows).
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from sentinel_sim.flowlevel.limits import UNLIMITED
from sentinel_sim.flowlevel.maxmin import Int64, max_min_rates_bps
from sentinel_sim.flowlevel.state import shares_of
from sentinel_sim.flowlevel.traffic import (
    CHANGES,
    EVENTS,
    NEVER,
    PEAK,
    Advance,
    make_advance,
    traffic_of,
)

SOURCES = 100
COUNTS = (1_000, 10_000, 100_000, 1_000_000)
LINK_NS = 5_000_000
WINDOW_BITS = 8 * 2**21
PACKET_BITS = 8 * 1514
MEAN_BITS = 8e6
SHAPE = 1.3


def network(nodes: int, flows: int, seed: int) -> tuple[Int64, Int64, Int64, Int64]:
    """(capacity_bps, first, links, limit_bps), the arguments of `max_min_rates_bps`."""
    draw = np.random.default_rng(seed)
    ends = [(0, 1)]
    for node in range(2, nodes):
        ends.append((node, ends[draw.integers(len(ends))][draw.integers(2)]))
    pairs = np.concatenate([np.array(ends), draw.integers(nodes, size=(nodes, 2))])
    pairs = np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1), axis=0)
    tail, head = np.concatenate([pairs, pairs[:, ::-1]]).T
    number = coo_array((np.arange(1, len(tail) + 1), (tail, head)), shape=(nodes, nodes)).tocsr()
    sources = draw.choice(nodes, size=min(SOURCES, nodes), replace=False)
    before = dijkstra(number, unweighted=True, indices=sources, return_predecessors=True)[1]
    source, at = draw.integers(len(sources), size=flows), draw.integers(nodes, size=flows)
    hops: list[Int64] = []
    owners: list[Int64] = []
    under_way = np.flatnonzero(before[source, at] >= 0)
    while len(under_way):
        previous = before[source[under_way], at[under_way]]
        hops.append(np.asarray(number[previous, at[under_way]]).ravel() - 1)
        owners.append(under_way)
        at[under_way] = previous
        under_way = under_way[before[source[under_way], previous] >= 0]
    owner = np.concatenate(owners)
    links = np.concatenate(hops)[np.argsort(owner, kind="stable")]
    first = np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=flows))])
    capacity = draw.choice([10**9, 10**10, 10**11], size=len(tail))
    limits = np.where(draw.random(flows) < 0.5, draw.integers(10**5, 10**8, flows), UNLIMITED)
    limits[np.diff(first) == 0] = 0  # from a node to itself: no traffic
    return capacity, first, links, limits


def at_once(made: tuple[Int64, Int64, Int64, Int64]) -> float:
    """Seconds for the rates of all flows."""
    began = time.perf_counter()
    rates = max_min_rates_bps(*made)
    seconds = time.perf_counter() - began
    capacity, first, links, _ = made
    load = np.zeros(len(capacity), np.int64)
    np.add.at(load, links, np.repeat(rates, np.diff(first)))
    if (load > capacity).any():
        raise SystemExit("a link carries more than its capacity")
    return seconds


def come_and_go(
    made: tuple[Int64, Int64, Int64, Int64], load: float, seed: int, advance: Advance
) -> dict[str, float]:
    """Seconds for all events of all flows, and what happened."""
    capacity, first, links, _ = made
    draw = np.random.default_rng(seed)
    flows = len(first) - 1
    bits = (draw.pareto(SHAPE, flows) + 1) * MEAN_BITS * (SHAPE - 1) / SHAPE
    busy_s = np.bincount(links, np.repeat(bits, np.diff(first)), len(capacity)) / capacity
    rtt_ns = 2 * LINK_NS * np.diff(first)
    rtt_ns[rtt_ns == 0] = LINK_NS
    traffic = traffic_of(
        np.sort(draw.integers(0, int(busy_s.max() / load * 1e9), flows)),
        bits,
        np.full(flows, NEVER),
        WINDOW_BITS * 10**9 // rtt_ns,
        10 * PACKET_BITS * 10**9 // rtt_ns,
        rtt_ns,
    )
    shares = shares_of(capacity, first, links, UNLIMITED)
    began = time.perf_counter()
    advance(shares, traffic, NEVER)
    seconds = time.perf_counter() - began
    if (traffic.ended_ns < 0).any() or shares.load.any():
        raise SystemExit("a flow did not end")
    return {
        "come_and_go_s": round(seconds, 3),
        "events": int(traffic.tally[EVENTS]),
        "rate_changes": int(traffic.tally[CHANGES]),
        "flows_at_a_time": int(traffic.tally[PEAK]),
        "virtual_s": round(float(traffic.ended_ns.max()) / 1e9, 1),
    }


def routed(nodes: int, flows: int, seed: int) -> tuple[Int64, Int64, Int64, Int64]:
    """As `network`, without flows from a node to itself: they cross no link."""
    capacity, first, links, limits = network(nodes, flows, seed)
    hops = np.diff(first)
    return capacity, np.concatenate([[0], np.cumsum(hops[hops > 0])]), links, limits[hops > 0]


def plot(rows: list[dict[str, float]], path: Path) -> None:
    """Seconds over flows, both on logarithmic axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    flows = [row["flows"] for row in rows]
    for key, name in (("at_once_s", "all at once"), ("come_and_go_s", "come and go")):
        axes.loglog(flows, [row[key] for row in rows], "o-", label=name)
    axes.set(xlabel="flows", ylabel="seconds, one core")
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend()
    figure.savefig(path)


def slope(rows: list[dict[str, float]], key: str) -> float | None:
    """The exponent of the cost."""
    if len(rows) < 2:
        return None
    x, y = ([np.log(row[name]) for row in rows] for name in ("flows", key))
    return round(float(np.polyfit(x, y, 1)[0]), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=1_000)
    parser.add_argument("--flows", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--load", type=float, default=0.7, help="of the busiest link")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plot", type=Path, help="an .svg or .png of the curve")
    given = parser.parse_args()
    began = time.perf_counter()
    advance = make_advance("benchmark")
    small = routed(20, 50, given.seed)
    at_once(small)
    come_and_go(small, given.load, given.seed, advance)
    sys.stdout.write(f"compiled in {time.perf_counter() - began:.1f} s\n")
    rows: list[dict[str, float]] = []
    for flows in given.flows:
        made = routed(given.nodes, flows, given.seed)
        row = {
            "nodes": given.nodes,
            "directed_links": len(made[0]),
            "flows": len(made[1]) - 1,
            "hops": len(made[2]),
            "at_once_s": round(at_once(made), 3),
            **come_and_go(made, given.load, given.seed, advance),
            "rss_max_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }
        rows.append(row)
        sys.stdout.write(json.dumps(row) + "\n")
        sys.stdout.flush()
    exponents = {key: slope(rows, key) for key in ("at_once_s", "come_and_go_s")}
    sys.stdout.write(f"exponents: {json.dumps(exponents)}\n")
    if given.plot is not None:
        plot(rows, given.plot)


if __name__ == "__main__":
    main()
