"""Refuse before running what this host cannot emulate faithfully, with figure and remedy.

Every check compares one figure of one run with one limit. Limits are facts of the kernel (veth,
TCP window scaling), of the delay line, or of this host as measured (`budget`, free memory).
Between "fits" and "cannot" lies a band that warns: the validity gate of the run decides there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import psutil

from sentinel_sim.plan.model import Arm, LinkPlan, PathPlan, RunSpec
from sentinel_sim.plan.plan import Combination, Plan
from sentinel_sim.plan.resolve import ETHERNET_HEADER_BYTES, bdp_bytes
from sentinel_sim.topology.budget import CpuBudget
from sentinel_sim.topology.findings import FeasibilityReport, Finding, Level, merge
from sentinel_sim.topology.geo import PROPAGATION_NS_PER_KM
from sentinel_sim.topology.problems import KeyPath
from sentinel_sim.topology.sweep import DISTANCE
from sentinel_sim.topology.units import about_rate, format_rate, format_share, format_time

MIN_DELAY_NS = 50_000
"""What handling a packet on a wire costs at least; less cannot be emulated."""
MIN_MTU = 576
"""Every IPv4 host must accept this much (RFC 791)."""
MAX_MTU_XDP = 3_500
"""Native XDP on veth without multi-buffer takes 3506 at most (drivers/net/veth.c)."""
MAX_MTU = 9_000
HOPS_PER_WIRE = 2
XDP_OFF_GAIN = 3.0
"""Without XDP, senders keep TSO: about 12 Gbit/s through a wire instead of 4.4."""
CPU_WARN = 0.8
CPU_REFUSE = 1.3
"""Above the model's error (see `budget`): not even a lucky host would carry it."""
PACKET_MEMORY_BYTES = 4096 + 256
"""A page for the data (veth copies into one for XDP) and a socket buffer structure."""
MEMORY_WARN = 0.4
MEMORY_REFUSE = 0.8
MAX_WINDOW_BYTES = 65_535 << 14
"""The largest window that TCP can announce (RFC 7323 section 2.3)."""
STOCK_WINDOW_BYTES = 3 << 20
"""What tcp_rmem max 6 MiB leaves as window: about half."""
MIN_QUEUE_PACKETS = 2
SMALL_QUEUE_PACKETS = 10
MAX_QUEUE_BYTES = 2**32 - 1
"""The limit of tbf and of fifo queues is a 32 bit number (include/uapi/linux/pkt_sched.h)."""
MIN_LOSSES = 30
MIN_RTTS = 10


@dataclass(frozen=True, slots=True)
class _Case:
    """One combination with one arm: what a check looks at."""

    plan: Plan
    combination: Combination
    run: RunSpec
    budget: CpuBudget
    memory_bytes: int

    @property
    def label(self) -> str:
        """For figures: at which point of the sweep."""
        return f" at {self.combination.slug}" if self.combination.slug else ""

    def where(self, *path: str | int) -> str:
        return _place(self.plan, path)

    def link_where(self, link: LinkPlan, key: str) -> str:
        return self.where("links", self.run.links.index(link), key)


def check(plan: Plan, budget: CpuBudget, *, memory_bytes: int | None = None) -> FeasibilityReport:
    """Judge every run of a plan; `memory_bytes` is what is free (default: measured now)."""
    free_bytes = psutil.virtual_memory().available if memory_bytes is None else memory_bytes
    findings: list[Finding] = []
    for run in plan.by_repeat[0]:
        case = _Case(plan, plan.combination_of(run), run, budget, free_bytes)
        for link in run.links:
            findings += [*_delay(case, link), *_mtu(case, link), *_queue(case, link)]
        for path in run.paths:
            findings += [*_window(case, path), *_path_figures(case, path)]
            findings += [*_enough_losses(case, path), *_long_enough(case, path)]
        findings += [*_cpu(case), *_memory(case), *_unused(case), *_offered(case)]
    return merge(findings)


def _place(plan: Plan, path: KeyPath) -> str:
    """`FILE:LINE: key` of what decided a value: a sweep, a default, or the key itself."""
    topology = plan.topology
    for key in (str(path[-1]), ".".join(str(part) for part in path)):
        if key in topology.experiment.sweep:
            return topology.locate("experiment", "sweep", key)
    if path[0] == "links" and path not in topology.lines:
        if path[-1] in ("distance_km", "delay_one_way"):
            return _length_place(plan, path)
        if ("defaults", "links", path[-1]) in topology.lines:
            return topology.locate("defaults", "links", path[-1])
    return topology.locate(*path)


