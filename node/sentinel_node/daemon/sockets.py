"""Making TCP sockets with the options a run asks for; every refusal says which option and why."""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sentinel_node.daemon.stop import SocketWaiter, StopSignal
from sentinel_node.daemon.tcp_info import acked_stream_bytes, read_raw
from sentinel_node.errors import (
    AddressError,
    AddressInUseError,
    PrivilegeError,
    RequestError,
    StalledError,
    UnsupportedOptionError,
)

# Not in Python's socket module (include/uapi/asm-generic/socket.h, linux/in.h).
SO_SNDBUFFORCE = 32
SO_RCVBUFFORCE = 33
IP_BIND_ADDRESS_NO_PORT = 24
TCP_REPAIR, TCP_REPAIR_WINDOW = 19, 29
_REPAIR_ON, _REPAIR_OFF = 1, -1
_REPAIR_WINDOW = struct.Struct("=5I")
"""struct tcp_repair_window: snd_wl1, snd_wnd, max_window, rcv_wnd, rcv_wup (linux/tcp.h)."""
_SND_WND, _MAX_WINDOW, _RCV_WND = 1, 2, 3

PACED_FROM_START = "bbr"
LISTEN_BACKLOG = 1024
CLAMP_BUFFER_FACTOR = 4
"""Receive buffer over window clamp. An skb of a full-sized segment costs up to about twice its
payload, so a quarter of the (doubled) buffer always holds the window."""

_AVAILABLE = Path("/proc/sys/net/ipv4/tcp_available_congestion_control")


@dataclass(frozen=True, slots=True)
class TcpProfile:
    """Socket options of one side. Zero or empty leaves the kernel's default (autotuning)."""

    congestion_control: str = ""
    send_buffer_bytes: int = 0
    receive_buffer_bytes: int = 0
    window_clamp_bytes: int = 0
    notsent_lowat_bytes: int = 0

    def __post_init__(self) -> None:
        limit = (1 << 31) - 1
        for name in ("send_buffer", "receive_buffer", "window_clamp", "notsent_lowat"):
            value = getattr(self, f"{name}_bytes")
            if not 0 <= value <= limit // 2:
                raise RequestError(
                    f"tcp option {name}_bytes must be from 0 to {limit // 2}, got {value}"
                )

    @property
    def effective_receive_buffer_bytes(self) -> int:
        """What SO_RCVBUF is set to; with a window clamp it is always fixed."""
        if self.receive_buffer_bytes or not self.window_clamp_bytes:
            return self.receive_buffer_bytes
        return CLAMP_BUFFER_FACTOR * self.window_clamp_bytes


def apply_profile(sock: socket.socket, profile: TcpProfile) -> None:
    """Set the options; to be called before connect() or listen()."""
    if profile.congestion_control:
        _set_congestion_control(sock, profile.congestion_control)
    _set_buffer(sock, "send", profile.send_buffer_bytes)
    _set_buffer(sock, "receive", profile.effective_receive_buffer_bytes)
    for option, value in (
        (socket.TCP_WINDOW_CLAMP, profile.window_clamp_bytes),
        (socket.TCP_NOTSENT_LOWAT, profile.notsent_lowat_bytes),
    ):
        if value:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


def _set_congestion_control(sock: socket.socket, name: str) -> None:
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name.encode())
    except FileNotFoundError as error:
        known = _AVAILABLE.read_text().split()
        raise UnsupportedOptionError(
            f"congestion control {name!r} is not available here; available: {', '.join(known)}; "
            f"try: modprobe tcp_{name}"
        ) from error
    except PermissionError as error:
        raise PrivilegeError(
            f"congestion control {name!r} is not allowed without CAP_NET_ADMIN; "
            "add it to sysctl net.ipv4.tcp_allowed_congestion_control"
        ) from error


