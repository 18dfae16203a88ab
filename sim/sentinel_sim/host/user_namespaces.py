"""User namespaces: what a node gets one with, and why a host may refuse (pure).

A node's network namespace belongs to a user namespace of the node's own (see
`backends.emulated.confinement`): without them its root would have power over other networks too.
Causes by user_namespaces(7), namespaces(7) and unshare(2).
"""

from __future__ import annotations

from collections.abc import Mapping

from sentinel_sim.host.capabilities import KERNEL_CURE, Finding, Status
from sentinel_sim.host.commands import STATUS_NO_PROGRAM, CommandResult

OWN_USER_NAMESPACE = ("unshare", "--user", "--map-root-user", "--")
"""Put before the command that makes the node's namespaces: these then belong to it."""
TRIAL = (
    *OWN_USER_NAMESPACE,
    *("unshare", "--net", "--mount", "--pid", "--fork", "--"),
    *("ip", "link", "set", "dev", "lo", "up"),
)
"""What every node does at its beginning; its root has to have power over its own network."""
LIMITED = ("user", "net", "mnt", "pid")
"""Kinds of namespaces with a limit in /proc/sys/user that a node needs one of."""
ENOUGH = 10_000
"""Namespaces of one kind that a cure allows; the kernel's default is half the most threads."""


def limit_path(kind: str) -> str:
    """Where the kernel keeps how many namespaces of a kind each user may have."""
    return f"proc/sys/user/max_{kind}_namespaces"


def finding_of(result: CommandResult, *, in_kernel: bool, limits: Mapping[str, str]) -> Finding:
    """What the outcome of TRIAL means.

    `limits`: what stands in `limit_path`, by kind, empty where it cannot be read.
    """
    said = result.last_line or f"exit status {result.status}"
    if result.ok:
        return Finding(Status.FOUND, "a node can have one, with power over its own network")
    if result.status == STATUS_NO_PROGRAM:
        return Finding(Status.MISSING, said)
    if not in_kernel:
        return Finding(Status.MISSING, "not in this kernel (CONFIG_USER_NS)", cure=KERNEL_CURE)
    if "No space left on device" in said:
        return _too_many(said, limits)
    # Seccomp of a container, a security module, or a root directory changed by chroot(2).
    cure = "run in the host itself, not in a chroot, or in a privileged container"
    return Finding(Status.MISSING, said, cure=cure)


def _too_many(said: str, limits: Mapping[str, str]) -> Finding:
    """ENOSPC: a limit is reached. It is one of zero, or else the number of user namespaces."""
    none = [kind for kind in LIMITED if limits.get(kind) == "0"]
    raised = none or ["user"]
    shown = ", ".join(f"user.max_{k}_namespaces = {limits.get(k) or '?'}" for k in raised)
    words = " ".join(f"user.max_{kind}_namespaces={ENOUGH}" for kind in raised)
    return Finding(Status.MISSING, f"{said}: {shown}", cure=f"sysctl -w {words}")