def _length_place(plan: Plan, path: KeyPath) -> str:
    topology = plan.topology
    if DISTANCE in topology.experiment.sweep:
        return topology.locate("experiment", "sweep", DISTANCE)
    for key in ("delay_one_way", "distance_km"):
        if (*path[:-1], key) in topology.lines:
            return topology.locate(*path[:-1], key)
        if ("defaults", "links", key) in topology.lines:
            return topology.locate("defaults", "links", key)
    return topology.locate(*path[:-1], "endpoints")


def _length_where(case: _Case, link: LinkPlan) -> str:
    index = case.run.links.index(link)
    key = "delay_one_way" if link.distance_km is None else "distance_km"
    return case.where("links", index, key)


def _delay(case: _Case, link: LinkPlan) -> Iterator[Finding]:
    if link.delay_one_way_ns < MIN_DELAY_NS:
        km = MIN_DELAY_NS / PROPAGATION_NS_PER_KM
        yield Finding(
            Level.REFUSE,
            "delay",
            _length_where(case, link),
            f"link {link.name} has {link.delay_one_way_ns / 1e6:.4g} ms one way{case.label}, "
            f"a wire needs {MIN_DELAY_NS / 1e6:g} ms at least",
            f"make it longer than {km:g} km of route, or leave the link out",
            link.name,
            -link.delay_one_way_ns,
        )
    if link.jitter_ns > link.delay_one_way_ns:
        yield Finding(
            Level.REFUSE,
            "jitter",
            case.link_where(link, "jitter"),
            f"link {link.name} has jitter {format_time(link.jitter_ns)} but a delay of only "
            f"{link.delay_one_way_ns / 1e6:.4g} ms{case.label}",
            "keep jitter at or below the one-way delay: nothing arrives before it was sent",
            link.name,
            link.jitter_ns - link.delay_one_way_ns,
        )


def _mtu(case: _Case, link: LinkPlan) -> Iterator[Finding]:
    highest = MAX_MTU_XDP if case.run.xdp else MAX_MTU
    if MIN_MTU <= link.mtu <= highest:
        return
    why = "XDP on veth takes no more" if case.run.xdp else "no larger frame is emulated"
    remedy = f"choose {MIN_MTU} B to {highest} B"
    if case.run.xdp and MAX_MTU_XDP < link.mtu <= MAX_MTU:
        remedy += ", or set 'xdp: off'"
    yield Finding(
        Level.REFUSE,
        "mtu",
        case.link_where(link, "mtu"),
        f"link {link.name} has an MTU of {link.mtu} B, possible are {MIN_MTU} to {highest} B"
        + (f" ({why})" if link.mtu > highest else ""),
        remedy,
        link.name,
    )


def _queue(case: _Case, link: LinkPlan) -> Iterator[Finding]:
    packets = link.queue_bytes / (link.mtu + ETHERNET_HEADER_BYTES)
    level, remedy = Level.INFO, ""
    if packets < SMALL_QUEUE_PACKETS:
        level = Level.REFUSE if packets < MIN_QUEUE_PACKETS else Level.WARN
        remedy = f"write 'max(1 bdp, {SMALL_QUEUE_PACKETS} packets)': a burst would not fit"
    elif link.queue_bytes > MAX_QUEUE_BYTES:
        level, remedy = Level.REFUSE, f"the kernel counts {MAX_QUEUE_BYTES:,} B at most: lower it"
    yield Finding(
        level,
        "queue",
        case.link_where(link, "queue"),
        f"link {link.name} has a queue of {link.queue_bytes:,} B, {packets:,.1f} packets"
        f"{case.label}",
        remedy,
        link.name,
        -packets if packets < SMALL_QUEUE_PACKETS else packets,
    )


