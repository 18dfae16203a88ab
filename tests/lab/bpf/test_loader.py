"""Instances, their maps, read-only descriptors, and what happens when the kernel says no."""

from __future__ import annotations

import ctypes
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from sentinel_bpf import abi, loader, maps, syscalls, test_run
from sentinel_bpf.compiled import CompiledObject, ProgramType
from sentinel_bpf.errors import BpfError, BpfUnavailableError, VerifierError
from sentinel_bpf.flow_map import read_flows
from sentinel_bpf.frames import ETH_IPV4, ethernet, ipv4, tcp
from sentinel_bpf.loader import CompiledSource, ProgramSet

pytestmark = pytest.mark.lab

PROGRAM = "flow_stabilization_unit"
FRAME = ethernet(ipv4(tcp()), ETH_IPV4)


def open_descriptors() -> list[str]:
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


def test_two_instances_share_no_map(flow_source: CompiledSource) -> None:
    with flow_source.instantiate() as first, flow_source.instantiate() as second:
        test_run.run(first.prog_fd(PROGRAM), FRAME, repeat=3)
        test_run.run(second.prog_fd(PROGRAM), FRAME, repeat=5)
        packets = [
            read_flows(programs.map_fd("flow_metrics_map"))[0].forward.packets_total
            for programs in (first, second)
        ]
    assert packets == [3, 5]


def test_maps_have_the_shapes_of_the_mirror(fsu: ProgramSet) -> None:
    shapes = {
        name: maps.shape(fsu.map_fd(name))
        for name in ("flow_metrics_map", "flow_metrics6", "fsu_counters")
    }
    flow_bytes = ctypes.sizeof(abi.Flow)
    assert shapes["flow_metrics_map"] == maps.MapShape(9, 16, flow_bytes, abi.FLOWS4_MAX)
    assert shapes["flow_metrics6"] == maps.MapShape(9, 40, flow_bytes, abi.FLOWS6_MAX)
    assert shapes["fsu_counters"] == maps.MapShape(6, 4, 8, len(abi.Counter))


def test_the_program_stays_within_its_instruction_budget(fsu: ProgramSet) -> None:
    [stats] = fsu.stats()
    assert 0 < stats.translated_instructions < 6_000
    assert stats.verified_instructions < 100_000  # of the million the kernel allows


def stack_bytes(code: bytes) -> int:
    """How deep a program's stack is: accesses by r10, and pointers made of it."""
    deepest, frame_pointers = 0, set()
    for at in range(0, len(code), 8):
        opcode, registers, offset, constant = struct.unpack_from("<BBhi", code, at)
        target, source = registers & 15, registers >> 4
        kind = opcode & 7
        if opcode == 0xBF and source == 10:  # target = r10
            frame_pointers.add(target)
        elif opcode == 0x07 and target in frame_pointers:  # target += constant
            deepest = min(deepest, constant)
            frame_pointers.discard(target)
        elif (kind == 1 and source == 10) or (kind in (2, 3) and target == 10):  # load, store
            deepest = min(deepest, offset)
    return -deepest


def test_the_program_stays_within_its_stack_budget(flow_source: CompiledSource) -> None:
    used = stack_bytes(flow_source.compiled.programs[PROGRAM].instructions)
    assert 0 < used <= 320  # of the 512 the kernel allows


def test_maps_are_made_only_for_the_programs_that_are_loaded(wire_source: CompiledSource) -> None:
    with wire_source.instantiate(["wire_loss"]) as programs:
        programs.map_fd("wire_loss_state")
        with pytest.raises(BpfError, match="wire_loss_config, wire_loss_state"):
            programs.map_fd("wire_stamps")


def test_closing_leaves_no_descriptor(flow_source: CompiledSource) -> None:
    before = open_descriptors()
    flow_source.instantiate().close()
    assert open_descriptors() == before


def test_many_flows_are_read_completely(flow_source: CompiledSource) -> None:
    with flow_source.instantiate(max_entries={"flow_metrics_map": 65536}) as programs:
        for port in range(3000):
            frame = ethernet(ipv4(tcp(port, 80)), ETH_IPV4)
            test_run.run(programs.prog_fd(PROGRAM), frame)
        records = read_flows(programs.map_fd("flow_metrics_map"))
    assert sorted(record.source_port for record in records) == list(range(3000))


READER = """
import sys
from sentinel_bpf import maps
from sentinel_bpf.errors import BpfError
from sentinel_bpf.flow_map import read_counters, read_flows
flows, counters = int(sys.argv[1]), int(sys.argv[2])
print(read_flows(flows)[0].forward.packets_total, read_counters(counters)["passed"])
try:
    maps.update(flows, bytes(16), bytes(832))
except BpfError as error:
    print("refused:", error)
assert "bcc" not in sys.modules
"""


def test_a_process_without_capabilities_reads_inherited_read_only_maps(fsu: ProgramSet) -> None:
    test_run.run(fsu.prog_fd(PROGRAM), FRAME, repeat=4)
    flows = maps.reopen_readonly(fsu.map_fd("flow_metrics_map"))
    counters = maps.reopen_readonly(fsu.map_fd("fsu_counters"))
    try:
        done = subprocess.run(
            [sys.executable, "-c", READER, str(flows), str(counters)],
            capture_output=True,
            text=True,
            pass_fds=(flows, counters),
            user="nobody",
            group="nogroup",
            extra_groups=(),
            check=False,
        )
    finally:
        os.close(flows)
        os.close(counters)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first == "4 4"
    assert second.startswith("refused:")


