"""The box under test: a namespace between a source and a sink, joined by veth pairs.

    source                 box                                 sink
    load generator  a == in  [lane]  routing or relay  out == b
    CPU g                    CPU b                       (packets are counted and dropped at `out`)

A kernel thread polls `in` (threaded NAPI), pinned to the box's CPU: so the box has a CPU of its
own, its share of it can be read, and an overloaded box loses packets in the ring instead of
slowing its sender. GRO is on at `in` and TSO off at the source, because that is what leads packets
into NAPI where no native XDP is attached (veth_skb_is_eligible_for_gro); UDP is not merged.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from sentinel_bpf.attach import attach_tc
from sentinel_bpf.bench_programs import CLIENT_ADDRESS, SERVER_ADDRESS, SERVER_PORT, EgressCounter
from sentinel_sim.backends.emulated.offloads import set_gro
from sentinel_sim.bench.generator import Generator, udp_frame
from sentinel_sim.errors import EmulationError, MissingCapabilityError
from sentinel_sim.host.namespaces import NETNS_DIRECTORY
from sentinel_sim.host.ownership import Ownership
from sentinel_sim.wire.awake import Awake, set_session_nice
from sentinel_sim.wire.shell import HostShell, batch, in_namespace

BOX_IN_ADDRESS = "10.99.0.2"
BOX_OUT_ADDRESS = "10.99.1.1"
IN_MAC, OUT_MAC, SINK_MAC, SOURCE_MAC = (f"02:63:00:00:00:{n:02x}" for n in (2, 3, 4, 1))
NICE = -20
"""Of the generator and the lanes' processes."""
POLLING_PRIORITY = 40
"""SCHED_FIFO, of the polling thread: like a soft interrupt it does not wait for user space."""


@dataclass(frozen=True, slots=True)
class Cpus:
    """Who runs where."""

    generator: int
    box: int


def choose_cpus() -> Cpus:
    """The first two CPUs this process may use. Raises MissingCapabilityError with one."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise MissingCapabilityError(
            f"bench needs two CPUs, one for the generator and one for what is measured; this"
            f" process may use {len(usable)}",
            cure="run on a machine with two CPUs, or widen the affinity: taskset -c 0,1 ...",
        )
    return Cpus(usable[0], usable[1])


class Box:
    """Built and torn down as a context; everything made is recorded first."""

    def __init__(self, ownership: Ownership, egress: EgressCounter, cpus: Cpus) -> None:
        self.cpus = cpus
        self.egress = egress
        self.shell = HostShell()
        self._ownership = ownership
        self._stack = ExitStack()
        self._threaded = False
        run_id = ownership.run_id
        self.source, self.name, self.sink = map(ownership.namespace_name, ("source", "box", "sink"))
        self.inside, self.outside = f"sn{run_id}in", f"sn{run_id}out"
        self.source_end, self.sink_end = f"sn{run_id}a", f"sn{run_id}b"
        self.environment = {**os.environ, **ownership.environment()}

    @property
    def netns(self) -> Path:
        """The box's namespace."""
        return NETNS_DIRECTORY / self.name

    def __enter__(self) -> Box:
        try:
            self._build()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def _build(self) -> None:
        for name in (self.source, self.name, self.sink):
            self._ownership.record_namespace(name)
            self.shell.run(("ip", "netns", "add", name))
        for lines in self.ip_lines().items():
            batch(self.shell, "ip", *lines)
        self.set_sysctl("net.ipv4.ip_forward=1", "net.ipv6.conf.all.disable_ipv6=1")
        set_gro(self.shell, self.name, self.inside, True)
        self.shell.run(in_namespace(self.source, "ethtool", "-K", self.source_end, "tso", "off"))
        self.set_threaded(True)
        counting = attach_tc(self.egress.prog_fd, self.outside, "egress", self.netns)
        self._stack.callback(counting.close)
        awake = Awake(self.name, self.environment, self._ownership.record_child)
        self._stack.callback(awake.close)
        self.awake = awake.describe()
        generator = Generator.start(
            self.source, self.source_end, self.cpus.generator, self.environment
        )
        self._stack.callback(generator.stop)
        self.generator = generator
        self.own(generator.pid, "load generator")

    def own(self, pid: int, what: str) -> None:
        """Record a process of this run and put it before others: in its session and by session."""
        self._ownership.record_child(pid, what)
        os.setpriority(os.PRIO_PROCESS, pid, NICE)
        set_session_nice(pid, NICE)

    def ip_lines(self) -> dict[str, list[str]]:
        """`ip` lines by namespace; neighbours are fixed, so that nothing but our packets moves."""
        pair = "link add name {} address {} numrxqueues 1 numtxqueues 1 type veth peer name {}"
        pair += " address {} numrxqueues 1 numtxqueues 1 netns {}"
        up = "link set dev {} up"
        inner = [
            up.format("lo"),
            pair.format(self.inside, IN_MAC, self.source_end, SOURCE_MAC, self.source),
            pair.format(self.outside, OUT_MAC, self.sink_end, SINK_MAC, self.sink),
            f"address add {BOX_IN_ADDRESS}/24 dev {self.inside}",
            f"address add {BOX_OUT_ADDRESS}/24 dev {self.outside}",
            up.format(self.inside),
            up.format(self.outside),
            f"neigh replace {CLIENT_ADDRESS} lladdr {SOURCE_MAC} dev {self.inside} nud permanent",
            f"neigh replace {SERVER_ADDRESS} lladdr {SINK_MAC} dev {self.outside} nud permanent",
        ]
        return {
            self.name: inner,
            self.source: [up.format(self.source_end)],
            self.sink: [up.format(self.sink_end)],
        }

    def set_sysctl(self, *settings: str) -> None:
        """Settings of the box's namespace."""
        self.shell.run(in_namespace(self.name, "sysctl", "-q", *settings))

    def set_threaded(self, on: bool) -> None:
        """Whether a thread polls `in`, or whoever sends to it does so in its soft interrupt."""
        path = f"/sys/class/net/{self.inside}/threaded"
        self.shell.run(in_namespace(self.name, "tee", path), f"{int(on)}\n")
        self._threaded = on

    def pin_polling(self) -> dict[str, int]:
        """Pin the thread that polls `in` to the box's CPU; its id by name, none if no thread does.

        It may be another one after something was attached.
        """
        if not self._threaded:
            return {}
        found = polling_thread(self.inside)
        os.sched_setaffinity(found, {self.cpus.box})
        os.sched_setscheduler(found, os.SCHED_FIFO, os.sched_param(POLLING_PRIORITY))
        return {"polling": found}

    def frame(self, *, to_box: bool) -> bytes:
        """What the generator sends: to the box itself for a relay, else through it."""
        target = BOX_IN_ADDRESS if to_box else SERVER_ADDRESS
        return udp_frame(CLIENT_ADDRESS, target, SERVER_PORT, IN_MAC)


def polling_thread(interface: str, proc: Path = Path("/proc")) -> int:
    """The kernel thread `napi/INTERFACE-N`; names are cut at 15 characters by comm, not by us."""
    wanted = f"napi/{interface}"[:15]
    for entry in proc.iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            name = (entry / "comm").read_text().rstrip("\n")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if name.startswith(wanted):
            return int(entry.name)
    raise EmulationError(f"interface {interface}: no kernel thread polls it")
