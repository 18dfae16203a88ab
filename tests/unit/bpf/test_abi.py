"""abi.py says what the headers say: sizes, offsets, names and constants, by the C compiler."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import sentinel_bpf
from sentinel_bpf import abi, drive, uapi
from sentinel_bpf.reference import bdp, parse, rate, rtt

FOLDER = Path(sentinel_bpf.__file__).parent
MIRRORED = abi.MIRRORED | {
    name: ("sentinel_drive_abi.h", kind) for name, kind in drive.MIRRORED.items()
}

CONSTANTS = {
    "SENTINEL_ABI_VERSION": abi.ABI_VERSION,
    "SENTINEL_FLOWS4_MAX": abi.FLOWS4_MAX,
    "SENTINEL_FLOWS6_MAX": abi.FLOWS6_MAX,
    "SENTINEL_TAGS_OUTER_SHIFT": abi.TAGS_OUTER_SHIFT,
    "SENTINEL_TAGS_INNER_SHIFT": abi.TAGS_INNER_SHIFT,
    "SENTINEL_COUNTERS": len(abi.Counter),
    "SENTINEL_OUTCOMES": abi.OUTCOMES,
    "SENTINEL_NEW_FLOWS_PER_S": abi.NEW_FLOWS_PER_S,
    "SENTINEL_FLOW_IDLE_NS": abi.FLOW_IDLE_NS,
    "SENTINEL_TICK_SHIFT": rate.TICK_SHIFT,
    "SENTINEL_HALF_TICK_SHIFT": rate.HALF_TICK_SHIFT,
    "SENTINEL_QUARTER_TICK_NS": rate.QUARTER_TICK_NS,
    "SENTINEL_INTERVAL_BYTES_MAX": rate.INTERVAL_BYTES_MAX,
    "SENTINEL_BITS_NS_PER_BYTE_S": rate.BITS_NS_PER_BYTE_S,
    "SENTINEL_AVERAGE_SHIFT": rate.AVERAGE_SHIFT,
    "SENTINEL_BDP_RATE_MAX": bdp.RATE_MAX_BPS,
    "SENTINEL_BDP_RTT_MAX": bdp.RTT_MAX_NS,
    "SENTINEL_BDP_FACTOR_MAX": bdp.FACTOR_MAX_Q16,
    "SENTINEL_RTT_MAX_NS": rtt.RTT_MAX_NS,
    "SENTINEL_RTT_WINDOW_SHIFT": rtt.WINDOW_SHIFT,
    "SENTINEL_PROBE_KNOWN": rtt.KNOWN,
    "SENTINEL_PROBE_WAITS": rtt.WAITS,
    "SENTINEL_STAMP_VOID": rtt.VOID,
    "SENTINEL_TCP_OPTIONS_MAX": parse.OPTIONS_MAX,
    "SENTINEL_EXTENSIONS_MAX": parse.EXTENSIONS_MAX,
    "SENTINEL_DRIVE_FRAMES_MAX": drive.FRAMES_MAX,
    "SENTINEL_DRIVE_STORED_MAX": drive.STORED_MAX,
    "WIRE_STAMPS_MAX": abi.WIRE_STAMPS_MAX,
    "WIRE_BINS_MAX": abi.WIRE_BINS_MAX,
    "WIRE_TRANSITS_MAX": abi.WIRE_TRANSITS_MAX,
} | {f"SENTINEL_{counter.name}": int(counter) for counter in abi.Counter}


def _program() -> str:
    lines = [
        "#include <stddef.h>",
        "#include <stdio.h>",
        '#include "sentinel_bdp.h"',
        '#include "sentinel_drive_abi.h"',
        '#include "sentinel_guard.h"',
        '#include "sentinel_packet.h"',
        '#include "sentinel_rate.h"',
        '#include "sentinel_rtt.h"',
        '#include "wire_abi.h"',
        "int main(void) {",
    ]
    for structure, (_, mirror) in MIRRORED.items():
        lines.append(f'printf("{structure} 0 %zu\\n", sizeof(struct {structure}));')
        lines += [
            f'printf("{structure}.{field[0]} %zu %zu\\n", offsetof(struct {structure}, {field[0]}),'
            f" sizeof(((struct {structure} *)0)->{field[0]}));"
            for field in mirror._fields_
        ]
    lines += [f'printf("{name} 0 %llu\\n", (unsigned long long){name});' for name in CONSTANTS]
    return "\n".join([*lines, "return 0; }"])


def _mirror() -> dict[str, tuple[int, int]]:
    said = {name: (0, value) for name, value in CONSTANTS.items()}
    for structure, (_, mirror) in MIRRORED.items():
        said[structure] = (0, ctypes.sizeof(mirror))
        for field in mirror._fields_:
            descriptor = getattr(mirror, field[0])
            said[f"{structure}.{field[0]}"] = (descriptor.offset, descriptor.size)
    return said


def test_mirror_agrees_with_the_compiler(tmp_path: Path) -> None:
    compiler = shutil.which("cc") or shutil.which("clang")
    assert compiler is not None, "a C compiler is missing: apt-get install -y gcc"
    source, binary = tmp_path / "offsets.c", tmp_path / "offsets"
    source.write_text(_program(), encoding="ascii")
    words = [compiler, "-Wall", "-Werror", "-Wno-unused-function", f"-I{FOLDER}"]
    subprocess.run([*words, str(source), "-o", str(binary)], check=True)
    output = subprocess.run([str(binary)], capture_output=True, text=True, check=True).stdout
    said = {}
    for line in output.splitlines():
        name, offset, size = line.split()
        said[name] = (int(offset), int(size))
    assert said == _mirror()


@pytest.mark.parametrize("structure", MIRRORED)
def test_mirror_leaves_no_field_and_no_structure_out(structure: str) -> None:
    header, mirror = MIRRORED[structure]
    text = (FOLDER / header).read_text(encoding="utf-8")
    found = re.search(rf"^struct {structure} \{{\n(.*?)^\}};", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    code = re.sub(r"/\*.*?\*/", "", found[1], flags=re.DOTALL)
    names = re.findall(r"(\w+)(?:\[\w+\])?;", code)
    assert names == [field[0] for field in mirror._fields_]


@pytest.mark.parametrize("header", ["sentinel_abi.h", "sentinel_drive_abi.h", "wire_abi.h"])
def test_every_structure_of_the_headers_is_mirrored(header: str) -> None:
    text = (FOLDER / header).read_text(encoding="utf-8")
    declared = set(re.findall(r"^struct (\w+) \{", text, re.MULTILINE))
    assert declared == {name for name, (where, _) in MIRRORED.items() if where == header}


KERNEL_FIELDS = {
    uapi.MapInfo: ("struct bpf_map_info", ["id", "value_size", "netns_ino", "btf_value_type_id"]),
    uapi.ProgInfo: ("struct bpf_prog_info", ["xlated_prog_len", "name", "run_time_ns", "run_cnt"]),
    uapi.MapCreateAttr: ("union bpf_attr", ["max_entries", "map_name", "btf_value_type_id"]),
    uapi.ProgLoadAttr: ("union bpf_attr", ["insns", "license", "log_buf", "prog_name"]),
    uapi.BatchAttr: ("union bpf_attr", ["batch.in_batch", "batch.count", "batch.map_fd"]),
    uapi.TestRunAttr: ("union bpf_attr", ["test.data_in", "test.repeat", "test.batch_size"]),
    uapi.LinkCreateAttr: ("union bpf_attr", ["link_create.attach_type", "link_create.flags"]),
    uapi.InfoAttr: ("union bpf_attr", ["info.bpf_fd", "info.info"]),
    uapi.FdByIdAttr: ("union bpf_attr", ["open_flags"]),
    uapi.ElementAttr: ("union bpf_attr", ["value", "flags"]),
}


def test_bpf_attributes_agree_with_the_kernels_header(tmp_path: Path) -> None:
    compiler = shutil.which("cc") or shutil.which("clang")
    assert compiler is not None, "a C compiler is missing: apt-get install -y gcc"
    checks = [
        f"_Static_assert(offsetof({kernel}, {name}) == "
        f'{getattr(mirror, name.split(".")[-1]).offset}, "{mirror.__name__}.{name}");'
        for mirror, (kernel, names) in KERNEL_FIELDS.items()
        for name in names
    ]
    source = tmp_path / "attributes.c"
    head = "#include <stddef.h>\n#include <linux/bpf.h>\n"
    source.write_text(head + "\n".join(checks) + "\n", encoding="ascii")
    words = [compiler, "-fsyntax-only", str(source)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
