"""Named frames, and what the FSU should make of each: a flow, or the counter that says why not."""

from __future__ import annotations

from dataclasses import dataclass

from sentinel_bpf.frames import (
    ETH_ARP,
    ETH_IPV4,
    ETH_IPV6,
    ETH_QINQ,
    ETH_VLAN,
    ICMP,
    ICMPV6,
    TCP,
    UDP,
    ethernet,
    extension,
    fragment_header,
    ipv4,
    ipv6,
    tcp,
    timestamps,
    udp,
)

HOP_BY_HOP, ROUTING, FRAGMENT, AH, NO_NEXT, DESTINATION, SCTP = 0, 43, 44, 51, 59, 60, 132


@dataclass(frozen=True)
class Flow:
    """The record a frame should lead to."""

    source: tuple[str, int]
    target: tuple[str, int]
    protocol: int
    forward: bool = True
    vlan: int = 0
    outer_vlan: int = 0


def v4(payload: bytes | None = None, **options: object) -> bytes:
    return ethernet(ipv4(tcp() if payload is None else payload, **options), ETH_IPV4)  # type: ignore[arg-type]


def v6(payload: bytes | None = None, next_header: int = TCP, **options: object) -> bytes:
    return ethernet(ipv6(tcp() if payload is None else payload, next_header, **options), ETH_IPV6)  # type: ignore[arg-type]


A4, B4 = ("10.0.0.1", 40000), ("10.0.0.2", 5201)
A6, B6 = ("fd00::1", 40000), ("fd00::2", 5201)
NO_PORTS4, NO_PORTS6 = (("10.0.0.1", 0), ("10.0.0.2", 0)), (("fd00::1", 0), ("fd00::2", 0))
SIX_OPTIONS = b"".join(extension(DESTINATION) for _ in range(5)) + extension(TCP)

