"""Two nodes and a wire, FSUs at both, many flows between them: one case after the other."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from sentinel_bpf import maps
from sentinel_bpf.bpffs import PinDirectory
from sentinel_bpf.flow_map import parse_flow
from sentinel_bpf.netns import run_in_netns
from sentinel_bpf.unit import read_records
from sentinel_sim.backends.emulated.backend import EmulatedBackend
from sentinel_sim.backends.emulated.options import EmulationOptions
from sentinel_sim.bench.rtt import agreement
from sentinel_sim.bench.rtt.agreement import Compared, Rtt, compare, directions, joined
from sentinel_sim.bench.rtt.cases import FAR, NEAR, NODES, Case, Outcome, Traffic, run_spec
from sentinel_sim.bench.rtt.sock_diag import ConnectionDump, connections, kernel_rtt
from sentinel_sim.errors import EmulationError
from sentinel_sim.host.release import RUN_ROOT
from sentinel_sim.plan.model import OuterEnd
from sentinel_sim.wire.names import NAMESPACE_DIRECTORY

BACKLOG = 4096
PATIENCE_S = 30.0
TSO_RTT_LOG = Path("/proc/sys/net/ipv4/tcp_tso_rtt_log")
MODULE = "sentinel_sim.bench.rtt.flows"


@dataclass(frozen=True, slots=True)
class Moment:
    """One node's sockets and FSU, read right after each other and not yet parsed."""

    sockets: list[bytes]
    flows: list[tuple[bytes, bytes]]
    took_s: float


class Observed:
    """One node: its sockets by sock_diag, its FSU by its pinned map."""

    def __init__(self, namespace: Path, pins: PinDirectory) -> None:
        self._dump = ConnectionDump(namespace)
        self._map = pins.open("flow_metrics_map", read_only=True)

    def look(self) -> Moment:
        """Both, within milliseconds."""
        start = time.monotonic()
        sockets = self._dump.read()
        flows = list(maps.items(self._map))
        return Moment(sockets, flows, time.monotonic() - start)

    def close(self) -> None:
        """Let go of both."""
        self._dump.close()
        os.close(self._map)


@dataclass(frozen=True, slots=True)
class Timing:
    """When one case looks, after all flows have begun."""

    settle_samples: int = 24
    """Before the first look, of each flow: of what the averages had before, 4 % is left then
    ((7/8)**24). All flows open within a moment, and their handshakes wait for each other."""
    every_s: float = 0.5
    moments: int = 8


class Traffickers:
    """The processes at both ends of one case; gone at the end of the block."""

    def __init__(self, case: Case, seed: int, namespaces: Mapping[str, Path], target: str) -> None:
        self._case, self._seed = case, seed
        self._namespaces, self._target = namespaces, target
        self._processes: list[asyncio.subprocess.Process] = []
        self.port = 0

    async def __aenter__(self) -> Traffickers:
        answer = "echo" if self._case.traffic is Traffic.REQUESTS else "sink"
        with closing(self._listen()) as listener:
            fd = listener.fileno()
            await self._start(answer, "--listen", str(fd), fds=(fd,))
        try:
            await self._start(*self._sending_words(), namespace=self._namespaces[NEAR].name)
            await self._ready()
        except BaseException:
            await self._end()
            raise
        return self

    def _listen(self) -> socket.socket:
        made = run_in_netns(self._namespaces[FAR], socket.socket)
        made.bind((self._target, 0))
        made.listen(BACKLOG)
        self.port = made.getsockname()[1]
        return made

    def _sending_words(self) -> list[str]:
        case = self._case
        kind = "requests" if case.traffic is Traffic.REQUESTS else "stream"
        words = [kind, "--target", f"{self._target}:{self.port}"]
        words += ["--flows", str(case.flows), "--seed", str(self._seed)]
        if case.traffic is Traffic.REQUESTS:
            return [*words, "--interval", str(case.interval_s)]
        return [*words, "--rate", str(case.rate_bps)]

    async def _start(self, *words: str, fds: Sequence[int] = (), namespace: str = "") -> None:
        inside = ("ip", "netns", "exec", namespace) if namespace else ()
        made = await asyncio.create_subprocess_exec(
            *inside,
            *(sys.executable, "-m", MODULE, *words),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=fds,
        )
        self._processes.append(made)

    async def _ready(self) -> None:
        sending = self._processes[-1]
        assert sending.stdout is not None
        try:
            async with asyncio.timeout(PATIENCE_S):
                said = await sending.stdout.readline()
        except TimeoutError:
            said = b""
        if said != b"ready\n":
            raise EmulationError(
                f"{self._case}: not all flows were answered within {PATIENCE_S:g} s"
                " (if the traffic failed, its message is on standard error)"
            )

    async def stop(self) -> list[dict[str, int]]:
        """End both; what the answering and the sending end did. Raises EmulationError."""
        reports = []
        for process in reversed(self._processes):  # the sending end first
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            async with asyncio.timeout(PATIENCE_S):
                said = (await process.stdout.read()).splitlines()
                if await process.wait() or not said:
                    raise EmulationError("the traffic failed; its message is on standard error")
            reports.append(dict(json.loads(said[-1])))
        return reports[::-1]

    async def _end(self) -> None:
        for process in self._processes:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def __aexit__(self, *exc: object) -> None:
        await self._end()


