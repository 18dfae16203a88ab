"""What the data plane costs: payload, hash, relaying by copy and by splice, and a whole chain.

    python benchmarks/relay.py [--seconds 1] [--repeat 5] [--veth] [--json]

The relay is a real `sentinel-node`; source and sink of the relay figures are as cheap as they
can be (one buffer sent again and again; MSG_TRUNC throws away unread), so that the relay is what
is measured. `--veth` (root) puts it into a namespace of its own behind a veth pair with an MTU
of 1500, which is where experiments run; without it everything is on loopback. Modes take turns
within each repeat, and medians are printed: the relay's default mode was chosen by them (see
`sentinel_node.daemon.relay.DEFAULT_MODE`).
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from sentinel_node.core.payload import FILL_SLACK_BYTES, PayloadStream
from sentinel_node.daemon.client import NodeClient
from sentinel_proto.v1 import node_control_pb2 as pb

BLOCK_BYTES = 256 * 1024
NS_PER_S = 1_000_000_000
MODES = {"copy": pb.RELAY_MODE_COPY, "splice": pb.RELAY_MODE_SPLICE}


@dataclass(frozen=True, slots=True)
class Place:
    """Where the relay runs and under which addresses the two sides meet."""

    relay_address: str = "127.0.0.1"
    ends_address: str = "127.0.0.1"
    relay_netns: str = ""


@dataclass(frozen=True, slots=True)
class RelayFigure:
    """Medians of one mode and size. CPU is that of the relay process, user and system."""

    mode: str
    buffer_bytes: int
    gbit_per_s: float
    relay_cpu_s_per_gbyte: float


def rate_of(work: object, seconds: float) -> float:
    """GB/s of calling `work()` on one block again and again."""
    assert callable(work)
    end = time.perf_counter() + seconds
    begin, count = time.perf_counter(), 0
    while time.perf_counter() < end:
        work()
        count += 1
    return count * BLOCK_BYTES / (time.perf_counter() - begin) / 1e9


def cpu_rates(seconds: float) -> dict[str, float]:
    """Payload generation and SHA-256, one thread, GB/s."""
    buffer = memoryview(bytearray(BLOCK_BYTES + FILL_SLACK_BYTES))
    payload = PayloadStream(1, 1)
    digest = hashlib.sha256()
    return {
        "payload_gbyte_per_s": rate_of(lambda: payload.fill(buffer, BLOCK_BYTES), seconds),
        "sha256_gbyte_per_s": rate_of(lambda: digest.update(buffer[:BLOCK_BYTES]), seconds),
    }


@contextmanager
def veth_place() -> Iterator[Place]:
    """Two namespaces and a veth pair; this process moves into the first one for good."""
    tag = f"sntl-bench-{os.getpid()}"
    relay_ns, ends_ns = f"{tag}-r", f"{tag}-e"
    commands = [
        f"ip netns add {relay_ns}",
        f"ip netns add {ends_ns}",
        f"ip -n {ends_ns} link add e0 type veth peer name r0 netns {relay_ns}",
        f"ip -n {ends_ns} addr add 10.99.0.1/24 dev e0",
        f"ip -n {relay_ns} addr add 10.99.0.2/24 dev r0",
        *(f"ip -n {ends_ns} link set {dev} up" for dev in ("lo", "e0")),
        *(f"ip -n {relay_ns} link set {dev} up" for dev in ("lo", "r0")),
    ]
    try:
        for command in commands:
            subprocess.run(command.split(), check=True)
        with Path(f"/run/netns/{ends_ns}").open() as namespace:
            _enter_network(namespace.fileno())
        yield Place("10.99.0.2", "10.99.0.1", relay_ns)
    finally:
        for name in (relay_ns, ends_ns):
            subprocess.run(["ip", "netns", "del", name], check=False)


def _enter_network(fd: int) -> None:
    import ctypes

    clone_newnet = 0x40000000
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(fd, clone_newnet) != 0:
        raise OSError(ctypes.get_errno(), "setns")


@contextmanager
def node(role: str, folder: Path, netns: str = "") -> Iterator[str]:
    """A daemon; gives its control address."""
    control = folder / f"{role}.sock"
    inside = ["ip", "netns", "exec", netns] if netns else []
    arguments = ["--role", role, "--control", f"unix:{control}", "--log-level", "ERROR"]
    process = subprocess.Popen(
        [*inside, sys.executable, "-m", "sentinel_node.daemon.main", *arguments]
    )
    try:
        yield str(control)
    finally:
        process.terminate()
        process.wait(20)


def _sink(server: socket.socket, total: list[int]) -> None:
    sock, _ = server.accept()
    unused = bytearray(1 << 20)
    with sock:
        while count := sock.recv_into(unused, len(unused), socket.MSG_TRUNC):
            total[0] += count


def push_through(server: socket.socket, address: tuple[str, int], seconds: float) -> float:
    """Send through the relay for `seconds`; gives Gbit/s that reached the sink."""
    total = [0]
    sink = threading.Thread(target=_sink, args=(server, total))
    sink.start()
    block = bytes(BLOCK_BYTES)
    with socket.create_connection(address) as source:
        begin = time.perf_counter()
        while time.perf_counter() - begin < seconds:
            source.sendall(block)
        source.shutdown(socket.SHUT_WR)
        sink.join()
        return total[0] * 8 / (time.perf_counter() - begin) / 1e9


async def relay_figure(
    relay: NodeClient, place: Place, mode: str, buffer_bytes: int, seconds: float
) -> RelayFigure:
    """One mode and buffer size through the real relay."""
    run = f"{mode}-{buffer_bytes}"
    with socket.create_server((place.ends_address, 0)) as server:
        port = await relay.relay(
            pb.RelayRequest(
                run=run,
                listen_address=place.relay_address,
                target_address=place.ends_address,
                target_port=server.getsockname()[1],
                mode=MODES[mode],
                buffer_bytes=buffer_bytes,
            )
        )
        gbit = await asyncio.to_thread(push_through, server, (place.relay_address, port), seconds)
    report = await relay.collect(run, expect_flows=1, wait_s=20)
    await relay.release(run)
    gbytes = report.connections[0].bytes_moved / 1e9
    return RelayFigure(mode, buffer_bytes, gbit, report.cpu_seconds / gbytes)


async def chain_figure(
    folder: Path, relay: NodeClient, place: Place, seconds: float, *, hashed: bool
) -> float:
    """sender -> relay -> receiver, framing included; Gbit/s delivered."""
    async with AsyncExitStack() as stack:
        clients: dict[str, NodeClient] = {}
        for role in ("sender", "receiver"):
            control = stack.enter_context(node(role, folder))
            clients[role] = await stack.enter_async_context(await NodeClient.connect(control))
        port = await clients["receiver"].listen(
            pb.ListenRequest(run="chain", address=place.ends_address)
        )
        port = await relay.relay(
            pb.RelayRequest(
                run="chain",
                listen_address=place.relay_address,
                target_address=place.ends_address,
                target_port=port,
            )
        )
        flow = pb.FlowSpec(
            flow_id=1,
            seed=1,
            target_address=place.relay_address,
            target_port=port,
            duration_ns=round(seconds * NS_PER_S),
            unhashed=not hashed,
        )
        await clients["sender"].send_to_end(pb.SendRequest(run="chain", flows=[flow]))
        report = await clients["receiver"].collect("chain", expect_flows=1, wait_s=20)
        await relay.release("chain")
    (got,) = report.flows
    if not got.complete or got.sha256_ok != hashed:
        raise RuntimeError(f"the chain damaged the payload: {got.error}")
    return got.payload_bytes * 8 / (got.last_byte_ns - got.start_ns)


async def measure(place: Place, seconds: float, repeat: int, folder: Path) -> dict[str, object]:
    """Everything that needs the relay."""
    with node("intermediate", folder, place.relay_netns) as control:
        async with await NodeClient.connect(control) as relay:
            samples: dict[tuple[str, int], list[RelayFigure]] = {}
            chains: dict[bool, list[float]] = {True: [], False: []}
            for _ in range(repeat):
                for kib in (64, 256, 1024):
                    for mode in MODES:
                        figure = await relay_figure(relay, place, mode, kib * 1024, seconds)
                        samples.setdefault((mode, kib), []).append(figure)
                for hashed in chains:
                    chains[hashed].append(
                        await chain_figure(folder, relay, place, seconds, hashed=hashed)
                    )
    return {
        "chain_gbit_per_s": median(chains[True]),
        "chain_gbit_per_s_best": max(chains[True]),
        "unhashed_chain_gbit_per_s": median(chains[False]),
        "relay": [asdict(median_figure(figures)) for figures in samples.values()],
    }


def median_figure(figures: list[RelayFigure]) -> RelayFigure:
    """Each quantity's median."""
    return RelayFigure(
        figures[0].mode,
        figures[0].buffer_bytes,
        median(figure.gbit_per_s for figure in figures),
        median(figure.relay_cpu_s_per_gbyte for figure in figures),
    )


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="for each figure")
    parser.add_argument("--repeat", type=int, default=5, help="of which the median counts")
    parser.add_argument("--veth", action="store_true", help="relay behind a veth pair (root)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with ExitStack() as stack:
        place = stack.enter_context(veth_place()) if options.veth else Place()
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        result: dict[str, object] = dict(cpu_rates(min(options.seconds, 0.5)))
        result |= asyncio.run(measure(place, options.seconds, options.repeat, folder))
    if options.json:
        sys.stdout.write(json.dumps(result, indent=1) + "\n")
        return 0
    for name, value in result.items():
        if isinstance(value, float):
            sys.stdout.write(f"{name:26} {value:8.2f}\n")
    figures = result["relay"]
    assert isinstance(figures, list)
    for figure in figures:
        sys.stdout.write(
            "relay {mode:7} {buffer_bytes:8} bytes  {gbit_per_s:6.2f} Gbit/s  "
            "{relay_cpu_s_per_gbyte:6.3f} relay CPU s/GB\n".format(**figure)
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
