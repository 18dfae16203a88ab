"""What can go wrong at a node. One tree; the daemon maps it to gRPC status in one table.

A message says where, what, got what, and the cure: lower case, no full stop. Data of the error
stand in attributes where a caller may want them.
"""

from __future__ import annotations


class NodeError(Exception):
    """Base of all errors that a node raises on purpose."""


class FramingError(NodeError):
    """A byte stream is not one intact flow (see `core.framing`)."""


class HeaderError(FramingError):
    """The stream does not begin with a valid flow header."""


class TruncatedError(FramingError):
    """The stream ended before its trailer was complete."""


class TrailerError(FramingError):
    """The trailer is malformed or contradicts the header or the payload's length."""


class RequestError(NodeError):
    """A command to the node carries a value that makes no sense."""


class RoleError(NodeError):
    """A command was sent to a node whose role does not take it."""

    def __init__(self, command: str, role: str, needed: str) -> None:
        super().__init__(f"{command} was sent to a node of role {role}; only a {needed} takes it")
        self.command = command
        self.role = role


class UnknownRunError(NodeError):
    """A command names a run that this node does not have."""

    def __init__(self, run: str, known: tuple[str, ...]) -> None:
        names = ", ".join(known) if known else "none"
        super().__init__(f"no run named {run!r} at this node; runs are: {names}")
        self.run = run


class AddressError(NodeError):
    """An address cannot be bound or reached."""


class AddressInUseError(AddressError):
    """The address and port to listen on are taken."""


class UnsupportedOptionError(NodeError):
    """This kernel does not know a socket option or congestion control that was asked for."""


class PrivilegeError(NodeError):
    """The daemon lacks a privilege that the command needs."""


class FlowMapError(NodeError):
    """The FSU's maps cannot be read."""


class ShuttingDownError(NodeError):
    """The daemon is finishing and takes no more work."""

    def __init__(self) -> None:
        super().__init__("the daemon is shutting down and takes no more work")


class Stopped(NodeError):
    """The run was released or the daemon is finishing while a connection was at work."""

    def __init__(self) -> None:
        super().__init__("stopped before the flow ended")


class StalledError(NodeError):
    """A connection made no progress for the whole stall timeout."""


class NodeUnavailableError(NodeError):
    """Client: the daemon did not become ready in time."""


class NodeCallError(NodeError):
    """Client: the daemon refused or failed a call.

    `status` is the name of the gRPC status code, `details` the daemon's own message.
    """

    def __init__(self, target: str, method: str, status: str, details: str) -> None:
        super().__init__(f"{target}: {method} failed with {status}: {details}")
        self.target = target
        self.method = method
        self.status = status
        self.details = details
