"""Start windows by route: `initcwnd` and `initrwnd` of the route to one address (ip-route(8)).

A route's metrics hold for connections that are made from then on, and are the only way to set a
start window without BPF. They are shared by all flows to the address; the last one set counts.
"""

from __future__ import annotations

import errno
import os
import socket
import threading

from sentinel_node.daemon.control import route_messages
from sentinel_node.daemon.control.route_messages import HostRoute
from sentinel_node.errors import PrivilegeError, UnsupportedOptionError

ANSWER_BYTES_MAX = 32768
ANSWER_PATIENCE_S = 5.0
"""The kernel answers within the call; an answer that does not come is a fault of this module."""

_lock = threading.Lock()


def clear_start_window(address: str) -> None:
    """The route to `address` has the kernel's own start windows again."""
    windows = {route_messages.INITCWND: 0, route_messages.INITRWND: 0}
    _change(address, windows)


def set_start_window(address: str, *, cwnd_packets: int = 0, rwnd_packets: int = 0) -> None:
    """Set the start windows, in packets, of new connections with `address`; 0 leaves one as it is.

    Raises UnsupportedOptionError without a host route to it, PrivilegeError without the right.
    """
    wanted = {route_messages.INITCWND: cwnd_packets, route_messages.INITRWND: rwnd_packets}
    _change(address, {kind: count for kind, count in wanted.items() if count})


def _change(address: str, windows: dict[int, int]) -> None:
    with (
        _lock,
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink,
    ):
        netlink.settimeout(ANSWER_PATIENCE_S)
        netlink.bind((0, 0))
        route = _find(netlink, address)
        metrics = route_messages.with_windows(route.metrics, windows)
        if metrics == route.metrics:
            return
        code = route_messages.error_of(_ask(netlink, route_messages.replacement(route, metrics)))
    if code in (errno.EPERM, errno.EACCES):
        raise PrivilegeError(
            f"setting the start window of the route to {address} needs CAP_NET_ADMIN"
        )
    if code:
        raise UnsupportedOptionError(
            f"the route to {address} takes no start window: {os.strerror(code)}"
        )


def _find(netlink: socket.socket, address: str) -> HostRoute:
    answer = _ask(netlink, route_messages.question(address))
    code = route_messages.error_of(answer)
    route = route_messages.host_route(answer) if code is None else None
    if route is None:
        why = f" ({os.strerror(code)})" if code else ""
        raise UnsupportedOptionError(
            f"no host route to {address}{why}, so no start window can be set for it alone; "
            f"make one: ip route add {address}/32 via GATEWAY"
        )
    return route


def _ask(netlink: socket.socket, message: bytes) -> bytes:
    netlink.sendall(message)
    return netlink.recv(ANSWER_BYTES_MAX)
