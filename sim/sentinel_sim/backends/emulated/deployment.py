"""The emulated network as it stands on this host: built once, set anew for each run."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sentinel_sim.backends.emulated.confinement import private_mounts
from sentinel_sim.backends.emulated.layout import Layout
from sentinel_sim.backends.emulated.net import LinkEnd, MininetNetwork
from sentinel_sim.backends.emulated.offloads import (
    poll_from_threads,
    read_offloads,
)
from sentinel_sim.backends.emulated.profiles import node_sysctls
from sentinel_sim.errors import EmulationError, MissingCapabilityError
from sentinel_sim.host.doctor import require_user_namespaces
from sentinel_sim.host.ownership import Ownership
from sentinel_sim.plan.model import LinkPlan, Role, RunSpec
from sentinel_sim.wire.build import delayline_program
from sentinel_sim.wire.delayline_stage import DelayLineStage
from sentinel_sim.wire.names import WireNames
from sentinel_sim.wire.netem_stage import NetemStage
from sentinel_sim.wire.shell import HostShell, batch, in_namespace
from sentinel_sim.wire.wire import SIDES, DelayStage, Wire

WIRE_BACKENDS = ("netem", "delayline")
POLLER_PRIORITY = 20
"""SCHED_FIFO; below the delay line's 50, above everything that is not ours."""
WAITING_ROOM_PACKETS = 100_000
RUN_ID_VARIABLE = "SENTINEL_RUN_ID"


