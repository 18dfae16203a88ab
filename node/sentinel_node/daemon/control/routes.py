"""Start windows by route: `initcwnd` and `initrwnd` of the route to one address (ip-route(8)).

A route's metrics hold for connections that are made from then on, and are the only way to set a
start window without BPF. They are shared by all flows to the address; the last one set counts.
"""

from __future__ import annotations

import errno
import socket
import threading
from typing import Any

from sentinel_node.errors import PrivilegeError, UnsupportedOptionError

_lock = threading.Lock()


def load() -> None:
    """Load the netlink library, which takes a moment the first time."""
    import pyroute2  # noqa: F401


def clear_start_window(address: str) -> None:
    """The route to `address` has the kernel's own start windows again."""
    set_start_window(address, keep=False)


def set_start_window(
    address: str, *, cwnd_packets: int = 0, rwnd_packets: int = 0, keep: bool = True
) -> None:
    """Set the start windows, in packets, of new connections with `address`.

    0 leaves one as it is, or with `keep` false takes it away.

    Raises UnsupportedOptionError without a host route to it, PrivilegeError without the right.
    """
    from pyroute2 import IPRoute
    from pyroute2.netlink.exceptions import NetlinkError

    wanted = {"initcwnd": cwnd_packets, "initrwnd": rwnd_packets}
    with _lock, IPRoute() as netlink:
        route = _host_route(netlink, address)
        metrics = {
            **(_metrics(route) if keep else {}),
            **{name: n for name, n in wanted.items() if n},
        }
        given = {
            "dst": f"{address}/32",
            "oif": route.get_attr("RTA_OIF"),
            "gateway": route.get_attr("RTA_GATEWAY"),
            "prefsrc": route.get_attr("RTA_PREFSRC"),
            "metrics": metrics or None,
        }
        try:
            netlink.route("replace", **{k: v for k, v in given.items() if v is not None})
        except NetlinkError as error:
            if error.code in (errno.EPERM, errno.EACCES):
                raise PrivilegeError(
                    f"setting the start window of the route to {address} needs CAP_NET_ADMIN"
                ) from error
            raise UnsupportedOptionError(
                f"the route to {address} takes no start window: {error}"
            ) from error


def _host_route(netlink: Any, address: str) -> Any:  # noqa: ANN401  pyroute2 has no types
    for route in netlink.get_routes(family=socket.AF_INET):
        if route["dst_len"] == 32 and route.get_attr("RTA_DST") == address and route["type"] == 1:
            return route
    raise UnsupportedOptionError(
        f"no host route to {address}, so no start window can be set for it alone; "
        f"make one: ip route add {address}/32 via GATEWAY"
    )


def _metrics(route: Any) -> dict[str, int]:  # noqa: ANN401
    found = route.get_attr("RTA_METRICS")
    names = {"RTAX_INITCWND": "initcwnd", "RTAX_INITRWND": "initrwnd"}
    if found is None:
        return {}
    return {names[name]: value for name, value in found["attrs"] if name in names}
