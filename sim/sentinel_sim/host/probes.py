"""Find out what this host can do by trying it in a scratch network namespace.

Trying is the only honest test: a kernel may have a module that cannot be loaded, or a built-in
that no list names. It loads modules as any first use does, and changes nothing else on the host.
Without root, what needs the scratch namespace stays unknown.
"""

from __future__ import annotations

import os
import platform
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sentinel_bpf import attach, syscalls
from sentinel_bpf.errors import BpfError
from sentinel_bpf.headers import require_headers
from sentinel_bpf.netns import run_in_netns
from sentinel_sim.host import capabilities as caps
from sentinel_sim.host import namespaces, user_namespaces
from sentinel_sim.host.capabilities import Finding, Status
from sentinel_sim.host.commands import CommandResult, CommandRunner

_UNKNOWN = Finding(Status.UNKNOWN, "needs root to look")
_TCP_BUFFER_MAX_BYTES = 512 * 1024 * 1024
_MEMORY_MIN_MIB = 2048
_XDP_PROGRAM, _TC_PROGRAM = 6, 3
_RETURN_2 = bytes.fromhex("b7000000020000009500000000000000")  # XDP_PASS
_RETURN_0 = bytes.fromhex("b7000000000000009500000000000000")  # TC_ACT_OK
_QDISCS = {"netem": ("delay", "1ms"), "tbf": ("rate", "1gbit", "burst", "128k", "limit", "1m")}


@dataclass(frozen=True, slots=True)
class Lab:
    """Where probes try things. `namespace` is None where none could be made."""

    run: CommandRunner
    namespace: str | None
    namespace_error: str = ""
    root: Path = Path("/")

    @property
    def netns_path(self) -> Path:
        """Of the scratch namespace, which must exist."""
        assert self.namespace is not None
        return namespaces.NETNS_DIRECTORY / self.namespace

    def inside(self, *words: str) -> CommandResult:
        """Run a program in the scratch namespace."""
        assert self.namespace is not None
        return self.run(("ip", "netns", "exec", self.namespace, *words))

    def tc(self, *words: str) -> CommandResult:
        """Run tc in the scratch namespace."""
        assert self.namespace is not None
        return self.run(("tc", "-n", self.namespace, *words))

    def read(self, path: str) -> str:
        """A file of the host, empty if there is none."""
        try:
            return (self.root / path).read_text(errors="replace")
        except OSError:
            return ""


Probe = Callable[[Lab], Finding]


@contextmanager
def scratch(run: CommandRunner, *, as_root: bool | None = None) -> Iterator[Lab]:
    """A lab with its own namespace `sentinel-doctor-<pid>`, two veth pairs in it; removed after."""
    name = f"{namespaces.PREFIX}doctor-{os.getpid()}"
    if not (_is_root() if as_root is None else as_root):
        yield Lab(run, None, _UNKNOWN.detail)
        return
    made = run(("ip", "netns", "add", name))
    if not made.ok:
        yield Lab(run, None, made.last_line)
        return
    try:
        for pair in (("v0", "v1"), ("v2", "v3")):
            words = ("link", "add", "name", pair[0], "type", "veth", "peer", "name", pair[1])
            run(("ip", "-n", name, *words))
        yield Lab(run, name)
    finally:
        run(("ip", "netns", "del", name))


def _is_root() -> bool:
    return os.geteuid() == 0


def _from_command(result: CommandResult, detail: str = "works") -> Finding:
    if result.ok:
        return Finding(Status.FOUND, detail)
    return Finding(Status.MISSING, result.last_line or f"exit status {result.status}")


def _privileges(lab: Lab) -> Finding:
    lacking = caps.missing_privileges(lab.read("proc/self/status"))
    if _is_root() and not lacking:
        return Finding(Status.FOUND, "root")
    if _is_root():
        cure = "run in the host or in a privileged container"
        return Finding(Status.MISSING, f"root without {', '.join(lacking)}", cure=cure)
    return Finding(Status.MISSING, f"user id {os.geteuid()}, not root")


