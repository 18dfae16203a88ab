"""What a program costs per packet: paired, interleaved test runs.

A lane is a function that runs so many packets and returns mean ns per packet. All lanes take turns,
in an order that shifts by one each round, so that what the machine does meanwhile hits all alike;
figures are differences within a round. Wall-clock measurements: for benchmarks, never for tests.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from sentinel_bpf import test_run
from sentinel_bpf.drive import FlowDriver, segment_template
from sentinel_bpf.loader import CompiledSource

Lane = Callable[[int], int]
"""Packets in, mean ns per packet out."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Ns per packet of one lane above the baseline, over all rounds."""

    least: float
    median: float
    p90: float


def interleave(lanes: Mapping[str, Lane], *, rounds: int, packets: int) -> dict[str, list[int]]:
    """Every lane `rounds` times, taking turns; ns per packet, round by round."""
    names = list(lanes)
    samples: dict[str, list[int]] = {name: [] for name in names}
    for number in range(rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            samples[name].append(lanes[name](packets))
    return samples


def cost_above(samples: Mapping[str, Sequence[int]], name: str, baseline: str) -> Cost:
    """`name` minus `baseline`: the difference of their least, and percentiles of the pairs."""
    pairs = zip(samples[name], samples[baseline], strict=True)
    differences = sorted(lane - base for lane, base in pairs)
    return Cost(
        least=min(samples[name]) - min(samples[baseline]),
        median=statistics.median(differences),
        p90=differences[(len(differences) * 9) // 10 - 1 if len(differences) > 1 else 0],
    )


def one_frame_lane(prog_fd: int, frame: bytes | None = None) -> Lane:
    """The same frame again and again, without a driver."""
    data = segment_template() if frame is None else frame
    return lambda packets: test_run.run(prog_fd, data, repeat=packets).duration_ns


@contextmanager
def flow_lanes(
    drive: CompiledSource, programs: Mapping[str, int], flows: int, *, lag: int = 8192
) -> Iterator[dict[str, Lane]]:
    """A lane over `flows` flows for each program descriptor, its entries already made.

    The driver's own cost is in every lane: subtract that of a program that only passes.
    """
    with ExitStack() as stack:
        lanes: dict[str, Lane] = {}
        for name, fd in programs.items():
            driver = FlowDriver(drive, fd, flows, lag=lag)
            stack.callback(driver.close)
            driver.run(max(1000, 12 * flows))  # each flow but one in 160,000 has come
            lanes[name] = partial(_run, driver)
        yield lanes


def _run(driver: FlowDriver, packets: int) -> int:
    return driver.run(packets)