class Laboratory:
    """The network that all cases share. `async with Laboratory(...)`."""

    def __init__(self, wire_backend: str, seed: int = 1, outer: OuterEnd = OuterEnd.TC) -> None:
        """`outer`: what observes at the outer ends; without it there is no RTT to compare."""
        self._options, self._seed = EmulationOptions(wire_backend), seed
        self._outer = outer
        self._stack = AsyncExitStack()
        self._spec = run_spec(50.0, seed, outer)
        self._idle_ms: float | None = None

    async def __aenter__(self) -> Laboratory:
        async with self._stack:
            self.backend = await self._stack.enter_async_context(
                EmulatedBackend(self._spec, self._options)
            )
            await self.backend.prepare(self._spec)  # attaches the FSUs
            layout = self.backend.layout
            self._namespaces = {n: NAMESPACE_DIRECTORY / layout.namespace(n) for n in NODES}
            self._nodes = {n: self._observe(n) for n in NODES}
            self._stack = self._stack.pop_all()
        return self

    def _observe(self, node: str) -> Observed:
        records = read_records(RUN_ROOT / self.backend.layout.run_id / "fsu")
        [record] = [record for record in records if record.node == node]
        made = Observed(self._namespaces[node], PinDirectory(Path(record.pins)))
        self._stack.callback(made.close)
        return made

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def set_rtt(self, rtt_ms: float) -> float:
        """Set the wire; the median of its round trips while it is idle, in ms."""
        self._spec = run_spec(rtt_ms, self._seed, self._outer)
        idle_ns = await self.backend.idle_rtt_ns(self._spec)
        if not idle_ns:
            raise EmulationError(f"no echo came back through the wire at {rtt_ms:g} ms")
        self._idle_ms = statistics.median(idle_ns) / 1e6
        return self._idle_ms

    async def run(self, case: Case, timing: Timing) -> list[Outcome]:
        """One case, as seen at each node that sends data. Its RTT must have been set."""
        spec = run_spec(case.rtt_ms, self._seed, self._outer, case.link_bps)
        if spec != self._spec:
            self._spec = spec
            await self.backend.prepare(spec)
        target = self.backend.layout.address(FAR, 0)
        run_in_netns(self._namespaces[NEAR], lambda: set_bursts(case.tso_rtt_log))
        observed = NODES if case.traffic is Traffic.REQUESTS else (NEAR,)
        seen: dict[str, list[Moment]] = {node: [] for node in observed}
        async with Traffickers(case, self._seed, self._namespaces, target) as traffic:
            start_s = time.monotonic() + timing.settle_samples * case.sample_interval_s
            for count in range(timing.moments):
                due_s = start_s + count * timing.every_s
                await asyncio.sleep(max(due_s - time.monotonic(), 0))
                for node in observed:
                    seen[node].append(self._nodes[node].look())
            await traffic.stop()
        return [self._outcome(case, node, seen[node], traffic.port) for node in observed]

    def _outcome(self, case: Case, node: str, moments: Sequence[Moment], port: int) -> Outcome:
        parts = [compare_moment(moment, port) for moment in moments]
        if any(part.flows != case.flows for part in parts):
            raise EmulationError(
                f"{case}, {node}: TCP had an RTT for {[part.flows for part in parts]} flows,"
                f" not for {case.flows}"
            )
        every = joined(parts)
        return Outcome(
            case=case,
            node=node,
            smoothed=agreement.agreement(every.smoothed),
            minimum=agreement.agreement(every.minimum),
            missing=every.missing,
            idle_rtt_ms=self._idle_ms,
            look_s=max(moment.took_s for moment in moments),
        )


def set_bursts(tso_rtt_log: int) -> None:
    """How many segments TCP sends at once, in this network namespace."""
    if TSO_RTT_LOG.exists():  # since Linux 5.18; before that, the RTT had no say in it
        TSO_RTT_LOG.write_text(str(tso_rtt_log))


def compare_moment(moment: Moment, port: int) -> Compared:
    """The connections of one moment to or from `port`, kernel and FSU side by side."""
    kernel: dict[agreement.FlowKey, Rtt] = {}
    for key, raw in connections(moment.sockets).items():
        rtt = kernel_rtt(raw)
        if port in (key[1], key[3]) and rtt is not None:
            kernel[key] = rtt
    return compare(kernel, directions(parse_flow(*item) for item in moment.flows))
