"""ROC of the failure detectors: how soon against how often wrongly, by interval and threshold.

    python -m benchmarks.detectors --out build/detectors [--beats 40000] [--measure 20]

Feeds `core.health.detectors` with arrivals of heartbeats of a peer that lives, and asks after
each: when would it be suspected? A heartbeat that comes later is a false suspicion. Had the peer
died instead, at any moment up to its next heartbeat, the time to that deadline is the time to
detect. So every gap is a trial of both. Jitter is generated (none, normal, seldom long pauses),
and, with --measure, taken from real heartbeats: two processes on loopback, while others keep
every CPU busy.

Writes roc.csv (a row for each interval, jitter, detector and threshold) and roc.svg.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path

from sentinel_node.core.health.detectors import (
    NS_PER_MS,
    Detector,
    FixedDetector,
    PhiAccrualDetector,
    jittered_interval_ns,
)

INTERVALS_MS = (5, 10, 20, 50)
PHI = tuple(
    (threshold, pause_ms) for pause_ms in (0, 30, 60) for threshold in (2.0, 4.0, 6.0, 8.0, 12.0)
)
MULTIPLIERS = (2, 3, 4, 5, 6, 8, 12)
MIN_DEVIATION_NS = 5 * NS_PER_MS
WARM_UP = 200
"""Heartbeats of which a detector learns before it is judged."""
DELAY_NS = 10 * NS_PER_MS
LIMIT_NS = 150 * NS_PER_MS

Delay = Callable[[random.Random], int]


def _none(choice: random.Random) -> int:
    del choice
    return 0


def _normal(choice: random.Random) -> int:
    return max(0, round(choice.gauss(4, 2) * NS_PER_MS))


def _pauses(choice: random.Random) -> int:
    """One in two hundred is held up for 20 to 120 ms, and what follows it in order too."""
    return choice.randint(20, 120) * NS_PER_MS if choice.random() < 0.005 else _normal(choice)


JITTERS: dict[str, Delay] = {"none": _none, "normal 4+-2 ms": _normal, "pauses to 120 ms": _pauses}


@dataclass(frozen=True, slots=True)
class Point:
    """One setting of one detector."""

    interval_ms: int
    jitter: str
    detector: str
    threshold: float
    """Phi, or the multiplier."""
    pause_ms: int
    heartbeats: int
    false_suspicions: int
    false_per_hour: float
    detect_p50_ms: float
    detect_p99_ms: float
    """After the death; the link's own delay is not in it."""


def arrivals(interval_ns: int, delay: Delay, count: int, seed: int) -> list[int]:
    """When heartbeats come, in ns, over an ordered stream: none overtakes another."""
    choice = random.Random(f"{seed} {interval_ns} {delay.__name__}")
    sent_ns = came_ns = 0
    found = []
    for _ in range(count):
        sent_ns += jittered_interval_ns(interval_ns, 3, choice.getrandbits(16))
        came_ns = max(came_ns, sent_ns + DELAY_NS + delay(choice))
        found.append(came_ns)
    return found


def judge(detector: Detector, times_ns: Sequence[int], seed: int) -> tuple[int, list[int]]:
    """False suspicions, and the time to detect for a death at a random moment of each gap."""
    choice = random.Random(seed)
    false, detect_ns = 0, []
    for number, (now_ns, next_ns) in enumerate(pairwise(times_ns)):
        detector.heard(now_ns)
        if number < WARM_UP:
            continue
        deadline_ns = detector.deadline_ns
        false += next_ns > deadline_ns
        dead_ns = now_ns + choice.randint(0, max(0, min(next_ns, deadline_ns) - now_ns))
        detect_ns.append(deadline_ns - dead_ns)
    return false, detect_ns


def detectors(interval_ns: int, now_ns: int) -> Iterator[tuple[str, float, int, Detector]]:
    """Every setting: name, threshold, pause in ms, and the detector."""
    for multiplier in MULTIPLIERS:
        yield "fixed", multiplier, 0, FixedDetector(interval_ns, multiplier, now_ns=now_ns)
    for threshold, pause_ms in PHI:
        yield (
            "phi",
            threshold,
            pause_ms,
            PhiAccrualDetector(
                threshold,
                first_gap_ns=interval_ns,
                min_deviation_ns=MIN_DEVIATION_NS,
                pause_ns=pause_ms * NS_PER_MS,
                now_ns=now_ns,
            ),
        )


def points(interval_ms: int, jitter: str, times_ns: Sequence[int], seed: int) -> Iterator[Point]:
    """All settings on the same arrivals."""
    hours = (times_ns[-1] - times_ns[WARM_UP]) / 3.6e12
    for name, threshold, pause_ms, detector in detectors(interval_ms * NS_PER_MS, times_ns[0]):
        false, detect_ns = judge(detector, times_ns, seed)
        ordered = sorted(detect_ns)
        p50, p99 = (ordered[min(len(ordered) - 1, int(len(ordered) * q))] for q in (0.5, 0.99))
        yield Point(
            interval_ms,
            jitter,
            name,
            threshold,
            pause_ms,
            len(ordered),
            false,
            round(false / hours, 3),
            p50 / NS_PER_MS,
            p99 / NS_PER_MS,
        )


