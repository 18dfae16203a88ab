"""The gRPC service Neighbour, as raw bytes: its tags cover the envelopes exactly as they came."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol

import grpc

from sentinel_node.core.control.sessions import ENVELOPE_MAX_BYTES
from sentinel_node.daemon.control.settings import Neighbour
from sentinel_proto.v1 import control_pb2 as pb

if TYPE_CHECKING:
    from sentinel_node.daemon.control.identity import Identity

SERVICE = pb.DESCRIPTOR.services_by_name["Neighbour"].full_name
NODE_KEY = "sentinel-node"
"""Metadata: which neighbour calls. Only a hint; the hello proves it."""

CONTROL_DSCP = 48
"""CS6, network control (RFC 4594, section 3.1): what the wires' control band goes by."""

OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.dscp", CONTROL_DSCP),
    ("grpc.max_send_message_length", ENVELOPE_MAX_BYTES),
    ("grpc.max_receive_message_length", ENVELOPE_MAX_BYTES),
    ("grpc.so_reuseport", 0),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
    # Its probes are pings beside every burst of data; our window is fixed instead.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", ENVELOPE_MAX_BYTES),
)
# No gRPC keepalive: heartbeats are our own messages, authenticated and counted.


# A call that has ended says so in different ways, depending on when it is asked.
_BROKEN = (
    grpc.RpcError,
    grpc.aio.UsageError,
    grpc.aio.InternalError,
    asyncio.InvalidStateError,
)


class Rpc(Protocol):
    """What a call and a servicer's context of grpc.aio have in common; they share no base."""

    def read(self) -> Awaitable[object]:
        """The next message, or `grpc.aio.EOF`."""
        ...

    def write(self, data: bytes, /) -> Awaitable[None]:
        """Send one message."""
        ...


class Call(Rpc, Protocol):
    """An `Rpc` that this side began."""

    def cancel(self) -> bool:
        """End it; False if it has ended."""
        ...


class RpcTransport:
    """`stream.Transport` over a call or a servicer's context, which read and write alike."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    async def read(self) -> bytes | None:
        """The next message. Raises ConnectionError if the stream broke."""
        try:
            data = await self._rpc.read()
        except _BROKEN as error:
            raise ConnectionError(_reason(error)) from error
        return data if isinstance(data, bytes) else None

    async def write(self, data: bytes) -> None:
        """Send one message. Raises ConnectionError if the stream broke."""
        try:
            await self._rpc.write(data)
        except _BROKEN as error:
            raise ConnectionError(_reason(error)) from error


def _reason(error: BaseException) -> str:
    if isinstance(error, grpc.aio.AioRpcError):
        return f"{error.code().name}: {error.details()}"
    return str(error) or type(error).__name__


def bind(server: grpc.aio.Server, address: str, identity: Identity | None) -> int:
    """Gives the port. Raises RuntimeError, as gRPC does, if it cannot listen there."""
    if identity is None:
        return server.add_insecure_port(address)
    return server.add_secure_port(address, identity.server())


def open_channel(neighbour: Neighbour, identity: Identity | None) -> grpc.aio.Channel:
    """To a neighbour; with an identity, whoever answers must have a certificate of its name."""
    if identity is None:
        return grpc.aio.insecure_channel(neighbour.target, options=OPTIONS)
    named = ("grpc.ssl_target_name_override", neighbour.name)
    return grpc.aio.secure_channel(neighbour.target, identity.channel(), options=(*OPTIONS, named))


def names_of(context: grpc.aio.ServicerContext[bytes, bytes]) -> frozenset[str]:
    """Whom the caller's certificate names; empty without TLS."""
    found = context.auth_context().get("x509_subject_alternative_name", ())
    return frozenset(name.decode() for name in found)


Servicer = Callable[[Any, "grpc.aio.ServicerContext[bytes, bytes]"], Awaitable[None]]


def generic_handler(exchange: Servicer) -> grpc.GenericRpcHandler:
    """The service, without parsing: what arrives is handed on byte for byte."""
    method: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_stream_rpc_method_handler(exchange)
    return grpc.method_handlers_generic_handler(SERVICE, {"Exchange": method})


def open_call(channel: grpc.aio.Channel, node: str) -> Call:
    """Call a neighbour as `node`."""
    method: grpc.aio.StreamStreamMultiCallable[bytes, bytes]
    method = channel.stream_stream(f"/{SERVICE}/Exchange")
    return method(metadata=((NODE_KEY, node),))