def _network_namespaces(lab: Lab) -> Finding:
    if lab.namespace is not None:
        return Finding(Status.FOUND, "named ones can be made")
    if lab.namespace_error == _UNKNOWN.detail:
        return _UNKNOWN
    return Finding(Status.MISSING, lab.namespace_error)


def _in_lab(probe: Probe) -> Probe:
    """A probe that needs the scratch namespace; unknown without."""

    def guarded(lab: Lab) -> Finding:
        return _UNKNOWN if lab.namespace is None else probe(lab)

    return guarded


def _user_namespaces(lab: Lab) -> Finding:
    limits = {k: lab.read(user_namespaces.limit_path(k)).strip() for k in user_namespaces.LIMITED}
    return user_namespaces.finding_of(
        lab.run(user_namespaces.TRIAL),
        in_kernel=(lab.root / "proc/self/ns/user").exists(),
        limits=limits,
    )


def _namespace_sysctls(lab: Lab) -> Finding:
    return _from_command(lab.inside("sysctl", "-q", "-w", "net.ipv4.ip_forward=1"), "writable")


def _tcp_buffers(lab: Lab) -> Finding:
    wanted = f"4096 131072 {_TCP_BUFFER_MAX_BYTES}"
    words = [f"net.ipv4.tcp_{kind}={wanted}" for kind in ("rmem", "wmem")]
    host = [lab.read(f"proc/sys/net/ipv4/tcp_{kind}").split() for kind in ("rmem", "wmem")]
    own = ", ".join(values[2] for values in host if len(values) == 3)
    return _from_command(
        lab.inside("sysctl", "-q", "-w", *words),
        f"512 MiB accepted in a namespace (host maxima: {own} bytes, left alone)",
    )


def _veth(lab: Lab) -> Finding:
    return _from_command(lab.run(("ip", "-n", lab.namespace or "", "link", "show", "v3")))


def _native_xdp(lab: Lab) -> Finding:
    return _bpf_attached(lab, _XDP_PROGRAM, _RETURN_2)


def _tc_bpf(lab: Lab) -> Finding:
    return _bpf_attached(lab, _TC_PROGRAM, _RETURN_0)


def _bpf_attached(lab: Lab, kind: int, code: bytes) -> Finding:
    attachment: attach.XdpAttachment | attach.TcAttachment
    try:
        program = syscalls.prog_load(kind, code, "doctor", license_name="GPL")
        try:
            if kind == _XDP_PROGRAM:
                attachment = attach.attach_xdp(program, "v0", lab.netns_path)
            else:
                attachment = attach.attach_tc(program, "v2", "ingress", lab.netns_path)
            attachment.close()
        finally:
            os.close(program)
    except BpfError as error:
        return Finding(Status.MISSING, str(error), cure=error.cure)
    return Finding(Status.FOUND, "attached and detached")


def _gro(lab: Lab) -> Finding:
    return _from_command(lab.inside("ethtool", "-K", "v0", "gro", "on"))


def _btf(lab: Lab) -> Finding:
    path = "sys/kernel/btf/vmlinux"
    exists = (lab.root / path).exists()
    return Finding(Status.FOUND if exists else Status.MISSING, f"/{path}")


def _bcc(lab: Lab) -> Finding:
    result = lab.run((sys.executable, "-c", "import bcc; print(bcc.__version__)"))
    return _from_command(result, f"version {result.stdout.strip()}")


def _headers(lab: Lab) -> Finding:
    try:
        require_headers()
    except BpfError as error:
        return Finding(Status.MISSING, str(error), cure=error.cure)
    return Finding(Status.FOUND, f"/lib/modules/{platform.release()}/{{build,source}}")


def _jit(lab: Lab) -> Finding:
    value = lab.read("proc/sys/net/core/bpf_jit_enable").strip()
    if value in ("1", "2"):
        return Finding(Status.FOUND, f"net.core.bpf_jit_enable = {value}")
    if value == "":
        return Finding(Status.UNKNOWN, "net.core.bpf_jit_enable cannot be read")
    cure = "sysctl -w net.core.bpf_jit_enable=1"
    return Finding(Status.DEGRADED, "net.core.bpf_jit_enable = 0", cure=cure)


