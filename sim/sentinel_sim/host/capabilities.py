"""What sentinel-sim can use of a host, what it loses without, and the exact cure.

Pure: types, the catalogue, parsers of what probes print, and the decisions drawn from findings.
The probes themselves are in `sentinel_sim.host.probes`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from sentinel_sim.errors import MissingCapabilityError


class Status(StrEnum):
    """How a capability was found."""

    FOUND = "found"
    DEGRADED = "degraded"
    """Usable, at a cost."""
    MISSING = "missing"
    UNKNOWN = "unknown"
    """Could not be looked at, mostly for lack of root."""


class Need(StrEnum):
    """Who needs a capability."""

    ALWAYS = "always"
    NETEM = "netem"
    """Only the wire backend on netem."""
    DELAYLINE = "delayline"
    """Only the wire backend on NFQUEUE."""
    OPTIONAL = "optional"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a probe saw. `value` is for programs; `cure` overrides the catalogue's."""

    status: Status
    detail: str
    value: str = ""
    cure: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the catalogue."""

    name: str
    need: Need
    costs: str
    """What is lost without it."""
    cure: str = ""
    """The exact command, or empty if nothing can be done."""
    packages: tuple[str, ...] = ()
    """Debian packages that cure it; the command follows from them."""


@dataclass(frozen=True, slots=True)
class Capability:
    """One line of `sentinel-sim doctor`. `costs` and `cure` are empty when it was found."""

    name: str
    status: Status
    detail: str
    costs: str = ""
    cure: str = ""
    need: Need = Need.OPTIONAL
    value: str = ""
    packages: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        """Found, or found with a cost."""
        return self.status in (Status.FOUND, Status.DEGRADED)

    def error(self) -> MissingCapabilityError:
        """What to raise when this is needed and not usable."""
        return MissingCapabilityError(
            f"{self.name} {self.status}: {self.detail}; without it {self.costs}", cure=self.cure
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the emulated backend can run here, in one line, and the command that helps most."""

    ready: bool
    text: str
    wire_backend: str | None
    cure: str = ""


KERNEL_CURE = (
    "boot a kernel that has it, Debian's for example: apt-get install --yes linux-image-amd64"
)
ROOT_CURE = "sudo .venv/bin/sentinel-sim doctor"
_CANNOT_RUN = "nothing can be emulated"

