"""An FSU at work: its program on one or both ends of an interface, its maps pinned beside it.

    <pins>/link_<end>      the attachment, for each end on XDP; one on tc is a filter, without a pin
    <pins>/program         what is attached
    <pins>/<map>           each map, under its full name in flow_math.c
    <record>.json          what the kernel does not say: names, namespaces, when, on whose behalf

The pins are the truth, the record explains them. An FSU goes on without any process of ours.
"""

from __future__ import annotations

import dataclasses
import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from sentinel_bpf import attach, syscalls
from sentinel_bpf.attach import EndMode, XdpMode
from sentinel_bpf.bpffs import PinDirectory
from sentinel_bpf.errors import BpfError
from sentinel_bpf.flow_tc import TC_PROGRAM
from sentinel_bpf.loader import ProgramSet
from sentinel_bpf.netns import run_in_netns

PROGRAM = "flow_stabilization_unit"
PROGRAM_PIN = "program"
RECORD_SCHEMA = "sentinel-sim/fsu-unit/1"
EndState = Literal["attached", "interface gone", "detached"]


@dataclass(frozen=True, slots=True)
class UnitEnd:
    """One interface that the FSU is attached to, as it was when it was attached."""

    name: str
    """`inner`: what arrives at the node; `outer`: what it sends; `interface`: the only end."""
    ifname: str
    netns: str | None
    """Path of the namespace; None: the one of whoever attached it."""
    netns_inode: int
    ifindex: int
    mode: EndMode


@dataclass(frozen=True, slots=True)
class UnitRecord:
    """What is known of an FSU besides its pins. Kept as a JSON file."""

    unit: str
    """Unique among the units of one owner."""
    owner: str
    """`fsu attach`, or the id of the run."""
    node: str
    """Of the topology; empty outside of runs."""
    link: str
    pins: str
    attached_utc: str
    abi_version: int
    ends: tuple[UnitEnd, ...]

    def to_json(self) -> dict[str, Any]:
        """As written to the file."""
        return {"schema": RECORD_SCHEMA, **dataclasses.asdict(self)}


def parse_record(text: str, where: str) -> UnitRecord:
    """A record from its file. Raises BpfError, naming `where`, for anything else."""
    try:
        fields = json.loads(text)
        if fields.pop("schema") != RECORD_SCHEMA:
            raise ValueError("another schema")
        ends = tuple(UnitEnd(**end) for end in fields.pop("ends"))
        return UnitRecord(**fields, ends=ends)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BpfError(
            f"{where}: not a record of an attached FSU ({error})",
            cure="remove the file, then: sentinel-sim fsu clean",
        ) from error


def namespace_inode(netns: Path | str | None) -> int:
    """The identity of a network namespace as long as it exists."""
    return run_in_netns(netns, lambda: Path("/proc/thread-self/ns/net").stat().st_ino)


def interface_index(ifname: str, netns: Path | str | None) -> int:
    """The interface's number in its namespace. Raises BpfError if there is none of that name."""
    try:
        return run_in_netns(netns, lambda: socket.if_nametoindex(ifname))
    except OSError as error:
        place = "" if netns is None else f" in {netns}"
        raise BpfError(f"interface {ifname}{place}: no such interface") from error


def attach_end(
    programs: ProgramSet,
    pins: PinDirectory,
    name: str,
    ifname: str,
    netns: Path | str | None,
    mode: XdpMode = "native",
) -> UnitEnd:
    """Attach the FSU to an interface and pin the link, which then needs no process.

    Raises BpfError; the interface is then as before.
    """
    end = _end(name, ifname, netns, mode)
    attachment = attach.attach_xdp(programs.prog_fd(PROGRAM), ifname, netns, mode)
    try:
        pins.pin(attachment.link_fd, _link_pin(name))
    finally:
        attachment.close()  # the pin holds it from here on; without one, it is detached again
    return end


def _end(name: str, ifname: str, netns: Path | str | None, mode: EndMode) -> UnitEnd:
    return UnitEnd(
        name=name,
        ifname=ifname,
        netns=None if netns is None else str(netns),
        netns_inode=namespace_inode(netns),
        ifindex=interface_index(ifname, netns),
        mode=mode,
    )