def _window(case: _Case, path: PathPlan) -> Iterator[Finding]:
    if case.run.arm == Arm.DIRECT or case.run.window_bytes is not None:
        return
    needed = {" - ".join(path.nodes): path.bdp_bytes}
    if case.run.arm.splits:
        needed = {
            link.name: bdp_bytes(link.rate_bps, 2 * link.delay_one_way_ns)
            for link in case.run.links
            if link.name in path.links
        }
    for subject, bdp in needed.items():
        if 2 * bdp <= MAX_WINDOW_BYTES:
            continue
        yield Finding(
            Level.REFUSE if bdp > MAX_WINDOW_BYTES else Level.WARN,
            "window",
            case.where("experiment", "arms"),
            f"{case.run.arm} needs a window of two BDP on {subject}, {2 * bdp / 1e6:.0f} MB"
            f"{case.label}, TCP can announce {MAX_WINDOW_BYTES / 1e6:.0f} MB",
            "lower the rate or the distance, or send several flows",
            subject,
            bdp,
        )


def _path_figures(case: _Case, path: PathPlan) -> Iterator[Finding]:
    """What a reader wants to know before a run: RTT, BDP, and what the stock profile allows."""
    name = " - ".join(path.nodes)
    figure = (
        f"path {name}{case.label}: RTT {path.rtt_base_ns / 1e6:.4g} ms, "
        f"BDP {path.bdp_bytes / 1e6:.4g} MB at {format_rate(path.rate_bps)}"
    )
    if path.loss:
        figure += f", loss {path.loss * 100:.4g} %"
    if path.rtt_base_ns and Arm.DIRECT in case.plan.arms:
        stock_bps = min(path.rate_bps, STOCK_WINDOW_BYTES * 8e9 / path.rtt_base_ns)
        figure += f"; arm direct can reach about {about_rate(stock_bps)}"
    where = case.where("links")
    subject = f"{name}{case.label}"
    yield Finding(Level.INFO, "path", where, figure, "", subject, path.rtt_base_ns)


def _carried_bps(run: RunSpec, link: LinkPlan) -> float:
    """What the flows can put on a link at most: link rate, path rates, fixed windows."""
    total = 0.0
    for path in run.paths:
        if link.name not in path.links:
            continue
        rate_bps = float(path.rate_bps)
        if run.window_bytes is not None and path.rtt_base_ns:
            flows = sum(flow.path == path.index for flow in run.flows)
            rate_bps = min(rate_bps, flows * run.window_bytes * 8e9 / path.rtt_base_ns)
        total += rate_bps
    return min(total, link.rate_bps)


def _cpu(case: _Case) -> Iterator[Finding]:
    run = case.run
    loads = {
        link.name: _carried_bps(run, link) / 8 / (link.mtu + ETHERNET_HEADER_BYTES)
        for link in run.links
    }
    cost = HOPS_PER_WIRE if run.xdp else HOPS_PER_WIRE / XDP_OFF_GAIN
    hops_per_s = sum(loads.values()) * cost
    wires = sum(load > 0 for load in loads.values())
    capacity = case.budget.hops_per_s(max(1, wires))
    share = hops_per_s / capacity
    busiest = max(run.links, key=lambda link: loads[link.name])
    level = Level.INFO
    remedy = ""
    if share > CPU_WARN:
        level = Level.REFUSE if share > CPU_REFUSE else Level.WARN
        fitting_bps = busiest.rate_bps * CPU_WARN / share
        remedy = f"lower the rates to about {about_rate(fitting_bps)}"
        remedy += ", use fewer links, or simulate" if level == Level.REFUSE else ""
    yield Finding(
        level,
        "cpu",
        case.link_where(busiest, "rate"),
        f"{format_rate(busiest.rate_bps)} is {loads[busiest.name]:,.0f} packets/s on "
        f"{busiest.name}, {hops_per_s:,.0f} packet hops/s over all wires; this host moves about "
        f"{capacity:,.0f}: {_share_text(share)}",
        remedy,
        "",
        share,
    )


def _share_text(share: float) -> str:
    return f"{share:.0%} of it" if share < 2 else f"asked for is {share:,.1f} times as much"


def _held_bytes(run: RunSpec, link: LinkPlan) -> float:
    """Wire bytes held by one link when its queue is full: delay line and queue, data direction."""
    return link.rate_bps * link.delay_one_way_ns / 8e9 + link.queue_bytes


