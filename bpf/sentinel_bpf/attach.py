"""Attach loaded programs to interfaces, in any network namespace, and take them off again.

XDP goes through a bpf_link: nobody can replace or remove it over netlink. It lasts as long as its
descriptor, so it is gone when this process is, unless it is pinned (bpffs.py). tc goes through
clsact filters, which kernels before 6.6 have no links for: they stay until `close` or until the
interface goes.
"""

from __future__ import annotations

import errno
import os
import socket
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from sentinel_bpf import syscalls
from sentinel_bpf.errors import BpfError, BpfUnavailableError
from sentinel_bpf.netns import NamespaceGoneError, run_in_netns

XdpMode = Literal["native", "generic"]
EndMode = Literal["native", "generic", "tc"]
"""Where in the kernel the FSU runs at one end; `tc`: see flow_math_tc.c."""
TcDirection = Literal["ingress", "egress"]

_BPF_XDP = 37  # enum bpf_attach_type
_XDP_FLAGS = {"generic": 1 << 1, "native": 1 << 2}
_CLSACT_PARENT = {"ingress": 0xFFFFFFF2, "egress": 0xFFFFFFF3}
_HANDLE = 1
_TC_GONE = frozenset({errno.ENOENT, errno.EINVAL})
"""Answers to a removal: no such filter; no clsact that it could be on."""

_XDP_REASONS = {
    errno.ERANGE: (
        "the MTU of its veth peer is too large for native XDP",
        "set the MTU of both ends to at most 3500 bytes first",
    ),
    errno.ENOSPC: (
        "it has fewer receive queues than its veth peer has transmit queues",
        "create both ends with one queue each",
    ),
    errno.EOPNOTSUPP: ("its driver has no native XDP", "use a veth, or mode generic"),
}
_TAKEN = frozenset({errno.EBUSY, errno.EEXIST})
_MODES = {"xdp": "native", "xdpgeneric": "generic", "xdpoffload": "offloaded"}
"""pyroute2's words for enum { XDP_ATTACHED_DRV ... }."""


@dataclass(frozen=True, slots=True)
class XdpProgram:
    """The XDP program that an interface has, whoever attached it."""

    program_id: int
    name: str
    """As the kernel keeps it: at most 15 characters; empty if it may not be asked."""
    mode: str


def xdp_program(ifname: str, netns: Path | str | None = None) -> XdpProgram | None:
    """What is attached to `ifname` now. Raises BpfError for an unknown interface."""
    where = _where(ifname, netns)

    def inside() -> dict[str, Any]:
        with closing(IPRoute()) as netlink:
            [link] = netlink.get_links(_ifindex(ifname, where))
        found = link.get_attr("IFLA_XDP")
        return {} if found is None else dict(found["attrs"])

    found = run_in_netns(netns, inside)
    mode = found.get("IFLA_XDP_ATTACHED")
    if not mode:
        return None
    program_id = int(found.get("IFLA_XDP_PROG_ID") or 0)
    return XdpProgram(program_id, _program_name(program_id), _MODES.get(mode, str(mode)))


def _program_name(program_id: int) -> str:
    try:
        fd = syscalls.fd_by_id(syscalls.PROG_GET_FD_BY_ID, program_id)
    except BpfError:
        return ""  # gone, or not ours to ask for
    try:
        info = syscalls.ProgInfo()
        syscalls.obj_info(fd, info)
        return str(info.name.decode())
    finally:
        os.close(fd)


def _where(ifname: str, netns: Path | str | None) -> str:
    return f"interface {ifname}" + ("" if netns is None else f" in {netns}")


def _ifindex(ifname: str, where: str) -> int:
    try:
        return socket.if_nametoindex(ifname)
    except OSError as error:
        raise BpfError(f"{where}: no such interface") from error


def _taken_by(ifname: str, netns: Path | str | None) -> str:
    found = xdp_program(ifname, netns)
    if found is None:
        return "another XDP program was attached there a moment ago"
    return f"another XDP program is attached there: {found.name or '?'}, id {found.program_id}"


