"""The node-control service from the other end: what the controller uses to drive a node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

import grpc

from sentinel_node.errors import NodeCallError, NodeUnavailableError
from sentinel_proto.v1 import node_control_pb2 as pb
from sentinel_proto.v1 import node_control_pb2_grpc as pb_grpc

MAX_MESSAGE_BYTES = 256 * 1024 * 1024
DEFAULT_READY_TIMEOUT_S = 10.0
DEFAULT_CALL_TIMEOUT_S = 10.0

_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # The daemon's socket appears a moment after the daemon was started: try again soon.
    ("grpc.initial_reconnect_backoff_ms", 20),
    ("grpc.min_reconnect_backoff_ms", 20),
    ("grpc.max_reconnect_backoff_ms", 100),
    ("grpc.enable_http_proxy", 0),
    # Channels to different nodes share nothing, so that closing one never disturbs another.
    ("grpc.use_local_subchannel_pool", 1),
)

ReplyT = TypeVar("ReplyT")


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """What a daemon says of itself."""

    node: str
    role: str
    version: str
    pid: int
    runs: tuple[str, ...] = ()
    """Begun and not released."""
    tasks: int = 0
    """Of the daemon's event loop, that of the question included."""

    @classmethod
    def from_proto(cls, reply: pb.HelloReply) -> NodeIdentity:
        """From the message."""
        runs = tuple(reply.runs)
        return cls(reply.node, reply.role, reply.version, reply.pid, runs, reply.tasks)


def control_target(control: str) -> str:
    """gRPC's spelling of a control address: a bare absolute path is a Unix socket."""
    return f"unix:{control}" if control.startswith("/") else control


