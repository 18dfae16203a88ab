"""One XDP source for two compilers, and links that lead to it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import sentinel_bpf

PACKAGE = Path(sentinel_bpf.__file__).parent
BPF_FOLDER = PACKAGE.parent
SOURCES = sorted(path.name for path in BPF_FOLDER.glob("*.[ch]"))


def clang() -> str:
    """clang's path; skips without it, fails where it has to be there."""
    found = shutil.which("clang")
    if found is None:
        reason = "clang is missing: apt-get install -y clang"
        if os.environ.get("CI") == "true" or os.environ.get("SENTINEL_REQUIRE_LAB") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def test_the_source_folder_is_not_empty() -> None:
    assert {"flow_math.c", "wire.c", "sentinel_abi.h", "sentinel_types.h"} <= set(SOURCES)


@pytest.mark.parametrize("name", SOURCES)
def test_package_links_to_the_source_by_a_relative_link(name: str) -> None:
    link = PACKAGE / name
    assert link.is_symlink()
    assert not link.readlink().is_absolute()
    assert link.resolve() == (BPF_FOLDER / name).resolve()


def test_plain_clang_compiles_the_fsu_without_a_warning(tmp_path: Path) -> None:
    output = tmp_path / "flow_math.o"
    words = [clang(), "-O2", "-g", "-target", "bpf", "-Wall", "-Werror", "-c"]
    done = subprocess.run(
        [*words, str(BPF_FOLDER / "flow_math.c"), "-o", str(output)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    symbols = output.read_bytes()
    for name in (b"flow_stabilization_unit", b"flow_metrics_map", b"flow_metrics6", b".BTF"):
        assert name in symbols


def test_plain_clang_compiles_the_fsu_for_tc_without_a_warning(tmp_path: Path) -> None:
    output = tmp_path / "flow_math_tc.o"
    words = [clang(), "-O2", "-g", "-target", "bpf", "-Wall", "-Werror", "-c"]
    done = subprocess.run(
        [*words, str(BPF_FOLDER / "flow_math_tc.c"), "-o", str(output)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    symbols = output.read_bytes()
    assert b"flow_stabilization_tc" in symbols
    # As a symbol of its own; lines of source in .BTF.ext may name it.
    assert b"\0flow_stabilization_unit\0" not in symbols


def test_the_test_clock_compiles_too(tmp_path: Path) -> None:
    words = [clang(), "-O2", "-g", "-target", "bpf", "-Wall", "-Werror", "-DSENTINEL_TEST_CLOCK"]
    done = subprocess.run(
        [*words, "-c", str(BPF_FOLDER / "flow_math.c"), "-o", str(tmp_path / "clock.o")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
