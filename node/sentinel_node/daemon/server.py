"""The daemon that a controller drives: one gRPC server, until Shutdown or a signal."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from sentinel_node.daemon import service_manager
from sentinel_node.daemon.control.holder import ControlHolder
from sentinel_node.daemon.fsu import FsuPoint
from sentinel_node.daemon.hardware_watchdog import HardwareWatchdog
from sentinel_node.daemon.runs import ChangeSignal, NodeRuns
from sentinel_node.daemon.sampler import Sampler
from sentinel_node.daemon.service import NodeControlService
from sentinel_node.errors import AddressError
from sentinel_proto.v1 import node_control_pb2 as pb
from sentinel_proto.v1 import node_control_pb2_grpc as pb_grpc

logger = logging.getLogger(__name__)

SERVICE_NAME = pb.DESCRIPTOR.services_by_name["NodeControl"].full_name
STOP_GRACE_S = 2.0
UNIX_PATH_MAX_BYTES = 107
MAX_MESSAGE_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class DaemonConfig:
    """What the daemon is told on its command line. `control` is `unix:/path` or `host:port`."""

    node: str
    role: str
    control: str
    run_id: str = ""
    fsu_points: tuple[FsuPoint, ...] = ()
    hardware_watchdog: str = ""
    """The device to arm; empty: none."""
    data_cpus: frozenset[int] = frozenset()
    """Where the threads that move payload run; empty: anywhere."""


def check_control(control: str) -> None:
    """Raise AddressError if a Unix socket path is longer than the kernel allows."""
    path = control.removeprefix("unix:")
    if control.startswith("unix:") and len(os.fsencode(path)) > UNIX_PATH_MAX_BYTES:
        raise AddressError(
            f"--control: the socket path has {len(os.fsencode(path))} bytes, "
            f"at most {UNIX_PATH_MAX_BYTES} are possible (unix(7)): {path}"
        )


def _bind(server: grpc.aio.Server, control: str) -> None:
    check_control(control)
    try:
        port = server.add_insecure_port(control)
    except RuntimeError as error:
        raise AddressError(f"--control {control}: cannot listen there: {error}") from error
    logger.info("listening on %s (port %d)", control, port)


def _remove_socket(control: str) -> None:
    if control.startswith("unix:"):
        Path(control.removeprefix("unix:")).unlink(missing_ok=True)


async def _ended(task: asyncio.Future[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def serve(config: DaemonConfig) -> None:
    """Serve until Shutdown, SIGTERM or SIGINT; then end every run and return.

    Raises AddressError if the control address cannot be used, and what
    `HardwareWatchdog.arm` raises.
    """
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        if config.hardware_watchdog:
            watchdog = HardwareWatchdog.arm(config.hardware_watchdog)
            stack.callback(watchdog.close)
            stack.push_async_callback(_ended, asyncio.ensure_future(watchdog.keep_fed()))
        stack.push_async_callback(_ended, asyncio.ensure_future(service_manager.keep_alive()))
        sampler = Sampler()
        stack.callback(sampler.close)
        runs = NodeRuns(sampler, ChangeSignal(loop), config.data_cpus)
        stack.push_async_callback(runs.close)
        background = await stack.enter_async_context(asyncio.TaskGroup())
        control = ControlHolder(background, runs.changed, config.role)
        stack.push_async_callback(control.disconnect)
        service = NodeControlService(config.node, config.role, runs, config.fsu_points, control)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, service.finish.set)
            stack.callback(loop.remove_signal_handler, number)

        server = grpc.aio.server(
            options=[
                ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.so_reuseport", 0),
            ]
        )
        pb_grpc.add_NodeControlServicer_to_server(service, server)
        healthy = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
        _bind(server, config.control)
        stack.callback(_remove_socket, config.control)
        await server.start()
        stack.push_async_callback(server.stop, STOP_GRACE_S)
        for name in ("", SERVICE_NAME):
            await healthy.set(name, health_pb2.HealthCheckResponse.SERVING)
        logger.info(
            "node %s (%s) ready, run id %s", config.node, config.role, config.run_id or "none"
        )
        service_manager.notify("READY=1")
        await service.finish.wait()
        service_manager.notify("STOPPING=1")
        logger.info("node %s: finishing", config.node)
        await healthy.enter_graceful_shutdown()
        # Runs first: their end wakes every Collect and Send that is still waiting.
        await runs.close()