def attach_end_tc(
    programs: ProgramSet, name: str, ifname: str, netns: Path | str | None
) -> UnitEnd:
    """Attach the FSU's tc program where packets enter `ifname`, before any other filter there.

    A filter needs no process and no pin; it goes with the interface. Raises BpfError.
    """
    end = _end(name, ifname, netns, "tc")
    attach.attach_tc(programs.prog_fd(TC_PROGRAM), ifname, "ingress", netns)
    return end


def detach_end(pins: PinDirectory, end: UnitEnd) -> None:
    """Take the program off, and remove the link's pin. Harmless if it is off already."""
    if end.mode == "tc":
        attach.detach_tc(end.ifname, "ingress", end.netns)
    elif _link_pin(end.name) in pins.names():
        # Without its pin the link would go as well, but some time later: until then the
        # interface is busy.
        with pins.opened(_link_pin(end.name)) as link:
            attach.detach_link(link, str(pins.path / _link_pin(end.name)))
        (pins.path / _link_pin(end.name)).unlink(missing_ok=True)


def pin_unit(programs: ProgramSet, pins: PinDirectory) -> None:
    """Make the directory, and pin the program and all its maps."""
    pins.make()
    pins.pin(programs.prog_fd(PROGRAM), PROGRAM_PIN)
    for name in programs.map_names():
        pins.pin(programs.map_fd(name), name)


def _link_pin(end: str) -> str:
    return f"link_{end}"


@dataclass(frozen=True, slots=True)
class EndReport:
    """One end as the kernel has it now."""

    end: UnitEnd
    state: EndState
    link_id: int | None
    program_id: int | None


def end_report(pins: PinDirectory, end: UnitEnd) -> EndReport:
    """Whether an end is still attached. Raises BpfError if its pin cannot be read."""
    if end.mode == "tc":
        return EndReport(end, _tc_state(end), None, None)
    if _link_pin(end.name) not in pins.names():
        return EndReport(end, "detached", None, None)
    with pins.opened(_link_pin(end.name)) as link:
        found = attach.link_state(link)
    state: EndState = "attached" if found.ifindex else "interface gone"
    return EndReport(end, state, found.link_id, found.program_id)


def _tc_state(end: UnitEnd) -> EndState:
    if attach.has_tc(end.ifname, "ingress", end.netns):
        return "attached"
    try:
        interface_index(end.ifname, end.netns)
    except BpfError:
        return "interface gone"
    return "detached"


@dataclass(frozen=True, slots=True)
class MapFacts:
    """A map of a unit: what `bpftool map show` would say of it."""

    name: str
    map_id: int
    key_bytes: int
    value_bytes: int
    max_entries: int


def map_facts(pins: PinDirectory) -> list[MapFacts]:
    """Sizes of all pinned maps."""
    facts = []
    for name in pins.names():
        if name == PROGRAM_PIN or name.startswith("link_"):
            continue
        with pins.opened(name, read_only=True) as fd:
            info = syscalls.MapInfo()
            syscalls.obj_info(fd, info)
        sizes = (info.id, info.key_size, info.value_size, info.max_entries)
        facts.append(MapFacts(name, *(int(size) for size in sizes)))
    return facts


def write_record(path: Path, record: UnitRecord) -> None:
    """Write a record whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_suffix(".new")
    unfinished.write_text(json.dumps(record.to_json(), indent=1) + os.linesep)
    unfinished.rename(path)


def read_records(directory: Path) -> list[UnitRecord]:
    """All records in a directory, by name. Raises BpfError for a file that is none."""
    found = []
    for path in sorted(directory.glob("*.json")):
        try:
            text = path.read_text()
        except FileNotFoundError:
            continue  # detached meanwhile
        found.append(parse_record(text, str(path)))
    return found


def mode_of(text: str) -> XdpMode:
    """`native` or `generic`. Raises BpfError."""
    if text not in ("native", "generic"):
        raise BpfError(f"XDP mode {text!r}: native or generic")
    return cast(XdpMode, text)
