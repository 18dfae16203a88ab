"""The emulated network as it stands on this host: built once, set anew for each run."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from sentinel_sim.backends.emulated.layout import Layout
from sentinel_sim.backends.emulated.net import LinkEnd, MininetNetwork
from sentinel_sim.backends.emulated.offloads import read_offloads, set_gro
from sentinel_sim.backends.emulated.profiles import node_sysctls
from sentinel_sim.errors import MissingCapabilityError
from sentinel_sim.host.ownership import Ownership
from sentinel_sim.plan.model import LinkPlan, RunSpec
from sentinel_sim.wire.build import delayline_program
from sentinel_sim.wire.delayline_stage import DelayLineStage
from sentinel_sim.wire.names import WireNames
from sentinel_sim.wire.netem_stage import NetemStage
from sentinel_sim.wire.shell import HostShell, batch, in_namespace
from sentinel_sim.wire.wire import SIDES, DelayStage, Wire

WIRE_BACKENDS = ("netem", "delayline")
RUN_ID_VARIABLE = "SENTINEL_RUN_ID"


@dataclass
class Deployment:
    """Namespaces, links and wires. Everything it makes is recorded before it is made."""

    layout: Layout
    ownership: Ownership
    wire_backend: str
    iptables: str = "iptables"
    shell: HostShell = field(default_factory=HostShell)
    wires: dict[str, Wire] = field(default_factory=dict)
    pids: dict[str, int] = field(default_factory=dict)
    """Of the processes that do the emulation's work, by readable name."""

    def __post_init__(self) -> None:
        self.net = MininetNetwork()
        self.env = {**os.environ, RUN_ID_VARIABLE: self.layout.run_id}

    def _add_namespace(self, namespace: str) -> None:
        """A Mininet node, its namespace mounted under its own name for tools and clean-up."""
        self.ownership.record_namespace(namespace)
        pid = self.net.add_node(namespace)
        self.ownership.record_child(pid, f"mininet node {namespace}")
        self.shell.run(("ip", "netns", "attach", namespace, str(pid)))

    def build(self) -> None:
        """Nodes, wires and links; afterwards every node reaches every other without delay."""
        for node in self.layout.nodes:
            self._add_namespace(self.layout.namespace(node))
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
        for side in SIDES:
            # One NAPI ring each, so that bursts wait in a queue instead of the CPU's backlog.
            set_gro(self.shell, names.namespace, names.outer(side), True)
            set_gro(self.shell, names.namespace, names.mid(side), True)

    def _set_mtu(self, names: WireNames, mtu: int) -> None:
        lines = [f"link set dev {names.outer(side)} mtu {mtu}" for side in SIDES]
        batch(self.shell, "ip", names.namespace, lines)

    def _stage(self, names: WireNames) -> DelayStage:
        if self.wire_backend == "netem":
            return NetemStage(names, self.shell)
        return DelayLineStage(names, self.shell, delayline_program(), self.iptables, self.env)

    def _build_node(self, node: str) -> None:
        namespace = self.layout.namespace(node)
        batch(self.shell, "ip", namespace, self.layout.node_ip_lines(node))
        settings = ["net.ipv6.conf.all.disable_ipv6=1"]
        for interface in self.layout.interfaces(node):
            settings.append(f"net.ipv4.conf.{interface}.rp_filter=0")
            set_gro(self.shell, namespace, interface, True)
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

    def held_packets(self) -> int:
        """Packets inside the delay stages of all wires."""
        return sum(wire.stage.held_packets() for wire in self.wires.values())

    def close(self) -> None:
        """Take everything down, in reverse; what resists is left to the ownership record."""
        try:
            for wire in reversed(self.wires.values()):
                wire.stop()
            self.net.stop()
        finally:
            self.ownership.release_all()


def working_iptables(namespace_shell: HostShell, namespace: str) -> str:
    """Which iptables variant can add an NFQUEUE rule in `namespace`: nft, else legacy."""
    from sentinel_sim.errors import EmulationError

    for program in ("iptables", "iptables-legacy"):
        if shutil.which(program) is None:
            continue
        rule = ("-t", "mangle", "FORWARD", "-i", "none0", "-j", "NFQUEUE", "--queue-num", "1")
        add = (rule[0], rule[1], "-A", *rule[2:])
        delete = (rule[0], rule[1], "-D", *rule[2:])
        try:
            namespace_shell.run(in_namespace(namespace, program, *add))
            namespace_shell.run(in_namespace(namespace, program, *delete))
        except EmulationError:
            continue
        return program
    raise MissingCapabilityError(
        "no iptables here can send packets to NFQUEUE", cure="apt-get install --yes iptables"
    )


def control_socket(ownership: Ownership, node: str) -> Path:
    """Where the node's daemon listens for the controller."""
    return Path(ownership.directory) / f"{node}.sock"
