"""What synchronisation costs: send on delta against periodic sync, at equal maximum error.

    python benchmarks/control_cost.py [--traces FOLDER] [--only NAME] [--delay-ms 0 50 100] [--json]

For every capture and every generated kind, each direction of each flow is sampled on a grid of
2^20 ns, and its total is to be known elsewhere within a bound. The bound is what the flow brings
on average in a given time (10, 30, 100, 300 ms). Compared at the same bound:

    periodic        the total every T, held; T is the longest period whose largest error on this
                    very flow stays within the bound (found with hindsight: no periodic sync could
                    be set better)
    periodic+rate   the same, with total and rate, extrapolated
    hold, linear    send on delta (sentinel_node.core.sync.forecaster), by what is believed between
    mean, fsu       ... at the mean rate; at what the FSU's predictor says
    bank            ... at the rate of whichever of these has held longest
    oracle          straight lines from true totals, as long as any straight line could be, with
                    knowledge of the future (swing filter, Elmeleegy et al. 2009): no predictor
                    that believes a line can send fewer

Bytes are those of the real, sealed messages. Where even the oracle needs more than 25 % of
periodic sync, the table says so: that bound forbids the target. With a control delay the
replica's error on the grid is measured too, in bytes and seconds.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt

from sentinel_bpf.predict_reference import PredictState
from sentinel_bpf.training.weights import load
from sentinel_node.core.control.messages import Correction, FlowPhase, FlowState, Hello, Version
from sentinel_node.core.control.sessions import Session
from sentinel_node.core.sync.forecaster import Forecaster
from sentinel_node.core.sync.slopes import Fsu, Hold, Mean, Secant, Slope, SlopeBank

Totals = npt.NDArray[np.int64]

INTERVAL_NS = 1 << 20
NS_PER_S = 1_000_000_000
SILENCE_NS = 10 * NS_PER_S
BOUNDS_MS = (10, 30, 100, 300)
TARGET = 0.25
PACKETS_MIN = 20
INTERVALS_MAX = 60_000
HTTP2_BYTES = 14
"""5 of gRPC and 9 of HTTP/2 framing per message (RFC 9113, section 4.1)."""


@dataclass(frozen=True)
class Packets:
    """One direction of one flow."""

    times_ns: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]


def _addresses(frame: bytes) -> tuple[bytes, ...] | None:
    """Source, target, protocol and ports of an Ethernet frame; None for what is not IP."""
    kind, at = struct.unpack_from(">H", frame, 12)[0], 14
    if kind == 0x8100:
        kind, at = struct.unpack_from(">H", frame, 16)[0], 18
    if kind == 0x0800:
        ports = at + 4 * (frame[at] & 15)
        return frame[at + 12 : at + 20], frame[at + 9 : at + 10], frame[ports : ports + 4]
    if kind == 0x86DD:
        return frame[at + 8 : at + 40], frame[at + 6 : at + 7], frame[at + 40 : at + 44]
    return None


def read_capture(path: Path) -> list[Packets]:
    """Directions of flows with at least PACKETS_MIN packets, from a classic pcap of Ethernet."""
    data = path.read_bytes()
    orders = {b"\x4d\x3c\xb2\xa1": ("<", 1), b"\xd4\xc3\xb2\xa1": ("<", 1000)}
    orders |= {b"\xa1\xb2\x3c\x4d": (">", 1), b"\xa1\xb2\xc3\xd4": (">", 1000)}
    if data[:4] not in orders or len(data) < 24:
        raise SystemExit(f"{path}: not a classic pcap file, it begins with {data[:4].hex()}")
    order, unit_ns = orders[data[:4]]
    if struct.unpack_from(order + "I", data, 20)[0] != 1:
        raise SystemExit(f"{path}: link type is not Ethernet")
    found: dict[tuple[bytes, ...], list[tuple[int, int]]] = {}
    at = 24
    while at + 16 <= len(data):
        seconds, fraction, kept, size = struct.unpack_from(order + "4I", data, at)
        key = _addresses(data[at + 16 : at + 16 + kept]) if kept >= 54 else None
        at += 16 + kept
        if key is not None:
            found.setdefault(key, []).append((seconds * NS_PER_S + fraction * unit_ns, size))
    flows = [np.array(sorted(packets), np.int64) for packets in found.values()]
    return [Packets(flow[:, 0], flow[:, 1]) for flow in flows if len(flow) >= PACKETS_MIN]


def _at_rate(seconds: npt.NDArray[np.float64], size: int = 1500) -> Packets:
    times = np.sort((seconds * NS_PER_S).astype(np.int64))
    return Packets(times, np.full(len(times), size, np.int64))


def _bursts(starts: list[float], counts: list[int], gap_s: float) -> Packets:
    parts = [at + gap_s * np.arange(count) for at, count in zip(starts, counts, strict=True)]
    return _at_rate(np.concatenate(parts))


def _pareto(rng: np.random.Generator) -> Packets:
    starts, counts, now = [], [], 0.0
    while now < 30:
        count = 1 + int(min(40 * rng.pareto(1.5), 4000))
        starts.append(now)
        counts.append(count)
        now += count * 0.0005 + min(0.1 * (1 + rng.pareto(1.5)), 5)
    return _bursts(starts, counts, 0.0005)


def _ramp(rng: np.random.Generator) -> Packets:
    windows = [min(10 * 2**step, 1280) for step in range(60)]
    return _bursts([0.1 * step for step in range(60)], windows, 0.1 / 1280)


def _sawtooth(rng: np.random.Generator) -> Packets:
    windows, now, peak, begun = [], 0.0, 600.0, 0.0
    for _ in range(300):
        k = np.cbrt(peak * 0.3 / 0.4)
        window = 0.4 * (now - begun - k) ** 3 + peak
        if window > 660:
            begun, peak, window = now, window, 0.7 * window
        windows.append(int(window))
        now += 0.1
    starts = [0.1 * step for step in range(300)]
    parts = [at + 0.1 * np.arange(count) / count for at, count in zip(starts, windows, strict=True)]
    return _at_rate(np.concatenate(parts))


def _video(rng: np.random.Generator) -> Packets:
    counts = [int(20 * (4 if n % 30 == 0 else 1) * rng.lognormal(0, 0.2)) + 1 for n in range(900)]
    return _bursts([n / 30 for n in range(900)], counts, 0.0001)


KINDS: dict[str, Callable[[np.random.Generator], Packets]] = {
    "cbr": lambda rng: _at_rate(np.arange(30_000) / 1000),
    "poisson": lambda rng: _at_rate(np.cumsum(rng.exponential(0.001, 30_000))),
    "pareto-on-off": _pareto,
    "slow-start-ramp": _ramp,
    "cubic-sawtooth": _sawtooth,
    "video-frames": _video,
}


def totals_of(packets: Packets) -> Totals:
    """Cumulative bytes at the end of each interval, from the first packet to the last."""
    index = (packets.times_ns - packets.times_ns[0]) // INTERVAL_NS
    sums = np.bincount(index, weights=packets.sizes).astype(np.int64)
    return np.cumsum(sums[:INTERVALS_MAX])


def _periodic_error(totals: Totals, period: int, *, linear: bool) -> int:
    """Largest error on the grid of a sync every `period` intervals, the first at 0 bytes."""
    padded = np.concatenate([[0], totals])
    index = np.arange(len(padded))
    last = index // period * period
    believed = padded[last].astype(np.float64)
    if linear:
        # The rate of the period before; the first one is given its own, which no sync could know.
        before = np.maximum(last - period, 0)
        after = np.minimum(before + period, len(totals))
        believed = believed + (padded[after] - padded[before]) / (after - before) * (index - last)
    return int(np.abs(padded - believed).max())


def periodic_messages(totals: Totals, bound: int, *, linear: bool) -> int:
    """Messages of the best periodic sync: the longest period that keeps the bound."""
    count = len(totals)
    ladder = np.unique(np.concatenate([np.arange(1, 200), np.geomspace(200, count + 200, 200)]))
    periods = [int(p) for p in ladder if p <= count]
    for period in reversed(periods):
        if _periodic_error(totals, period, linear=linear) <= bound:
            return count // period
    return count


def oracle_messages(totals: Totals, bound: int) -> int:
    """Fewest straight lines from true totals that keep the bound, knowing the future."""
    messages, start, anchor = 0, 0, 0
    low, high = 0.0, float("inf")
    for at, total in enumerate(totals.tolist(), start=1):
        step = at - start
        low = max(low, (total - bound - anchor) / step)
        high = min(high, (total + bound - anchor) / step)
        if low > high:
            messages += 1
            start, anchor, low, high = at, total, 0.0, float("inf")
    return messages


def _fsu(bound: int) -> Slope:
    state, network = PredictState(), load().network
    per_interval = (1 << network.interval_shift) // INTERVAL_NS
    return Fsu(state, lambda size: state.close(network, size), INTERVAL_NS, per_interval)


def _bank(bound: int) -> Slope:
    means = [Mean(INTERVAL_NS, 5), Mean(INTERVAL_NS, 8)]
    return SlopeBank([Hold(), Secant(), *means, _fsu(bound)], INTERVAL_NS, bound)


SLOPES: dict[str, Callable[[int], Slope]] = {
    "hold": lambda bound: Hold(),
    "linear": lambda bound: Secant(),
    "mean": lambda bound: Mean(INTERVAL_NS, 8),
    "fsu": _fsu,
    "bank": _bank,
}


def send_on_delta(totals: Totals, bound: int, slope: Slope) -> list[FlowState]:
    """Every state the forecaster sends for the flow, at the times it is sent."""
    first = FlowState(
        1, "owner", Version(1, 0), FlowPhase.ANNOUNCED, 0, 0, 0,
        error_bound_bytes=bound, max_silence_ns=SILENCE_NS,
    )  # fmt: skip
    owner, sent = Forecaster(first, slope, interval_ns=INTERVAL_NS), [first]
    for number, total in enumerate(totals.tolist(), start=1):
        state = owner.sample(total, version=Version(1, number), now_ns=number * INTERVAL_NS)
        if state is not None:
            sent.append(state)
    return sent


def replica_errors(totals: Totals, sent: list[FlowState], delay_ns: int) -> tuple[float, float]:
    """(p95 of |error| in bytes, p95 of |phase error| in ms) of a replica, on the grid.

    Where no phase error exists (the view stands still and is wrong) it counts as infinite.
    """
    grid = np.arange(1, len(totals) + 1) * INTERVAL_NS
    arrived = np.array([state.at_ns for state in sent]) + delay_ns
    index = np.maximum(np.searchsorted(arrived, grid, side="right") - 1, 0)
    at = np.array([state.at_ns for state in sent])[index]
    rate = np.array([state.rate_Bps for state in sent], np.float64)[index]
    view = np.array([state.total_bytes for state in sent])[index] + rate * (grid - at) / NS_PER_S
    error = totals - view
    with np.errstate(divide="ignore", invalid="ignore"):
        phase_ms = np.where(np.abs(error) < 1, 0.0, np.abs(error) / rate * 1000)
    return float(np.quantile(np.abs(error), 0.95)), float(
        np.quantile(phase_ms, 0.95, method="higher")
    )


@dataclass(frozen=True, slots=True)
class Row:
    """One source at one bound: messages of all its flows by method; errors by delay."""

    name: str
    bound_ms: int
    flows: int
    seconds: float
    messages: dict[str, int]
    p95_error_bytes: dict[str, dict[int, float]]
    p95_phase_ms: dict[str, dict[int, float]]

    def ratio(self, method: str, against: str = "periodic") -> float:
        """Control bytes of a method as a share of another's."""
        return self.messages[method] / self.messages[against]


