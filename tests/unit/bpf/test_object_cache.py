"""A compiled source comes back as it was written, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel_bpf import object_cache
from sentinel_bpf.compiled import CompiledObject, CompiledProgram, ProgramType

names = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=12)
programs = st.builds(
    CompiledProgram,
    names,
    st.sampled_from(ProgramType),
    st.binary(max_size=64),
    st.lists(st.tuples(st.integers(0, 5000), names), max_size=3).map(tuple),
)
objects = st.builds(
    CompiledObject,
    st.lists(programs, max_size=3).map(lambda found: {one.name: one for one in found}),
    st.dictionaries(names, st.binary(max_size=64), max_size=3),
    st.dictionaries(st.integers(1, 2**31), st.binary(max_size=64), max_size=2),
)
PROGRAM = CompiledProgram("p", ProgramType.XDP, bytes(16), ((0, "m"),))
SMALL = CompiledObject({"p": PROGRAM}, {"m": b"shape"}, {7: b"types"})


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SENTINEL_CACHE_DIR", str(tmp_path))
    return tmp_path / "bpf"


@given(objects)
def test_an_object_survives_its_text(compiled: CompiledObject) -> None:
    assert CompiledObject.from_json(compiled.to_json()) == compiled


def test_what_was_written_is_read_until_the_switch_is_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert object_cache.read("key") is None
    object_cache.write("key", SMALL)
    assert object_cache.read("key") == SMALL
    monkeypatch.setenv(object_cache.SWITCH_VARIABLE, "off")
    assert object_cache.read("key") is None


@pytest.mark.parametrize("text", ["", "{}", "null", '{"programs": [[]]}', SMALL.to_json()[:-40]])
def test_a_damaged_file_is_as_none(cache: Path, text: str) -> None:
    object_cache.write("key", SMALL)
    (cache / "key").write_text(text)
    assert object_cache.read("key") is None


def test_what_others_could_have_written_is_not_trusted(cache: Path) -> None:
    object_cache.write("key", SMALL)
    assert (cache / "key").stat().st_mode & 0o777 == 0o600
    (cache / "key").chmod(0o620)
    assert object_cache.read("key") is None


def test_only_the_newest_are_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_cache, "KEPT_FILES", 3)
    for number in range(5):
        object_cache.write(f"key{number}", SMALL)
    assert len(list(cache.iterdir())) == 3
    assert object_cache.read("key4") == SMALL


def test_the_key_follows_all_that_the_result_depends_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, header = tmp_path / "a.c", tmp_path / "a.h"
    source.write_text("int x;")
    header.write_text("int y;")
    wanted = {"p": ProgramType.XDP}
    keys = [object_cache.key_of(source, (), wanted), object_cache.key_of(source, (), wanted)]
    assert keys[0] == keys[1]
    keys[1:] = [
        object_cache.key_of(source, ("-DX",), wanted),
        object_cache.key_of(source, (), {"p": ProgramType.TC}),
    ]
    header.write_text("int z;")
    keys.append(object_cache.key_of(source, (), wanted))
    monkeypatch.setenv("BCC_KERNEL_SOURCE", "/elsewhere")
    keys.append(object_cache.key_of(source, (), wanted))
    assert len(set(keys)) == len(keys)