def test_a_key_of_the_wrong_size_is_refused_in_python(fsu: ProgramSet) -> None:
    with pytest.raises(BpfError, match="16-byte keys"):
        maps.update(fsu.map_fd("flow_metrics_map"), bytes(8), bytes(ctypes.sizeof(abi.Flow)))


@pytest.mark.parametrize(
    ("start", "count"), [(0, 3), (1, 1), (5, 900), (999, 1), (990, 50), (3, 0)]
)
def test_a_row_of_an_array_is_read_from_any_place(start: int, count: int, tmp_path: Path) -> None:
    source = tmp_path / "array.c"
    source.write_text(
        "BPF_ARRAY(row, u64, 1000);\n"
        "int reads(struct xdp_md *ctx) { u32 k = 0; row.lookup(&k); return XDP_PASS; }\n"
    )
    with (
        CompiledSource.compile(source, programs={"reads": ProgramType.XDP}) as compiled,
        compiled.instantiate() as programs,
    ):
        fd = programs.map_fd("row")
        for index in range(1000):
            maps.update(fd, maps.index_key(index), index.to_bytes(8, "little"))
        raw = maps.array_values(fd, count, start)
    found = [int.from_bytes(raw[at : at + 8], "little") for at in range(0, len(raw), 8)]
    assert found == list(range(start, min(start + count, 1000)))


def test_a_program_the_verifier_refuses_is_explained() -> None:
    only_exit = bytes.fromhex("9500000000000000")
    with pytest.raises(VerifierError, match="R0 !read_ok"):
        syscalls.prog_load(ProgramType.XDP, only_exit, "broken", license_name="GPL")


UNCHECKED = """
BPF_HASH(numbers, u32, u64, 16);
int unchecked(struct xdp_md *ctx) {
    u32 zero = 0;
    u64 *value = numbers.lookup(&zero);
    *value += 1;
    return XDP_PASS;
}
"""


def test_a_source_the_verifier_refuses_names_the_program(tmp_path: Path) -> None:
    source = tmp_path / "unchecked.c"
    source.write_text(UNCHECKED, encoding="ascii")
    before = open_descriptors()
    with (
        CompiledSource.compile(source, programs={"unchecked": ProgramType.XDP}) as compiled,
        pytest.raises(VerifierError, match="map_value_or_null") as caught,
    ):
        compiled.instantiate()
    assert "unchecked" in str(caught.value)
    assert "processed" in caught.value.log
    assert open_descriptors() == before


def test_a_source_that_does_not_compile_names_the_file(tmp_path: Path) -> None:
    source = tmp_path / "broken.c"
    source.write_text("int broken(struct xdp_md *ctx) { return nothing; }\n", encoding="ascii")
    with pytest.raises(BpfError, match=r"broken\.c") as caught:
        CompiledSource.compile(source, programs={"broken": ProgramType.XDP})
    assert not isinstance(caught.value, BpfUnavailableError)


def test_unknown_names_are_answered_with_the_known_ones(flow_source: CompiledSource) -> None:
    with pytest.raises(BpfError, match=PROGRAM):
        flow_source.instantiate(["flow_stabilisation_unit"])
    with pytest.raises(BpfError, match="flow_metrics6, flow_metrics_map, fsu_config, fsu_counters"):
        flow_source.instantiate(max_entries={"flows": 1})


def test_a_frame_below_14_bytes_is_refused_with_the_reason(fsu: ProgramSet) -> None:
    with pytest.raises(BpfError, match="14 bytes"):
        test_run.run(fsu.prog_fd(PROGRAM), bytes(13))


COUNTING = """
BPF_ARRAY(seen, u64, 1);
int counting(struct xdp_md *ctx) {
    int zero = 0;
    u64 *value = seen.lookup(&zero);
    if (value)
        *value += 1;
    return XDP_PASS;
}
"""


def test_compiling_leaves_the_working_directory_alone_and_happens_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTINEL_CACHE_DIR", str(tmp_path / "cache"))
    source, wanted = tmp_path / "counting.c", {"counting": ProgramType.XDP}
    source.write_text(COUNTING, encoding="ascii")
    before = Path.cwd()
    with CompiledSource.compile(source, programs=wanted) as first:
        assert Path.cwd() == before
        compiled = first.compiled

    def never(*args: object) -> CompiledObject:
        raise AssertionError(f"bcc was asked again: {args}")

    monkeypatch.setattr(loader, "compile_with_bcc", never)
    with CompiledSource.compile(source, programs=wanted) as second:
        assert second.compiled == compiled
        with second.instantiate() as programs:
            assert test_run.run(programs.prog_fd("counting"), FRAME, repeat=3).verdict == 2
            assert maps.lookup(programs.map_fd("seen"), bytes(4)) == (3).to_bytes(8, "little")


def test_bpftool_dumps_the_map_with_names(fsu: ProgramSet) -> None:
    test_run.run(fsu.prog_fd(PROGRAM), FRAME, repeat=2)
    info = syscalls.MapInfo()
    syscalls.obj_info(fsu.map_fd("flow_metrics_map"), info)
    words = ["bpftool", "-j", "map", "dump", "id", str(info.id)]
    dumped = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)
    [entry] = dumped
    assert entry["formatted"]["value"]["forward"]["packets_total"] == 2
