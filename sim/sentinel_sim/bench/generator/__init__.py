"""The load generator: a C program that spins on one CPU, and what talks to it."""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sentinel_bpf.bench_programs import FRAME_BYTES
from sentinel_bpf.frames import ETH_IPV4, UDP, ipv4, udp
from sentinel_sim.bench.linked import LinkedProcess
from sentinel_sim.wire.build import compiled_program
from sentinel_sim.wire.shell import in_namespace

PROGRAM = "sentinel-generator"
SOURCE_PORT_OFFSET = 34
"""Of an untagged IPv4 frame without options: Ethernet 14, IPv4 20."""
SEND_SLACK_S = 10.0


@dataclass(frozen=True, slots=True)
class Sent:
    """What one order came to."""

    packets: int
    """All that were offered, each once."""
    refused: int
    """Of these: lost at once, because the receiving ring was full."""
    elapsed_ns: int
    late_max_ns: int
    """By how much the generator was behind its own schedule at worst."""

    @property
    def pps(self) -> float:
        """The rate that was made."""
        return self.packets / max(self.elapsed_ns, 1) * 1e9


def header_checksum(header: bytes) -> int:
    """RFC 1071, over an IPv4 header whose checksum field is zero."""
    total: int = sum(struct.unpack(f">{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def udp_frame(source: str, target: str, target_port: int, target_mac: str) -> bytes:
    """A whole frame of FRAME_BYTES that routers and sockets accept (UDP checksum 0: none)."""
    payload = bytes(FRAME_BYTES - 42)
    packet = bytearray(ipv4(udp(0, target_port, payload), UDP, source=source, target=target))
    struct.pack_into(">H", packet, 10, header_checksum(bytes(packet[:20])))
    macs = bytes.fromhex(target_mac.replace(":", "")) + bytes.fromhex("02630000aa01")
    frame = macs + struct.pack(">H", ETH_IPV4) + bytes(packet)
    assert socket.inet_ntoa(frame[26:30]) == source
    return frame


class Generator:
    """One running generator."""

    def __init__(self, process: LinkedProcess) -> None:
        self._process = process
        self._template = b""

    @classmethod
    def start(
        cls, namespace: str, interface: str, cpu: int, environment: Mapping[str, str]
    ) -> Generator:
        """Start it inside `namespace`, pinned to `cpu`; compiles it where needed."""
        program = compiled_program(Path(__file__).parent, PROGRAM)
        words = (str(program), "--tag", f"{namespace}-generator", "--interface", interface)
        command = in_namespace(namespace, *words, "--cpu", str(cpu))
        return cls(LinkedProcess.start("the load generator", command, environment))

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def use(self, frame: bytes) -> None:
        """Send this frame from now on, its source port and stamp written anew each time."""
        if frame != self._template:
            self._process.ask(f"template {frame.hex()} {SOURCE_PORT_OFFSET}", SEND_SLACK_S)
            self._template = frame

    def send(self, packets: int, rate_pps: float, flows: int, seed: int) -> Sent:
        """Send; returns when all are sent. `rate_pps` 0: as fast as it goes."""
        rate = round(rate_pps)
        expected_s = packets / rate if rate else packets / 50_000
        answer = self._process.ask(
            f"send {packets} {rate} {flows} {seed}", expected_s + SEND_SLACK_S
        )
        return Sent(
            int(answer["sent"]),
            int(answer["refused"]),
            int(answer["elapsed_ns"]),
            int(answer["late_max_ns"]),
        )

    def stop(self) -> None:
        """End it."""
        self._process.stop()
