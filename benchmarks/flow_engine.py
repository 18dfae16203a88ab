"""How long max-min fair rates of very many flows take, and how much memory.

    .venv/bin/python benchmarks/flow_engine.py            # no root
    .venv/bin/python benchmarks/flow_engine.py --nodes 1000 --flows 100000

The graph is a random tree by preferential attachment plus as many random links again; each flow
takes a shortest path, half of the flows have a limit of their own. Routes are not timed.
"""

from __future__ import annotations

import argparse
import json
import resource
import time

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from sentinel_sim.flowlevel.limits import UNLIMITED
from sentinel_sim.flowlevel.maxmin import Int64, max_min_rates_bps

SOURCES = 100


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--flows", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    began = time.perf_counter()
    max_min_rates_bps(*network(10, 10, given.seed))
    compiling_s = time.perf_counter() - began
    made = network(given.nodes, given.flows, given.seed)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    rates = max_min_rates_bps(*made)
    solving_s = time.perf_counter() - began
    capacity, first, links, _ = made
    load = np.zeros(len(capacity), np.int64)
    np.add.at(load, links, np.repeat(rates, np.diff(first)))
    if (load > capacity).any():
        raise SystemExit("a link carries more than its capacity")
    figures = {
        "nodes": given.nodes,
        "directed_links": len(capacity),
        "flows": given.flows,
        "hops": len(links),
        "compile_and_first_call_s": round(compiling_s, 2),
        "solve_s": round(solving_s, 2),
        "rss_max_mib_before": before // 1024,
        "rss_max_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    print(json.dumps(figures, indent=2))  # noqa: T201  its purpose


if __name__ == "__main__":
    main()
