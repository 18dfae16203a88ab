"""predict_abi.py and predict_reference.py say what the headers say, by the C compiler."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import sentinel_bpf
from sentinel_bpf import predict_abi as abi
from sentinel_bpf import predict_reference as reference

FOLDER = Path(sentinel_bpf.__file__).parent

_ABI_NAMES = {
    "SENTINEL_PREDICT_SHIFT_DEFAULT": abi.SHIFT_DEFAULT,
    "SENTINEL_PREDICT_SHIFT_MIN": abi.SHIFT_MIN,
    "SENTINEL_PREDICT_SHIFT_MAX": abi.SHIFT_MAX,
    "SENTINEL_PREDICT_BYTES_MAX": abi.BYTES_MAX,
    "SENTINEL_PREDICT_AWAKE_EMPTY": abi.AWAKE_EMPTY,
    "SENTINEL_PREDICT_LAGS": abi.LAGS,
    "SENTINEL_MODEL_FORMAT": abi.MODEL_FORMAT,
    "SENTINEL_EXPERTS": len(abi.Expert),
    "SENTINEL_BURSTS": len(abi.Burst),
    "SENTINEL_PACKET_EXPERTS": len(abi.PacketExpert),
    "SENTINEL_FACTOR_STEADY": reference.FACTORS_Q16[0],
    "SENTINEL_FACTOR_VARYING": reference.FACTORS_Q16[1],
    "SENTINEL_FACTOR_BURSTY": reference.FACTORS_Q16[2],
    "SENTINEL_FACTOR_PEAK": reference.FACTORS_Q16[3],
}
_NETWORK_NAMES = (
    *("INPUTS", "HIDDEN", "PAIRS", "WEIGHT_ZERO", "DIRECT_ZERO", "HIDDEN_SHIFT", "OUTPUT_SHIFT"),
    "COUNT_SHIFT",
)
_REFERENCE_NAMES = (
    *("FAST_SHIFT", "SLOW_SHIFT", "HOLT_LEVEL_SHIFT", "HOLT_TREND_SHIFT", "HOLT_DAMP_SHIFT"),
    *("LMS_SHIFT", "LMS_STEP", "LMS_WEIGHT_MAX", "ERROR_SHIFT", "MARGIN_SHIFT", "GUARD_SHIFT"),
    *("TRUST_SHIFT", "FAVOUR_SHIFT", "NETWORK_INPUT_BITS", "NETWORK_INPUT_STEP"),
    *("SUM_MAX", "SIZE_MAX", "GAP_MEAN_SHIFT", "MEDIAN_SHIFT", "PACKET_ERROR_SHIFT", "HASH"),
    "SAMPLE_SHIFT",
)
CONSTANTS = (
    _ABI_NAMES
    | {f"SENTINEL_NETWORK_{name}": getattr(abi, f"NETWORK_{name}") for name in _NETWORK_NAMES}
    | {f"SENTINEL_{name}": getattr(reference, name) for name in _REFERENCE_NAMES}
    | {f"SENTINEL_EXPERT_{expert.name}": int(expert) for expert in abi.Expert}
    | {f"SENTINEL_BURST_{burst.name}": int(burst) for burst in abi.Burst}
    | {f"SENTINEL_PACKET_{expert.name}": int(expert) for expert in abi.PacketExpert}
)


def _program() -> str:
    lines = [
        "#include <stddef.h>",
        "#include <stdio.h>",
        '#include "sentinel_predict.h"',
        "int main(void) {",
    ]
    for structure, mirror in abi.MIRRORED.items():
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
    for structure, mirror in abi.MIRRORED.items():
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
def test_mirror_leaves_no_field_out(structure: str) -> None:
    text = (FOLDER / "sentinel_predict_abi.h").read_text(encoding="utf-8")
    found = re.search(rf"^struct {structure} \{{\n(.*?)^\}};", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    code = re.sub(r"/\*.*?\*/", "", found[1], flags=re.DOTALL)
    names = re.findall(r"(\w+)(?:\[[\w -]+\])*;", code)
    assert names == [field[0] for field in abi.MIRRORED[structure]._fields_]


def test_every_structure_is_mirrored() -> None:
    text = (FOLDER / "sentinel_predict_abi.h").read_text(encoding="utf-8")
    assert set(re.findall(r"^struct (\w+) \{", text, re.MULTILINE)) == set(abi.MIRRORED)


def test_every_packet_touches_the_first_32_bytes_only() -> None:
    assert abi.Predict.expert_bytes.offset == 32
