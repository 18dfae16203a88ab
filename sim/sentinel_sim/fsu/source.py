"""Where the lines of `fsu top` come from: the pinned maps of FSUs, read by batches."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sentinel_bpf import maps
from sentinel_bpf.bpffs import PinDirectory
from sentinel_bpf.errors import BpfError, BpfUnavailableError
from sentinel_bpf.snapshot import (
    INTERVAL_SHIFT_DEFAULT,
    FlowEntry,
    interval_shift_of,
    read_entries,
)
from sentinel_bpf.unit import UnitRecord
from sentinel_sim.errors import FsuUsageError
from sentinel_sim.fsu.registry import Registry
from sentinel_sim.fsu.rows import FlowRow, rows_of

FLOW_MAPS = ("flow_metrics_map", "flow_metrics6")
MODELS_MAP = "fsu_models"


@dataclass(frozen=True, slots=True)
class Reading:
    """All lines of all chosen FSUs at one moment, and what could not be read."""

    rows: list[FlowRow]
    units: int
    problems: tuple[str, ...]


def place_of(record: UnitRecord) -> str:
    """What a line calls the FSU: `node/link` in a run, else the interface."""
    if record.node:
        return f"{record.node}/{record.link}"
    end = record.ends[0]
    return end.ifname if end.netns is None else f"{Path(end.netns).name}/{end.ifname}"


def choose(
    registry: Registry,
    *,
    interfaces: Sequence[str] = (),
    netns: Path | None = None,
    run_id: str | None = None,
    node: str | None = None,
) -> list[UnitRecord]:
    """The FSUs that are meant; all of them if nothing is said.

    Raises FsuUsageError, with what there is, if none fits.
    """
    there = registry.records()
    wanted = None if netns is None else str(netns)
    chosen = [
        record
        for record in there
        if (run_id is None or record.owner == run_id)
        and (node is None or record.node == node)
        and (wanted is None or any(end.netns == wanted for end in record.ends))
        and (not interfaces or any(end.ifname in interfaces for end in record.ends))
    ]
    if not chosen:
        known = ", ".join(f"{place_of(r)} ({r.owner})" for r in there)
        raise FsuUsageError(
            f"no FSU fits; attached on this host: {known or 'none'}",
            cure="sentinel-sim fsu status"
            if there
            else "sentinel-sim fsu attach IFACE   # or: sentinel-sim run FILE",
        )
    return chosen


def _shift(pins: PinDirectory) -> int:
    """Length of the intervals that predictions are for, as the active model says."""
    if MODELS_MAP not in pins.names():
        return INTERVAL_SHIFT_DEFAULT
    with pins.opened(MODELS_MAP, read_only=True) as fd:
        raw = maps.lookup(fd, maps.index_key(0))
    if raw is None:
        return INTERVAL_SHIFT_DEFAULT
    return interval_shift_of(raw)


def entries_of(record: UnitRecord) -> list[FlowEntry]:
    """All flows of one FSU. Raises BpfError if it is gone."""
    pins = PinDirectory(Path(record.pins))
    entries: list[FlowEntry] = []
    for name in FLOW_MAPS:
        with pins.opened(name, read_only=True) as fd:
            entries += read_entries(fd)
    return entries


def read(records: Sequence[UnitRecord]) -> Reading:
    """The lines of these FSUs now. Raises BpfUnavailableError without the privilege."""
    rows: list[FlowRow] = []
    problems = []
    for record in records:
        try:
            shift = _shift(PinDirectory(Path(record.pins)))
            entries = entries_of(record)
        except BpfUnavailableError:
            raise
        except BpfError as error:
            problems.append(f"{place_of(record)}: {error}")
            continue
        now_ns = time.monotonic_ns()
        rows += rows_of(place_of(record), entries, now_ns=now_ns, interval_shift=shift)
    return Reading(rows, len(records), tuple(problems))
