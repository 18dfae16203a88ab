"""FSUs that somebody attached by hand, found again by later commands.

Each is pinned, so it needs no process. The pins lie in a directory of our own in the host's bpffs,
or, where the host has none, in a bpffs that we mount on a directory of our own. Records beside them
say what the kernel does not. FSUs of running experiments are shown, and left alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sentinel_bpf import abi, attach, bpffs, heart, model, unit
from sentinel_bpf.attach import XdpMode
from sentinel_bpf.bpffs import PinDirectory
from sentinel_bpf.errors import BpfError, BpfUnavailableError
from sentinel_bpf.flow_map import read_counters
from sentinel_bpf.heart import HeartbeatReading
from sentinel_bpf.loader import CompiledSource, program_stats
from sentinel_bpf.unit import EndReport, MapFacts, UnitRecord
from sentinel_sim.errors import FsuUsageError
from sentinel_sim.host import namespaces
from sentinel_sim.host.ownership import host_lock
from sentinel_sim.host.processes import own_lineage
from sentinel_sim.host.release import RUN_ROOT

OWNER = "fsu attach"
TOOL = "fsu"
"""Name of our directory, below the run root and in the host's bpffs."""


@dataclass(frozen=True, slots=True)
class UnitStatus:
    """One FSU, as the kernel has it now."""

    record: UnitRecord
    ends: tuple[EndReport, ...]
    maps: tuple[MapFacts, ...]
    counters: dict[str, int]
    heartbeat: HeartbeatReading | None
    verified_instructions: int
    problem: str | None = None
    """Why it could not be read; then all but the record is empty."""

    @property
    def stale(self) -> bool:
        """Whether it sees nothing any more: no end is attached, or its pins are gone."""
        return all(report.state != "attached" for report in self.ends)


@dataclass(frozen=True, slots=True)
class CleanedUnit:
    """Something stale of ours. `detail` says why it is stale."""

    unit: str
    what: str
    detail: str


class Registry:
    """All FSUs of this host that are ours. Needs root for everything."""

    def __init__(self, run_root: Path = RUN_ROOT, *, bpffs_directory: Path | None = None) -> None:
        """`bpffs_directory`: a bpffs to use, instead of looking for the host's."""
        self._run_root = run_root
        self._records = run_root / TOOL
        self._given_bpffs = bpffs_directory

    # Where things lie.

    @property
    def _own_mount(self) -> Path:
        return self._records / "bpf"

    def _host_pins(self) -> Path:
        return (self._given_bpffs or bpffs.HOST_BPFFS) / "sentinel-sim" / TOOL

    def _make_pin_root(self) -> Path:
        host = self._given_bpffs or bpffs.HOST_BPFFS
        if bpffs.is_bpffs(host):
            self._host_pins().mkdir(mode=0o700, parents=True, exist_ok=True)
            return self._host_pins()
        if self._given_bpffs is not None:
            raise FsuUsageError(
                f"{host}: no bpffs is mounted there", cure=f"mount -t bpf bpf {host}"
            )
        _refuse_private_mounts()
        bpffs.mount_bpffs(self._own_mount)
        return self._own_mount

    def _record_path(self, name: str) -> Path:
        return self._records / f"{name}.json"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with host_lock(self._run_root):
            self._records.mkdir(mode=0o700, exist_ok=True)
            try:
                yield
            finally:
                self._remove_empty_places()

    def _remove_empty_places(self) -> None:
        """Leave nothing on the host when nothing is attached."""
        if bpffs.is_bpffs(self._own_mount) and not list(_unit_directories(self._own_mount)):
            bpffs.unmount_bpffs(self._own_mount)
        for directory in (
            *((self._own_mount,) if not bpffs.is_bpffs(self._own_mount) else ()),
            self._records,
            self._host_pins(),
            self._host_pins().parent,
        ):
            if directory.is_dir() and not any(directory.iterdir()):
                directory.rmdir()

    # What there is.

    def records(self, *, runs: bool = True) -> list[UnitRecord]:
        """Of all FSUs attached by hand and, with `runs`, by running experiments."""
        found = unit.read_records(self._records)
        if runs and self._run_root.is_dir():
            for directory in sorted(self._run_root.iterdir()):
                if namespaces.RUN_ID_PATTERN.fullmatch(directory.name):
                    found += unit.read_records(directory / TOOL)
        return found

    def status(self, *, runs: bool = True) -> list[UnitStatus]:
        """Every FSU of ours as the kernel has it now."""
        return [read_status(record) for record in self.records(runs=runs)]

    def find(self, ifname: str, netns: Path | None) -> UnitRecord | None:
        """The FSU that was attached by hand to this interface, also if that is gone meanwhile."""
        wanted = None if netns is None else str(netns)
        for record in self.records(runs=False):
            if any((end.ifname, end.netns) == (ifname, wanted) for end in record.ends):
                return record
        return None

    # What can be done.

    def check_free(self, ifname: str, netns: Path | None) -> None:
        """Raise FsuUsageError or BpfError if nothing can be attached to the interface now."""
        unit.interface_index(ifname, netns)
        place = _place(ifname, netns)
        record = self.find(ifname, netns)
        if record is not None and not read_status(record).stale:
            raise FsuUsageError(
                f"{place}: the FSU is attached already, since {record.attached_utc}",
                cure=f"sentinel-sim fsu detach {_words(ifname, netns)}",
            )
        found = attach.xdp_program(ifname, netns)
        if found is not None:
            raise FsuUsageError(
                f"{place}: another XDP program is attached there: {found.name or 'unnamed'}, id"
                f" {found.program_id}, {found.mode}; nothing was changed",
                cure=f"bpftool prog show id {found.program_id}",
            )

    def attach(
        self,
        compiled: CompiledSource,
        ifname: str,
        netns: Path | None,
        *,
        mode: XdpMode,
        flows_max: int,
        now_utc: datetime,
    ) -> UnitRecord:
        """Attach and pin an FSU. Raises FsuUsageError or BpfError; nothing is left then."""
        with self._locked():
            self.check_free(ifname, netns)
            stale = self.find(ifname, netns)
            if stale is not None:
                self._forget(stale)
            inode, index = unit.namespace_inode(netns), unit.interface_index(ifname, netns)
            name = f"n{inode}i{index}"
            pins = PinDirectory(self._make_pin_root() / name)
            pins.remove()  # of an interface that had the number before this one
            with compiled.instantiate(max_entries={"flow_metrics_map": flows_max}) as programs:
                try:
                    model.install_shipped(programs.map_fd("fsu_models"))
                    unit.pin_unit(programs, pins)
                    end = unit.attach_end(programs, pins, "interface", ifname, netns, mode)
                except BpfError:
                    pins.remove()
                    raise
            record = UnitRecord(
                unit=name,
                owner=OWNER,
                node="",
                link="",
                pins=str(pins.path),
                attached_utc=now_utc.strftime("%Y-%m-%dT%H:%M:%SZ"),
                abi_version=abi.ABI_VERSION,
                ends=(end,),
            )
            unit.write_record(self._record_path(name), record)
            return record

    def detach(self, ifname: str, netns: Path | None) -> UnitRecord:
        """Take off what `attach` attached, its maps included. Raises FsuUsageError."""
        with self._locked():
            record = self.find(ifname, netns)
            if record is None:
                raise FsuUsageError(
                    f"{_place(ifname, netns)}: no FSU of `fsu attach` is there"
                    + self._whose(ifname, netns),
                    cure="sentinel-sim fsu status",
                )
            for end in record.ends:
                unit.detach_end(PinDirectory(Path(record.pins)), end)
            self._forget(record)
            return record

    def _whose(self, ifname: str, netns: Path | None) -> str:
        wanted = None if netns is None else str(netns)
        for record in self.records():
            if any((end.ifname, end.netns) == (ifname, wanted) for end in record.ends):
                return f" (it belongs to run {record.owner}, and goes with it)"
        return ""

    def _forget(self, record: UnitRecord) -> None:
        PinDirectory(Path(record.pins)).remove()
        self._record_path(record.unit).unlink(missing_ok=True)

    def clean(self, *, dry_run: bool) -> list[CleanedUnit]:
        """Remove FSUs attached by hand that see nothing any more, and pins without a record.

        Those that are attached stay. What dead experiments left is `sentinel-sim clean`'s.
        """
        with self._locked():
            found = []
            known = set()
            for record in self.records(runs=False):
                known.add(record.unit)
                status = read_status(record)
                if status.stale:
                    names = ", ".join(end.ifname for end in record.ends)
                    why = status.problem or ", ".join(end.state for end in status.ends)
                    found.append(CleanedUnit(record.unit, f"FSU of {names}", why))
                    if not dry_run:
                        self._forget(record)
            for root in (self._own_mount, self._host_pins()):
                for directory in _unit_directories(root):
                    if directory.name not in known:
                        what = f"pins in {directory}"
                        found.append(CleanedUnit(directory.name, what, "no record of them"))
                        if not dry_run:
                            PinDirectory(directory).remove()
            return found


