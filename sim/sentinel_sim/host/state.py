"""What the host's own network looks like, to show that a run left it alone.

A snapshot covers the root network namespace: every net.* sysctl, links, addresses, routes,
rules, qdiscs and the packet filter. Counters, time stamps and what the kernel changes by itself
are left out, so two snapshots of an untouched host are equal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pyroute2 import IPRoute

from sentinel_sim.host.commands import STATUS_NO_PROGRAM, CommandRunner, run_command

SYSCTL_ROOT = Path("/proc/sys/net")
_SAVE_COMMANDS = (
    ("iptables-nft-save",),
    ("ip6tables-nft-save",),
    ("iptables-legacy-save",),
    ("ip6tables-legacy-save",),
)
# Counters, and lists that grow when somebody loads a module.
_VOLATILE_SYSCTLS = frozenset(
    {
        "net.netfilter.nf_conntrack_count",
        "net.ipv4.tcp_available_congestion_control",
        "net.ipv4.tcp_available_ulp",
    }
)
_VOLATILE_ATTRIBUTES = re.compile(
    r"STATS|CACHEINFO|IFLA_CARRIER|IFLA_OPERSTATE|IFLA_MAP|IFLA_AF_SPEC|UNKNOWN|IFLA_PROMISCUITY"
)
_VOLATILE_FIELDS = frozenset({"header", "event", "attrs", "change", "__align", "info", "state"})
_IFF_LASTING = 0xFFFF & ~0x40
"""Interface flags that somebody set: without IFF_RUNNING, which follows the carrier."""


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. None: absent on that side."""

    what: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        return f"{self.what}: {self.before!r} -> {self.after!r}"


@dataclass(frozen=True, slots=True)
class HostSnapshot:
    """The host's network state at one moment, as text by name."""

    entries: Mapping[str, str]

    @classmethod
    def take(cls, run: CommandRunner = run_command, sysctls: Path = SYSCTL_ROOT) -> HostSnapshot:
        """Read everything: about 0.1 s. What needs root is left out without it."""
        entries: dict[str, str] = {}
        entries.update(read_sysctls(sysctls))
        entries.update(_netlink_entries())
        entries.update(_filter_entries(run))
        return cls(entries)

    def diff(self, later: HostSnapshot) -> list[Change]:
        """What changed from this snapshot to `later`.

        A sysctl that is new is no change: loading a module adds some, in every namespace.
        """
        names = sorted(self.entries.keys() | later.entries.keys())
        changes = (Change(n, self.entries.get(n), later.entries.get(n)) for n in names)
        return [
            change
            for change in changes
            if change.before != change.after
            and not (change.before is None and change.what.startswith("sysctl net."))
        ]


def read_sysctls(root: Path = SYSCTL_ROOT) -> Iterator[tuple[str, str]]:
    """("sysctl net.a.b", value) for each readable sysctl that does not change by itself."""
    for path in sorted(root.rglob("*")):
        if not path.is_file():
            continue
        name = ".".join(("net", *path.relative_to(root).parts))
        if name in _VOLATILE_SYSCTLS:
            continue
        try:
            yield f"sysctl {name}", path.read_text(errors="replace").strip()
        except OSError:
            # Write-only (route.flush) or unset (stable_secret): there is no value to keep.
            continue


def _netlink_entries() -> Iterator[tuple[str, str]]:
    with IPRoute() as netlink:
        tables = {
            "link": list(netlink.get_links()),
            "address": list(netlink.get_addr()),
            "route": list(netlink.get_routes()),
            "rule": list(netlink.get_rules()),
            "qdisc": list(netlink.get_qdiscs()),
        }
    for what, messages in tables.items():
        yield from name_entries(what, messages)


def name_entries(what: str, messages: Iterable[Mapping[str, object]]) -> Iterator[tuple[str, str]]:
    """One entry for each message, links by index, the others by their own text."""
    for message in messages:
        text = canonical(message)
        name = f"link {message['index']}" if what == "link" else f"{what} {text}"
        yield name, text


def canonical(message: Mapping[str, object]) -> str:
    """A netlink message as text without counters and time stamps, its parts in a fixed order."""
    parts = {
        key: value
        for key, value in message.items()
        if key not in _VOLATILE_FIELDS and key != "flags"
    }
    flags = message.get("flags")
    if isinstance(flags, int):
        parts["flags"] = flags & _IFF_LASTING
    attributes = message.get("attrs", ())
    assert isinstance(attributes, list | tuple)
    for attribute in attributes:
        name, value = attribute[0], attribute[1]
        if not _VOLATILE_ATTRIBUTES.search(name):
            parts[name] = value
    return " ".join(f"{key}={parts[key]!r}" for key in sorted(parts))


def _filter_entries(run: CommandRunner) -> Iterator[tuple[str, str]]:
    for command in _SAVE_COMMANDS:
        result = run(command)
        if result.status != STATUS_NO_PROGRAM and result.ok:
            yield f"filter {command[0]}", canonical_rules(result.stdout)


def canonical_rules(text: str) -> str:
    """The output of iptables-save without comments (they hold the time) and packet counters."""
    lines = (re.sub(r"\[\d+:\d+\]", "", line).strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("#"))
