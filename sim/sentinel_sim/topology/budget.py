"""How many packets per second this host can move, measured in a third of a second, without root.

Emulation on a real kernel fails silently when the CPU is short: delays grow, queues overflow,
and the numbers still look like numbers. So the plan is compared with a budget first.

The unit is the *packet hop*: one wire packet (at most one MTU) crossing one veth pair with
native XDP and being received behind it. A wire has two veth pairs, so a packet makes two hops
per wire. Making namespaces needs root, so the budget is measured by proxy: a datagram of one
MTU sent and received over loopback passes through the same parts (system call, IP output,
softirq, receive queue, copy). Calibration, on 2 cores of a Xeon (Sapphire Rapids) under KVM,
kernel 6.18: 2.2 to 2.8 us per datagram (it varies that much between calls), where a core moves
about 370,000 MTU packets/s through a veth with native XDP, 2.7 us each; hence one datagram is
taken to cost as much as one hop. Checked against the whole chain: two wires at 1 Gbit/s are
330,000 hops/s and run; a prototype met its limit at 2.2 to 2.9 Gbit/s, 730,000 to 960,000
hops/s, where the model says 740,000 to 910,000. The margins in `feasibility` allow for it.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import platformdirs

MODEL_VERSION = 1
HOPS_PER_DATAGRAM = 1.0
"""Calibration, see above: 370,000 hops/s per core x 2.7 us."""
MEASURE_NS = 350_000_000
BATCH = 32
DATAGRAM_BYTES = 1472
"""Fills a 1500 byte MTU."""


@dataclass(frozen=True, slots=True)
class CpuBudget:
    """What the CPUs of this host can move."""

    cores: int
    """CPUs this process may use."""
    datagram_ns: float
    """Time of one datagram over loopback, send and receive, lower quartile."""
    measured: bool = True
    """False: taken from the cache of the same boot, kernel and CPU."""

    @property
    def hops_per_core_s(self) -> float:
        """Packet hops per second of one core."""
        return HOPS_PER_DATAGRAM * 1e9 / self.datagram_ns

    def hops_per_s(self, wires: int) -> float:
        """Packet hops per second of all cores that `wires` wires can keep busy.

        A wire's stages are serial: each gives work to two cores at most, the nodes to one more.
        """
        return self.hops_per_core_s * min(self.cores, 2 * wires + 1)


def measure_budget(cache_file: Path | None = None) -> CpuBudget:
    """The budget of this host, from the cache if this boot, kernel and CPU were measured before.

    `cache_file` defaults to one in the user's cache directory. A cache that cannot be written
    costs a third of a second next time, and nothing else.
    """
    path = cache_file or platformdirs.user_cache_path("sentinel-sim") / "cpu-budget.json"
    identity = _host_identity()
    cores = len(os.sched_getaffinity(0))
    known_ns = _read_cache(path, identity)
    if known_ns is not None:
        return CpuBudget(cores, known_ns, measured=False)
    datagram_ns = _measure_datagram_ns()
    _write_cache(path, identity, datagram_ns)
    return CpuBudget(cores, datagram_ns)


def _measure_datagram_ns() -> float:
    """Time per datagram: lower quartile over batches, so that preemption does not count."""
    payload = bytes(DATAGRAM_BYTES)
    buffer = bytearray(DATAGRAM_BYTES)
    times_ns: list[int] = []
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind(("127.0.0.1", 0))
        # A firewall on loopback must end in an error, not in a hang.
        receiver.settimeout(1.0)
        sender.connect(receiver.getsockname())
        end_ns = time.perf_counter_ns() + MEASURE_NS
        while time.perf_counter_ns() < end_ns:
            start_ns = time.perf_counter_ns()
            for _ in range(BATCH):
                sender.send(payload)
            for _ in range(BATCH):
                receiver.recv_into(buffer)
            times_ns.append(time.perf_counter_ns() - start_ns)
    times_ns.sort()
    return times_ns[len(times_ns) // 4] / BATCH


@dataclass(frozen=True, slots=True)
class _Identity:
    model_version: int
    boot_id: str
    kernel: str
    cpu: str


def _host_identity() -> _Identity:
    return _Identity(
        MODEL_VERSION,
        _first_line(Path("/proc/sys/kernel/random/boot_id")),
        platform.release(),
        _cpu_model(),
    )


def _first_line(path: Path) -> str:
    try:
        return path.read_text().splitlines()[0]
    except (OSError, IndexError):
        return "unknown"


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _read_cache(path: Path, identity: _Identity) -> float | None:
    """The figure of the same host; None if there is none or it cannot be read."""
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(record, dict) or record.get("host") != asdict(identity):
        return None
    value = record.get("datagram_ns")
    return float(value) if isinstance(value, int | float) and 10 < value < 1e7 else None


def _write_cache(path: Path, identity: _Identity, datagram_ns: float) -> None:
    record = {"host": asdict(identity), "datagram_ns": datagram_ns}
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(record))
        draft.replace(path)
    except OSError:
        with suppress(OSError):
            draft.unlink()
