"""The delay line's decisions (delayline/line.h), compiled and driven from here."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path
from typing import Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel_sim.wire import build

MS = 1_000_000
SHIM = """
#include "line.h"
static struct line line;
void start(int64_t delay, int64_t jitter, uint64_t seed, int reorder) {
    free(line.held.slots);
    line = (struct line){.delay_ns = delay, .jitter_ns = jitter, .random_state = seed,
                         .may_reorder = reorder};
    fifo_init(&line.held, 1);
}
int admit(uint32_t id, int64_t arrival, int64_t now) { return line_admit(&line, id, arrival, now); }
int64_t next_due(void) { return line_next_due_ns(&line); }
int64_t take(int64_t now) { uint32_t id; return line_take_due(&line, now, &id) ? (int64_t)id : -1; }
uint64_t read_late(void) { return line.packets_read_late; }
"""


class Line(Protocol):
    def start(self, delay: int, jitter: int, seed: int, reorder: int) -> None: ...
    def admit(self, packet: int, arrival: int, now: int) -> int: ...
    def next_due(self) -> int: ...
    def take(self, now: int) -> int: ...
    def read_late(self) -> int: ...


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Line:
    folder: Path = tmp_path_factory.mktemp("line")
    (folder / "shim.c").write_text(SHIM)
    command = ["cc", "-O2", "-Wall", "-Werror", "-fsanitize=undefined", "-shared", "-fPIC"]
    command += [
        f"-I{build.SOURCE_DIRECTORY}",
        "-o",
        str(folder / "shim.so"),
        str(folder / "shim.c"),
    ]
    subprocess.run(command, check=True)
    library = ctypes.CDLL(str(folder / "shim.so"))
    i64, u64 = ctypes.c_int64, ctypes.c_uint64
    library.start.argtypes = [i64, i64, u64, ctypes.c_int]
    library.admit.argtypes = [ctypes.c_uint32, i64, i64]
    library.next_due.restype = i64
    library.take.argtypes = [i64]
    library.take.restype = i64
    library.read_late.restype = u64
    return library  # type: ignore[return-value]


def drain(line: Line) -> list[tuple[int, int]]:
    """Every held packet with the time it was due, in order of release."""
    out = []
    while (due := line.next_due()) != 2**63 - 1:
        assert line.take(due - 1) == -1
        out.append((line.take(due), due))
    return out


def test_a_packet_leaves_one_delay_after_its_arrival_however_late_it_was_read(line: Line) -> None:
    line.start(50 * MS, 0, 1, 0)
    line.admit(7, 1000, 40 * MS)
    assert line.next_due() == 50 * MS + 1000
    assert line.read_late() == 0


def test_reading_after_the_due_time_is_counted(line: Line) -> None:
    line.start(50 * MS, 0, 1, 0)
    line.admit(7, 0, 51 * MS)
    assert line.read_late() == 1


@settings(max_examples=200)
@given(
    st.lists(st.integers(min_value=0, max_value=10 * MS), min_size=1, max_size=300),
    st.integers(min_value=0, max_value=100 * MS),
    st.integers(min_value=0, max_value=50 * MS),
    st.integers(min_value=0, max_value=2**64 - 1),
)
def test_jitter_keeps_order_and_bounds(
    line: Line, gaps: list[int], delay: int, jitter: int, seed: int
) -> None:
    jitter = min(jitter, delay)
    line.start(delay, jitter, seed, 0)
    arrivals, now = [], 0
    for number, gap in enumerate(gaps):
        now += gap
        arrivals.append(now)
        assert line.admit(number, now, now)
    released = drain(line)
    assert [packet for packet, _ in released] == list(range(len(gaps)))
    latest = 0
    for packet, due in released:
        assert due >= arrivals[packet] + delay - jitter
        # Held longer than its own jitter only to stay behind a packet in front of it.
        assert due <= max(arrivals[packet] + delay + jitter, latest)
        latest = due


def test_same_seed_gives_the_same_jitter(line: Line) -> None:
    runs = []
    for _ in range(2):
        line.start(10 * MS, 5 * MS, 42, 0)
        for number in range(1000):
            line.admit(number, number * MS, number * MS)
        runs.append(drain(line))
    assert runs[0] == runs[1]
    assert len({due - packet * MS for packet, due in runs[0]}) > 100


def test_reordering_releases_by_due_time(line: Line) -> None:
    line.start(10 * MS, 10 * MS, 3, 1)
    for number in range(500):
        line.admit(number, number, number)
    released = drain(line)
    assert sorted(packet for packet, _ in released) == list(range(500))
    assert [due for _, due in released] == sorted(due for _, due in released)
    assert [packet for packet, _ in released] != list(range(500))