def evaluate(name: str, flows: list[Packets], bound_ms: int, delays_ms: list[int]) -> Row:
    """All methods on all flows. Each flow counts an announcement and an end for every method."""
    messages: dict[str, int] = {}
    errors: dict[str, dict[int, list[tuple[float, float]]]] = {}
    seconds = 0.0

    def add(method: str, count: int) -> None:
        messages[method] = messages.get(method, 0) + count + 2

    for packets in flows:
        totals = totals_of(packets)
        duration_s = len(totals) * INTERVAL_NS / NS_PER_S
        seconds += duration_s
        bound = max(1, int(totals[-1] * bound_ms / 1000 / duration_s))
        add("periodic", periodic_messages(totals, bound, linear=False))
        add("periodic+rate", periodic_messages(totals, bound, linear=True))
        add("oracle", oracle_messages(totals, bound))
        for method, make in SLOPES.items():
            sent = send_on_delta(totals, bound, make(bound))
            add(method, len(sent) - 1)
            for delay in delays_ms:
                found = replica_errors(totals, sent, delay * 1_000_000)
                errors.setdefault(method, {}).setdefault(delay, []).append(found)
    return Row(
        name, bound_ms, len(flows), round(seconds, 1), messages,
        {m: {d: median(e[0] for e in v) for d, v in by.items()} for m, by in errors.items()},
        {m: {d: median(e[1] for e in v) for d, v in by.items()} for m, by in errors.items()},
    )  # fmt: skip


