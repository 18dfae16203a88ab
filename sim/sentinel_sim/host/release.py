"""Undo what a run made on this host, from its records and from what carries its name.

Used by the run itself when it ends and by `sentinel-sim clean` after a crash. Nothing is found
by a pattern that others could match: a thing is the run's because the run recorded it, because
its name starts with `sentinel-<run_id>-`, because its environment says SENTINEL_RUN_ID=<run_id>,
or because it lives in a namespace of that name.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from sentinel_sim.host import namespaces, processes
from sentinel_sim.host.ledger import OwnedKind, Record
from sentinel_sim.host.processes import ProcessIdentity, ProcessView

RUN_ROOT = Path("/run/sentinel-sim")
GRACE_S = 3.0


@dataclass(frozen=True, slots=True)
class Leftover:
    """One thing of ours on this host. `detail` is for people: why it counts as ours."""

    run_id: str
    kind: OwnedKind
    name: str
    detail: str
    process: ProcessIdentity | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """A leftover that could not be removed, and why."""

    leftover: Leftover
    reason: str


@dataclass(frozen=True, slots=True)
class HostPaths:
    """Where the host keeps things; tests put them elsewhere."""

    run_root: Path = RUN_ROOT
    netns: Path = namespaces.NETNS_DIRECTORY


def delete_interface(name: str) -> None:
    """Delete an interface of the current namespace; not an error if it is gone."""
    with IPRoute() as netlink:
        for index in netlink.link_lookup(ifname=name):
            try:
                netlink.link("del", index=index)
            except NetlinkError as error:
                raise OSError(error.code, os.strerror(error.code), name) from error


@dataclass(frozen=True, slots=True)
class Undo:
    """How things are removed; tests replace what needs root."""

    unmount: Callable[[Path], None] = namespaces.unmount
    delete_interface: Callable[[str], None] = delete_interface


def interface_exists(name: str) -> bool:
    """Whether the current namespace has an interface of this name."""
    return Path("/sys/class/net", name).exists()


def find_run(
    run_id: str, records: Iterable[Record], living: list[ProcessView], paths: HostPaths
) -> list[Leftover]:
    """What is left of one run, in the order it was made; unrecorded finds come last.

    `living` are the processes of this host as `processes.living_processes` gave them.
    """
    records = list(records)
    recorded_names = [r.name for r in records if r.kind is OwnedKind.NAMESPACE]
    names = recorded_names + [
        name
        for name in namespaces.list_namespaces(paths.netns)
        if namespaces.run_id_of(name) == run_id and name not in recorded_names
    ]
    found = [
        leftover
        for record in records
        if record.kind is not OwnedKind.PROCESS
        and (leftover := _still_there(run_id, record, paths)) is not None
    ]
    found += [
        Leftover(run_id, OwnedKind.NAMESPACE, name, "unrecorded, by its name")
        for name in names[len(recorded_names) :]
    ]
    return found + _processes_of(run_id, records, names, living, paths)


def _still_there(run_id: str, record: Record, paths: HostPaths) -> Leftover | None:
    path = paths.netns / record.name if record.kind is OwnedKind.NAMESPACE else Path(record.name)
    present = {
        OwnedKind.NAMESPACE: os.path.lexists,
        OwnedKind.INTERFACE: lambda _path: interface_exists(record.name),
        OwnedKind.MOUNT: namespaces.path_is_mounted,
    }.get(record.kind, os.path.lexists)
    if not present(path):
        return None
    return Leftover(run_id, record.kind, record.name, "recorded")


def _processes_of(
    run_id: str,
    records: list[Record],
    names: list[str],
    living: list[ProcessView],
    paths: HostPaths,
) -> list[Leftover]:
    recorded = {
        ProcessIdentity(r.pid, r.start_time_ticks): r.name
        for r in records
        if r.pid is not None and r.start_time_ticks is not None
    }
    homes = {namespaces.identity_of(paths.netns / name): name for name in names}
    # A file that only looks like one of our namespaces must not make the whole host ours.
    for foreign in (None, _first_process_netns(), _own_netns()):
        homes.pop(foreign, None)
    spared = processes.own_lineage()
    found: list[Leftover] = []
    for view in living:
        reason = _why_ours(run_id, view, recorded, homes)
        if reason is not None and view.identity.pid not in spared:
            name = f"{view.identity.pid} {' '.join(view.command)[:120]}"
            found.append(Leftover(run_id, OwnedKind.PROCESS, name, reason, view.identity))
    return found


def _first_process_netns() -> tuple[int, int] | None:
    """The namespace of pid 1; None where the host hides it even from root, as sandboxes do."""
    try:
        return namespaces.identity_of(Path("/proc/1/ns/net"))
    except PermissionError:
        return None


def _own_netns() -> tuple[int, int]:
    status = Path("/proc/self/ns/net").stat()
    return status.st_dev, status.st_ino


def _why_ours(
    run_id: str,
    view: ProcessView,
    recorded: dict[ProcessIdentity, str],
    homes: dict[tuple[int, int] | None, str],
) -> str | None:
    if view.identity in recorded:
        return f"recorded: {recorded[view.identity]}"
    if view.run_id == run_id:
        return f"unrecorded, by {processes.RUN_ID_VARIABLE} in its environment"
    # A word that *begins* with it: the name elsewhere in a word may be a file somebody looks at.
    marks = (
        namespaces.namespace_name(run_id, ""),
        f"mininet:{namespaces.namespace_name(run_id, '')}",
    )
    if any(word.startswith(marks) for word in view.command):
        return "unrecorded, by its command line"
    if view.netns in homes:
        return f"unrecorded, inside namespace {homes[view.netns]}"
    return None


def undo_all(
    leftovers: list[Leftover], paths: HostPaths, undo: Undo, *, grace_s: float = GRACE_S
) -> tuple[list[Leftover], list[Failure]]:
    """Remove everything: all processes first, together, then the rest in reverse order.

    Processes go first whatever their place, because they hold the namespaces and mounts.
    """
    running = [item for item in reversed(leftovers) if item.process is not None]
    survivors = processes.terminate(
        [item.process for item in running if item.process is not None], grace_s=grace_s
    )
    removed = [item for item in running if item.process not in survivors]
    failed = [
        Failure(item, "survived SIGKILL, or may not be signalled")
        for item in running
        if item.process in survivors
    ]
    for item in reversed(leftovers):
        if item.process is not None:
            continue
        try:
            _remove(item, paths, undo)
        except OSError as error:
            failed.append(Failure(item, str(error)))
        else:
            removed.append(item)
    return removed, failed


def _remove(item: Leftover, paths: HostPaths, undo: Undo) -> None:
    path = Path(item.name)
    match item.kind:
        case OwnedKind.NAMESPACE:
            undo.unmount(paths.netns / item.name)
            (paths.netns / item.name).unlink(missing_ok=True)
        case OwnedKind.INTERFACE:
            undo.delete_interface(item.name)
        case OwnedKind.MOUNT:
            undo.unmount(path)
        case OwnedKind.CGROUP:
            _remove_cgroup(path)
        case OwnedKind.DIRECTORY:
            _remove_tree(path)
        case OwnedKind.FILE:
            path.unlink(missing_ok=True)
        case OwnedKind.PROCESS:
            raise AssertionError("processes are ended together, by undo_all")


def _remove_cgroup(path: Path) -> None:
    """Remove a cgroup2 directory and those below it, after its last processes."""
    kill_switch = path / "cgroup.kill"
    if kill_switch.exists():
        kill_switch.write_text("1")
    for directory, _, _ in os.walk(path, topdown=False):
        Path(directory).rmdir()


def _remove_tree(path: Path) -> None:
    """Remove a directory with all in it, never crossing into another mounted file system.

    A directory may have been recorded more than once: one that is gone is no failure.
    """
    if not os.path.lexists(path):
        return
    if path.is_symlink() or not path.is_dir():
        raise NotADirectoryError(f"{path}: recorded as a directory, but is none")
    device = path.stat().st_dev
    for directory, subdirectories, files in os.walk(path, topdown=False):
        if Path(directory).stat().st_dev != device:
            raise OSError(f"{directory}: another file system is mounted here; unmount it first")
        for name in files:
            Path(directory, name).unlink(missing_ok=True)
        for name in subdirectories:
            child = Path(directory, name)
            if child.is_symlink():
                child.unlink()
            else:
                child.rmdir()
    path.rmdir()
