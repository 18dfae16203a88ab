"""The walk over flows: numpy, plain Python, the generator's C and the kernel's C say the same."""

from __future__ import annotations

import ctypes
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sentinel_bpf
from sentinel_bpf import bench_programs
from sentinel_sim.bench import frames, generator, walk

HEADER = Path(sentinel_bpf.__file__).with_name("bench_abi.h")
GENERATOR = Path(generator.__file__).with_name("main.c")


def defined(path: Path) -> dict[str, int]:
    found = re.findall(r"#define (\w+) (0x[0-9a-f]+|\d+)u?\b", path.read_text())
    return {name: int(value, 0) for name, value in found}


@given(st.integers(0, 300), st.integers(1, 64_000), st.integers(0, 2**32 - 1))
def test_numpy_walks_as_the_definition_does(packets: int, flows: int, seed: int) -> None:
    state, expected = seed, []
    for _ in range(packets):
        state = (state * 1664525 + 1013904223) % 2**32
        expected.append(state * flows >> 32)
    assert walk.flow_indices(packets, flows, seed).tolist() == expected


def test_all_sides_have_the_same_constants() -> None:
    kernel, program = defined(HEADER), defined(GENERATOR)
    assert kernel["BENCH_WALK_FACTOR"] == program["WALK_FACTOR"] == walk.FACTOR
    assert kernel["BENCH_WALK_STEP"] == program["WALK_STEP"] == walk.STEP
    assert kernel["BENCH_FIRST_PORT"] == program["FIRST_PORT"] == bench_programs.FIRST_PORT
    assert kernel["BENCH_FLOWS_MAX"] == program["FLOWS_MAX"] == bench_programs.FLOWS_MAX
    assert kernel["BENCH_SERVER_PORT"] == bench_programs.SERVER_PORT
    assert kernel["BENCH_DELAYS_MAX"] == bench_programs.DELAYS_MAX
    assert kernel["BENCH_FRAME_BYTES"] == bench_programs.FRAME_BYTES == len(frames.test_frame())
    assert kernel["BENCH_SEGMENT_BYTES"] == frames.SEGMENT_BYTES
    assert bench_programs.FIRST_PORT + bench_programs.FLOWS_MAX <= 65_536


def test_mirrors_have_the_compilers_offsets(tmp_path: Path) -> None:
    lines = ['#include "bench_abi.h"', "#include <stddef.h>", "#include <stdio.h>", "int main() {"]
    for name, mirror in bench_programs.MIRRORED.items():
        lines.append(f'printf("{name} %zu\\n", sizeof(struct {name}));')
        for field, *_ in mirror._fields_:
            lines.append(f'printf("{name}.{field} %zu\\n", offsetof(struct {name}, {field}));')
    source, program = tmp_path / "offsets.c", tmp_path / "offsets"
    source.write_text("\n".join([*lines, "}"]))
    subprocess.run(["cc", f"-I{HEADER.parent}", str(source), "-o", str(program)], check=True)
    told = subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout
    for line in told.splitlines():
        what, value = line.split()
        name, _, field = what.partition(".")
        mirror = bench_programs.MIRRORED[name]
        found = getattr(mirror, field).offset if field else ctypes.sizeof(mirror)
        assert found == int(value), what


def test_counts_of_ports_add_up() -> None:
    counts = walk.packets_by_port(10_000, 64, 7)
    assert sum(counts.values()) == 10_000
    assert len(counts) == 64
    with pytest.raises(ValueError, match="flows"):
        walk.flow_indices(1, 0, 1)


def test_frames_of_the_walk_go_both_ways() -> None:
    made = list(walk_four())
    assert made[0][26:30] == bytes((10, 99, 0, 1))
    assert made[3][26:30] == bytes((10, 99, 1, 2))
    assert made[3][34:36] == bench_programs.SERVER_PORT.to_bytes(2, "big")
    assert all(len(frame) == bench_programs.FRAME_BYTES for frame in made)


def walk_four() -> list[bytes]:
    return list(frames.walk_frames(4, 10, 3))


def test_the_generators_frame_has_a_right_header_checksum() -> None:
    frame = generator.udp_frame("10.99.0.1", "10.99.1.2", 5201, "02:63:00:00:00:02")
    assert len(frame) == bench_programs.FRAME_BYTES
    # RFC 1071: over a header with its checksum in place the sum is zero.
    assert generator.header_checksum(frame[14:34]) == 0
