"""What is compared: lanes, each with the full work or with none, and how often each copies."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Lane(StrEnum):
    """Where the work is done."""

    XDP_NATIVE = "xdp-native"
    XDP_GENERIC = "xdp-generic"
    TC = "tc-bpf"
    AF_PACKET = "af-packet"
    ASYNCIO = "asyncio"


class Work(StrEnum):
    """How much of it."""

    FULL = "full"
    EMPTY = "empty"
    """The same lane around a program (or function) that does nothing: what must be subtracted."""


class Mode(StrEnum):
    """Which lanes a run measures."""

    USERSPACE = "userspace"
    XDP = "xdp"
    ALL = "all"


KERNEL_LANES = (Lane.XDP_NATIVE, Lane.XDP_GENERIC, Lane.TC)
USER_LANES = (Lane.AF_PACKET, Lane.ASYNCIO)
LANES_OF = {
    Mode.USERSPACE: USER_LANES,
    Mode.XDP: KERNEL_LANES,
    Mode.ALL: (*KERNEL_LANES, *USER_LANES),
}


@dataclass(frozen=True, slots=True)
class Variant:
    """One thing that packets can be sent through. `lane` None: the box only forwards."""

    lane: Lane | None
    work: Work = Work.FULL

    @property
    def name(self) -> str:
        """`forward`, `tc-bpf`, `tc-bpf/empty`."""
        if self.lane is None:
            return "forward"
        return self.lane.value if self.work is Work.FULL else f"{self.lane}/{self.work}"

    @property
    def in_kernel(self) -> bool:
        """Whether no process is involved."""
        return self.lane is None or self.lane in KERNEL_LANES


FORWARD = Variant(None, Work.EMPTY)


def variants_of(lanes: tuple[Lane, ...]) -> tuple[Variant, ...]:
    """Plain forwarding, then every lane without and with its work."""
    return (FORWARD, *(Variant(lane, work) for lane in lanes for work in (Work.EMPTY, Work.FULL)))


@dataclass(frozen=True, slots=True)
class Copies:
    """Copies of a packet's bytes from the box's first interface to its second.

    The copy that the generator's own send makes, and its like in any other sender, is not counted.
    """

    count: int
    how: str
    """`stated`: counted in the kernel's source, not measured."""
    reasoning: str


COPIES = {
    Lane.XDP_NATIVE: Copies(
        1,
        "stated",
        "the program itself copies nothing; veth copies every packet that was born as an skb with"
        " too little headroom into a page first (veth_convert_skb_to_xdp_buff); frames that arrive"
        " by XDP redirect or XDP_TX, as on a NIC with native XDP, are not copied: 0",
    ),
    Lane.XDP_GENERIC: Copies(
        1,
        "stated",
        "the program itself copies nothing; an skb with less than 256 bytes of headroom is copied"
        " into a larger one first (netif_skb_check_for_xdp)",
    ),
    Lane.TC: Copies(0, "stated", "the program reads the skb in place, the kernel forwards it"),
    Lane.AF_PACKET: Copies(
        2,
        "stated",
        "recv: kernel to process (skb_copy_datagram_iter); send: process to kernel"
        " (skb_copy_datagram_from_iter)",
    ),
    Lane.ASYNCIO: Copies(
        2,
        "stated",
        "recvfrom: kernel to process; sendto: process to kernel; the buffer of 256 KiB that asyncio"
        " receives into is shortened by realloc, which may move it (not counted)",
    ),
}
COPIES_OF_FRAMES = 0
"""In the lane xdp-native, for frames that reach the veth as XDP frames."""
