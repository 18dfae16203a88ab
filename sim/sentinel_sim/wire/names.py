"""Names and addresses of one wire's parts: short enough for the kernel, ours at a glance."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

IFNAME_LENGTH_MAX = 15
NAMESPACE_DIRECTORY = Path("/run/netns")


@dataclass(frozen=True, slots=True)
class WireNames:
    """Everything that is named in one wire.

    `run_id` and the link's `index` make the names unique on the host and within the run, so
    that interfaces are recognised as ours even where their namespace is gone.
    """

    run_id: str
    index: int

    @property
    def namespace(self) -> str:
        """The wire's own network namespace."""
        return f"sentinel-{self.run_id}-wire{self.index}"

    def _interface(self, part: str) -> str:
        name = f"sn{self.run_id}{self.index}{part}"
        if len(name) > IFNAME_LENGTH_MAX:
            raise ValueError(f"interface name {name!r} is longer than {IFNAME_LENGTH_MAX}")
        return name

    def node_end(self, side: str) -> str:
        """The interface inside node a or b (`side`)."""
        return self._interface(side)

    def outer(self, side: str) -> str:
        """The wire's end of the pair to node a or b."""
        return self._interface(f"o{side}")

    def mid(self, side: str) -> str:
        """The wire's inner pair; traffic from a leaves through `mid('a')`."""
        return self._interface(f"m{side}")

    def mac(self, side: str) -> str:
        """Of the node's interface, and of the inner interface that receives in its stead."""
        octet = 1 if side == "a" else 2
        return f"02:5e:{self.index >> 8:02x}:{self.index & 0xFF:02x}:00:{octet:02x}"

    def outer_mac(self, side: str) -> str:
        """Of the wire's end of the pair to node a or b."""
        octet = 1 if side == "a" else 2
        return f"02:5e:{self.index >> 8:02x}:{self.index & 0xFF:02x}:01:{octet:02x}"

    def address(self, side: str) -> str:
        """IPv4 address of the node's end of this link (a /30 for each link)."""
        if not 0 <= self.index < 16384:
            raise ValueError(f"link index {self.index} is outside the address plan (0 ... 16383)")
        host = (self.index & 63) * 4 + (1 if side == "a" else 2)
        return f"10.98.{self.index >> 6}.{host}"


def other(side: str) -> str:
    """The far side."""
    return "b" if side == "a" else "a"
