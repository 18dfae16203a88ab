"""What benchmarks/bounded.py reads of three daemons, and the rules that it is judged by."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles

NAMES = ("sender", "intermediate", "receiver")
OVERHEAD_BYTES, OVERHEAD_PER_FLOW_BYTES = 64 << 20, 256 << 10


@dataclass(frozen=True, slots=True)
class Reading:
    """What a daemon holds at one moment."""

    at_s: float
    rss_bytes: int
    descriptors: int
    threads: int
    tasks: int


@dataclass(frozen=True, slots=True)
class Probe:
    """One small flow: when it was sent, and how long until its last byte was read."""

    at_s: float
    latency_s: float
    ok: bool


@dataclass
class Record:
    """One run of the benchmark."""

    custody: str
    flows: int
    limit_bytes: int
    before: dict[str, Reading] = field(default_factory=dict)
    readings: dict[str, list[Reading]] = field(default_factory=dict)
    after: dict[str, Reading] = field(default_factory=dict)
    kinds_before: dict[str, dict[str, int]] = field(default_factory=dict)
    kinds_after: dict[str, dict[str, int]] = field(default_factory=dict)
    """Descriptors by what they are of, by node."""
    probes: list[Probe] = field(default_factory=list)
    held_bytes_max: int = 0
    loaded_s: float = 0.0
    """Begin of the time that is judged."""


def leaks(before: Mapping[str, Reading], after: Mapping[str, Reading]) -> list[str]:
    """What is left that was not there before, by node."""
    found = []
    for name in before:
        old, new = before[name], after[name]
        for what, allowed in (("descriptors", 8), ("threads", 2), ("tasks", 2)):
            more = getattr(new, what) - getattr(old, what)
            if more > allowed:
                found.append(f"{name}: {more} {what} more than before")
    return found


def kinds_more(record: Record) -> list[str]:
    """What the descriptors are of that were not there before, by node."""
    lines = []
    for name, now in record.kinds_after.items():
        was = record.kinds_before[name]
        more = {kind: count - was.get(kind, 0) for kind, count in now.items()}
        grown = [f"{count} {kind}" for kind, count in sorted(more.items()) if count > 0]
        if grown:
            lines.append(f"{name}: descriptors more than before: {', '.join(grown)}")
    return lines


def thirds(values: Sequence[Reading] | Sequence[Probe], begin_s: float) -> tuple[list, list]:
    """The middle and the last third, by time, of what was read since `begin_s`."""
    kept = [value for value in values if value.at_s >= begin_s]
    size = len(kept) // 3
    if size < 2:
        raise ValueError(f"{len(kept)} readings under load are too few to be judged")
    return kept[size:-size], kept[-size:]


def judge(record: Record) -> dict[str, str]:
    """What breaks each rule; empty: it holds."""
    relay = [r.rss_bytes for r in record.readings["intermediate"]]
    grown = max(relay) - record.before["intermediate"].rss_bytes
    allowed = record.limit_bytes + OVERHEAD_BYTES + record.flows * OVERHEAD_PER_FLOW_BYTES
    memory = ""
    if record.held_bytes_max > record.limit_bytes or grown > allowed:
        memory = f"held {record.held_bytes_max} of {record.limit_bytes}, grown by {grown}"
    flat, leaked = [], leaks(record.before, record.after)
    for name, readings in record.readings.items():
        middle, last = thirds(readings, record.loaded_s)
        was, now = (median(r.rss_bytes for r in part) for part in (middle, last))
        if now > 1.10 * was:
            flat.append(f"{name}: {was / 1e6:.0f} to {now / 1e6:.0f} MB")
        for what in ("descriptors", "threads", "tasks"):
            was, now = (max(getattr(r, what) for r in part) for part in (middle, last))
            if now > was + 16:
                leaked.append(f"{name}: {what} grow from {was} to {now}")
    middle, last = thirds(record.probes, record.loaded_s)
    was, now = (median(p.latency_s for p in part) for part in (middle, last))
    slower = f"{was * 1e3:.1f} to {now * 1e3:.1f} ms" if now > 1.5 * was + 0.005 else ""
    failed = sum(not one.ok for one in record.probes)
    return {
        "memory": memory,
        "flat": "; ".join(flat),
        "leaks": "; ".join(leaked),
        "latency": slower,
        "probes": f"{failed} of {len(record.probes)} failed" if failed else "",
    }


def table(record: Record) -> str:
    """Memory, descriptors, threads and tasks by node: before, under load (max), after."""
    lines = [
        f"custody {record.custody}, {record.flows} flows, "
        f"{record.probes[-1].at_s - record.loaded_s:.0f} s under load; the relay held at most "
        f"{record.held_bytes_max / 1e6:.0f} of {record.limit_bytes / 1e6:.0f} MB",
        f"{'':14}{'RSS, MB':>22}{'descriptors':>20}{'threads':>20}{'tasks':>14}",
    ]
    shown: tuple[tuple[str, Callable[[Reading], float], int], ...] = (
        ("rss", lambda r: r.rss_bytes / 1e6, 22),
        ("descriptors", lambda r: r.descriptors, 20),
        ("threads", lambda r: r.threads, 20),
        ("tasks", lambda r: r.tasks, 14),
    )
    for name in NAMES:
        row = f"{name:14}"
        for _, value, width in shown:
            most = max(value(reading) for reading in record.readings[name])
            cells = f"{value(record.before[name]):.0f}/{most:.0f}/{value(record.after[name]):.0f}"
            row += f"{cells:>{width}}"
        lines.append(row)
    loaded = [p.latency_s * 1e3 for p in record.probes if p.at_s >= record.loaded_s]
    cuts = quantiles(loaded, n=100)
    thirds_ms = [
        median(p.latency_s for p in t) * 1e3 for t in thirds(record.probes, record.loaded_s)
    ]
    lines.append(
        f"latency of 10 kB: p50 {cuts[49]:.1f}, p99 {cuts[98]:.1f} ms; median of the middle third "
        f"{thirds_ms[0]:.1f}, of the last {thirds_ms[1]:.1f} ms (n = {len(loaded)})"
    )
    lines.append("(before / most under load / after the release)")
    return "\n".join([*lines, *kinds_more(record)])