_BEAT = """
import socket, sys, time, random
interval_s, port = float(sys.argv[1]), int(sys.argv[2])
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
choice = random.Random(1)
while True:
    sock.sendto(b"beat", ("127.0.0.1", port))
    time.sleep(interval_s * (1 - choice.random() / 4))
"""


async def _receive(sock: socket.socket, until_s: float) -> list[int]:
    loop, found = asyncio.get_running_loop(), list[int]()
    sock.setblocking(False)
    try:
        async with asyncio.timeout_at(loop.time() + until_s):
            while True:
                await loop.sock_recv(sock, 16)
                found.append(time.monotonic_ns())
    except TimeoutError:
        return found


def measured(interval_ms: int, seconds: float) -> list[int]:
    """Arrivals in an asyncio loop while a busy process for each CPU competes with it."""
    with ExitStack() as stack:
        sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        sock.bind(("127.0.0.1", 0))
        busy = [[sys.executable, "-c", "while True: pass"]] * len(os.sched_getaffinity(0))
        beat = [sys.executable, "-c", _BEAT, str(interval_ms / 1e3), str(sock.getsockname()[1])]
        for command in (*busy, beat):
            process = subprocess.Popen(command)
            stack.callback(process.wait)
            stack.callback(process.kill)
        return asyncio.run(_receive(sock, seconds))


def draw(found: Sequence[Point], path: Path) -> None:
    """Time to detect against false suspicions, a panel for each jitter."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    jitters = list(dict.fromkeys(point.jitter for point in found))
    figure, axes = plt.subplots(1, len(jitters), figsize=(4.2 * len(jitters), 4), sharey=True)
    for axis, jitter in zip(axes, jitters, strict=True):
        for interval in INTERVALS_MS:
            for name, mark in (("phi", "o"), ("fixed", "x")):
                some = [
                    p
                    for p in found
                    if (p.jitter, p.interval_ms, p.detector) == (jitter, interval, name)
                ]
                axis.plot(
                    [p.detect_p99_ms for p in some],
                    [p.false_per_hour for p in some],
                    mark,
                    markersize=4,
                    label=f"{name}, {interval} ms",
                )
        axis.axvline(LIMIT_NS / NS_PER_MS, color="grey", linewidth=0.8)
        axis.set_title(jitter, fontsize=9)
        axis.set_xlabel("time to detect, p99 (ms)")
        axis.set_yscale("symlog", linthresh=1)
    axes[0].set_ylabel("false suspicions per hour")
    axes[-1].legend(fontsize=6)
    figure.tight_layout()
    figure.savefig(path)


def table(found: Sequence[Point]) -> str:
    """Of each jitter and detector, the setting with fewest mistakes within the limit."""
    lines = [f"{'jitter':<22}{'detector':<9}{'interval':>9}{'threshold':>10}{'pause':>7}"
             f"{'p99 ms':>8}{'false/h':>9}"]  # fmt: skip
    for jitter in dict.fromkeys(point.jitter for point in found):
        for name in ("phi", "fixed"):
            fit = [
                p
                for p in found
                if (p.jitter, p.detector) == (jitter, name)
                and p.detect_p99_ms <= LIMIT_NS / NS_PER_MS
            ]
            if not fit:
                lines.append(f"{jitter:<22}{name:<9} nothing within {LIMIT_NS / NS_PER_MS:g} ms")
                continue
            best = min(fit, key=lambda p: (p.false_per_hour, p.detect_p99_ms))
            lines.append(
                f"{jitter:<22}{name:<9}{best.interval_ms:>6} ms{best.threshold:>10g}"
                f"{best.pause_ms:>7}{best.detect_p99_ms:>8.0f}{best.false_per_hour:>9.1f}"
            )
    return "\n".join(lines)


def main() -> int:
    """Judge, write, show."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("build/detectors"))
    parser.add_argument("--beats", type=int, default=40_000, help="for each jitter (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--measure", type=float, default=0.0, metavar="S", help="for each interval (default: not)"
    )
    options = parser.parse_args()
    found: list[Point] = []
    for interval_ms in INTERVALS_MS:
        for jitter, delay in JITTERS.items():
            times_ns = arrivals(interval_ms * NS_PER_MS, delay, options.beats, options.seed)
            found += points(interval_ms, jitter, times_ns, options.seed)
        if options.measure:
            times_ns = measured(interval_ms, options.measure)
            found += points(interval_ms, "measured, CPUs busy", times_ns, options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / "roc.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Point)])
        writer.writeheader()
        writer.writerows(asdict(point) for point in found)
    draw(found, options.out / "roc.svg")
    sys.stdout.write(table(found) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