def _mounted(kind: str) -> Probe:
    def probe(lab: Lab) -> Finding:
        points = caps.mount_points(lab.read("proc/mounts"), kind)
        if points:
            return Finding(Status.FOUND, f"mounted on {points[0]}", points[0])
        known = any(
            line.split()[-1:] == [kind] for line in lab.read("proc/filesystems").split("\n")
        )
        if known:
            return Finding(Status.DEGRADED, "known to the kernel, but not mounted")
        return Finding(Status.MISSING, "not known to the kernel", cure=caps.KERNEL_CURE)

    return probe


def _program(*words: str) -> Probe:
    def probe(lab: Lab) -> Finding:
        result = lab.run(words)
        return _from_command(result, (result.stdout.strip().splitlines() or ["works"])[0])

    return probe


def _qdisc(kind: str, *options: str) -> Probe:
    def probe(lab: Lab) -> Finding:
        result = lab.tc("qdisc", "replace", "dev", "v1", "root", kind, *options)
        lab.tc("qdisc", "del", "dev", "v1", "root")
        return _from_command(result)

    return _in_lab(probe)


def _clsact(lab: Lab) -> Finding:
    return _from_command(lab.tc("qdisc", "replace", "dev", "v3", "clsact"))


def _mirred(lab: Lab) -> Finding:
    lab.tc("qdisc", "replace", "dev", "v3", "clsact")
    match = ("protocol", "all", "u32", "match", "u32", "0", "0")
    action = ("action", "mirred", "egress", "redirect", "dev", "v0")
    return _from_command(lab.tc("filter", "add", "dev", "v3", "ingress", *match, *action))


def _nfqueue(lab: Lab) -> Finding:
    working, refused = [], []
    for program in ("iptables-nft", "iptables-legacy"):
        rule = ("-t", "mangle", "-A", "FORWARD", "-j", "NFQUEUE", "--queue-num", "1")
        result = lab.inside(program, *rule)
        if result.ok:
            working.append(program)
        else:
            refused.append(f"{program}: {result.last_line}")
    if not working:
        return Finding(Status.MISSING, "; ".join(refused))
    error = run_in_netns(lab.netns_path, bind_queue)
    if error:
        reason = f"the rule is accepted, but no queue can be bound: {os.strerror(error)}"
        return Finding(Status.MISSING, reason, cure="modprobe nfnetlink_queue")
    return Finding(Status.FOUND, f"rule by {' and '.join(working)}; queue bound", working[0])


def bind_queue(queue: int = 1) -> int:
    """Bind an NFQUEUE in this thread's namespace, for a moment; 0, or the errno of the refusal.

    linux/netfilter/nfnetlink_queue.h: message NFQNL_MSG_CONFIG with NFQNL_CFG_CMD_BIND. A kernel
    that has the subsystem as a module loads it for this.
    """
    netlink_netfilter, subsystem_queue, message_config, attribute_command, bind = 12, 3, 2, 1, 1
    request_and_ack = 0x1 | 0x4
    command = struct.pack("=HHBxH", 8, attribute_command, bind, 0)
    family = struct.pack("!BBH", 0, 0, queue)
    body = family + command
    kind = subsystem_queue << 8 | message_config
    header = struct.pack("=IHHII", 16 + len(body), kind, request_and_ack, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netlink_netfilter) as netlink:
        netlink.bind((0, 0))
        netlink.send(header + body)
        answer = netlink.recv(4096)
    return -int(struct.unpack_from("=i", answer, 16)[0])


def _sched_fifo(lab: Lab) -> Finding:
    result = lab.run(("chrt", "-f", "50", "true"))
    if result.ok:
        return Finding(Status.FOUND, "priority 50 granted")
    if not _is_root():
        return _UNKNOWN
    # RT_GROUP_SCHED: a CPU cgroup has no real-time share until somebody gives it one.
    return Finding(Status.DEGRADED, result.last_line)