FLOWS: dict[str, tuple[bytes, Flow]] = {
    "tcp": (v4(), Flow(A4, B4, TCP)),
    "tcp backward": (
        v4(tcp(5201, 40000), source="10.0.0.2", target="10.0.0.1"),
        Flow(A4, B4, TCP, forward=False),
    ),
    "tcp with options": (v4(tcp(options=bytes(40))), Flow(A4, B4, TCP)),
    "ipv4 with options": (v4(options=bytes(40)), Flow(A4, B4, TCP)),
    "ipv4 and tcp with options": (v4(tcp(options=bytes(12)), options=bytes(4)), Flow(A4, B4, TCP)),
    "don't fragment": (v4(fragment=0x4000), Flow(A4, B4, TCP)),
    "padded to 60 bytes": (v4().ljust(60, b"\0"), Flow(A4, B4, TCP)),
    "tcp with timestamps": (v4(tcp(options=timestamps(7, 8))), Flow(A4, B4, TCP)),
    "tcp options of a SYN": (
        v4(tcp(options=bytes.fromhex("020405b40402080a000000010000000001030307"), flags=2)),
        Flow(A4, B4, TCP),
    ),
    "tcp option of length zero": (v4(tcp(options=bytes((5, 0, 0, 0)))), Flow(A4, B4, TCP)),
    "tcp option beyond its header": (v4(tcp(options=bytes((5, 40, 0, 0)))), Flow(A4, B4, TCP)),
    "tcp timestamps cut by the header": (
        v4(tcp(options=bytes((8, 10, 0, 0)))),
        Flow(A4, B4, TCP),
    ),
    "tcp timestamps of a wrong length": (
        v4(tcp(options=bytes((8, 12)) + bytes(10))),
        Flow(A4, B4, TCP),
    ),
    "tcp options of nothing but padding": (v4(tcp(options=bytes((1,)) * 40)), Flow(A4, B4, TCP)),
    "jumbo, the largest without fragments": (
        v4(tcp(payload=bytes(3520 - 54))),
        Flow(A4, B4, TCP),
    ),
    "full size": (v4(tcp(payload=bytes(1460))), Flow(A4, B4, TCP)),
    "udp": (v4(udp(), protocol=UDP), Flow(A4, ("10.0.0.2", 53), UDP)),
    "udp without payload, padded": (
        v4(udp(), protocol=UDP).ljust(60, b"\0"),
        Flow(A4, ("10.0.0.2", 53), UDP),
    ),
    "icmp": (v4(bytes(8), protocol=ICMP), Flow(*NO_PORTS4, ICMP)),
    "gre": (v4(bytes(8), protocol=47), Flow(*NO_PORTS4, 47)),
    "sctp": (v4(udp(), protocol=SCTP), Flow(A4, ("10.0.0.2", 53), SCTP)),
    "empty ip packet": (v4(b"", protocol=255), Flow(*NO_PORTS4, 255)),
    "one address, ports decide": (
        v4(tcp(9, 8), target="10.0.0.1"),
        Flow(("10.0.0.1", 8), ("10.0.0.1", 9), TCP, forward=False),
    ),
    "addresses compared as numbers": (
        v4(source="10.0.0.2", target="9.255.255.255"),
        Flow(("9.255.255.255", 5201), ("10.0.0.2", 40000), TCP, forward=False),
    ),
    "addresses above 127": (
        v4(source="200.0.0.1", target="100.0.0.1"),
        Flow(("100.0.0.1", 5201), ("200.0.0.1", 40000), TCP, forward=False),
    ),
    "vlan": (ethernet(ipv4(tcp()), ETH_IPV4, (ETH_VLAN, 0xE064)), Flow(A4, B4, TCP, vlan=100)),
    "priority tag": (ethernet(ipv4(tcp()), ETH_IPV4, (ETH_VLAN, 0xE000)), Flow(A4, B4, TCP)),
    "qinq": (
        ethernet(ipv4(tcp()), ETH_IPV4, (ETH_QINQ, 4094), (ETH_VLAN, 100)),
        Flow(A4, B4, TCP, vlan=100, outer_vlan=4094),
    ),
    "ipv6 in vlan": (
        ethernet(ipv6(tcp()), ETH_IPV6, (ETH_VLAN, 7)),
        Flow(A6, B6, TCP, vlan=7),
    ),
    "ipv6 tcp": (v6(), Flow(A6, B6, TCP)),
    "ipv6 backward": (
        v6(tcp(5201, 40000), source="fd00::2", target="fd00::1"),
        Flow(A6, B6, TCP, forward=False),
    ),
    "ipv6 order in the upper half": (
        v6(source="fd01::1", target="fd00::2"),
        Flow(("fd00::2", 5201), ("fd01::1", 40000), TCP, forward=False),
    ),
    "ipv6 one address, ports decide": (
        v6(tcp(9, 8), target="fd00::1"),
        Flow(("fd00::1", 8), ("fd00::1", 9), TCP, forward=False),
    ),
    "ipv6 udp": (v6(udp(), UDP), Flow(A6, ("fd00::2", 53), UDP)),
    "icmpv6": (v6(bytes(8), ICMPV6), Flow(*NO_PORTS6, ICMPV6)),
    "ipv6 without next header": (v6(b"", NO_NEXT, payload_length=0), Flow(*NO_PORTS6, NO_NEXT)),
    "hop-by-hop": (v6(extension(TCP) + tcp(), HOP_BY_HOP), Flow(A6, B6, TCP)),
    "long routing header": (v6(extension(TCP, units=20) + tcp(), ROUTING), Flow(A6, B6, TCP)),
    "hop-by-hop, routing, destination": (
        v6(extension(ROUTING) + extension(DESTINATION) + extension(UDP) + udp(), HOP_BY_HOP),
        Flow(A6, ("fd00::2", 53), UDP),
    ),
    "authentication header": (
        v6(bytes([TCP, 4]) + bytes(22) + tcp(), AH),
        Flow(A6, B6, TCP),
    ),
    "six extension headers": (v6(SIX_OPTIONS + tcp(), DESTINATION), Flow(A6, B6, TCP)),
    "atomic fragment": (v6(fragment_header(TCP) + tcp(), FRAGMENT), Flow(A6, B6, TCP)),
}