def message_bytes() -> int:
    """A sealed correction in the middle of a flow of 1 GB, with its framing."""
    own, peer = Hello("a", "b", 1, bytes(32), 10), Hello("b", "a", 1, b"x" * 32, 10)
    session = Session(bytes(16), own=own, peer=peer)
    stamp = Version(1, 5000)
    correction = Correction(stamp, 1 << 60, stamp, 1 << 50, 1 << 30, 1 << 27)
    return len(session.seal(correction)) + HTTP2_BYTES


def sources(folder: Path | None, only: str) -> Iterator[tuple[str, list[Packets]]]:
    """(name, flows) of each capture in the folder and each generated kind."""
    for path in sorted(folder.glob("*.pcap")) if folder else ():
        if only in path.stem:
            yield path.stem, read_capture(path)
    for number, (kind, make) in enumerate(KINDS.items()):
        if only in kind:
            yield kind, [make(np.random.default_rng(20_261_122 + number))]


def print_row(row: Row, size: int) -> None:
    """One line of the table."""
    shares = "".join(
        f"{100 * row.ratio(method):9.1f}" for method in ("periodic+rate", *SLOPES, "oracle")
    )
    verdict = "ok" if row.ratio("bank") <= TARGET else "over"
    if row.ratio("oracle") > TARGET:
        verdict = "forbidden by the oracle's bound"
    rate = row.messages["bank"] * size / row.seconds
    sys.stdout.write(
        f"{row.name:20}{row.bound_ms:6}{row.flows:6}{row.messages['periodic']:9}{shares}"
        f"{rate:10.0f}  {verdict}\n"
    )


