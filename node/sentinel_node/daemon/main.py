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
from collections.abc import Callable, Sequence

from sentinel_node.daemon.control.holder import load_ahead
from sentinel_node.daemon.file_payload import file_bytes
from sentinel_node.daemon.fsu import parse_point
from sentinel_node.daemon.receiver import ListenSpec
from sentinel_node.daemon.relay import DEFAULT_MODE, RelayMode, RelaySpec
from sentinel_node.daemon.sender import FlowOrder, SendSpec
from sentinel_node.daemon.server import DaemonConfig, check_control, serve
from sentinel_node.daemon.sockets import TcpProfile, family_of
from sentinel_node.daemon.standalone import (
    NS_PER_S,
    StandaloneConfig,
    StandaloneSpec,
    run_standalone,
)
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


def parse_host_port(text: str) -> tuple[str, int]:
    """`1.2.3.4:5`, `[::1]:5` or `:5` (any IPv4 address). Raises RequestError."""
    host, port = _split(text)
    family_of(host)
    return host, port


def parse_target(text: str) -> tuple[str, int]:
    """As `parse_host_port`, or `name:5`: then the name's first address. Raises RequestError."""
    host, port = _split(text)
    try:
        family_of(host)
    except RequestError:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise RequestError(
                f"--target {text}: {host} is no address, and cannot be resolved: {error}"
            ) from error
        return str(found[0][4][0]), port
    return host, port


def _split(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or not 0 <= int(port) <= 65535:
        raise RequestError(f"not HOST:PORT with a port from 0 to 65535: {text!r}")
    return host.removeprefix("[").removesuffix("]") or "0.0.0.0", int(port)


def make_parser() -> argparse.ArgumentParser:
    """The command line of `sentinel-node`."""
    parser = argparse.ArgumentParser(
        prog="sentinel-node",
        description="A node of sentinel-sim: sender, intermediate or receiver.",
        epilog="With --control the node waits for a controller. Without it, it acts by itself: "
        "receiver --listen H:P; intermediate --listen H:P --target H:P; "
        "sender --target H:P and --file F, --bytes N or --duration S. A flow that ended is one "
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
    alone = parser.add_argument_group("by itself, on real hosts")
    add = alone.add_argument
    add("--listen", metavar="H:P", help="where to accept flows")
    add("--target", metavar="H:P", help="where to send or relay to")
    add("--source", metavar="H", default="", help="address to send or relay from")
    add("--bytes", type=int, default=0, metavar="N", help="payload to send")
    add("--file", default="", metavar="F", help="send this file (the receiver keeps its hash only)")
    add("--duration", type=float, default=0.0, metavar="S", help="send for S seconds")
    add(
        "--flows",
        type=int,
        default=0,
        metavar="N",
        help="sender: how many at once (default 1); else: finish after N (default: never)",
    )
    add("--seed", type=int, default=1, help="of the payload")
    add("--congestion-control", default="", metavar="NAME")
    add("--relay-mode", choices=[mode.value for mode in RelayMode], default=DEFAULT_MODE.value)
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
    for name in ("listen", "target", "source", "bytes", "file", "duration", "flows"):
        if getattr(options, name):
            raise RequestError(f"--{name} cannot be used with --control; the controller says it")
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


def standalone_config(options: argparse.Namespace) -> StandaloneConfig:
    """From the command line. Raises RequestError if the role lacks something."""
    needed = {
        "sender": ("target",),
        "intermediate": ("listen", "target"),
        "receiver": ("listen",),
    }[options.role]
    for name in ("listen", "target"):
        if bool(getattr(options, name)) != (name in needed):
            verb = "needs" if name in needed else "does not take"
            raise RequestError(f"--role {options.role} without --control {verb} --{name} HOST:PORT")
    if options.fsu_point:
        raise RequestError("--fsu-point is of use with --control only")
    for name in ("data-cpus", "hardware-watchdog"):
        if getattr(options, name.replace("-", "_")):
            raise RequestError(f"--{name} is of use with --control only")
    if options.flows < 0:
        raise RequestError(f"--flows must not be negative, got {options.flows}")
    make: dict[str, Callable[[argparse.Namespace], StandaloneSpec]]
    make = {"sender": _send_spec, "intermediate": _relay_spec, "receiver": _listen_spec}
    return StandaloneConfig(
        run_id=options.run_id or "standalone",
        spec=make[options.role](options),
        flows=options.flows,
    )


def _profile(options: argparse.Namespace) -> TcpProfile:
    return TcpProfile(congestion_control=options.congestion_control)


def _listen_spec(options: argparse.Namespace) -> ListenSpec:
    host, port = parse_host_port(options.listen)
    return ListenSpec(host, port, _profile(options))


def _relay_spec(options: argparse.Namespace) -> RelaySpec:
    listen_host, listen_port = parse_host_port(options.listen)
    target_host, target_port = parse_target(options.target)
    return RelaySpec(
        listen_address=listen_host,
        listen_port=listen_port,
        target_address=target_host,
        target_port=target_port,
        source_address=options.source,
        accept_profile=_profile(options),
        connect_profile=_profile(options),
        mode=RelayMode(options.relay_mode),
    )


def _send_spec(options: argparse.Namespace) -> SendSpec:
    host, port = parse_target(options.target)
    if sum(map(bool, (options.bytes, options.file, options.duration))) != 1:
        raise RequestError(
            "--role sender needs exactly one of --file F, --bytes N and --duration S"
        )
    if options.bytes < 0 or not 0 <= options.duration < 1e9:
        raise RequestError("--bytes and --duration must not be negative")
    size_bytes = file_bytes(options.file) if options.file else 0
    # Flow ids are chosen anew each time: the receiver may serve many senders.
    first = int.from_bytes(os.urandom(6), "big") + 1
    return SendSpec(
        orders=tuple(
            FlowOrder(
                flow_id=first + index,
                seed=options.seed,
                target_address=host,
                target_port=port,
                source_address=options.source,
                size_bytes=options.bytes or size_bytes,
                file_path=options.file,
                duration_ns=round(options.duration * NS_PER_S),
            )
            for index in range(options.flows or 1)
        ),
        profile=_profile(options),
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
