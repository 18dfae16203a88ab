"""What `sentinel-sim fsu ...` does: checks, calls the library, prints, gives the exit code."""

from __future__ import annotations

import dataclasses
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.text import Text

from sentinel_bpf.bpffs import PinDirectory
from sentinel_bpf.errors import BpfError, BpfUnavailableError
from sentinel_bpf.heart import Heart
from sentinel_bpf.loader import compile_flow_math
from sentinel_bpf.snapshot import FlowEntry
from sentinel_bpf.unit import UnitRecord, mode_of
from sentinel_sim.cli import output
from sentinel_sim.cli.fsu_screen import run_screen
from sentinel_sim.cli.group import Invocation
from sentinel_sim.cli.wiring import as_root
from sentinel_sim.errors import EXIT_OK, FsuUsageError, MissingCapabilityError
from sentinel_sim.fsu import source, table
from sentinel_sim.fsu.keys import View as View
from sentinel_sim.fsu.registry import UnitStatus
from sentinel_sim.fsu.rows import view_rows
from sentinel_sim.host.namespaces import NETNS_DIRECTORY


@dataclass(frozen=True, slots=True)
class Choice:
    """Which FSUs are meant."""

    interfaces: tuple[str, ...] = ()
    netns: Path | None = None
    run_id: str | None = None
    node: str | None = None


def netns_path(text: str | None) -> Path | None:
    """A name of `ip netns`, a path or a process id as a path. Raises FsuUsageError."""
    if text is None:
        return None
    if text.isdecimal():
        path = Path(f"/proc/{text}/ns/net")
    else:
        path = Path(text) if "/" in text else NETNS_DIRECTORY / text
    if not path.exists():
        raise FsuUsageError(f"--netns {text}: {path} does not exist", cure="ip netns list")
    return path


def _need_root(call: Invocation, what: str) -> None:
    missing = call.wiring.missing_privileges()
    if missing:
        raise MissingCapabilityError(
            f"{what} needs root: this process lacks {', '.join(missing)}", cure=as_root(call.wiring)
        )


@contextmanager
def _translated(call: Invocation) -> Iterator[None]:
    """BpfError as what the command line knows."""
    try:
        yield
    except BpfUnavailableError as error:
        cure = as_root(call.wiring) if error.cure == "run as root" else error.cure
        raise MissingCapabilityError(_without_cure(error), cure=cure) from error
    except BpfError as error:
        raise FsuUsageError(_without_cure(error), cure=error.cure) from error


def _without_cure(error: BpfError) -> str:
    return str(error).removesuffix(f"; {error.cure}") if error.cure else str(error)


def attach(
    interface: str, netns: Path | None, *, mode: str, flows: int, beat: bool, call: Invocation
) -> int:
    """Attach; with `beat` also stay until a signal."""
    _need_root(call, "attaching the FSU")
    registry = call.wiring.registry()
    with _translated(call):
        registry.check_free(interface, netns)  # before the seconds that compiling takes
        with compile_flow_math() as compiled:
            record = registry.attach(
                compiled,
                interface,
                netns,
                mode=mode_of(mode),
                flows_max=flows,
                now_utc=call.wiring.now(),
            )
        if call.as_json:
            output.print_json({"schema": "sentinel-sim/fsu-attach/1", "unit": record.to_json()})
        else:
            _say_attached(record)
        if beat:
            _beat(record)
    return EXIT_OK


def _say_attached(record: UnitRecord) -> None:
    (end,) = record.ends
    place = source.place_of(record)
    for line in (
        f"attached to {place} ({end.mode}); pinned in {record.pins}",
        f"  watch:  sentinel-sim fsu top {end.ifname}",
        f"  dump:   bpftool map dump pinned {record.pins}/flow_metrics_map",
        f"  detach: sentinel-sim fsu detach {end.ifname}"
        + ("" if end.netns is None else f" --netns {end.netns}"),
    ):
        output.say(line)


def _beat(record: UnitRecord) -> None:
    """Beat until SIGINT or SIGTERM; the FSU then goes on without a heartbeat."""
    ending = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ending)
    with PinDirectory(Path(record.pins)).opened("fsu_heartbeat") as fd:
        heart = Heart(fd)
    output.say("beating its heart; Ctrl-C ends that, and the FSU stays attached without")
    signal.sigwait(ending)
    heart.close()


def detach(interface: str, netns: Path | None, *, call: Invocation) -> int:
    """Detach what `attach` attached."""
    _need_root(call, "detaching the FSU")
    with _translated(call):
        record = call.wiring.registry().detach(interface, netns)
    if call.as_json:
        output.print_json({"schema": "sentinel-sim/fsu-detach/1", "unit": record.to_json()})
    else:
        output.say(f"detached from {source.place_of(record)}")
    return EXIT_OK