def _xdp_error(error: OSError, ifname: str, netns: Path | str | None, mode: str) -> BpfError:
    where = _where(ifname, netns)
    if error.errno == errno.EPERM:
        return BpfUnavailableError(f"{where}: attaching XDP is not permitted", cure="run as root")
    if error.errno in _TAKEN:
        return BpfError(
            f"{where}: cannot attach {mode} XDP: {_taken_by(ifname, netns)}",
            cure=f"detach that one first (ip link set dev {ifname} xdp off, or its own tool)",
        )
    if reason := _XDP_REASONS.get(error.errno or 0):
        return BpfError(f"{where}: cannot attach {mode} XDP: {reason[0]}", cure=reason[1])
    return BpfError(f"{where}: cannot attach {mode} XDP: {error.strerror}")


@dataclass(frozen=True, slots=True)
class XdpLink:
    """What the kernel says of an XDP link."""

    link_id: int
    program_id: int
    ifindex: int
    """In the interface's own namespace; 0: the interface is gone, the link attaches nothing."""


def link_state(link_fd: int) -> XdpLink:
    """What the link behind `link_fd` attaches, and where. Raises BpfError."""
    info = syscalls.LinkInfo()
    syscalls.obj_info(link_fd, info)
    return XdpLink(int(info.id), int(info.prog_id), int(info.ifindex))


def swap_program(link_fd: int, prog_fd: int, where: str) -> None:
    """Put another program behind a link, between two packets: none is lost or unseen.

    Raises BpfError; then the old one is still there.
    """
    try:
        syscalls.link_update(link_fd, prog_fd)
    except OSError as error:
        reason = "the interface is gone" if error.errno == errno.ENOLINK else str(error.strerror)
        raise BpfError(f"{where}: cannot swap the XDP program: {reason}") from error


def detach_link(link_fd: int, where: str) -> None:
    """Take the program of a link off, at once and whoever else holds the link. Raises BpfError."""
    try:
        syscalls.link_detach(link_fd)
    except OSError as error:
        raise BpfError(f"{where}: cannot detach the XDP program: {error.strerror}") from error


class XdpAttachment:
    """An XDP program on an interface; `close` takes it off, unless the link is pinned."""

    def __init__(self, link_fd: int, where: str) -> None:
        self._link_fd: int | None = link_fd
        self.where = where

    @property
    def link_fd(self) -> int:
        """The bpf_link; whoever holds a copy keeps the program attached."""
        if self._link_fd is None:
            raise BpfError(f"{self.where}: the XDP program has been detached")
        return self._link_fd

    def swap(self, prog_fd: int) -> None:
        """Replace the program while packets flow. Raises BpfError; the old one stays then."""
        swap_program(self.link_fd, prog_fd, self.where)

    def state(self) -> XdpLink:
        """What the kernel says of the link."""
        return link_state(self.link_fd)

    def close(self) -> None:
        """Let go of the link: detaches unless pinned. Harmless a second time, or without the
        interface."""
        if self._link_fd is not None:
            os.close(self._link_fd)
            self._link_fd = None


def attach_xdp(
    prog_fd: int, ifname: str, netns: Path | str | None = None, mode: XdpMode = "native"
) -> XdpAttachment:
    """Attach an XDP program to `ifname` in the namespace at path `netns` (None: this thread's).

    Never falls back from native to generic. Attaching natively to a veth turns off TSO at its
    peer. Raises BpfError with the reason and the cure.
    """
    where = _where(ifname, netns)

    def inside() -> int:
        return syscalls.link_create(prog_fd, _ifindex(ifname, where), _BPF_XDP, _XDP_FLAGS[mode])

    try:
        return XdpAttachment(run_in_netns(netns, inside), where)
    except OSError as error:
        raise _xdp_error(error, ifname, netns, mode) from error