@dataclass
class Deployment:
    """Namespaces, links and wires. Everything it makes is recorded before it is made."""

    layout: Layout
    ownership: Ownership
    wire_backend: str
    iptables: str = ""
    """`iptables` or `iptables-legacy`: found out with the first wire that needs it."""
    shell: HostShell = field(default_factory=HostShell)
    wires: dict[str, Wire] = field(default_factory=dict)
    pids: dict[str, int] = field(default_factory=dict)
    """Of the processes that do the emulation's work, by readable name."""
    node_pids: dict[str, int] = field(default_factory=dict)
    """Of the shells that hold the nodes' namespaces."""
    pollers: int = 0
    """Polling threads of our interfaces that have real-time priority."""

    def __post_init__(self) -> None:
        self.net = MininetNetwork()
        self._cpus = sorted(os.sched_getaffinity(0))
        self.env = {**os.environ, RUN_ID_VARIABLE: self.layout.run_id}

    def _add_namespace(self, namespace: str, *, confined: bool = False) -> int:
        """A Mininet node, its namespace mounted under its own name for tools and clean-up."""
        self.ownership.record_namespace(namespace)
        pid = self.net.add_node(namespace, confined=confined)
        self.ownership.record_child(pid, f"mininet node {namespace}")
        self.shell.run(("ip", "netns", "attach", namespace, str(pid)))
        return pid

    def node_directory(self, node: str) -> Path:
        """What the node's processes see of the run's own directory: only this."""
        return self.ownership.directory / "nodes" / node

    def build(self) -> None:
        """Nodes, wires and links; afterwards every node reaches every other without delay."""
        self.build_nodes()
        self.build_links()

    def build_nodes(self) -> None:
        """The nodes' namespaces, with nothing in them but what a process needs to start there."""
        # Mininet waits for ever for the prompt of a shell that could not be started.
        require_user_namespaces()
        self.ownership.record_directory(self.ownership.directory / "nodes")
        for node in self.layout.nodes:
            pid = self._add_namespace(self.layout.namespace(node), confined=True)
            self.node_pids[node] = pid
            home = self.node_directory(node)
            home.mkdir(mode=0o700, parents=True)
            self.shell.run(private_mounts(pid, visible=home))

    def build_links(self) -> None:
        """Wires and links between the nodes, and the nodes' addresses and routes."""
        for link in self.layout.links:
            self._build_link(link)
        for node in self.layout.nodes:
            self._build_node(node)

    def _build_link(self, link: LinkPlan) -> None:
        names = self.layout.wire_names(link.name)
        self._add_namespace(names.namespace)
        for side, node in zip(SIDES, (link.a, link.b), strict=True):
            self.net.add_link(
                LinkEnd(self.layout.namespace(node), names.node_end(side), names.mac(side)),
                LinkEnd(names.namespace, names.outer(side), names.outer_mac(side)),
            )
        self._set_mtu(names, link.mtu)
        wire = Wire(names, link.a, link.b, self.shell, self._stage(names))
        self.wires[link.name] = wire
        pid = wire.build()
        if pid is not None:
            self.ownership.record_child(pid, f"delay line of {link.name}")
            self.pids[f"delayline {link.name}"] = pid
        outer, mid = [names.outer(side) for side in SIDES], [names.mid(side) for side in SIDES]
        poll_from_threads(self.shell, names.namespace, [*outer, *mid])
        if self.wire_backend == "delayline":
            self._set_waiting_room(names.namespace, outer)

    def _set_waiting_room(self, namespace: str, interfaces: Sequence[str]) -> None:
        """A queue in front of a veth: since Linux 6.16 a full ring pushes back, if there is one."""
        lines = [
            f"qdisc replace dev {interface} root pfifo limit {WAITING_ROOM_PACKETS}"
            for interface in interfaces
        ]
        batch(self.shell, "tc", namespace, lines)

    def _set_mtu(self, names: WireNames, mtu: int) -> None:
        lines = [f"link set dev {names.outer(side)} mtu {mtu}" for side in SIDES]
        batch(self.shell, "ip", names.namespace, lines)

    def _stage(self, names: WireNames) -> DelayStage:
        if self.wire_backend == "netem":
            return NetemStage(names, self.shell)
        if not self.iptables:
            self.iptables = working_iptables(self.shell, names.namespace)
        return DelayLineStage(names, self.shell, delayline_program(), self.iptables, self.env)

    def _build_node(self, node: str) -> None:
        namespace = self.layout.namespace(node)
        batch(self.shell, "ip", namespace, self.layout.node_ip_lines(node))
        settings = ["net.ipv6.conf.all.disable_ipv6=1"]
        interfaces = self.layout.interfaces(node)
        settings += [f"net.ipv4.conf.{interface}.rp_filter=0" for interface in interfaces]
        poll_from_threads(self.shell, namespace, interfaces)
        self._set_waiting_room(namespace, interfaces)
        self.shell.run(in_namespace(namespace, "sysctl", "-q", *settings))

    def configure(self, spec: RunSpec) -> None:
        """Set kernel TCP, rates and delays for a run; the wires' counters start at zero."""
        settings = node_sysctls(spec)
        for node in self.layout.nodes:
            self.shell.run(in_namespace(self.layout.namespace(node), "sysctl", "-q", *settings))
        for link in spec.links:
            wire = self.wires[link.name]
            wire.set_rate(link, spec.control_band)
            wire.set_delay(link, spec.seed)
        self.pollers = self.raise_pollers()

    def cpus_of(self, node: str) -> set[int]:
        """The CPUs on which a node sends payload: one for a sender, any for the others.

        A veth hands what it carries to the backlog of the CPU that sent it. Were a sender's
        packets sent by two CPUs in turn (by its daemon here, on an acknowledgement there), they
        would be reordered on the way, as no real link does. The others forward from one thread,
        or send acknowledgements; for lateness it is best that they run wherever there is room.
        So does a sender's control plane: on the payload's CPU it took from it what it needed.
        """
        if self.layout.roles[node] is not Role.SENDER:
            return set(self._cpus)
        return {self._cpus[self.layout.nodes.index(node) % len(self._cpus)]}

    def raise_pollers(self) -> int:
        """Give our interfaces' polling threads real-time priority, and a node's its own CPU.

        They come and go with XDP programs, so this is done before each run. Returns how many.
        """
        owners = {
            interface: node
            for node in self.layout.nodes
            for interface in self.layout.interfaces(node)
        }
        threads = polling_threads(self.layout.run_id)
        for pid, interface in threads.items():
            os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(POLLER_PRIORITY))
            if interface in owners:
                os.sched_setaffinity(pid, self.cpus_of(owners[interface]))
        return len(threads)

    def offloads(self) -> dict[str, dict[str, str]]:
        """Segmentation and receive offloads of every interface, as they are now."""
        found = {}
        for node in self.layout.nodes:
            for interface in self.layout.interfaces(node):
                namespace = self.layout.namespace(node)
                found[f"{node}:{interface}"] = read_offloads(self.shell, namespace, interface)
        for link, wire in self.wires.items():
            for side in SIDES:
                for kind, interface in (
                    ("outer", wire.names.outer(side)),
                    ("mid", wire.names.mid(side)),
                ):
                    found[f"{link}:{kind}_{side}"] = read_offloads(
                        self.shell, wire.names.namespace, interface
                    )
        return found

    def tx_dropped(self) -> dict[tuple[str, str], int]:
        """Packets that the nodes' own interfaces failed to send, by link and source side."""
        found = {}
        for link in self.layout.links:
            names = self.layout.wire_names(link.name)
            for side, node in zip(SIDES, (link.a, link.b), strict=True):
                namespace, interface = self.layout.namespace(node), names.node_end(side)
                text = self.shell.run(
                    ("ip", "-n", namespace, "-j", "-s", "link", "show", "dev", interface)
                )
                found[link.name, side] = int(json.loads(text)[0]["stats64"]["tx"]["dropped"])
        return found

    def held_packets(self) -> int:
        """Packets inside the delay stages of all wires."""
        return sum(wire.stage.held_packets() for wire in self.wires.values())

    def close(self) -> None:
        """Take everything down, in reverse.

        Raises EmulationError if something resists: the ownership record keeps it for `clean`.
        """
        with self.ownership:
            for wire in reversed(self.wires.values()):
                wire.stop()
            self.net.stop()


def polling_threads(run_id: str) -> dict[int, str]:
    """The kernel threads that poll a run's interfaces: pid to interface name."""
    found = {}
    for comm in Path("/proc").glob("[0-9]*/comm"):
        try:
            name = comm.read_text()
        except OSError:
            continue  # it has ended meanwhile
        if name.startswith(f"napi/sn{run_id}"):
            found[int(comm.parent.name)] = name.strip().removeprefix("napi/").partition("-")[0]
    return found


def working_iptables(shell: HostShell, namespace: str) -> str:
    """Which iptables variant can add an NFQUEUE rule in `namespace`: nft, else legacy."""
    rule = ("FORWARD", "-i", "none0", "-j", "NFQUEUE", "--queue-num", "1")
    for program in ("iptables", "iptables-legacy"):
        if shutil.which(program) is None:
            continue
        try:
            for action in ("-A", "-D"):
                shell.run(in_namespace(namespace, program, "-t", "mangle", action, *rule))
        except EmulationError:
            continue
        return program
    raise MissingCapabilityError(
        "no iptables here can send packets to NFQUEUE", cure="apt-get install --yes iptables"
    )