def _set_buffer(sock: socket.socket, side: str, value: int) -> None:
    """Set SO_SNDBUF or SO_RCVBUF to exactly `value`, past the sysctl limit where needed."""
    if not value:
        return
    plain, force, sysctl = {
        "send": (socket.SO_SNDBUF, SO_SNDBUFFORCE, "net.core.wmem_max"),
        "receive": (socket.SO_RCVBUF, SO_RCVBUFFORCE, "net.core.rmem_max"),
    }[side]
    sock.setsockopt(socket.SOL_SOCKET, plain, value)
    if sock.getsockopt(socket.SOL_SOCKET, plain) >= 2 * value:
        return
    try:
        sock.setsockopt(socket.SOL_SOCKET, force, value)
    except PermissionError as error:
        raise PrivilegeError(
            f"a {side} buffer of {value} bytes needs CAP_NET_ADMIN, or sysctl {sysctl} of at "
            "least that"
        ) from error


def hold_window(sock: socket.socket, window_clamp_bytes: int) -> None:
    """Put TCP_WINDOW_CLAMP back if the kernel moved it; to be called after reads.

    Since Linux 6.8 the kernel sets the clamp anew from the receive buffer whenever the ratio of
    payload to memory changes (net/ipv4/tcp_input.c, tcp_measure_rcv_mss), at the first data of
    every connection at least. Until the read after that, what the window scale of the handshake
    can say bounds the window: 65,535 bytes shifted by it, up to twice the clamp.
    """
    option = (socket.IPPROTO_TCP, socket.TCP_WINDOW_CLAMP)
    if sock.getsockopt(*option) != window_clamp_bytes:
        sock.setsockopt(*option, window_clamp_bytes)


@contextmanager
def _repairing(sock: socket.socket, what: str) -> Iterator[list[int]]:
    """The fields of the connection's struct tcp_repair_window; those changed inside are set.

    As checkpoint and restore of processes does it. Raises PrivilegeError without CAP_NET_ADMIN.
    """
    tcp = socket.IPPROTO_TCP
    try:
        sock.setsockopt(tcp, TCP_REPAIR, _REPAIR_ON)
    except PermissionError as error:
        raise PrivilegeError(f"{what} needs CAP_NET_ADMIN") from error
    try:
        told = sock.getsockopt(tcp, TCP_REPAIR_WINDOW, _REPAIR_WINDOW.size)
        yield (fields := list(_REPAIR_WINDOW.unpack(told)))
        if (changed := _REPAIR_WINDOW.pack(*fields)) != told:
            sock.setsockopt(tcp, TCP_REPAIR_WINDOW, changed)
    finally:
        sock.setsockopt(tcp, TCP_REPAIR, _REPAIR_OFF)


def open_window(sock: socket.socket, window_bytes: int) -> bool:
    """Offer at least `window_bytes` with the next acknowledgement; False: it was offered already.

    A connection whose handshake came before its options offers 64 KiB and then three times as much
    each round trip, whatever its buffer (net/ipv4/tcp_input.c, tcp_grow_window). It is never made
    smaller. Raises PrivilegeError without CAP_NET_ADMIN.
    """
    segment_bytes = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
    what = f"a window of {window_bytes} bytes on a connection that stands"
    with _repairing(sock, what) as fields:
        if fields[_RCV_WND] > window_bytes - segment_bytes:
            return False  # the kernel rounds windows down to whole segments
        fields[_RCV_WND] = window_bytes
    _set_buffer(sock, "receive", CLAMP_BUFFER_FACTOR * window_bytes)
    # The slow start of the window (rcv_ssthresh) goes up to the window with this.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_WINDOW_CLAMP, window_bytes)
    return True


def open_paced(sock: socket.socket) -> bytes:
    """Open the connection with BBR; gives the congestion control to set once it stands.

    A TCP takes its first pacing rate from the handshake, when its window is still ten segments (3
    Mbit/s at a round trip of 76 ms), and sends pairs of segments at that rate, whatever the route's
    start window is; the first acknowledgement of data puts it right (net/ipv4/tcp_input.c,
    tcp_update_pacing_rate). BBR takes it from the start window (tcp_bbr.c,
    bbr_init_pacing_rate_from_rtt), and it stays until then. Empty where there is no BBR.
    """
    tcp, option = socket.IPPROTO_TCP, socket.TCP_CONGESTION
    wanted = sock.getsockopt(tcp, option, 16).rstrip(b"\0")
    try:
        sock.setsockopt(tcp, option, PACED_FROM_START.encode())
    except OSError:  # not built, or not allowed without CAP_NET_ADMIN
        return b""
    return wanted