CATALOGUE: tuple[Entry, ...] = (
    Entry("privileges", Need.ALWAYS, _CANNOT_RUN, ROOT_CURE),
    Entry("network namespaces", Need.ALWAYS, _CANNOT_RUN, KERNEL_CURE, ("iproute2",)),
    Entry("user namespaces", Need.ALWAYS, "nodes cannot be confined", "", ("util-linux",)),
    Entry("namespace sysctls", Need.ALWAYS, "no IP forwarding in nodes, no buffers of one BDP"),
    Entry("veth", Need.ALWAYS, _CANNOT_RUN, "modprobe veth"),
    Entry(
        "veth native XDP", Need.ALWAYS, "no FSU on nodes, no lateness stamps on wires", KERNEL_CURE
    ),
    Entry("veth GRO switch", Need.ALWAYS, "offloads differ between arms", "", ("ethtool",)),
    Entry("tc BPF", Need.ALWAYS, "no loss stage and no stamps on wires", "modprobe cls_bpf"),
    Entry("kernel BTF", Need.OPTIONAL, "no typed map dumps with bpftool", KERNEL_CURE),
    Entry("bcc", Need.ALWAYS, "the BPF programs cannot be compiled", "", ("python3-bpfcc",)),
    Entry(
        "bcc kernel headers",
        Need.ALWAYS,
        "the BPF programs cannot be compiled",
        "apt-get install --yes linux-headers-amd64"
        " && .venv/bin/python -m sentinel_bpf.headers --link",
    ),
    Entry("bpf JIT", Need.OPTIONAL, "XDP programs run several times slower", ""),
    Entry("bpffs", Need.OPTIONAL, "no pinned maps", "mount -t bpf bpf /sys/fs/bpf"),
    Entry("cgroup2", Need.OPTIONAL, "no sock_ops per node", "mount -t cgroup2 none /sys/fs/cgroup"),
    Entry(
        "clang", Need.OPTIONAL, "flow_math.c cannot be built for iproute2", "", ("clang", "llvm")
    ),
    Entry("C compiler", Need.DELAYLINE, "the delay line is not built", "", ("gcc", "libc6-dev")),
    Entry(
        "netem",
        Need.NETEM,
        "wires use the user-space delay line (backend delayline) instead",
        KERNEL_CURE,
    ),
    Entry("tbf", Need.ALWAYS, "no rate limit on wires", "modprobe sch_tbf"),
    Entry("htb", Need.ALWAYS, "no control band on wires", "modprobe sch_htb"),
    Entry("clsact", Need.ALWAYS, "wires cannot be joined", "modprobe sch_ingress"),
    Entry(
        "u32 and mirred", Need.ALWAYS, "wires cannot be joined", "modprobe -a cls_u32 act_mirred"
    ),
    Entry("NFQUEUE", Need.DELAYLINE, "no user-space delay line", KERNEL_CURE, ("iptables",)),
    Entry(
        "SCHED_FIFO",
        Need.OPTIONAL,
        "the delay line releases packets late under load",
        "run outside a CPU cgroup without real-time share, or set kernel.sched_rt_runtime_us",
    ),
    Entry("congestion control cubic", Need.ALWAYS, "the default control arm", "modprobe tcp_cubic"),
    Entry("congestion control reno", Need.OPTIONAL, "no Reno arm", ""),
    Entry("congestion control bbr", Need.OPTIONAL, "no BBR arm", "modprobe tcp_bbr"),
    Entry("mininet", Need.ALWAYS, "nodes cannot be built", "", ("mininet",)),
    Entry("bpftool", Need.OPTIONAL, "maps cannot be dumped by hand", "", ("bpftool",)),
    Entry("ping", Need.OPTIONAL, "no cross-check of RTT by hand", "", ("iputils-ping",)),
    Entry("processors", Need.OPTIONAL, "nodes, wires and controller share one processor"),
    Entry("memory", Need.OPTIONAL, "few packets can be held in flight"),
    Entry("clock source", Need.OPTIONAL, "every time stamp costs a microsecond or more"),
    Entry("virtualisation", Need.OPTIONAL, "the host may pause the guest: watch lateness"),
    Entry("TCP buffers", Need.ALWAYS, "no window of 2 BDP in the arm `tuned`"),
    Entry("veth back-pressure", Need.OPTIONAL, "veth queues may stall for ever (CVE-2025-68232)"),
)

_BY_NAME = {entry.name: entry for entry in CATALOGUE}


def judge(name: str, finding: Finding) -> Capability:
    """Join a finding with the catalogue: what it costs and what cures it, unless it was found."""
    entry = _BY_NAME[name]
    if finding.status is Status.FOUND:
        return Capability(
            name, finding.status, finding.detail, need=entry.need, value=finding.value
        )
    if finding.status is Status.UNKNOWN and finding.cure is None:
        return Capability(
            name, finding.status, finding.detail, entry.costs, ROOT_CURE, entry.need, finding.value
        )
    packages = entry.packages if finding.status is Status.MISSING else ()
    install = f"apt-get install --yes {' '.join(packages)}" if packages else ""
    cure = finding.cure if finding.cure is not None else (install or entry.cure)
    return Capability(
        name,
        finding.status,
        finding.detail,
        entry.costs,
        cure,
        entry.need,
        finding.value,
        packages if cure == install else (),
    )


def choose_wire_backend(capabilities: Iterable[Capability]) -> str:
    """`netem` where the kernel has it, else `delayline`.

    Raises MissingCapabilityError, naming both and the cure, when neither works.
    """
    by_name = {capability.name: capability for capability in capabilities}
    if by_name["netem"].usable:
        return "netem"
    lacking = [
        capability
        for capability in by_name.values()
        if capability.need is Need.DELAYLINE and not capability.usable
    ]
    if not lacking:
        return "delayline"
    reasons = ", ".join(f"{c.name} {c.status} ({c.detail})" for c in lacking)
    raise MissingCapabilityError(
        f"no wire backend: netem {by_name['netem'].status}; delayline: {reasons}",
        cure=combined_cure([*lacking, by_name["netem"]]),
    )


