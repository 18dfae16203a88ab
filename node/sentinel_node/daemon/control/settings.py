"""What the control plane is told: who the neighbours are, and how they are believed and watched."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from sentinel_node.core.control.messages import BUCKET_FLOWS_MAX, MessageError, check_name
from sentinel_node.core.control.sessions import SECRET_MIN_BYTES, check_secret
from sentinel_node.core.health.detectors import (
    NS_PER_MS,
    Detector,
    FixedDetector,
    PhiAccrualDetector,
)
from sentinel_node.errors import PrivilegeError, RequestError

if TYPE_CHECKING:
    from sentinel_node.daemon.control.identity import Identity

DEFAULT_HEARTBEAT_NS = 20 * NS_PER_MS
DEFAULT_OPEN_TIMEOUT_NS = 5_000 * NS_PER_MS
SECRET_MAX_BYTES = 4096


class DetectorKind(StrEnum):
    """Which failure detector watches a neighbour."""

    PHI = "phi"
    FIXED = "fixed"


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """Of one detector; see core.health.detectors.

    `phi`: threshold, min_deviation_ns, pause_ns. `fixed`: multiplier. By default 120 ms of silence
    at a heartbeat of 20 ms: an outage is known within 150 ms and the link's delay, and a daemon
    that is held up by its own traffic is not taken for dead (benchmarks/repair.py). Phi accrual
    suspected such a one after 40 ms; set to be as patient, it learns to be more so.
    """

    kind: DetectorKind = DetectorKind.FIXED
    threshold: float = 8.0
    min_deviation_ns: int = 5 * NS_PER_MS
    pause_ns: int = 0
    multiplier: int = 6

    def make(self, interval_ns: int, now_ns: int) -> Detector:
        """A detector for heartbeats that come every `interval_ns`. Raises RequestError."""
        try:
            if self.kind is DetectorKind.FIXED:
                return FixedDetector(interval_ns, self.multiplier, now_ns=now_ns)
            return PhiAccrualDetector(
                self.threshold,
                first_gap_ns=interval_ns,
                min_deviation_ns=self.min_deviation_ns,
                pause_ns=self.pause_ns,
                now_ns=now_ns,
            )
        except ValueError as error:
            raise RequestError(f"failure detector: {error}") from error


@dataclass(frozen=True, slots=True)
class Neighbour:
    """One neighbour. With an address it is dialled; without, it dials this node.

    `propagation_ns` and `rate_bps`: of the link to it as far as the operator knows; 0: unknown.
    """

    name: str
    address: str = ""
    port: int = 0
    propagation_ns: int = 0
    rate_bps: int = 0

    def __post_init__(self) -> None:
        _check_name("neighbour", self.name)
        if bool(self.address) != bool(self.port) or not 0 <= self.port <= 65535:
            raise RequestError(
                f"neighbour {self.name}: give both address and port (1 to 65535) to dial it, "
                f"or neither, got {self.address!r} and {self.port}"
            )
        if self.propagation_ns < 0 or self.rate_bps < 0:
            raise RequestError(f"neighbour {self.name}: propagation and rate must not be negative")

    @property
    def target(self) -> str:
        """As gRPC spells it."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ControlSettings:
    """Everything the control plane needs. `listen`: addresses to accept neighbours on."""

    node: str
    secret: bytes = field(repr=False)
    neighbours: tuple[Neighbour, ...]
    listen: tuple[str, ...] = ()
    port: int = 0
    heartbeat_ns: int = DEFAULT_HEARTBEAT_NS
    detector: DetectorSettings = DetectorSettings()
    open_timeout_ns: int = DEFAULT_OPEN_TIMEOUT_NS
    flows_max: int = BUCKET_FLOWS_MAX
    identity: Identity | None = None
    """Mutual TLS; None: without, where all hosts are our own."""

    def __post_init__(self) -> None:
        _check_name("node", self.node)
        try:
            check_secret(self.secret)
        except ValueError as error:
            raise RequestError(str(error)) from error
        names = [neighbour.name for neighbour in self.neighbours]
        if len(set(names)) != len(names) or self.node in names:
            raise RequestError(f"neighbours of {self.node} must be others, each once, got {names}")
        if any(not n.address for n in self.neighbours) and not self.listen:
            raise RequestError(f"{self.node} shall be dialled, but is given nothing to listen on")
        if self.heartbeat_ns < NS_PER_MS:
            raise RequestError(f"heartbeat_ns must be at least 1 ms, got {self.heartbeat_ns}")
        if not 1 <= self.flows_max <= BUCKET_FLOWS_MAX:
            raise RequestError(
                f"flows_max must be from 1 to {BUCKET_FLOWS_MAX}, got {self.flows_max}"
            )
        self.detector.make(self.heartbeat_ns, 0)


def read_secret(path: str) -> bytes:
    """The shared secret in a file. Raises RequestError or PrivilegeError and says the cure."""
    try:
        secret = Path(path).read_bytes()
    except PermissionError as error:
        raise PrivilegeError(f"cannot read the control secret {path}: {error.strerror}") from error
    except OSError as error:
        raise RequestError(
            f"cannot read the control secret {path}: {error.strerror}; "
            f"make one: (umask 077; head -c 32 /dev/urandom > {path})"
        ) from error
    if not SECRET_MIN_BYTES <= len(secret) <= SECRET_MAX_BYTES:
        raise RequestError(
            f"the control secret {path} must have {SECRET_MIN_BYTES} to {SECRET_MAX_BYTES} bytes, "
            f"got {len(secret)}"
        )
    return secret


def _check_name(what: str, name: str) -> None:
    try:
        check_name(what, name)
    except MessageError as error:
        raise RequestError(str(error)) from error
