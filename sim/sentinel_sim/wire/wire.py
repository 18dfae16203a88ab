"""One wire: builds the stages inside its namespace, sets them for a run, reads them back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from sentinel_sim.errors import InfeasibleError
from sentinel_sim.plan.model import LinkPlan
from sentinel_sim.wire.names import WireNames, other
from sentinel_sim.wire.rate import rate_change_lines, rate_lines
from sentinel_sim.wire.shell import Shell, batch, in_namespace

SIDES = ("a", "b")
ROUTE_TABLE = {"a": 101, "b": 102}
"""By the side towards which the table leads."""


class DelayStage(Protocol):
    """The last stage of a wire: netem or the delay line."""

    backend: str

    def start(self) -> int | None:
        """Make ready; the pid of the process that does the work, if there is one."""
        ...

    def set(self, source: str, link: LinkPlan, delay_ns: int, seed: int) -> None: ...

    def held_packets(self) -> int: ...

    def drops(self) -> dict[str, dict[str, int]]: ...

    def describe(self) -> dict[str, Any]: ...

    def stop(self) -> None: ...


def build_ip_lines(names: WireNames) -> list[str]:
    """`ip` lines that build the inside of a wire; its outer interfaces exist already.

    The inner interface that receives for node b carries b's MAC address, so that the frames
    which a sends to b are taken in here; a policy rule leads them on to the outer interface.
    """
    lines = [
        "link set dev lo up",  # without the local table it makes, no gateway is accepted
        f"link add name {names.mid('a')} address {names.mac('a')} type veth"
        f" peer name {names.mid('b')} address {names.mac('b')}",
    ]
    for side in SIDES:
        address, table = names.address(side), ROUTE_TABLE[side]
        lines += [
            f"link set dev {names.mid(side)} up",
            f"link set dev {names.outer(side)} up",
            f"rule add iif {names.mid(side)} lookup {table}",
            f"neigh replace {address} lladdr {names.mac(side)} dev {names.outer(side)}"
            " nud permanent",
            f"route replace default via {address} dev {names.outer(side)} onlink table {table}",
        ]
    return lines


def build_tc_lines(names: WireNames) -> list[str]:
    """`tc` lines that lead what a node sends straight into the rate stage.

    Mirrored and dropped, not redirected: the copy belongs to no socket. A redirected packet
    still counts as unsent at its sender, in whichever namespace it waits, and TCP small queues
    (tcp_limit_output_bytes in the kernel's ip-sysctl.rst) would never let the wire's queue fill:
    no sender can feel a queue far away before its packets are late or lost.
    """
    lines = []
    for side in SIDES:
        lines += [
            f"qdisc replace dev {names.outer(side)} clsact",
            f"filter replace dev {names.outer(side)} ingress protocol ip prio 10 handle 800::800"
            f" u32 match u32 0 0 action mirred egress mirror dev {names.mid(side)} drop",
        ]
    return lines


def namespace_sysctls(names: WireNames) -> list[str]:
    """Settings inside the wire's namespace: forward, answer nothing, filter nothing."""
    interfaces = ["all", "default"]
    interfaces += [maker(side) for side in SIDES for maker in (names.mid, names.outer)]
    settings = ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.disable_ipv6=1"]
    for interface in interfaces:
        settings.append(f"net.ipv4.conf.{interface}.rp_filter=0")
        settings.append(f"net.ipv4.conf.{interface}.send_redirects=0")
    return settings


@dataclass(slots=True)
class Wire:
    """The emulation of one link. `a` and `b` are the link's ends in file order."""

    names: WireNames
    a: str
    b: str
    shell: Shell
    stage: DelayStage
    base_cost_ns: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SIDES, 0))
    """By source side: what the wire costs when asked for no more than a short delay."""
    _shaped: bool = False

    def build(self) -> int | None:
        """Make the stages; the outer interfaces must exist. Returns the delay process's pid."""
        namespace = self.names.namespace
        self.shell.run(in_namespace(namespace, "sysctl", "-q", "net.ipv4.ip_forward=1"))
        batch(self.shell, "ip", namespace, build_ip_lines(self.names))
        self.shell.run(in_namespace(namespace, "sysctl", "-q", *namespace_sysctls(self.names)))
        batch(self.shell, "tc", namespace, build_tc_lines(self.names))
        return self.stage.start()

    def delay_to_configure_ns(self, source: str, link: LinkPlan) -> int:
        """The requested delay less the wire's own cost.

        Raises:
            InfeasibleError: the wire alone costs more than the delay that is asked for.
        """
        delay_ns = link.delay_one_way_ns - self.base_cost_ns[source]
        if delay_ns < link.jitter_ns:
            raise InfeasibleError(
                f"link {link.name}: a one-way delay of {link.delay_one_way_ns / 1e6:g} ms with"
                f" jitter {link.jitter_ns / 1e6:g} ms is less than the wire itself costs here"
                f" ({self.base_cost_ns[source] / 1e6:g} ms)"
            )
        return delay_ns

    def set_delay(self, link: LinkPlan, seed: int) -> None:
        """Set both directions' delay."""
        for offset, source in enumerate(SIDES):
            delay_ns = self.delay_to_configure_ns(source, link)
            self.stage.set(source, link, delay_ns, (seed + offset) & (2**64 - 1))

    def set_rate(self, link: LinkPlan, control_band: bool) -> None:
        """Set both directions' rate and queue; starts their counters at zero."""
        lines = []
        for source in SIDES:
            interface = self.names.mid(source)
            if self._shaped:
                lines.append(f"qdisc del dev {interface} root")
            lines += rate_lines(interface, link.rate_bps, link.queue_bytes, control_band)
        batch(self.shell, "tc", self.names.namespace, lines)
        self._shaped = True

    def change_rate(self, source: str, link: LinkPlan, rate_bps: int, control_band: bool) -> None:
        """Another rate for one direction, while packets pass; its counters go on."""
        interface = self.names.mid(source)
        lines = rate_change_lines(interface, rate_bps, link.queue_bytes, control_band)
        batch(self.shell, "tc", self.names.namespace, lines)

    def direction(self, source: str) -> str:
        """`sender->receiver` of the direction that comes from `source`."""
        ends = {"a": self.a, "b": self.b}
        return f"{ends[source]}->{ends[other(source)]}"

    def stop(self) -> None:
        """End the delay stage."""
        self.stage.stop()