def believe_window(sock: socket.socket, window_bytes: int) -> bool:
    """Send as if the peer had offered `window_bytes`; False: it has acknowledged something.

    A SYN-ACK can offer 64 KiB at most, for its window is not scaled (RFC 7323, section 2.2); what
    the peer takes beyond it must be known otherwise. It is only for before the first
    acknowledgement, which says it itself. Raises PrivilegeError without CAP_NET_ADMIN.
    """
    with _repairing(sock, f"sending {window_bytes} bytes before they are offered") as fields:
        if acked_stream_bytes(read_raw(sock)):
            return False
        fields[_SND_WND] = max(fields[_SND_WND], window_bytes)
        fields[_MAX_WINDOW] = max(fields[_MAX_WINDOW], window_bytes)
    return True


def family_of(address: str) -> socket.AddressFamily:
    """AF_INET or AF_INET6 for a numeric address. Raises RequestError for anything else."""
    try:
        version = ipaddress.ip_address(address).version
    except ValueError as error:
        raise RequestError(f"not a numeric IPv4 or IPv6 address: {address!r}") from error
    return socket.AF_INET if version == 4 else socket.AF_INET6


def listen(address: str, port: int, profile: TcpProfile) -> socket.socket:
    """A non-blocking listening socket; port 0 lets the kernel choose."""
    _check_port(port, lowest=0)
    sock = socket.socket(family_of(address), socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        apply_profile(sock, profile)
        sock.bind((address, port))
        sock.listen(LISTEN_BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        kind = AddressInUseError if error.errno == errno.EADDRINUSE else AddressError
        raise kind(f"cannot listen on {address} port {port}: {error.strerror}") from error
    except BaseException:
        sock.close()
        raise
    return sock


def prepare(source_address: str, target_address: str, profile: TcpProfile) -> socket.socket:
    """A non-blocking socket with options set and the source bound, not yet connected."""
    family = family_of(target_address)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        apply_profile(sock, profile)
        if source_address:
            if family_of(source_address) != family:
                raise RequestError(
                    f"source {source_address} and target {target_address} are of different families"
                )
            # The port is chosen at connect(), per 4-tuple: many flows do not use up the ports.
            sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((source_address, 0))
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise AddressError(
            f"cannot use source address {source_address}: {error.strerror}"
        ) from error
    except BaseException:
        sock.close()
        raise
    return sock


def connect(
    sock: socket.socket, address: str, port: int, *, stop: StopSignal, timeout_ns: int
) -> None:
    """Connect a prepared socket; wakes up for `stop`.

    Raises AddressError if the target refuses or cannot be reached, StalledError after
    `timeout_ns`, Stopped.
    """
    _check_port(port, lowest=1)
    status = sock.connect_ex((address, port))
    if status == errno.EINPROGRESS:
        if not SocketWaiter(sock, stop).writable(timeout_ns):
            raise StalledError(
                f"connecting to {address} port {port}: no answer in {timeout_ns / 1e9:g} s"
            )
        status = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if status:
        raise AddressError(f"connecting to {address} port {port}: {errno.errorcode[status]}")


def reset(sock: socket.socket) -> None:
    """Close so that the peer gets a RST and not an orderly end."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def describe(sock: socket.socket) -> str:
    """`local->remote` with ports."""
    return f"{_text(sock.getsockname())}->{_text(sock.getpeername())}"


def _text(name: tuple[str, int] | tuple[str, int, int, int]) -> str:
    address = f"[{name[0]}]" if ":" in name[0] else name[0]
    return f"{address}:{name[1]}"


def _check_port(port: int, *, lowest: int) -> None:
    if not lowest <= port <= 65535:
        raise RequestError(f"port must be from {lowest} to 65535, got {port}")
