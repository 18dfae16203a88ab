"""The node-control service: translate, call, translate back. It decides nothing itself."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import wraps
from importlib.metadata import PackageNotFoundError, version
from typing import TypeVar

import grpc

from sentinel_node import errors
from sentinel_node.daemon import convert
from sentinel_node.daemon.control.convert import all_connected, control_reply, control_settings
from sentinel_node.daemon.control.holder import ControlHolder
from sentinel_node.daemon.control.reports import unchecked
from sentinel_node.daemon.custody.hub import CustodyHub
from sentinel_node.daemon.custody.orders import Hubs, custody_listen, custody_relay
from sentinel_node.daemon.custody.receiver import start_custody_listening
from sentinel_node.daemon.custody.relay import start_custody_relay
from sentinel_node.daemon.fsu import FsuPoint, read_flow_metrics
from sentinel_node.daemon.receiver import start_listening
from sentinel_node.daemon.records import CustodyRecord, FlowRecord
from sentinel_node.daemon.relay import start_relaying
from sentinel_node.daemon.runs import NodeRuns
from sentinel_node.daemon.sender import start_sending
from sentinel_proto.v1 import node_control_pb2 as pb
from sentinel_proto.v1 import node_control_pb2_grpc as pb_grpc

logger = logging.getLogger(__name__)

DEFAULT_PROGRESS_INTERVAL_NS = 200_000_000
CHECK_PATIENCE_S = 2.0
"""How long a run's report waits for upstream's last word on flows whose data has ended."""

STATUS_OF: dict[type[errors.NodeError], grpc.StatusCode] = {
    errors.RequestError: grpc.StatusCode.INVALID_ARGUMENT,
    errors.RoleError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.UnsupportedOptionError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.AddressInUseError: grpc.StatusCode.ALREADY_EXISTS,
    errors.AddressError: grpc.StatusCode.FAILED_PRECONDITION,
    errors.UnknownRunError: grpc.StatusCode.NOT_FOUND,
    errors.PrivilegeError: grpc.StatusCode.PERMISSION_DENIED,
    errors.FlowMapError: grpc.StatusCode.INTERNAL,
    errors.ShuttingDownError: grpc.StatusCode.UNAVAILABLE,
    errors.Stopped: grpc.StatusCode.ABORTED,
    errors.StalledError: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.NodeError: grpc.StatusCode.UNKNOWN,
}
"""The one table from exceptions to gRPC; the nearest class in the MRO counts."""

RequestT = TypeVar("RequestT")
ReplyT = TypeVar("ReplyT")
Context = grpc.aio.ServicerContext[RequestT, ReplyT]


def status_of(error: errors.NodeError) -> grpc.StatusCode:
    """The gRPC status code for an error of this node."""
    return next(STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF)


Handler = Callable[["NodeControlService", RequestT, Context[RequestT, ReplyT]], Awaitable[ReplyT]]


def translated(handler: Handler[RequestT, ReplyT]) -> Handler[RequestT, ReplyT]:
    """Answer a NodeError with its status code and its message."""

    @wraps(handler)
    async def call(
        self: NodeControlService, request: RequestT, context: Context[RequestT, ReplyT]
    ) -> ReplyT:
        try:
            return await handler(self, request, context)
        except errors.NodeError as error:
            logger.warning("%s refused: %s", handler.__name__, error)
            await context.abort(status_of(error), str(error))

    return call


def _version() -> str:
    try:
        return version("sentinel-sim")
    except PackageNotFoundError:
        return "uninstalled"


class NodeControlService(pb_grpc.NodeControlServicer):
    """One node's service. `finish` is set when a Shutdown was accepted."""

    def __init__(
        self,
        node: str,
        role: str,
        runs: NodeRuns,
        fsu_points: Sequence[FsuPoint],
        control: ControlHolder,
    ) -> None:
        self.finish = asyncio.Event()
        self._node = node
        self._role = role
        self._runs = runs
        self._fsu_points = tuple(fsu_points)
        self._control = control
        self._hubs = Hubs()

    @translated
    async def Hello(
        self, request: pb.HelloRequest, context: Context[pb.HelloRequest, pb.HelloReply]
    ) -> pb.HelloReply:
        """Who the daemon is."""
        return pb.HelloReply(
            node=self._node,
            role=self._role,
            version=_version(),
            pid=os.getpid(),
            runs=self._runs.names,
            tasks=len(asyncio.all_tasks()),
        )

    @translated
    async def Listen(
        self, request: pb.ListenRequest, context: Context[pb.ListenRequest, pb.ListenReply]
    ) -> pb.ListenReply:
        """Receiver: accept flows."""
        self._need_role("Listen", "receiver")
        spec = convert.listen_spec(request)
        run = self._runs.open(convert.run_name(request.run))
        if request.HasField("custody"):
            asked = custody_listen(request.custody, spec)
            hub = self._hub(asked.upstream)
            return pb.ListenReply(port=start_custody_listening(run, hub, asked))
        return pb.ListenReply(port=start_listening(run, spec))

    @translated
    async def Relay(
        self, request: pb.RelayRequest, context: Context[pb.RelayRequest, pb.RelayReply]
    ) -> pb.RelayReply:
        """Intermediate: relay connections."""
        self._need_role("Relay", "intermediate")
        spec = convert.relay_spec(request)
        run = self._runs.open(convert.run_name(request.run))
        if request.HasField("custody"):
            asked = custody_relay(request.custody, spec)
            hub = self._hub(asked.upstream, asked.onward.peer)
            return pb.RelayReply(port=start_custody_relay(run, hub, asked))
        return pb.RelayReply(port=start_relaying(run, spec))

    async def Send(
        self, request: pb.SendRequest, context: Context[pb.SendRequest, pb.SendProgress]
    ) -> AsyncIterator[pb.SendProgress]:
        """Sender: send flows, and stream the progress.

        When the caller cancels or goes away, the flows go on; Release ends them.
        """
        try:
            self._need_role("Send", "sender")
            spec = convert.send_spec(request, self._hub)
            run = self._runs.open(convert.run_name(request.run))
            records = start_sending(run, spec)
        except errors.NodeError as error:
            logger.warning("Send refused: %s", error)
            await context.abort(status_of(error), str(error))
        interval_ns = request.progress_interval_ns or DEFAULT_PROGRESS_INTERVAL_NS
        last: pb.SendProgress | None = None
        while last is None or not last.done:
            now = _progress(records)
            if now != last:
                yield now
                last = now
            if not now.done:
                await self._runs.changed.wait_for(
                    lambda: _ended(records), timeout_s=interval_ns / 1e9
                )

    @translated
    async def Collect(
        self, request: pb.CollectRequest, context: Context[pb.CollectRequest, pb.CollectReply]
    ) -> pb.CollectReply:
        """What this node measured for a run."""
        run = self._runs.get(convert.run_name(request.run))

        def finished() -> bool:
            return run.ended >= request.expect_flows and not run.active

        complete = await self._runs.changed.wait_for(
            lambda: run.closed or finished(), timeout_s=request.wait_ns / 1e9
        )
        if run.closed:
            raise errors.Stopped
        if complete and self._role == "receiver":
            await self._runs.changed.wait_for(
                lambda: run.closed or not unchecked(run), timeout_s=CHECK_PATIENCE_S
            )
        # Thousands of samples are unpacked: not on the event loop.
        return await asyncio.to_thread(convert.collect_reply, run, complete=complete)

    @translated
    async def Release(
        self, request: pb.ReleaseRequest, context: Context[pb.ReleaseRequest, pb.ReleaseReply]
    ) -> pb.ReleaseReply:
        """End a run and forget it."""
        closed = await self._runs.release(convert.run_name(request.run))
        return pb.ReleaseReply(connections_closed=closed)

    @translated
    async def ReadFlowMetrics(
        self,
        request: pb.ReadFlowMetricsRequest,
        context: Context[pb.ReadFlowMetricsRequest, pb.ReadFlowMetricsReply],
    ) -> pb.ReadFlowMetricsReply:
        """Flow records of the FSU on this node."""
        return await asyncio.to_thread(read_flow_metrics, self._fsu_points)

    @translated
    async def Connect(
        self, request: pb.ConnectRequest, context: Context[pb.ConnectRequest, pb.ConnectReply]
    ) -> pb.ConnectReply:
        """Join the control plane."""
        port = await self._control.connect(control_settings(self._node, request))
        self._runs.control = plane = self._control.plane
        self._runs.sync = self._control.sync
        return pb.ConnectReply(port=port, epoch=plane.epoch if plane else 0)

    @translated
    async def Disconnect(
        self,
        request: pb.DisconnectRequest,
        context: Context[pb.DisconnectRequest, pb.DisconnectReply],
    ) -> pb.DisconnectReply:
        """Leave the control plane."""
        self._runs.control = self._runs.sync = None
        await self._control.disconnect()
        return pb.DisconnectReply()

    @translated
    async def ReadControl(
        self,
        request: pb.ReadControlRequest,
        context: Context[pb.ReadControlRequest, pb.ReadControlReply],
    ) -> pb.ReadControlReply:
        """How the control plane stands."""
        await self._runs.changed.wait_for(
            lambda: all_connected(self._control), timeout_s=request.wait_ns / 1e9
        )
        return control_reply(self._control)

    @translated
    async def ReplayControl(
        self,
        request: pb.ReplayControlRequest,
        context: Context[pb.ReplayControlRequest, pb.ReplayControlReply],
    ) -> pb.ReplayControlReply:
        """Send control messages again, as a fault."""
        replayed = self._control.replay(request.peer, request.share, request.seed)
        return pb.ReplayControlReply(replayed=replayed)

    @translated
    async def Shutdown(
        self, request: pb.ShutdownRequest, context: Context[pb.ShutdownRequest, pb.ShutdownReply]
    ) -> pb.ShutdownReply:
        """Finish and exit 0."""
        self.finish.set()
        return pb.ShutdownReply()

    def _hub(self, *peers: str) -> CustodyHub:
        return self._hubs.of(self._runs.control, *peers)

    def _need_role(self, command: str, role: str) -> None:
        if self._role != role:
            raise errors.RoleError(command, self._role, role)


def _ended(records: tuple[FlowRecord, ...]) -> bool:
    return all(record.ended for record in records)


def _progress(records: tuple[FlowRecord, ...]) -> pb.SendProgress:
    failed = sum(record.ended and not record.complete for record in records)
    done = sum(record.ended and record.complete for record in records)
    return pb.SendProgress(
        bytes_written=sum(record.payload_bytes for record in records),
        flows_active=len(records) - done - failed,
        flows_done=done,
        flows_failed=failed,
        done=_ended(records),
        flows=[_flow_progress(record, record.custody) for record in records if record.custody],
    )


def _flow_progress(record: FlowRecord, books: CustodyRecord) -> pb.FlowProgress:
    return pb.FlowProgress(
        flow_id=record.flow_id,
        bytes_confirmed=books.confirmed_bytes,
        bytes_delivered=books.delivered_bytes,
        ended=record.ended,
        complete=record.complete,
        error=record.error,
    )
