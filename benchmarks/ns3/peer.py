"""ns-3 on a case: builds the scenario, runs it, reads what it prints."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
from cases import BUFFER_BYTES, HEADERS_BYTES, INITIAL_WINDOW, MS_NS, MSS_BYTES, Case
from outcome import CWND, SSTHRESH, Outcome, Series

SOURCE = Path(__file__).with_name("bulk_flow.cc")
LIBRARIES = ("applications", "internet", "point-to-point", "network", "core")
FLAGS = ("-O2", "-std=c++17", "-Wall", "-Wextra")
CURE = "apt-get install --no-install-recommends libns3-dev"
TYPES = {"reno": "ns3::TcpLinuxReno", "cubic": "ns3::TcpCubic", "bbr": "ns3::TcpBbr"}
PPP_HEADER_BYTES = 2
TCP_IP_BYTES = 52
DELAYED_ACK_NS = 40 * MS_NS
MIN_RTO_NS = 200 * MS_NS
HYSTART_DELAY_NS = (4 * MS_NS, 16 * MS_NS)
"""Linux allows an eighth of the least RTT, within these; ns-3 the least RTT, up to a limit."""
TIME_LIMIT_S = 600


class PeerMissingError(Exception):
    """ns-3 or a compiler is not there; the text says what to install."""


def version() -> str:
    """Of Debian's package, as dpkg tells it. Raises PeerMissingError if it is not installed."""
    query = ("dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", "libns3-dev")
    if shutil.which("dpkg-query") is None:
        raise PeerMissingError(f"this benchmark uses Debian's ns-3: {CURE}")
    answer = subprocess.run(query, capture_output=True, text=True, check=False)
    found = re.fullmatch(r"installed (\S+)", answer.stdout.strip())
    if found is None:
        raise PeerMissingError(f"ns-3 is not installed: {CURE}")
    return found[1]


def build(folder: Path) -> Path:
    """Compile the scenario. Raises PeerMissingError with the compiler's words if that fails."""
    compiler = shutil.which("c++")
    if compiler is None:
        raise PeerMissingError("no C++ compiler (c++): apt-get install --no-install-recommends g++")
    program = folder / "bulk_flow"
    libraries = [f"-lns3-{name}" for name in LIBRARIES]
    command = [compiler, *FLAGS, str(SOURCE), "-o", str(program), *libraries]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise PeerMissingError(f"{SOURCE.name} does not compile (is it ns-3.37?):\n{made.stderr}")
    return program


def arguments(case: Case, *, timestamps: bool) -> tuple[str, ...]:
    """The words that make the scenario equal to ours."""
    own_headers = PPP_HEADER_BYTES + TCP_IP_BYTES - (0 if timestamps else 12)
    own_bytes = MSS_BYTES + own_headers
    low, high = HYSTART_DELAY_NS
    values = {
        "control": TYPES[case.control],
        "rateBps": case.rate_bps,
        "linkDelayNs": case.link_delay_ns,
        # As many packets as in ours, counted with ns-3's own framing.
        "queueBytes": case.queue_bytes * own_bytes // (MSS_BYTES + HEADERS_BYTES),
        "missingBytes": HEADERS_BYTES - own_headers,
        "mss": MSS_BYTES,
        "initialWindow": INITIAL_WINDOW,
        "bufferBytes": BUFFER_BYTES,
        "delayedAckNs": DELAYED_ACK_NS,
        "minRtoNs": MIN_RTO_NS,
        "timestamps": int(timestamps),
        "hystart": int(case.hystart),
        "hystartDelayMaxNs": min(max(case.rtt_ns // 8, low), high),
        "durationNs": case.duration_ns,
        "tickNs": case.tick_ns,
    }
    return tuple(f"--{name}={value}" for name, value in values.items())


def measure(program: Path, case: Case, *, timestamps: bool = True) -> Outcome:
    """One run. Raises CalledProcessError if it fails."""
    command = [str(program), *arguments(case, timestamps=timestamps)]
    answer = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=TIME_LIMIT_S
    )
    found = json.loads(answer.stdout)
    rows = np.array(found["rows"], np.float64)
    rows[:, [CWND, SSTHRESH]] //= MSS_BYTES
    return Outcome(
        found["data_packets"], found["wall_s"], found["cpu_s"], Series(case.tick_ns, rows)
    )