class TcAttachment:
    """A tc program on one side of an interface; `close` takes it off."""

    def __init__(
        self, ifname: str, netns: Path | str | None, direction: TcDirection, priority: int
    ) -> None:
        self._ifname = ifname
        self._netns = netns
        self._direction = direction
        self._priority = priority
        self._attached = True
        self.where = f"{_where(ifname, netns)}, {direction}"

    def close(self) -> None:
        """Remove the filter, and clsact with its last one; harmless a second time.

        Harmless also when the interface, its namespace or its clsact is gone, and the filter with
        it: a node's own root may have taken it away.
        """
        if not self._attached:
            return
        self._attached = False
        try:
            run_in_netns(self._netns, self._remove)
        except NamespaceGoneError:
            return

    def _remove(self) -> None:
        try:
            ifindex = socket.if_nametoindex(self._ifname)
        except OSError:
            return  # the interface went and took its filters along
        with closing(IPRoute()) as netlink:
            try:
                netlink.tc(
                    "del-filter",
                    "bpf",
                    ifindex,
                    parent=_CLSACT_PARENT[self._direction],
                    prio=self._priority,
                    handle=_HANDLE,
                )
            except NetlinkError as error:
                if error.code not in _TC_GONE:
                    raise _tc_error(error, self.where) from error
            if any(_has_filters(netlink, ifindex, side) for side in _CLSACT_PARENT):
                return
            try:
                netlink.tc("del", "clsact", ifindex)
            except NetlinkError as error:
                if error.code not in _TC_GONE:
                    raise _tc_error(error, self.where) from error


def has_tc(
    ifname: str, direction: TcDirection, netns: Path | str | None = None, *, priority: int = 1
) -> bool:
    """Whether a filter that `attach_tc` attached is still there; False also without interface."""

    def inside() -> bool:
        try:
            ifindex = socket.if_nametoindex(ifname)
        except OSError:
            return False
        with closing(IPRoute()) as netlink:
            found = [
                options.get_attr("TCA_BPF_NAME")
                for one in netlink.get_filters(ifindex, parent=_CLSACT_PARENT[direction])
                if one["info"] >> 16 == priority
                and (options := one.get_attr("TCA_OPTIONS")) is not None
            ]
        return _filter_name(direction) in found

    try:
        return run_in_netns(netns, inside)
    except NamespaceGoneError:
        return False


def detach_tc(
    ifname: str, direction: TcDirection, netns: Path | str | None = None, *, priority: int = 1
) -> None:
    """Take off what `attach_tc` attached, in whichever process; harmless where nothing is."""
    if has_tc(ifname, direction, netns, priority=priority):
        TcAttachment(ifname, netns, direction, priority).close()


def _filter_name(direction: TcDirection) -> str:
    return f"sentinel-{direction}"


def _has_filters(netlink: IPRoute, ifindex: int, direction: str) -> bool:
    return bool(list(netlink.get_filters(ifindex, parent=_CLSACT_PARENT[direction])))


def _tc_error(error: NetlinkError, where: str) -> BpfError:
    if error.code == errno.EPERM:
        return BpfUnavailableError(f"{where}: tc is not permitted", cure="run as root")
    if error.code == errno.EEXIST:
        return BpfError(f"{where}: a filter of this priority exists", cure="use another priority")
    return BpfError(f"{where}: tc: {os.strerror(error.code)}")


def _add_filter(prog_fd: int, ifindex: int, direction: TcDirection, priority: int) -> None:
    with closing(IPRoute()) as netlink:
        try:
            netlink.tc("add", "clsact", ifindex)
        except NetlinkError as error:
            if error.code != errno.EEXIST:
                raise
        netlink.tc(
            "add-filter",
            "bpf",
            ifindex,
            fd=prog_fd,
            name=_filter_name(direction),
            parent=_CLSACT_PARENT[direction],
            prio=priority,
            handle=_HANDLE,
            direct_action=True,
        )


def attach_tc(
    prog_fd: int,
    ifname: str,
    direction: TcDirection,
    netns: Path | str | None = None,
    *,
    priority: int = 1,
) -> TcAttachment:
    """Attach a tc program (direct action) to one side of `ifname` in the namespace at `netns`.

    Adds clsact where it is missing. Filters of one side run in the order of `priority`; each has
    to have its own. Raises BpfError.
    """
    where = f"{_where(ifname, netns)}, {direction}"

    def inside() -> None:
        _add_filter(prog_fd, _ifindex(ifname, where), direction, priority)

    try:
        run_in_netns(netns, inside)
    except NetlinkError as error:
        raise _tc_error(error, where) from error
    return TcAttachment(ifname, netns, direction, priority)
