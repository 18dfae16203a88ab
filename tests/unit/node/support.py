"""Real daemons on loopback, driven over Unix sockets; no root, no fixed port, no sleep."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psutil

from sentinel_node.daemon.client import NodeClient
from sentinel_proto.v1 import node_control_pb2 as pb

LOOPBACK = "127.0.0.1"
END_TIMEOUT_S = 20.0


@dataclass
class Daemon:
    """One `sentinel-node` process."""

    role: str
    control: Path
    process: subprocess.Popen[bytes]

    @property
    def pid(self) -> int:
        return self.process.pid

    def threads(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/task").iterdir()))

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def descriptor_kinds(self) -> Counter[str]:
        """How many there are of each kind; sockets by family and state."""
        kinds = Counter[str]()
        for link in Path(f"/proc/{self.pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                kinds[str(link.readlink()).removeprefix("anon_inode:").split(":[")[0]] += 1
        for one in psutil.Process(self.pid).net_connections(kind="all"):
            kinds[f"{one.family.name} {one.type.name} {one.status}"] += 1
            kinds["socket"] -= 1
        kinds["socket of another family"] = kinds.pop("socket")
        return kinds


def start_daemon(role: str, folder: Path, *extra: str) -> Daemon:
    """Start a daemon; NodeClient.connect waits until it is ready."""
    control = folder / f"{role}.sock"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "sentinel_node.daemon.main", "--role", role),
            *("--control", f"unix:{control}", "--log-level", "WARNING", *extra),
        ],
    )
    return Daemon(role, control, process)


def end_daemon(daemon: Daemon) -> int:
    """SIGTERM, and the exit code."""
    daemon.process.terminate()
    return daemon.process.wait(END_TIMEOUT_S)


_run_numbers = count()


@dataclass
class Net:
    """Clients of the three daemons and a run of one's own."""

    sender: NodeClient
    relay: NodeClient
    receiver: NodeClient
    daemons: dict[str, Daemon]
    run: str = field(default_factory=lambda: f"run-{next(_run_numbers)}")

    async def listen(self, **fields: object) -> int:
        """Have the receiver accept; the port."""
        return await self.receiver.listen(
            pb.ListenRequest(run=self.run, address=LOOPBACK, **fields)  # type: ignore[arg-type]
        )

    async def relay_to(self, port: int, **fields: object) -> int:
        """Have the intermediate relay to `port`; its own port."""
        return await self.relay.relay(
            pb.RelayRequest(
                run=self.run,
                listen_address=LOOPBACK,
                target_address=LOOPBACK,
                target_port=port,
                **fields,  # type: ignore[arg-type]
            )
        )

    def send_request(
        self, port: int, *flows: dict[str, int], tcp: pb.TcpOptions | None = None
    ) -> pb.SendRequest:
        """A command for flows numbered from 1; each dict overrides fields of its FlowSpec."""
        specs = [
            pb.FlowSpec(flow_id=number, seed=7, target_address=LOOPBACK, target_port=port, **flow)
            for number, flow in enumerate(flows, 1)
        ]
        return pb.SendRequest(run=self.run, flows=specs, tcp=tcp)
