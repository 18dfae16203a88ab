"""`sentinel-node`: start a node, on a controller's behalf or by itself; signals and exit codes.

Exit codes: 0 done, 1 a flow failed or something unexpected, 2 usage, 3 missing privilege or
kernel feature.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Sequence

from sentinel_node.daemon.addresses import parse_host_port
from sentinel_node.daemon.control.holder import load_ahead
from sentinel_node.daemon.fsu import parse_point
from sentinel_node.daemon.server import DaemonConfig, check_control, serve
from sentinel_node.daemon.standalone import run_standalone
from sentinel_node.daemon.standalone_options import FLAGS, add_flags, standalone_config
from sentinel_node.daemon.switching import adapt_switching
from sentinel_node.errors import (
    AddressError,
    NodeError,
    PrivilegeError,
    RequestError,
    UnsupportedOptionError,
)

logger = logging.getLogger(__name__)

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_MISSING = 3

STANDBY_READY = b"r"
ROLES = ("sender", "intermediate", "receiver")


def make_parser() -> argparse.ArgumentParser:
    """The command line of `sentinel-node`."""
    parser = argparse.ArgumentParser(
        prog="sentinel-node",
        description="A node of sentinel-sim: sender, intermediate or receiver.",
        epilog="With --control the node waits for a controller. Without it, it acts by itself: "
        "receiver --listen H:P; intermediate --listen H:P --target H:P; "
        "sender --target H:P and --file F, --bytes N or --duration S. Name the neighbours, and "
        "flows go in custody. A flow that ended is one "
        "line of JSON on standard output, with the SHA-256 of its payload at either end.",
    )
    add = parser.add_argument
    add("--role", choices=ROLES, required=True)
    add("--node", default="", help="the node's name (default: the role)")
    add("--run-id", default="", help="names the experiment (default by itself: standalone)")
    add("--log-level", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    control = parser.add_argument_group("driven by a controller")
    control.add_argument("--control", help="unix:/path or HOST:PORT to take commands on")
    add = control.add_argument
    add(
        "--fsu-point",
        action="append",
        default=[],
        metavar="LINK:FD:FD:FD:FD",
        help="inherited descriptors of an FSU's flow_metrics_map, flow_metrics6, fsu_counters and "
        "fsu_models; once for each link",
    )
    add(
        "--data-cpus",
        default="",
        metavar="N,N",
        help="the threads that move payload run on these CPUs only (default: on any); the control "
        "plane runs wherever there is room",
    )
    add(
        "--hardware-watchdog",
        default="",
        metavar="DEVICE",
        help="arm this watchdog device (such as /dev/watchdog) and feed it from the event loop: if "
        "this daemon hangs or is killed, the MACHINE is reset; never armed without this flag",
    )
    add(
        "--standby",
        type=int,
        default=-1,
        metavar="FD",
        help="load everything, say so on this inherited socket, and fork a daemon for every byte "
        "that comes on it; end when it is closed: a spare for daemons that die",
    )
    add_flags(parser)
    return parser


def parse_cpus(text: str) -> frozenset[int]:
    """`0,2` as a set; empty for no text. Raises RequestError for what is no CPU of this process."""
    numbers = text.split(",") if text else []
    cpus = frozenset(int(number) for number in numbers if number.isdecimal())
    allowed = os.sched_getaffinity(0)
    if len(cpus) < len(numbers) or not cpus <= allowed:
        known = ",".join(map(str, sorted(allowed)))
        raise RequestError(f"--data-cpus takes some of {known} once each, got {text!r}")
    return cpus


def daemon_config(options: argparse.Namespace) -> DaemonConfig:
    """From the command line. Raises RequestError or AddressError."""
    for name in FLAGS:
        if getattr(options, name):
            flag = name.replace("_", "-")
            raise RequestError(f"--{flag} cannot be used with --control; the controller says it")
    control: str = options.control
    if not control.startswith("unix:"):
        parse_host_port(control)
    check_control(control)
    return DaemonConfig(
        node=options.node or options.role,
        role=options.role,
        control=control,
        run_id=options.run_id,
        fsu_points=tuple(parse_point(text) for text in options.fsu_point),
        hardware_watchdog=options.hardware_watchdog,
        data_cpus=parse_cpus(options.data_cpus),
    )


def _allow_many_files() -> None:
    """Lift the soft limit on descriptors to the hard one: a relayed flow takes up to six."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _is_wanted(standby_fd: int) -> bool:
    """Wait until a daemon is needed, and be it: a copy of this process, which waits on.

    False if the controller went away.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # copies that end leave nothing behind
    with socket.socket(fileno=standby_fd) as line:
        try:
            line.send(STANDBY_READY)
            while line.recv(1):
                pid = os.fork()
                if not pid:
                    os.setsid()  # what is done to the spare's session is not done to it
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    return True
                _hand_over(line, pid)
        except (BrokenPipeError, ConnectionResetError):
            return False
    return False


def _hand_over(line: socket.socket, pid: int) -> None:
    """Tell the controller of a copy, in a way that cannot mean another process."""
    pidfd = os.pidfd_open(pid)
    try:
        socket.send_fds(line, [pid.to_bytes(4, "big")], [pidfd])
    finally:
        os.close(pidfd)


def _run(options: argparse.Namespace) -> int:
    adapt_switching()
    if options.standby >= 0:
        load_ahead(options.role)
        if not _is_wanted(options.standby):
            return EXIT_OK
    if options.control:
        asyncio.run(serve(daemon_config(options)))
        return EXIT_OK
    return EXIT_OK if run_standalone(standalone_config(options)) else EXIT_FAILED


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `sentinel-node`; gives the exit code."""
    options = make_parser().parse_args(argv)
    logging.basicConfig(
        level=options.log_level,
        stream=sys.stderr,
        format=f"%(asctime)s %(levelname)s {options.node or options.role} %(message)s",
    )
    os.umask(0o077)  # the control socket is for our own user
    _allow_many_files()
    try:
        return _run(options)
    except (RequestError, AddressError) as error:
        logger.error("%s", error)
        return EXIT_USAGE
    except (PrivilegeError, UnsupportedOptionError) as error:
        logger.error("%s", error)
        return EXIT_MISSING
    except NodeError as error:
        logger.error("%s", error)
        return EXIT_FAILED


if __name__ == "__main__":
    sys.exit(main())