def _congestion_control(name: str) -> Probe:
    def probe(lab: Lab) -> Finding:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp:
            try:
                tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name.encode())
            except FileNotFoundError:
                # Only root's request makes the kernel load the module.
                return Finding(Status.MISSING, "not in this kernel") if _is_root() else _UNKNOWN
            except PermissionError:
                # tcp_set_congestion_control() says ENOENT first: it is there, for root.
                return Finding(Status.FOUND, "in this kernel, for root")
        return Finding(Status.FOUND, "accepted by a socket")

    return probe


def _mininet(lab: Lab) -> Finding:
    result = lab.run((sys.executable, "-c", "import mininet.net as n; print(n.VERSION)"))
    return _from_command(result, f"version {result.stdout.strip()}")


def _processors(lab: Lab) -> Finding:
    count = len(os.sched_getaffinity(0))
    return Finding(Status.FOUND if count >= 2 else Status.DEGRADED, str(count), str(count))


def _memory(lab: Lab) -> Finding:
    total_mib = caps.memory_total_mib(lab.read("proc/meminfo"))
    status = Status.FOUND if total_mib >= _MEMORY_MIN_MIB else Status.DEGRADED
    return Finding(status, f"{total_mib} MiB", str(total_mib))


def _clock(lab: Lab) -> Finding:
    directory = "sys/devices/system/clocksource/clocksource0"
    current = lab.read(f"{directory}/current_clocksource").strip()
    return caps.judge_clock(current, lab.read(f"{directory}/available_clocksource").strip())


def _virtualisation(lab: Lab) -> Finding:
    kind = caps.virtualisation(lab.read("proc/cpuinfo"), lab.read("sys/class/dmi/id/sys_vendor"))
    return Finding(Status.FOUND, kind, kind)


def _veth_stall(lab: Lab) -> Finding:
    release = platform.release()
    if caps.veth_may_stall(release):
        cure = "upgrade the kernel to 6.17.10 or later"
        return Finding(Status.DEGRADED, f"Linux {release} has the stall", cure=cure)
    return Finding(Status.FOUND, f"Linux {release} is not affected")


PROBES: dict[str, Probe] = {
    "privileges": _privileges,
    "network namespaces": _network_namespaces,
    "user namespaces": _in_lab(_user_namespaces),
    "namespace sysctls": _in_lab(_namespace_sysctls),
    "veth": _in_lab(_veth),
    "veth native XDP": _in_lab(_native_xdp),
    "veth GRO switch": _in_lab(_gro),
    "tc BPF": _in_lab(_tc_bpf),
    "kernel BTF": _btf,
    "bcc": _bcc,
    "bcc kernel headers": _headers,
    "bpf JIT": _jit,
    "bpffs": _mounted("bpf"),
    "cgroup2": _mounted("cgroup2"),
    "clang": _program("clang", "--version"),
    "C compiler": _program("cc", "--version"),
    "netem": _qdisc("netem", *_QDISCS["netem"]),
    "tbf": _qdisc("tbf", *_QDISCS["tbf"]),
    "htb": _qdisc("htb"),
    "clsact": _in_lab(_clsact),
    "u32 and mirred": _in_lab(_mirred),
    "NFQUEUE": _in_lab(_nfqueue),
    "SCHED_FIFO": _sched_fifo,
    "congestion control cubic": _congestion_control("cubic"),
    "congestion control reno": _congestion_control("reno"),
    "congestion control bbr": _congestion_control("bbr"),
    "mininet": _mininet,
    "bpftool": _program("bpftool", "version"),
    "ping": _program("ping", "-V"),
    "processors": _processors,
    "memory": _memory,
    "clock source": _clock,
    "virtualisation": _virtualisation,
    "TCP buffers": _in_lab(_tcp_buffers),
    "veth back-pressure": _veth_stall,
}
