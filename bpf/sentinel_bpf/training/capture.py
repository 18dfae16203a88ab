"""Directions of the flows of a packet capture (pcap or pcapng), for evaluation only.

Read with Scapy, which is a development dependency: nothing that runs needs it.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Protocol, cast

import numpy as np

from sentinel_bpf.errors import BpfError, BpfUnavailableError
from sentinel_bpf.training.traffic import Packets

Key = tuple[str, str, int, int, int]


class _Layer(Protocol):
    """What is read of Scapy's IP, IPv6, TCP and UDP."""

    src: str
    dst: str
    version: int
    proto: int
    nh: int
    sport: int
    dport: int


class _Frame(Protocol):
    """What is used of a frame that Scapy dissected."""

    time: Decimal
    wirelen: int | None

    def getlayer(self, name: str) -> _Layer | None: ...

    def __len__(self) -> int: ...


def _frames(path: Path) -> Iterator[tuple[int, int, _Frame]]:
    """(time in ns, original length, dissected frame) of each frame."""
    try:
        from scapy.error import Scapy_Exception
        from scapy.layers import inet, inet6, l2  # noqa: F401  (they register their protocols)
        from scapy.utils import PcapReader
    except ImportError as error:
        raise BpfUnavailableError(
            "reading captures needs the Python package scapy",
            cure="pip install 'sentinel-sim[dev]' or pip install scapy",
        ) from error
    try:
        with PcapReader(str(path)) as reader:
            for packet in reader:
                frame = cast(_Frame, packet)
                yield int(frame.time * 1_000_000_000), int(frame.wirelen or len(frame)), frame
    except (OSError, Scapy_Exception) as error:
        raise BpfError(f"{path}: not readable as a capture: {error}") from error


def _key(frame: _Frame) -> Key | None:
    """Source, target, protocol and ports; None for what is not IP."""
    ip = frame.getlayer("IP") or frame.getlayer("IPv6")
    if ip is None:
        return None
    l4 = frame.getlayer("TCP") or frame.getlayer("UDP")
    protocol = int(ip.proto if ip.version == 4 else ip.nh)
    ports = (int(l4.sport), int(l4.dport)) if l4 is not None else (0, 0)
    return str(ip.src), str(ip.dst), protocol, *ports


def read_flows(path: Path) -> list[Packets]:
    """Each direction of each flow, in order of the first packet. Sizes are those on the wire.

    Raises BpfError if the file is no capture, BpfUnavailableError without Scapy.
    """
    found: dict[Key, list[tuple[int, int]]] = {}
    for time_ns, size, frame in _frames(path):
        key = _key(frame)
        if key is not None:
            found.setdefault(key, []).append((time_ns, size))
    flows = []
    for (source, target, protocol, source_port, target_port), packets in found.items():
        name = f"{source}:{source_port} > {target}:{target_port} /{protocol}"
        times, sizes = zip(*sorted(packets, key=lambda packet: packet[0]), strict=True)
        flows.append(Packets(name, np.array(times, np.int64), np.array(sizes, np.int64)))
    return flows
