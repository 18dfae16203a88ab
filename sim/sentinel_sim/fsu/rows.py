"""Lines of `fsu top`, out of what the FSUs know: rates, sorting, filters. No I/O, no clock.

A line is one direction of one flow at one FSU. Directions that were never seen have no line.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sentinel_bpf.flow_map import FlowHalf, FlowRecord
from sentinel_bpf.snapshot import FlowEntry, Prediction
from sentinel_sim.fsu.keys import SortKey, View

NS_PER_S = 1_000_000_000
SILENT_NS = 1_000_000_000
"""A flow that has been silent for so long has no rate now, whatever it had before."""
PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 33: "dccp", 58: "icmp6", 132: "sctp"}


@dataclass(frozen=True, slots=True)
class FlowRow:
    """One direction of one flow at one FSU. None: not known, or not measured yet."""

    where: str
    """`node/link` in a run, else the interface."""
    protocol: str
    source: str
    target: str
    rate_bps: int
    """Now; 0 after a second of silence."""
    rtt_us: int | None
    """From the FSU to the target and back, smoothed."""
    bdp_bytes: int | None
    buffer_bytes: int | None
    """Optimal buffer."""
    predicted_bps: int | None
    """Of the interval that is open, as a rate."""
    mase: float | None
    """Mean absolute error of the predictions over that of the last value."""
    leader: str | None
    burst: str | None
    bytes_total: int
    packets_total: int
    retransmissions: int
    idle_ns: int
    """Since the latest packet."""
    vlan: int

    def to_json(self) -> dict[str, Any]:
        """As in `--json`."""
        return asdict(self)


def _end(address: str, port: int) -> str:
    if not port:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _row(
    where: str,
    record: FlowRecord,
    half: FlowHalf,
    prediction: Prediction,
    *,
    swapped: bool,
    now_ns: int,
    interval_shift: int,
) -> FlowRow:
    ends = (
        _end(record.source_address, record.source_port),
        _end(record.target_address, record.target_port),
    )
    source, target = reversed(ends) if swapped else ends
    idle_ns = max(0, now_ns - half.last_timestamp)
    predicted = prediction.predicted_bytes * 8 * NS_PER_S >> interval_shift
    known = prediction.intervals > 0
    return FlowRow(
        where=where,
        protocol=PROTOCOLS.get(record.protocol, str(record.protocol)),
        source=source,
        target=target,
        rate_bps=half.throughput_bps if idle_ns < SILENT_NS else 0,
        rtt_us=half.rtt_us or None,
        bdp_bytes=half.bdp_bytes if half.rtt_us else None,
        buffer_bytes=half.optimal_buffer_size or None,
        predicted_bps=(predicted if idle_ns < SILENT_NS else 0) if known else None,
        mase=prediction.mase,
        leader=prediction.leader if known else None,
        burst=prediction.burst if known else None,
        bytes_total=half.bytes_total,
        packets_total=half.packets_total,
        retransmissions=half.retransmissions,
        idle_ns=idle_ns,
        vlan=record.vlan,
    )


def rows_of(
    where: str, entries: Iterable[FlowEntry], *, now_ns: int, interval_shift: int
) -> list[FlowRow]:
    """The lines of one FSU at `now_ns` (CLOCK_MONOTONIC), both directions of each flow."""
    rows = []
    for entry in entries:
        for half, prediction, swapped in (
            (entry.record.forward, entry.forward, False),
            (entry.record.backward, entry.backward, True),
        ):
            if half.packets_total:
                rows.append(
                    _row(
                        where,
                        entry.record,
                        half,
                        prediction,
                        swapped=swapped,
                        now_ns=now_ns,
                        interval_shift=interval_shift,
                    )
                )
    return rows


_NUMBERS: dict[SortKey, str] = {
    SortKey.RATE: "rate_bps",
    SortKey.RTT: "rtt_us",
    SortKey.BDP: "bdp_bytes",
    SortKey.BUFFER: "buffer_bytes",
    SortKey.ERROR: "mase",
    SortKey.BYTES: "bytes_total",
    SortKey.PACKETS: "packets_total",
}


def sort_rows(rows: Iterable[FlowRow], key: SortKey, *, reverse: bool = False) -> list[FlowRow]:
    """Largest first (`age`: the most recent first; `flow`: by name); unknown values come last.

    Equal lines keep the order of their names, so that a live table does not flicker.
    """
    named = sorted(rows, key=lambda row: (row.where, row.source, row.target, row.protocol))
    if key is SortKey.FLOW:
        return named[::-1] if reverse else named
    if key is SortKey.AGE:
        return sorted(named, key=lambda row: row.idle_ns, reverse=reverse)
    name = _NUMBERS[key]
    known = [row for row in named if getattr(row, name) is not None]
    unknown = [row for row in named if getattr(row, name) is None]
    sign = 1 if reverse else -1
    return sorted(known, key=lambda row: sign * getattr(row, name)) + unknown


def matches(row: FlowRow, words: Sequence[str]) -> bool:
    """Whether every word is found: in part of the line's names, or as a pattern with * and ?."""
    text = (row.where, row.protocol, row.source, row.target, row.leader or "", row.burst or "")

    def found(word: str) -> bool:
        if any(sign in word for sign in "*?"):
            return any(fnmatch.fnmatchcase(part, word) for part in text)
        return any(word in part for part in text)

    return all(found(word) for word in words)


def filter_rows(
    rows: Iterable[FlowRow], words: Sequence[str], *, active_within_ns: int | None = None
) -> list[FlowRow]:
    """Lines that match all words and, if asked, had a packet within that time."""
    return [
        row
        for row in rows
        if matches(row, words) and (active_within_ns is None or row.idle_ns <= active_within_ns)
    ]


# Figures for people.


def _scaled(value: float, unit: str, step: int, prefixes: Sequence[str]) -> str:
    for prefix in prefixes[:-1]:
        if value < step * 0.9995:
            digits = 0 if prefix == "" or value >= 99.95 else 1
            return f"{value:.{digits}f} {prefix}{unit}"
        value /= step
    return f"{value:.1f} {prefixes[-1]}{unit}"


def human_time_us(value_us: float | None) -> str:
    """`980 us`, `101.3 ms`, `2.1 s`."""
    if value_us is None:
        return "-"
    return _scaled(value_us, "s", 1000, ("u", "m", ""))


def human_count(count: int | None) -> str:
    """`83.4 k`; decimal."""
    if count is None:
        return "-"
    return _scaled(count, "", 1000, ("", "k", "M", "G", "T")).rstrip()


def view_rows(rows: Iterable[FlowRow], view: View) -> list[FlowRow]:
    """The lines that a view shows, in its order; `limit` is for whoever draws them."""
    within_ns = None if view.active_s is None else round(view.active_s * NS_PER_S)
    chosen = filter_rows(rows, view.words, active_within_ns=within_ns)
    return sort_rows(chosen, view.sort, reverse=view.reverse)
