"""HOST:PORT as users write it."""

from __future__ import annotations

import socket

from sentinel_node.daemon.sockets import family_of
from sentinel_node.errors import RequestError


def parse_host_port(text: str) -> tuple[str, int]:
    """`1.2.3.4:5`, `[::1]:5` or `:5` (any IPv4 address). Raises RequestError."""
    host, port = _split(text)
    family_of(host)
    return host, port


def parse_target(text: str, flag: str = "--target") -> tuple[str, int]:
    """As `parse_host_port`, or `name:5`: then the name's first address. Raises RequestError."""
    host, port = _split(text)
    try:
        family_of(host)
    except RequestError:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise RequestError(
                f"{flag} {text}: {host} is no address, and cannot be resolved: {error}"
            ) from error
        return str(found[0][4][0]), port
    return host, port


def _split(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or not 0 <= int(port) <= 65535:
        raise RequestError(f"not HOST:PORT with a port from 0 to 65535: {text!r}")
    return host.removeprefix("[").removesuffix("]") or "0.0.0.0", int(port)