def _unit_directories(root: Path) -> Iterator[Path]:
    if root.is_dir():
        yield from sorted(entry for entry in root.iterdir() if entry.is_dir())


def _refuse_private_mounts() -> None:
    """Pins in a mount namespace that ends with this command would end with it, unseen."""
    own = _mount_namespace(Path("/proc/self"))
    # Those who started us live longer; some hosts hide pid 1 even from root.
    others = {_mount_namespace(Path(f"/proc/{pid}")) for pid in (*own_lineage(), 1)}
    if others - {own, None}:
        raise FsuUsageError(
            "this command has mounts of its own, as under `ip netns exec`: what is pinned here"
            " would be gone when it ends",
            cure="name the namespace instead: sentinel-sim fsu attach IFACE --netns NAME",
        )


def _mount_namespace(process: Path) -> int | None:
    try:
        return (process / "ns/mnt").stat().st_ino
    except OSError:
        return None


def _place(ifname: str, netns: Path | None) -> str:
    return f"interface {ifname}" + ("" if netns is None else f" in {netns}")


def _words(ifname: str, netns: Path | None) -> str:
    if netns is None:
        return ifname
    named = netns.parent == namespaces.NETNS_DIRECTORY
    return f"{ifname} --netns {netns.name if named else netns}"


def read_status(record: UnitRecord) -> UnitStatus:
    """One FSU as the kernel has it now; where its pins are gone, `problem` says so.

    Raises BpfUnavailableError without the privilege to look.
    """
    pins = PinDirectory(Path(record.pins))
    try:
        ends = tuple(unit.end_report(pins, end) for end in record.ends)
        with pins.opened("fsu_counters", read_only=True) as fd:
            counters = read_counters(fd)
        with pins.opened("fsu_heartbeat", read_only=True) as fd:
            beat = heart.read_heartbeat(fd)
        with pins.opened(unit.PROGRAM_PIN) as fd:
            verified = program_stats(fd).verified_instructions
        return UnitStatus(record, ends, tuple(unit.map_facts(pins)), counters, beat, verified)
    except BpfUnavailableError:
        raise
    except BpfError as error:
        return UnitStatus(record, (), (), {}, None, 0, problem=str(error))
