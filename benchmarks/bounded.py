"""Is a relay bounded? A slow receiver, many parallel flows, minutes; nothing may grow or leak.

    python -m benchmarks.bounded [--minutes 10] [--flows 1000] [--custody none|memory] [--out FILE]

Three daemons on loopback (no root). So many bulk flows go over the intermediate to a receiver
that reads each at `--flow-kbit`, so that every buffer on the way is full. Once a second a flow of
10 kB goes over the same daemons to a receiver that is not slow, in a run of its own that is opened
and released again: its time to the last byte is the *latency*. Each second the resident memory,
descriptors, threads and asyncio tasks of all daemons are read. At the end the slow flows are
released in mid-flow, and what is left is compared with what was there before the first.

Rules, judged over the time in which all flows are up, cut into thirds:
 1 memory   bytes that the relay held stay under its limit; its resident memory grows by at most
            that limit, 64 MiB, and 256 KiB for each flow (threads, books, samples).
 2 flat     median resident memory of the last third <= 1.10 x the middle third, at every node.
 3 leaks    descriptors, threads and tasks: most in the last third <= most in the middle third
            + 16; 30 s after the release at most 8 descriptors, 2 threads and 2 tasks more than
            before.
 4 latency  median of the last third <= 1.5 x that of the middle third + 5 ms.
 5 probes   every small flow is complete, with its hash right.
Exit codes: 0 all hold, 5 one does not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path

from benchmarks.bounded_rules import NAMES, Probe, Reading, Record, judge, leaks, table
from tests.unit.node.support import LOOPBACK, Daemon, end_daemon, start_daemon

from sentinel_node.daemon.client import NodeClient
from sentinel_proto.v1 import node_control_pb2 as pb

SLOW = "slow"
PROBE_BYTES = 10_000
RELAY_MEMORY_BYTES = 256 << 20
SOCKET_BUFFER_BYTES = 64 << 10
SETTLE_S = 30.0
FOREVER_NS = 24 * 3600 * 10**9
"""Slow flows end by their release; a full relay may take nothing of one for minutes."""
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Chain:
    """Three daemons, joined by the control plane."""

    def __init__(self, options: argparse.Namespace, folder: Path, stack: AsyncExitStack) -> None:
        self._options = options
        self._folder = folder
        self._stack = stack
        self._begin_s = time.monotonic()
        self.clients: dict[str, NodeClient] = {}
        self._daemons: dict[str, Daemon] = {}

    async def start(self) -> None:
        """From the receiver upstream: each dials the next."""
        secret = self._folder / "secret"
        secret.write_bytes(os.urandom(32))
        port = 0
        for index, name in reversed(list(enumerate(NAMES))):
            daemon = self._daemons[name] = start_daemon(name, self._folder)
            self._stack.callback(end_daemon, daemon)
            client = await NodeClient.connect(str(daemon.control), timeout_s=60)
            self.clients[name] = await self._stack.enter_async_context(client)
            before = [pb.NeighbourSpec(name=n) for n in NAMES[max(0, index - 1) : index]]
            after = [
                pb.NeighbourSpec(name=n, address=LOOPBACK, port=port)
                for n in NAMES[index + 1 : index + 2]
            ]
            reply = await client.connect_control(
                pb.ConnectRequest(
                    neighbours=[*before, *after],
                    listen_addresses=[LOOPBACK] if index else [],
                    secret_path=str(secret),
                )
            )
            port = reply.port
        for client in self.clients.values():
            if not (await client.read_control(wait_s=60)).all_connected:
                raise RuntimeError(f"{client.target}: the control plane did not come up in 60 s")

    async def open(self, run: str, flows: int, read_rate_bps: int = 0) -> int:
        """Receiver and intermediate take part in a run; the port to send to."""
        held = self._options.custody == "memory"
        tcp = pb.TcpOptions()
        if read_rate_bps:
            tcp = pb.TcpOptions(
                send_buffer_bytes=SOCKET_BUFFER_BYTES, receive_buffer_bytes=SOCKET_BUFFER_BYTES
            )
        listen = pb.ListenRequest(
            run=run,
            address=LOOPBACK,
            tcp=tcp,
            read_rate_limit_bps=read_rate_bps,
            custody=pb.CustodyListen(upstream="intermediate") if held else None,
        )
        port = await self.clients["receiver"].listen(listen)
        relay = pb.CustodyRelay(
            upstream="sender",
            downstream="receiver",
            flows_max=flows,
            capacity_bytes=RELAY_MEMORY_BYTES if read_rate_bps else 16 << 20,
        )
        return await self.clients["intermediate"].relay(
            pb.RelayRequest(
                run=run,
                listen_address=LOOPBACK,
                target_address=LOOPBACK,
                target_port=port,
                accept_tcp=tcp,
                connect_tcp=tcp,
                buffer_bytes=max(16 << 10, min(1 << 20, RELAY_MEMORY_BYTES // (2 * flows))),
                custody=relay if held else None,
            )
        )

    def flow(self, number: int, port: int, **fields: int) -> pb.FlowSpec:
        """One flow of a run."""
        held = self._options.custody == "memory"
        return pb.FlowSpec(
            flow_id=number,
            seed=number,
            target_address=LOOPBACK,
            target_port=port,
            custody=pb.CustodyFlow(next_hop="intermediate", receiver="receiver") if held else None,
            **fields,
        )

    async def read(self, name: str) -> Reading:
        """What the daemon holds now."""
        daemon = self._daemons[name]
        proc = Path(f"/proc/{daemon.pid}")
        tasks = (await self.clients[name].hello()).tasks
        rss = int((proc / "statm").read_bytes().split()[1]) * PAGE_BYTES
        return Reading(self.now_s(), rss, daemon.descriptors(), daemon.threads(), tasks)

    async def read_all(self) -> dict[str, Reading]:
        """Every daemon."""
        return {name: await self.read(name) for name in NAMES}

    def kinds(self) -> dict[str, dict[str, int]]:
        """How many descriptors of which kind every daemon has now."""
        return {name: dict(self._daemons[name].descriptor_kinds()) for name in NAMES}

    def now_s(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._begin_s

    async def release(self, run: str) -> None:
        """End a run everywhere."""
        for name in NAMES:
            if run in (await self.clients[name].hello()).runs:
                await self.clients[name].release(run)


async def probe(chain: Chain, number: int) -> Probe:
    """One small flow, in a run of its own."""
    run, at_s = f"probe-{number}", chain.now_s()
    port = await chain.open(run, 1)
    flow = chain.flow(1, port, size_bytes=PROBE_BYTES)
    await chain.clients["sender"].send_to_end(pb.SendRequest(run=run, flows=[flow]))
    sent = await chain.clients["sender"].collect(run, expect_flows=1, wait_s=30)
    got = await chain.clients["receiver"].collect(run, expect_flows=1, wait_s=30)
    await chain.release(run)
    ok = bool(got.flows) and got.flows[0].sha256_ok and not sent.flows[0].error
    latency_ns = got.flows[0].last_byte_ns - sent.flows[0].start_ns if ok else 0
    return Probe(at_s, latency_ns / 1e9, ok)


async def _keep_probing(chain: Chain, record: Record, end: asyncio.Event) -> None:
    number = 0
    while not end.is_set():
        began = chain.now_s()
        record.probes.append(found := await probe(chain, number))
        took = f"{found.latency_s * 1e3:,.0f} ms" if found.ok else "NOT WHOLE"
        whole_s = chain.now_s() - began
        sys.stderr.write(f"{began:6.0f} s: 10 kB in {took}, {whole_s:.1f} s with set-up\n")
        for name, reading in (await chain.read_all()).items():
            record.readings.setdefault(name, []).append(reading)
        number += 1
        try:
            async with asyncio.timeout(max(0.0, began + 1 - chain.now_s())):
                await end.wait()
        except TimeoutError:
            continue


async def _load(chain: Chain, options: argparse.Namespace, record: Record) -> None:
    """All slow flows, until the time is over; then they are released in mid-flow."""
    port = await chain.open(SLOW, options.flows, options.flow_kbit * 1000)
    request = pb.SendRequest(
        run=SLOW,
        flows=[chain.flow(n + 1, port, duration_ns=FOREVER_NS) for n in range(options.flows)],
        tcp=pb.TcpOptions(send_buffer_bytes=SOCKET_BUFFER_BYTES),
        stall_timeout_ns=FOREVER_NS,
        progress_interval_ns=1_000_000_000,
    )
    deadline_s = None
    async for progress in chain.clients["sender"].send(request):
        if deadline_s is None and progress.flows_active == options.flows:
            deadline_s = chain.now_s() + options.minutes * 60
            record.loaded_s = chain.now_s()
        if progress.flows_failed:
            raise RuntimeError(f"{progress.flows_failed} slow flows failed; see the log above")
        if deadline_s is not None and chain.now_s() >= deadline_s:
            break


async def _settle(chain: Chain, record: Record) -> None:
    """After the release: until everything is as before, or the patience is over."""
    end_s = chain.now_s() + SETTLE_S
    while True:
        record.after = await chain.read_all()
        if not any(leaks(record.before, record.after)) or chain.now_s() > end_s:
            return
        await asyncio.sleep(0.5)


async def measure(options: argparse.Namespace) -> Record:
    """Start, load, release, stop."""
    record = Record(options.custody, options.flows, RELAY_MEMORY_BYTES)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        chain = Chain(options, folder, stack)
        await chain.start()
        for number in range(3):
            await probe(chain, -1 - number)  # what is loaded once is loaded
        record.before, record.kinds_before = await chain.read_all(), chain.kinds()
        end = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            probing = tasks.create_task(_keep_probing(chain, record, end))
            await _load(chain, options, record)
            end.set()
            await probing
        reply = await chain.clients["intermediate"].collect(SLOW, expect_flows=0, wait_s=0)
        record.held_bytes_max = reply.relay_buffered_bytes_max
        await chain.release(SLOW)
        await _settle(chain, record)
        record.kinds_after = chain.kinds()
    return record


def main(argv: list[str]) -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="with all flows up")
    parser.add_argument("--flows", type=int, default=1000)
    parser.add_argument("--flow-kbit", type=int, default=64, help="what each is read at, kbit/s")
    parser.add_argument("--custody", choices=("none", "memory"), default="none")
    parser.add_argument("--out", type=Path, help="write every reading there, as JSON")
    options = parser.parse_args(argv)
    record = asyncio.run(measure(options))
    sys.stdout.write(table(record) + "\n")
    if options.out:
        options.out.write_text(json.dumps(asdict(record)))
    broken = judge(record)
    for rule, why in broken.items():
        sys.stdout.write(f"{rule:10}{'fails: ' + why if why else 'holds'}\n")
    return 5 if any(broken.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
