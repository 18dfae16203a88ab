"""abi.py says what the headers say: sizes, offsets, names and constants, by the C compiler."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import sentinel_bpf
from sentinel_bpf import abi, reference, uapi

FOLDER = Path(sentinel_bpf.__file__).parent

CONSTANTS = {
    "SENTINEL_ABI_VERSION": abi.ABI_VERSION,
    "SENTINEL_FLOWS4_MAX": abi.FLOWS4_MAX,
    "SENTINEL_FLOWS6_MAX": abi.FLOWS6_MAX,
    "SENTINEL_TAGS_OUTER_SHIFT": abi.TAGS_OUTER_SHIFT,
    "SENTINEL_TAGS_INNER_SHIFT": abi.TAGS_INNER_SHIFT,
    "SENTINEL_COUNTERS": len(abi.Counter),
    "SENTINEL_INTERVAL_SHIFT": reference.INTERVAL_SHIFT,
    "SENTINEL_INTERVAL_BYTES_MAX": reference.INTERVAL_BYTES_MAX,
    "SENTINEL_BITS_NS_PER_BYTE_S": reference.BITS_NS_PER_BYTE_S,
    "SENTINEL_AVERAGE_INTERVALS": reference.AVERAGE_INTERVALS,
    "WIRE_STAMPS_MAX": abi.WIRE_STAMPS_MAX,
    "WIRE_TRANSITS_MAX": abi.WIRE_TRANSITS_MAX,
} | {f"SENTINEL_{counter.name}": int(counter) for counter in abi.Counter}


def _program() -> str:
    lines = [
        "#include <stddef.h>",
        "#include <stdio.h>",
        '#include "sentinel_flow.h"',
        '#include "wire_abi.h"',
        "int main(void) {",
    ]
    for structure, (_, mirror) in abi.MIRRORED.items():
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
    for structure, (_, mirror) in abi.MIRRORED.items():
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


@pytest.mark.parametrize("structure", abi.MIRRORED)
def test_mirror_leaves_no_field_and_no_structure_out(structure: str) -> None:
    header, mirror = abi.MIRRORED[structure]
    text = (FOLDER / header).read_text(encoding="utf-8")
    found = re.search(rf"^struct {structure} \{{\n(.*?)^\}};", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    code = re.sub(r"/\*.*?\*/", "", found[1], flags=re.DOTALL)
    names = re.findall(r"(\w+)(?:\[\d+\])?;", code)
    assert names == [field[0] for field in mirror._fields_]


@pytest.mark.parametrize("header", ["sentinel_abi.h", "wire_abi.h"])
def test_every_structure_of_the_headers_is_mirrored(header: str) -> None:
    text = (FOLDER / header).read_text(encoding="utf-8")
    declared = set(re.findall(r"^struct (\w+) \{", text, re.MULTILINE))
    assert declared == {name for name, (where, _) in abi.MIRRORED.items() if where == header}


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
