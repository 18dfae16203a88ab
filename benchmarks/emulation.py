"""What the emulation can carry on this host: one wire, one wire with XDP, the whole chain.

    sudo .venv/bin/python benchmarks/emulation.py [--seconds 8] [--json] [--wire delayline]

Prints, in one run: Gbit/s through one wire (RTT 100 ms) without and with XDP, by iperf3, since
hashing every byte would measure the hash; Gbit/s through the chain of chile-usa (two wires, RTT
200 ms, XDP on every node) in the arms `tuned` and `split`, by the product's own nodes with every
payload byte hashed at both ends and without; lateness of the chain at 2 Gbit/s; packets per second
and the share of a CPU of every process. The rate stage is set far above what can be reached,
except where a rate is named. There the congestion control is Reno: CUBIC's HyStart takes a train of
packets as long as half an RTT for a full pipe, and stops at half of what the emulation carries.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import subprocess
import sys
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from sentinel_sim.backends.base import RunMeasurement
from sentinel_sim.backends.emulated.backend import EmulatedBackend
from sentinel_sim.backends.emulated.options import EmulationOptions
from sentinel_sim.backends.emulated.sampling import CpuMeter
from sentinel_sim.experiment import metrics
from sentinel_sim.host.doctor import wire_backend
from sentinel_sim.plan.model import (
    Arm,
    FlowPlan,
    LinkPlan,
    OuterEnd,
    PathPlan,
    Role,
    RunSpec,
    WorkloadKind,
)

GBIT = 1_000_000_000
MS = 1_000_000
OPEN_RATE_BPS = 20 * GBIT
PACED_RATE_BPS = 2 * GBIT
CHAIN_RATES_BPS = (PACED_RATE_BPS, 4 * GBIT)
CAPACITY_CONTROL = "reno"


@dataclass
class Row:
    """One line of the benchmark."""

    what: str
    gbps: float
    target_gbps: float | None = None
    packets_per_s: float | None = None
    lateness_ms: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, Any] = field(default_factory=dict)
    note: str = ""


def chain(arm: Arm, nodes: tuple[str, ...], rtt_ms: int, rate_bps: int, seconds: float) -> RunSpec:
    """A line of nodes with equal links, one bulk flow from end to end."""
    hops = len(nodes) - 1
    delay_ns = rtt_ms * MS // 2 // hops
    bdp = rate_bps * rtt_ms // 8000
    links = tuple(
        LinkPlan(f"{a}--{b}", a, b, None, delay_ns, rate_bps, bdp, 0.0, 0, False, 1500)
        for a, b in itertools.pairwise(nodes)
    )
    path = PathPlan(0, nodes, tuple(x.name for x in links), rtt_ms * MS, rate_bps, 0.0, bdp)
    roles = dict.fromkeys(nodes, Role.INTERMEDIATE)
    roles[nodes[0]], roles[nodes[-1]] = Role.SENDER, Role.RECEIVER
    return RunSpec(
        key=f"{arm}_{rate_bps}",
        arm=arm,
        distance_km=None,
        params={},
        repeat=0,
        seed=1,
        congestion_control="cubic" if rate_bps <= PACED_RATE_BPS else CAPACITY_CONTROL,
        window_bytes=None,
        workload=WorkloadKind.BULK,
        flows=(FlowPlan(1, 0, 0, None, int(seconds * 1e9)),),
        paths=(path,),
        links=links,
        roles=roles,
        control_band=False,
        xdp=True,
        fsu_outer=OuterEnd.OFF,
    )


async def iperf_bps(backend: EmulatedBackend, spec: RunSpec, seconds: float) -> list[float]:
    """Bits per second of one iperf3 connection over path 0, second by second."""
    layout, path = backend.layout, spec.paths[0]
    ends = path.nodes[0], path.nodes[-1]
    source, target = (layout.address(node, 0) for node in ends)
    inside = [["ip", "netns", "exec", layout.namespace(node)] for node in ends]
    flags = ["-B", source, "-t", str(seconds), "-C", CAPACITY_CONTROL, "-J"]
    server = await asyncio.create_subprocess_exec(
        *inside[1], "iperf3", "-s", "-1", "-B", target, "--forceflush", stdout=subprocess.PIPE
    )
    assert server.stdout is not None
    async with asyncio.timeout(10):
        while b"listening" not in await server.stdout.readline():
            pass
    client = await asyncio.create_subprocess_exec(
        *inside[0], "iperf3", "-c", target, *flags, stdout=subprocess.PIPE
    )
    async with asyncio.timeout(seconds + 30):
        out, _ = await client.communicate()
        await server.communicate()
    report = json.loads(out)
    if report.get("error"):
        raise SystemExit(f"iperf3: {report['error']}")
    return [interval["sum"]["bits_per_second"] for interval in report["intervals"]]


async def wire_row(backend: EmulatedBackend, spec: RunSpec, seconds: float) -> Row:
    """One wire by iperf3; the second half of the time counts."""
    await backend.prepare(spec)
    meter = CpuMeter(backend.pids())
    each_second = await iperf_bps(backend, spec, seconds)
    reading = backend.probe_reading(spec.links[0].name, "a")
    return Row(
        what=f"one wire, RTT 100 ms, {'XDP' if spec.xdp else 'no XDP'} (iperf3)",
        gbps=float(np.mean(each_second[int(seconds / 2) :])) / GBIT,
        target_gbps=None if spec.xdp else 12.0,
        packets_per_s=reading.packets_out / seconds,
        cpu=meter.read(),
        note=f"{reading.packets_in / max(reading.skbs_in, 1):.1f} wire packets in one skb",
    )


def chain_row(spec: RunSpec, measured: RunMeasurement, *, hashed: bool) -> Row:
    """One run of the chain."""
    figures = metrics.compute(spec, measured)
    seconds = (measured.traffic_end_ns - measured.traffic_start_ns) / 1e9
    lateness = np.concatenate([np.asarray(wire.lateness_ns) for wire in measured.wires]) / MS
    shares = {"p50": 50, "p99": 99, "p99.9": 99.9}
    rate = spec.links[0].rate_bps / GBIT
    unlimited = spec.links[0].rate_bps > PACED_RATE_BPS
    return Row(
        what=f"chain {spec.arm}, RTT 200 ms, XDP, wires at {rate:g} Gbit/s, "
        + ("SHA-256 at both ends" if hashed else "not hashed"),
        gbps=(figures.steady_goodput_bps or 0.0) / GBIT,
        target_gbps=2.5 if unlimited else None,
        packets_per_s=sum(wire.packets_out for wire in measured.wires) / seconds,
        lateness_ms={name: float(np.percentile(lateness, q)) for name, q in shares.items()},
        cpu=measured.cpu,
        note=_verification(measured) if hashed else "payload not verified",
    )


def _verification(measured: RunMeasurement) -> str:
    return "" if all(flow.sha256_ok for flow in measured.flows) else "HASH DIFFERS"


async def wire_rows(seconds: float, wire: str) -> list[Row]:
    """One wire, without and with XDP."""
    rows = []
    spec = chain(Arm.TUNED, ("left", "right"), 100, OPEN_RATE_BPS, seconds)
    async with EmulatedBackend(spec, EmulationOptions(wire)) as backend:
        for xdp in (False, True):
            chosen = chain(Arm.TUNED, ("left", "right"), 100, OPEN_RATE_BPS, seconds)
            rows.append(await wire_row(backend, replace(chosen, xdp=xdp), seconds))
    return rows


async def chain_rows(seconds: float, wire: str, hashed: bool) -> list[Row]:
    """The chain at each rate and arm; `hashed`: with SHA-256 at both ends."""
    rows = []
    nodes = ("valparaiso", "panama", "boston")
    first = chain(Arm.TUNED, nodes, 200, GBIT, seconds)
    async with EmulatedBackend(first, EmulationOptions(wire, hashed=hashed)) as backend:
        for rate_bps in CHAIN_RATES_BPS:
            for arm in (Arm.TUNED, Arm.SPLIT):
                run = chain(arm, nodes, 200, rate_bps, 2 * seconds)
                measured = await backend.run(run, lambda phase, done: None)
                rows.append(chain_row(run, measured, hashed=hashed))
    return rows


async def measure(seconds: float, wire: str) -> list[Row]:
    """All rows, in order."""
    rows = await wire_rows(seconds, wire)
    for hashed in (True, False):
        rows += await chain_rows(seconds, wire, hashed)
    return rows


def show(rows: list[Row], console: Console) -> None:
    """The rows as a table, and who used the CPUs."""
    table = Table(title="emulation on this host")
    for heading in ("what", "Gbit/s", "target", "packets/s", "lateness ms", "note"):
        table.add_column(heading)
    for row in rows:
        late = " / ".join(f"{name} {value:.2f}" for name, value in row.lateness_ms.items())
        target = "" if row.target_gbps is None else f">= {row.target_gbps:g}"
        packets = "" if row.packets_per_s is None else f"{row.packets_per_s:,.0f}"
        table.add_row(row.what, f"{row.gbps:.2f}", target, packets, late, row.note)
    console.print(table)
    for row in rows:
        shares = ", ".join(f"{n} {s:.0%}" for n, s in row.cpu.get("by_process", {}).items())
        console.print(
            f"{row.what}: {shares}; softirq {row.cpu['softirq_share']:.0%},"
            f" idle {row.cpu['idle_share']:.0%}, steal {row.cpu['steal_share']:.0%} of"
            f" {row.cpu['cpus']} CPUs",
            soft_wrap=True,
        )


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=8.0, help="of traffic in each row")
    parser.add_argument("--wire", default="", help="netem or delayline (default: by probing)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = asyncio.run(measure(options.seconds, options.wire or wire_backend()))
    if options.json:
        json.dump([row.__dict__ for row in rows], sys.stdout, indent=1)
    else:
        show(rows, Console())


if __name__ == "__main__":
    main()