def _memory(case: _Case) -> Iterator[Finding]:
    run = case.run
    held = {link.name: _held_bytes(run, link) for link in run.links}
    packets = sum(held[link.name] / (link.mtu + ETHERNET_HEADER_BYTES) for link in run.links)
    sockets = sum(
        # Two ends of two BDP each; split has the same in total, spread over its links.
        4 * path.bdp_bytes if run.window_bytes is None else 2 * run.window_bytes
        for path in run.paths
    )
    needed = packets * PACKET_MEMORY_BYTES + 2 * sockets
    share = needed / max(1, case.memory_bytes)
    level = Level.INFO
    if share > MEMORY_WARN:
        level = Level.REFUSE if share > MEMORY_REFUSE else Level.WARN
    largest = max(run.links, key=lambda link: held[link.name])
    yield Finding(
        level,
        "memory",
        case.link_where(largest, "queue"),
        f"{packets:,.0f} packets in flight and in queues and {sockets / 1e6:,.0f} MB in sockets "
        f"need {needed / 1e6:,.0f} MB{case.label}, free are {case.memory_bytes / 1e6:,.0f} MB",
        "" if level == Level.INFO else "lower rate, distance or queue, or free memory",
        "",
        share,
    )


def _enough_losses(case: _Case, path: PathPlan) -> Iterator[Finding]:
    """Bulk runs under random loss need losses to average over: RFC 9438's response function."""
    durations = [flow.duration_ns for flow in case.run.flows if flow.path == path.index]
    if not path.loss or not durations or durations[0] is None or path.rtt_base_ns == 0:
        return
    rtt_s = path.rtt_base_ns / 1e9
    window = max(1.054 * (rtt_s / path.loss) ** 0.75, 1.2 / math.sqrt(path.loss))
    mtu = min(link.mtu for link in case.run.links if link.name in path.links)
    rate = min(window / rtt_s, path.rate_bps / 8 / mtu)
    losses = path.loss * rate * durations[0] / 1e9
    if losses >= MIN_LOSSES:
        return
    needed_s = durations[0] / 1e9 * MIN_LOSSES / losses
    yield Finding(
        Level.WARN,
        "losses",
        case.where("experiment", "workload", "duration"),
        f"a run{case.label} sees about {losses:.1f} losses at {format_share(path.loss)}, "
        f"a mean needs {MIN_LOSSES}",
        f"make the duration {needed_s:.0f} s or more",
        " - ".join(path.nodes),
        -losses,
    )


def _long_enough(case: _Case, path: PathPlan) -> Iterator[Finding]:
    for flow in case.run.flows:
        if flow.path != path.index or flow.duration_ns is None:
            continue
        if flow.duration_ns < MIN_RTTS * path.rtt_base_ns:
            yield Finding(
                Level.WARN,
                "duration",
                case.where("experiment", "workload", "duration"),
                f"a run{case.label} lasts {flow.duration_ns / path.rtt_base_ns:.1f} round trips, "
                f"start-up alone takes about {MIN_RTTS}",
                f"write 'max(8 s, {6 * MIN_RTTS} rtt)'",
                " - ".join(path.nodes),
                path.rtt_base_ns / flow.duration_ns,
            )
        return


def _unused(case: _Case) -> Iterator[Finding]:
    used = {name for path in case.run.paths for name in path.links}
    for index, link in enumerate(case.run.links):
        if link.name not in used:
            yield Finding(
                Level.WARN,
                "unused",
                case.where("links", index),
                f"link {link.name} lies on no path: it carries no traffic",
                "lower its cost to use it, or leave it as a stand-by",
                link.name,
            )


def _offered(case: _Case) -> Iterator[Finding]:
    """Transfers that arrive faster than the paths can carry never reach a steady state."""
    run = case.run
    span_ns = max((flow.start_ns for flow in run.flows), default=0)
    if span_ns == 0:
        return
    capacity_bps = sum(path.rate_bps for path in run.paths)
    offered_bps = sum(flow.size_bytes or 0 for flow in run.flows) * 8e9 / span_ns
    if offered_bps > capacity_bps:
        yield Finding(
            Level.WARN,
            "offered",
            case.where("experiment", "workload", "arrival"),
            f"{len(run.flows)} flows in {span_ns / 1e9:.3g} s offer {about_rate(offered_bps)}, "
            f"the paths carry {about_rate(capacity_bps)}",
            "let them arrive more slowly, or make them smaller",
            "",
            offered_bps,
        )
