"""The only module that knows Mininet: makes the nodes and the links between them.

Mininet's own habits that would change the host are kept out: it raises host-wide sysctls when it
is initialised, and its clean-up kills by pattern. We use its nodes and links, and nothing else.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

from sentinel_sim.errors import EmulationError, MissingCapabilityError
from sentinel_sim.host.user_namespaces import OWN_USER_NAMESPACE


@dataclass(frozen=True, slots=True)
class LinkEnd:
    """One end of a veth pair: in which node, under which name and MAC address."""

    node: str
    interface: str
    mac: str


def _confined(node_class: type[Any]) -> type[Any]:
    """Mininet's node, its shell started in a user namespace of its own."""

    class ConfinedNode(node_class):  # type: ignore[misc]  # mininet has no types
        def _popen(self, cmd: list[str], **params: Any) -> subprocess.Popen[bytes]:  # noqa: ANN401
            # The shell is the first process of a node; the others enter its namespaces.
            words = [*OWN_USER_NAMESPACE, *cmd] if self.shell is None else cmd
            process: subprocess.Popen[bytes] = super()._popen(words, **params)
            return process

    return ConfinedNode


def _outside_link(link_class: type[Any]) -> type[Any]:
    """Mininet's link, its veth pair made from outside: a confined node cannot reach its peer."""

    class OutsideLink(link_class):  # type: ignore[misc]  # mininet has no types
        @classmethod
        def makeIntfPair(
            cls,
            name1: str,
            name2: str,
            mac1: str,
            mac2: str,
            node1: Any,  # noqa: ANN401
            node2: Any,  # noqa: ANN401
            **_: object,
        ) -> None:
            ends = ((name1, mac1, node1), (name2, mac2, node2))
            one, other = (
                ("name", name, "netns", str(node.pid), "address", mac) for name, mac, node in ends
            )
            subprocess.run(
                ("ip", "link", "add", *one, "type", "veth", "peer", *other),
                check=True,
                capture_output=True,
                text=True,
            )

    return OutsideLink


class MininetNetwork:
    """Nodes as network namespaces, links as veth pairs."""

    def __init__(self) -> None:
        try:
            from mininet.link import Link
            from mininet.net import Mininet
            from mininet.node import Node
        except ImportError as error:
            raise MissingCapabilityError(
                "the package mininet is not importable (it comes from apt, for /usr/bin/python3)",
                cure="make setup",
            ) from error
        Mininet.inited = True  # or it would set host-wide limits (mininet/util.py: fixLimits)
        self._net: Any = Mininet(topo=None, build=False, controller=None)
        self._node_class = Node
        self._link_class = _outside_link(Link)
        self._confined_class = _confined(Node)
        self._nodes: dict[str, Any] = {}

    def add_node(self, name: str, *, confined: bool = False) -> int:
        """Make a node in a network namespace of its own. Returns the pid that holds it.

        `confined`: the namespace belongs to a user namespace of its own (see confinement.py).
        """
        kind = self._confined_class if confined else self._node_class
        node = self._net.addHost(name, cls=kind, ip=None, inNamespace=True)
        self._nodes[name] = node
        return int(node.pid)

    def add_link(self, end_a: LinkEnd, end_b: LinkEnd) -> None:
        """A veth pair between two nodes, both ends up."""
        try:
            self._net.addLink(
                self._nodes[end_a.node],
                self._nodes[end_b.node],
                cls=self._link_class,
                intfName1=end_a.interface,
                intfName2=end_b.interface,
                addr1=end_a.mac,
                addr2=end_b.mac,
            )
        except subprocess.CalledProcessError as error:
            reason = str(error.stderr).strip()
            raise EmulationError(
                f"link {end_a.interface} -- {end_b.interface}: {reason}"
            ) from error

    def popen(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        env: Mapping[str, str],
        output: IO[bytes],
        pass_fds: Sequence[int] = (),
    ) -> subprocess.Popen[bytes]:
        """Start a process inside a node; it reads nothing and writes to `output`."""
        process: subprocess.Popen[bytes] = self._nodes[name].popen(
            list(arguments),
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=tuple(pass_fds),
        )
        return process

    def stop(self) -> None:
        """End the nodes' shells; their namespaces go when nothing is left inside."""
        for node in self._nodes.values():
            node.stop(deleteIntfs=False)
        self._nodes.clear()