def _status_json(status: UnitStatus, now_ns: int) -> dict[str, Any]:
    beat = status.heartbeat
    return {
        **status.record.to_json(),
        "ends": [
            {
                **dataclasses.asdict(report.end),
                "state": report.state,
                "link_id": report.link_id,
                "program_id": report.program_id,
            }
            for report in status.ends
        ],
        "maps": [dataclasses.asdict(fact) for fact in status.maps],
        "counters": status.counters,
        "heartbeat": None
        if beat is None
        else {
            "expected": beat.timeout_ns > 0,
            "age_ns": beat.age_ns(now_ns),
            "timeout_ns": beat.timeout_ns,
            "stale": beat.is_stale(now_ns),
        },
        "verified_instructions": status.verified_instructions,
        "stale": status.stale,
        "problem": status.problem,
    }


def status(call: Invocation) -> int:
    """Show every FSU of this host that is ours."""
    _need_root(call, "looking at the FSUs")
    with _translated(call):
        found = call.wiring.registry().status()
    now_ns = time.monotonic_ns()
    if call.as_json:
        output.print_json(
            {
                "schema": "sentinel-sim/fsu-status/1",
                "units": [_status_json(one, now_ns) for one in found],
            }
        )
    elif found:
        output.console().print(table.status_table(found, now_ns))
    else:
        output.say("no FSU of ours is attached on this host; try: sentinel-sim fsu attach IFACE")
    return EXIT_OK


def clean(*, dry_run: bool, call: Invocation) -> int:
    """Remove stale pins of ours."""
    _need_root(call, "cleaning")
    with _translated(call):
        found = call.wiring.registry().clean(dry_run=dry_run)
    if call.as_json:
        document = {"schema": "sentinel-sim/fsu-clean/1", "dry_run": dry_run}
        output.print_json({**document, "found": [dataclasses.asdict(one) for one in found]})
        return EXIT_OK
    verb = "would remove" if dry_run else "removed"
    for one in found:
        output.console().print(Text(f"{verb} {one.what}: {one.detail}"), soft_wrap=True)
    if not found:
        output.console().print(Text("nothing to clean: every FSU of ours is attached"))
    return EXIT_OK


def _chosen(choice: Choice, call: Invocation) -> list[UnitRecord]:
    _need_root(call, "reading the FSUs' maps")
    return source.choose(
        call.wiring.registry(),
        interfaces=choice.interfaces,
        netns=choice.netns,
        run_id=choice.run_id,
        node=choice.node,
    )


def dump(choice: Choice, call: Invocation) -> int:
    """All flows with all fields; without --json as a table of all lines."""
    with _translated(call):
        records = _chosen(choice, call)
        if not call.as_json:
            return _show_once(records, View(), call)
        units = [
            {
                "where": source.place_of(record),
                "owner": record.owner,
                "unit": record.unit,
                "abi_version": record.abi_version,
                "ends": [dataclasses.asdict(end) for end in record.ends],
                "flows": [_flow_json(entry) for entry in source.entries_of(record)],
            }
            for record in records
        ]
    output.print_json(
        {
            "schema": "sentinel-sim/fsu-dump/1",
            "monotonic_ns": time.monotonic_ns(),
            "units": units,
        }
    )
    return EXIT_OK


def _flow_json(entry: FlowEntry) -> dict[str, Any]:
    fields = dataclasses.asdict(entry.record)
    for name in ("forward", "backward"):
        fields[name]["prediction"] = dataclasses.asdict(getattr(entry, name))
    return fields


def top(choice: Choice, view: View, *, interval_s: float, once: bool, call: Invocation) -> int:
    """The table once, or again and again until somebody ends it."""
    with _translated(call):
        records = _chosen(choice, call)
        if once or call.as_json:
            return _show_once(records, view, call)
        run_screen(lambda: source.read(_still_there(records, choice, call)), view, interval_s)
    return EXIT_OK


def _still_there(records: list[UnitRecord], choice: Choice, call: Invocation) -> list[UnitRecord]:
    """Look again: an experiment attaches and detaches between its runs."""
    try:
        return _chosen(choice, call)
    except FsuUsageError:
        return records


def _show_once(records: list[UnitRecord], view: View, call: Invocation) -> int:
    reading = source.read(records)
    rows = view_rows(reading.rows, view)[: view.limit]
    for problem in reading.problems:
        output.say(f"sentinel-sim: {problem}")
    if call.as_json:
        output.print_json(
            {
                "schema": "sentinel-sim/fsu-top/1",
                "units": reading.units,
                "rows": [row.to_json() for row in rows],
                "problems": list(reading.problems),
            }
        )
    else:
        console = output.console()
        if not console.is_terminal:
            console.width = table.WIDE
        console.print(table.flow_table(rows, view.sort, width=console.width))
    return EXIT_OK