def draw_verdict(capabilities: Iterable[Capability]) -> Verdict:
    """Whether the emulated backend can run, and if not, what is missing and the best cure."""
    capabilities = list(capabilities)
    needed = [c for c in capabilities if c.need is Need.ALWAYS and not c.usable]
    backend: str | None = None
    problem = ""
    try:
        backend = choose_wire_backend(capabilities)
    except MissingCapabilityError as error:
        problem = str(error)
        wires = (Need.DELAYLINE, Need.NETEM)
        needed += [c for c in capabilities if c.need in wires and not c.usable]
    if not needed and backend is not None:
        return Verdict(True, f"emulated backend: ready (wire backend {backend})", backend)
    # Without privileges most things cannot be looked at; name only what was seen to lack.
    if any(c.name == "privileges" for c in needed):
        needed = [c for c in needed if c.status is not Status.UNKNOWN]
    names = ", ".join(f"{c.name} {c.status}" for c in needed) or problem
    return Verdict(False, f"emulated backend: not ready: {names}", backend, combined_cure(needed))


def combined_cure(capabilities: Iterable[Capability]) -> str:
    """The one command that cures most of these; privileges first, for without them none works."""
    capabilities = [capability for capability in capabilities if not capability.usable]
    for capability in capabilities:
        if capability.name == "privileges":
            return capability.cure
    packages = sorted({package for c in capabilities for package in c.packages})
    if packages:
        return f"apt-get install --yes {' '.join(packages)}"
    cures = [capability.cure for capability in capabilities if capability.cure]
    return max(cures, key=cures.count) if cures else ""


# Parsers of what the host says.

NEEDED_CAPABILITIES: Mapping[str, int] = {
    "CAP_NET_ADMIN": 12,
    "CAP_NET_RAW": 13,
    "CAP_SYS_ADMIN": 21,
    "CAP_SYS_NICE": 23,
}


def missing_privileges(status_text: str) -> list[str]:
    """Names of the capabilities(7) we need that /proc/self/status does not list as effective."""
    match = re.search(r"^CapEff:\s*([0-9a-fA-F]+)$", status_text, re.MULTILINE)
    if match is None:
        return list(NEEDED_CAPABILITIES)
    effective = int(match[1], 16)
    return [name for name, bit in NEEDED_CAPABILITIES.items() if not effective >> bit & 1]


def mount_points(mounts_text: str, kind: str) -> list[str]:
    """Where file systems of this kind are mounted, from /proc/mounts."""
    rows = (line.split() for line in mounts_text.splitlines())
    return [row[1] for row in rows if len(row) > 2 and row[2] == kind]


def memory_total_mib(meminfo_text: str) -> int:
    """MemTotal of /proc/meminfo in MiB. Raises ValueError if the line is absent."""
    match = re.search(r"^MemTotal:\s*(\d+) kB$", meminfo_text, re.MULTILINE)
    if match is None:
        raise ValueError("/proc/meminfo has no line MemTotal in kB")
    return int(match[1]) // 1024


def kernel_version(release: str) -> tuple[int, int, int]:
    """(major, minor, patch) of `uname -r`. Raises ValueError for anything else.

    Debian's release names the ABI, not the patch level: patch is 0 if it is not a number there.
    """
    match = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", release)
    if match is None:
        raise ValueError(f"kernel release {release!r} does not begin with two numbers")
    return int(match[1]), int(match[2]), int(match[3] or 0)


def veth_may_stall(release: str) -> bool:
    """Whether veth of this kernel can stall (kernel.md 3.8: Linux 6.16 to 6.17.9)."""
    return (6, 16, 0) <= kernel_version(release) <= (6, 17, 9)


GOOD_CLOCKS = frozenset({"tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter"})


def judge_clock(current: str, available: str) -> Finding:
    """A clock source that is read without leaving user space, or not."""
    detail = f"{current} (available: {available})"
    if current in GOOD_CLOCKS:
        return Finding(Status.FOUND, detail, current)
    better = next((name for name in available.split() if name in GOOD_CLOCKS), None)
    path = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
    return Finding(Status.DEGRADED, detail, current, f"echo {better} > {path}" if better else "")


def virtualisation(cpuinfo_text: str, vendor: str) -> str:
    """ "bare metal", or the vendor of the virtual machine as the firmware names it."""
    flags = re.search(r"^flags\s*:(.*)$", cpuinfo_text, re.MULTILINE)
    if flags is not None and "hypervisor" in flags[1].split():
        return f"virtual machine ({vendor.strip() or 'vendor unknown'})"
    return "bare metal"
