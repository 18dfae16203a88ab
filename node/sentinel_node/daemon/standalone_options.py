"""The command line of a node without a controller: flags, and what they ask for."""

from __future__ import annotations

import argparse
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sentinel_node.core.custody.effects import Release
from sentinel_node.daemon.addresses import parse_host_port, parse_target
from sentinel_node.daemon.control.settings import ControlSettings, Neighbour, read_secret
from sentinel_node.daemon.custody.onward import Onward
from sentinel_node.daemon.custody.orders import existing_folder
from sentinel_node.daemon.custody.receiver import CustodyListenSpec
from sentinel_node.daemon.custody.relay import CustodyRelaySpec
from sentinel_node.daemon.file_payload import file_bytes
from sentinel_node.daemon.receiver import ListenSpec
from sentinel_node.daemon.relay import DEFAULT_MODE, RelayMode, RelaySpec
from sentinel_node.daemon.sender import FlowOrder, SendSpec
from sentinel_node.daemon.sockets import TcpProfile
from sentinel_node.daemon.standalone import (
    NS_PER_S,
    CustodySend,
    StandaloneConfig,
    StandaloneSpec,
)
from sentinel_node.errors import RequestError

DEFAULT_RUN = "standalone"
_NEEDED = {"sender": ("target",), "intermediate": ("listen", "target"), "receiver": ("listen",)}
_NEIGHBOURS = {
    "sender": ("downstream",),
    "intermediate": ("upstream", "downstream"),
    "receiver": ("upstream",),
}
_OF_CUSTODY = {
    "control_listen": ("intermediate", "receiver"),
    "receiver": ("sender",),
    "folder": ("intermediate", "receiver"),
    "release": ("sender", "intermediate"),
    "resume": ("sender",),
}
"""Flags that mean something with neighbours only, and for which roles."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Two groups: what moves data, and what custody and the control plane need besides."""
    alone = parser.add_argument_group("by itself, on real hosts")
    add = alone.add_argument
    add("--listen", metavar="H:P", help="where to accept flows")
    add("--target", metavar="H:P", help="where to send or relay to")
    add("--source", metavar="H", default="", help="address to send or relay from")
    add("--bytes", type=int, default=0, metavar="N", help="payload to send")
    add("--file", default="", metavar="F", help="send this file; in custody also a pipe")
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
    custody = parser.add_argument_group(
        "by itself, in custody",
        "With neighbours named, nodes speak over a control plane under mutual TLS: flows outlive "
        "broken connections and daemons, and what is confirmed is delivered. All nodes of a chain "
        "need it.",
    )
    add = custody.add_argument
    add("--upstream", default="", metavar="NAME", help="who sends or relays to this node")
    add(
        "--downstream",
        default="",
        metavar="NAME[=H:P]",
        help="the node at --target, and its control plane (default: the port after --target's)",
    )
    add(
        "--certificates",
        default="",
        metavar="DIR",
        help="this node's folder, as `sentinel-sim certificates` made it; --node must be its name",
    )
    add(
        "--control-listen",
        default="",
        metavar="H:P",
        help="where upstream calls (default: the port after --listen's)",
    )
    add("--receiver", default="", metavar="NAME", help="the last node (default: downstream)")
    add(
        "--folder",
        default="",
        metavar="DIR",
        help="receiver: write payload there, ID.payload for each flow; intermediate: keep what is "
        "in custody there too, so that it survives this daemon",
    )
    add(
        "--release",
        choices=[release.value for release in Release],
        default="",
        help=f"when bytes may be let go of (default: {Release.DELIVERED.value})",
    )
    add(
        "--resume",
        type=int,
        default=0,
        metavar="FLOW_ID",
        help="go on with a flow of an earlier sender that died; with the same --file or --bytes",
    )


FLAGS = (
    *("listen", "target", "source", "bytes", "file", "duration", "flows"),
    *("upstream", "downstream", "certificates", *_OF_CUSTODY),
)


@dataclass(frozen=True, slots=True)
class _Downstream:
    name: str
    address: str
    port: int


def standalone_config(options: argparse.Namespace) -> StandaloneConfig:
    """From the command line. Raises RequestError if the role lacks something."""
    role = options.role
    for name in ("listen", "target"):
        if bool(getattr(options, name)) != (name in _NEEDED[role]):
            verb = "needs" if name in _NEEDED[role] else "does not take"
            raise RequestError(f"--role {role} without --control {verb} --{name} HOST:PORT")
    for name in ("fsu-point", "data-cpus", "hardware-watchdog"):
        if getattr(options, name.replace("-", "_")):
            raise RequestError(f"--{name} is of use with --control only")
    if options.flows < 0:
        raise RequestError(f"--flows must not be negative, got {options.flows}")
    make: dict[str, Callable[[argparse.Namespace], StandaloneSpec]]
    make = {"sender": _send_spec, "intermediate": _relay_spec, "receiver": _listen_spec}
    in_custody = _is_in_custody(options)
    if in_custody:
        make = {
            "sender": _custody_send,
            "intermediate": _custody_relay,
            "receiver": _custody_listen,
        }
    return StandaloneConfig(
        run_id=options.run_id or DEFAULT_RUN,
        role=role,
        spec=make[role](options),
        flows=options.flows,
        control=_control_settings(options) if in_custody else None,
    )