def as_json(row: Row, size: int) -> str:
    """The row as one line; a phase error that does not exist is null."""
    phases = {
        method: {delay: value if np.isfinite(value) else None for delay, value in by_delay.items()}
        for method, by_delay in row.p95_phase_ms.items()
    }
    return json.dumps({**asdict(row), "p95_phase_ms": phases, "message_bytes": size})


def print_errors(row: Row) -> None:
    """The errors of a row's replicas by control delay."""
    for method, by_delay in row.p95_phase_ms.items():
        cells = "".join(
            f"  {delay:4} ms: {row.p95_error_bytes[method][delay]:9.0f} B {phase:8.1f} ms"
            for delay, phase in by_delay.items()
        )
        sys.stdout.write(f"    {method:8}{cells}\n")


def main(argv: list[str]) -> int:
    """Evaluate and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--traces", type=Path, default=None, help="folder with *.pcap")
    parser.add_argument("--only", default="", help="names that contain this")
    parser.add_argument("--delay-ms", type=int, nargs="*", default=[0, 50, 100])
    parser.add_argument("--errors", action="store_true", help="print errors by control delay too")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    if options.traces is not None and not options.traces.is_dir():
        parser.error(f"--traces {options.traces}: no such folder")
    size = message_bytes()
    head = "".join(f"{name:>9}" for name in ("per+rate", *SLOPES, "oracle"))
    if not options.json:
        sys.stdout.write(
            f"a correction is {size} bytes; %: bytes of periodic sync at equal maximum error\n"
            f"{'source':20}{'bound':>6}{'flows':>6}{'periodic':>9}{head}{'bank B/s':>10}\n"
        )
    for name, flows in sources(options.traces, options.only):
        for bound_ms in BOUNDS_MS:
            row = evaluate(name, flows, bound_ms, options.delay_ms)
            if options.json:
                sys.stdout.write(as_json(row, size) + "\n")
                continue
            print_row(row, size)
            if options.errors:
                print_errors(row)
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