OTHERS: dict[str, tuple[bytes, str]] = {
    "ethernet header only": (ethernet(b"", ETH_IPV4), "parse_fail"),
    "vlan tag cut": (ethernet(b"", ETH_VLAN) + b"\0\1", "parse_fail"),
    "second tag cut": (ethernet(b"\0\1", ETH_VLAN, (ETH_QINQ, 1)), "parse_fail"),
    "three tags": (
        ethernet(ipv4(tcp()), ETH_IPV4, (ETH_QINQ, 1), (ETH_QINQ, 2), (ETH_VLAN, 3)),
        "parse_fail",
    ),
    "ipv4 header cut": (v4()[:33], "parse_fail"),
    "ipv4 version 6": (v4(version=6), "parse_fail"),
    "ipv4 header length 4 words": (v4(header_words=4), "parse_fail"),
    "ipv4 header longer than the packet": (v4(b"\0" * 8, header_words=15), "parse_fail"),
    "ipv4 total length below its header": (v4(total_length=19), "parse_fail"),
    "ipv4 total length beyond the frame": (v4(total_length=1500), "parse_fail"),
    "ipv4 total length zero": (v4(total_length=0), "parse_fail"),
    "ipv4 options cut": (v4(options=bytes(40))[:40], "parse_fail"),
    "tcp header cut": (v4(tcp()[:19]), "parse_fail"),
    "tcp header in the padding": (v4(total_length=30), "parse_fail"),
    "tcp offset below 5": (v4(tcp(data_offset=4)), "parse_fail"),
    "tcp offset beyond the packet": (v4(tcp(data_offset=15)), "parse_fail"),
    "udp header cut": (v4(udp()[:7], protocol=UDP), "parse_fail"),
    "udp length below 8": (v4(udp(length=7), protocol=UDP), "parse_fail"),
    "udp length beyond the packet": (v4(udp(length=9), protocol=UDP), "parse_fail"),
    "first fragment": (v4(fragment=0x2000), "fragments"),
    "middle fragment": (v4(fragment=0x2010), "fragments"),
    "last fragment": (v4(fragment=0x0010), "fragments"),
    "ipv6 header cut": (v6()[:53], "parse_fail"),
    "ipv6 version 4": (v6(version=4), "parse_fail"),
    "ipv6 payload beyond the frame": (v6(payload_length=200), "parse_fail"),
    "ipv6 payload shorter than tcp": (v6(payload_length=19), "parse_fail"),
    "ipv6 extension cut": (v6(extension(TCP)[:7], HOP_BY_HOP), "parse_fail"),
    "ipv6 extension longer than the packet": (v6(extension(TCP, units=1)[:8], 0), "parse_fail"),
    "seven extension headers": (
        v6(extension(DESTINATION) + SIX_OPTIONS + tcp(), DESTINATION),
        "parse_fail",
    ),
    "ipv6 first fragment": (v6(fragment_header(TCP, more=True) + tcp(), FRAGMENT), "fragments"),
    "ipv6 last fragment": (v6(fragment_header(TCP, offset=1) + tcp(), FRAGMENT), "fragments"),
    "ipv6 fragment behind hop-by-hop": (
        v6(extension(FRAGMENT) + fragment_header(TCP, offset=100) + tcp(), HOP_BY_HOP),
        "fragments",
    ),
    "arp": (ethernet(bytes(28), ETH_ARP), "not_ip"),
    "arp in vlan": (ethernet(bytes(28), ETH_ARP, (ETH_VLAN, 5)), "not_ip"),
    "802.3 length": (ethernet(bytes(46), 46), "not_ip"),
    "ethertype zero": (ethernet(bytes(46), 0), "not_ip"),
}