def _is_in_custody(options: argparse.Namespace) -> bool:
    """Raises RequestError for half of what it takes."""
    role, named = options.role, (options.upstream, options.downstream)
    asked = any(named) or bool(options.certificates)
    for name, roles in _OF_CUSTODY.items():
        if getattr(options, name) and (not asked or role not in roles):
            flag = f"--{name.replace('_', '-')}"
            if role not in roles:
                raise RequestError(f"--role {role} does not take {flag}")
            raise RequestError(f"{flag} is of use in custody only: name the neighbours")
    if not asked:
        return False
    for name in ("upstream", "downstream", "certificates"):
        needed = name == "certificates" or name in _NEIGHBOURS[role]
        if bool(getattr(options, name)) != needed:
            verb = "needs" if needed else "does not take"
            raise RequestError(f"--role {role} in custody {verb} --{name}")
    if options.relay_mode != DEFAULT_MODE.value:
        raise RequestError("--relay-mode: in custody bytes are kept, which is copying")
    return True


def _downstream(options: argparse.Namespace) -> _Downstream:
    name, given, where = options.downstream.partition("=")
    address, port = parse_target(where, "--downstream") if given else parse_target(options.target)
    if not given and port == 65535:
        raise RequestError("--target has the last port; give --downstream NAME=HOST:PORT")
    return _Downstream(name, address, port if given else port + 1)


def _control_settings(options: argparse.Namespace) -> ControlSettings:
    from sentinel_node.daemon.control.identity import SECRET_FILE, read_identity

    node = options.node or options.role
    identity = read_identity(Path(options.certificates), node)
    neighbours: list[Neighbour] = []
    listen: tuple[str, ...] = ()
    port = 0
    if options.downstream:
        to = _downstream(options)
        neighbours.append(Neighbour(to.name, to.address, to.port))
    if options.upstream:
        neighbours.append(Neighbour(options.upstream))
        host, port = parse_host_port(options.control_listen or options.listen)
        listen = (host,)
        if not options.control_listen and port:
            port += 1
        if port > 65535:
            raise RequestError("--listen has the last port; give --control-listen HOST:PORT")
    secret = read_secret(str(Path(options.certificates) / SECRET_FILE))
    return ControlSettings(node, secret, tuple(neighbours), listen, port, identity=identity)


def _profile(options: argparse.Namespace) -> TcpProfile:
    return TcpProfile(congestion_control=options.congestion_control)


def _listen_spec(options: argparse.Namespace) -> ListenSpec:
    host, port = parse_host_port(options.listen)
    return ListenSpec(host, port, _profile(options))


def _custody_listen(options: argparse.Namespace) -> CustodyListenSpec:
    host, port = parse_host_port(options.listen)
    return CustodyListenSpec(
        host,
        port,
        options.upstream,
        _profile(options),
        folder=existing_folder(options.folder),
    )


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


def _custody_relay(options: argparse.Namespace) -> CustodyRelaySpec:
    host, port = parse_host_port(options.listen)
    address, target_port = parse_target(options.target)
    downstream = _downstream(options).name
    return CustodyRelaySpec(
        host,
        port,
        options.upstream,
        Onward(downstream, address, target_port, options.source, _profile(options)),
        accept_profile=_profile(options),
        release=_release(options),
        journal_folder=existing_folder(options.folder),
    )


def _release(options: argparse.Namespace) -> Release:
    return Release(options.release or Release.DELIVERED)


def _check_amount(options: argparse.Namespace) -> None:
    if sum(map(bool, (options.bytes, options.file, options.duration))) != 1:
        raise RequestError(
            "--role sender needs exactly one of --file F, --bytes N and --duration S"
        )
    if options.bytes < 0 or not 0 <= options.duration < 1e9:
        raise RequestError("--bytes and --duration must not be negative")


def _new_flow_ids(options: argparse.Namespace) -> tuple[int, ...]:
    """Chosen anew each time: the receiver may serve many senders."""
    first = int.from_bytes(os.urandom(6), "big") + 1
    return tuple(range(first, first + (options.flows or 1)))


def _send_spec(options: argparse.Namespace) -> SendSpec:
    host, port = parse_target(options.target)
    _check_amount(options)
    size_bytes = file_bytes(options.file) if options.file else 0
    return SendSpec(
        orders=tuple(
            FlowOrder(
                flow_id=flow_id,
                seed=options.seed,
                target_address=host,
                target_port=port,
                source_address=options.source,
                size_bytes=options.bytes or size_bytes,
                file_path=options.file,
                duration_ns=round(options.duration * NS_PER_S),
            )
            for flow_id in _new_flow_ids(options)
        ),
        profile=_profile(options),
    )


def _custody_send(options: argparse.Namespace) -> CustodySend:
    host, port = parse_target(options.target)
    _check_amount(options)
    piped = bool(options.file) and _is_pipe(options.file)
    if options.file and not piped:
        file_bytes(options.file)
    if piped and options.flows > 1:
        raise RequestError(f"--file {options.file}: a pipe can be read once, by --flows 1")
    if options.resume and (piped or options.duration or options.flows > 1):
        raise RequestError("--resume needs one flow of --file or --bytes that can be read again")
    downstream = _downstream(options).name
    return CustodySend(
        flow_ids=(options.resume,) if options.resume else _new_flow_ids(options),
        seed=options.seed,
        target=Onward(downstream, host, port, options.source, _profile(options)),
        receiver=options.receiver or downstream,
        size_bytes=options.bytes,
        duration_ns=round(options.duration * NS_PER_S),
        file_path="" if piped else options.file,
        pipe_path=options.file if piped else "",
        release=_release(options),
        resume=bool(options.resume),
    )


def _is_pipe(path: str) -> bool:
    try:
        return stat.S_ISFIFO(Path(path).stat().st_mode)
    except OSError as error:
        raise RequestError(f"--file {path}: {error.strerror}") from error