class NodeClient:
    """A typed connection to one node daemon; an async context manager.

    Every method raises NodeCallError with the daemon's own message if it refuses or fails, and
    with status UNAVAILABLE if it is gone.
    """

    def __init__(self, target: str, channel: grpc.aio.Channel, identity: NodeIdentity) -> None:
        self.target = target
        self.identity = identity
        self._channel = channel
        self._stub: pb_grpc.NodeControlAsyncStub = pb_grpc.NodeControlStub(channel)

    @classmethod
    async def connect(
        cls, control: str, *, timeout_s: float = DEFAULT_READY_TIMEOUT_S
    ) -> NodeClient:
        """Wait until the daemon at `control` is ready, and greet it.

        `control` is `/path`, `unix:/path` or `host:port`. Raises NodeUnavailableError if it is
        not ready within `timeout_s`.
        """
        target = control_target(control)
        channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
        try:
            async with asyncio.timeout(timeout_s):
                await channel.channel_ready()
                stub: pb_grpc.NodeControlAsyncStub = pb_grpc.NodeControlStub(channel)
                hello = await stub.Hello(pb.HelloRequest(), wait_for_ready=True)
        except (TimeoutError, grpc.aio.AioRpcError) as error:
            await channel.close()
            raise NodeUnavailableError(
                f"{target}: no node daemon became ready within {timeout_s:g} s; look at its log"
            ) from error
        except BaseException:
            await channel.close()
            raise
        return cls(target, channel, NodeIdentity.from_proto(hello))

    async def close(self) -> None:
        """Close the connection; the daemon goes on."""
        await self._channel.close()

    async def __aenter__(self) -> NodeClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def hello(self) -> NodeIdentity:
        """Ask again who the daemon is."""
        reply = await self._call("Hello", self._stub.Hello(pb.HelloRequest(), timeout=_T))
        return NodeIdentity.from_proto(reply)

    async def listen(self, request: pb.ListenRequest) -> int:
        """Receiver: accept flows. Gives the port."""
        return (await self._call("Listen", self._stub.Listen(request, timeout=_T))).port

    async def relay(self, request: pb.RelayRequest) -> int:
        """Intermediate: relay connections. Gives the port."""
        return (await self._call("Relay", self._stub.Relay(request, timeout=_T))).port

    async def send(self, request: pb.SendRequest) -> AsyncIterator[pb.SendProgress]:
        """Sender: send flows; yields progress, the last one with `done` set."""
        call = self._stub.Send(request)
        try:
            async for progress in call:
                yield progress
        except grpc.aio.AioRpcError as error:
            raise self._error("Send", error) from error
        finally:
            call.cancel()

    async def send_to_end(self, request: pb.SendRequest) -> pb.SendProgress:
        """Sender: send flows and wait for the last progress."""
        last = pb.SendProgress()
        async for progress in self.send(request):
            last = progress
        return last

    async def collect(
        self, run: str, *, expect_flows: int = 0, wait_s: float = 0.0
    ) -> pb.CollectReply:
        """What the node measured for `run`; waits up to `wait_s` until its flows have ended."""
        request = pb.CollectRequest(run=run, expect_flows=expect_flows, wait_ns=round(wait_s * 1e9))
        call = self._stub.Collect(request, timeout=wait_s + 3 * _T)
        return await self._call("Collect", call)

    async def release(self, run: str) -> int:
        """End `run` at this node; gives how many connections were still open."""
        call = self._stub.Release(pb.ReleaseRequest(run=run), timeout=_T)
        return (await self._call("Release", call)).connections_closed

    async def read_flow_metrics(self) -> pb.ReadFlowMetricsReply:
        """Flow records of the FSU on this node."""
        call = self._stub.ReadFlowMetrics(pb.ReadFlowMetricsRequest(), timeout=_T)
        return await self._call("ReadFlowMetrics", call)

    async def connect_control(self, request: pb.ConnectRequest) -> pb.ConnectReply:
        """Have the daemon join the control plane."""
        return await self._call("Connect", self._stub.Connect(request, timeout=_T))

    async def disconnect_control(self) -> None:
        """Have the daemon leave the control plane."""
        call = self._stub.Disconnect(pb.DisconnectRequest(), timeout=_T)
        await self._call("Disconnect", call)

    async def read_control(self, *, wait_s: float = 0.0) -> pb.ReadControlReply:
        """How the control plane stands; waits up to `wait_s` until all neighbours are there."""
        request = pb.ReadControlRequest(wait_ns=round(wait_s * 1e9))
        call = self._stub.ReadControl(request, timeout=wait_s + _T)
        return await self._call("ReadControl", call)

    async def replay_control(self, peer: str, share: float, seed: int) -> int:
        """Have the daemon replay control messages to a neighbour; gives how many it did so far."""
        request = pb.ReplayControlRequest(peer=peer, share=share, seed=seed)
        call = self._stub.ReplayControl(request, timeout=_T)
        return (await self._call("ReplayControl", call)).replayed

    async def shutdown(self) -> None:
        """Tell the daemon to finish; it exits with 0."""
        await self._call("Shutdown", self._stub.Shutdown(pb.ShutdownRequest(), timeout=_T))

    async def _call(self, method: str, call: Awaitable[ReplyT]) -> ReplyT:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            raise self._error(method, error) from error

    def _error(self, method: str, error: grpc.aio.AioRpcError) -> NodeCallError:
        return NodeCallError(self.target, method, error.code().name, error.details() or "")


_T = DEFAULT_CALL_TIMEOUT_S


async def connect_all(
    controls: Sequence[str], *, timeout_s: float = DEFAULT_READY_TIMEOUT_S
) -> tuple[NodeClient, ...]:
    """Connect to several daemons at once; all or none."""
    results = await asyncio.gather(
        *(NodeClient.connect(control, timeout_s=timeout_s) for control in controls),
        return_exceptions=True,
    )
    clients = tuple(result for result in results if isinstance(result, NodeClient))
    failed = [result for result in results if isinstance(result, BaseException)]
    if failed:
        await asyncio.gather(*(client.close() for client in clients))
        raise failed[0]
    return clients
