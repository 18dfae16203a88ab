"""What a node's processes may do (pure: command lines).

Three walls, because a node's root keeps CAP_NET_ADMIN and CAP_NET_RAW in its own network:

- Its network namespace belongs to a user namespace of its own. CAP_NET_ADMIN of the host's user
  namespace would hold in *every* network namespace there: one `ip link add ... netns PID` and the
  node would have a link around the wire.
- Its mounts are its own, without the directories where other namespaces and BPF pins can be opened
  by name: to user 0 they belong, so nothing but their absence protects them.
- Its processes have a pid namespace, so that nobody outside can be named, signalled or traced.

The node's daemon is our own program, but it talks to the network: it keeps CAP_NET_ADMIN, which
fixed socket buffers beyond the host's limit and congestion controls outside the host's list need,
and drops all the rest. It reads the FSU through descriptors that cannot write.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from sentinel_sim.host.namespaces import NETNS_DIRECTORY
from sentinel_sim.host.release import RUN_ROOT

HIDDEN = (NETNS_DIRECTORY, RUN_ROOT)
"""Where namespaces, sockets and pins of others lie."""


def _only(*capabilities: str) -> tuple[str, ...]:
    """Start a program with these capabilities at most, for good."""
    kept = ",".join(("-all", *(f"+{name}" for name in capabilities)))
    return (
        *("setpriv", "--bounding-set", kept, "--inh-caps", kept, "--ambient-caps", "-all"),
        *("--no-new-privs", "--"),
    )


DAEMON_PRIVILEGES = _only("net_admin")
NODE_ROOT_PRIVILEGES = _only("net_admin", "net_raw")


def private_mounts(pid: int, *, visible: Path) -> tuple[str, ...]:
    """Hide what is not the node's in the mount namespace of `pid`; `visible` stays, alone.

    The mounts are read-only and empty. The node cannot take them away: they are mounted by the
    host's root, and it lacks CAP_SYS_ADMIN.
    """
    keep = shlex.quote(str(visible))
    lines = ["set -e", f"exec 3<{keep}"]
    for directory in HIDDEN:
        lines.append(f"mount -t tmpfs -o size=64k,mode=0755 none {shlex.quote(str(directory))}")
    lines += [
        f"mkdir -p {keep}",
        f"mount --no-canonicalize --bind /proc/self/fd/3 {keep}",
        *(f"mount -o remount,ro,bind {shlex.quote(str(directory))}" for directory in HIDDEN),
    ]
    return ("nsenter", f"--mount=/proc/{pid}/ns/mnt", "--", "sh", "-c", "\n".join(lines))


def node_root(pid: int, *command: str) -> tuple[str, ...]:
    """Run `command` as the root of the node whose shell is `pid`.

    User 0 with CAP_NET_ADMIN and CAP_NET_RAW over the node's own network, nothing else: no
    CAP_SYS_ADMIN, CAP_BPF or CAP_SYS_PTRACE, a pid namespace and a /proc of its own.
    """
    return (
        *("nsenter", "--target", str(pid), "--user", "--net", "--mount", "--preserve-credentials"),
        *("--", "unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--"),
        *(*NODE_ROOT_PRIVILEGES, *command),
    )
