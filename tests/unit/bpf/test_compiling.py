"""What a compiling child says comes back as what happened to it."""

from __future__ import annotations

import pytest

from sentinel_bpf import compiling, object_cache
from sentinel_bpf.compiled import CompiledObject, CompiledProgram, ProgramType
from sentinel_bpf.errors import BpfError, BpfUnavailableError
from sentinel_bpf.loader import FLOW_SOURCE, CompiledSource, Recipe

# Without type information: no kernel is needed.
COMPILED = CompiledObject({"p": CompiledProgram("p", ProgramType.XDP, bytes(8), ())}, {}, {})


def said_by_child(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], outcome: object
) -> str:
    """What a child prints whose compilation ends with `outcome`."""

    def compile_(self: Recipe) -> CompiledSource:
        if isinstance(outcome, CompiledObject):
            return CompiledSource(self.path, outcome)
        assert isinstance(outcome, BpfError)
        raise outcome

    monkeypatch.setattr(Recipe, "compile", compile_)
    compiling.main("wire")
    return capsys.readouterr().out


def test_a_compilation_comes_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = said_by_child(monkeypatch, capsys, COMPILED)
    assert compiling.answer("wire", text, 0) == COMPILED


@pytest.mark.parametrize(
    "error",
    [
        BpfError("wire.c: bcc could not compile it"),
        BpfUnavailableError("the Python module bcc is missing", cure="apt-get install it"),
    ],
)
def test_an_error_comes_back_with_its_class_and_its_cure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BpfError
) -> None:
    text = said_by_child(monkeypatch, capsys, error)
    with pytest.raises(BpfError) as caught:
        compiling.answer("wire", text, 0)
    assert (type(caught.value), str(caught.value)) == (type(error), str(error))
    assert caught.value.cure == error.cure


def test_a_child_that_died_is_an_error() -> None:
    with pytest.raises(BpfError, match="wire: the process that compiled it ended with -9"):
        compiling.answer("wire", "", -9)


def test_what_is_in_the_cache_starts_no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(name: str) -> None:
        raise AssertionError(name)

    monkeypatch.setattr(object_cache, "read", lambda key: COMPILED)
    monkeypatch.setattr(compiling, "start_compiler", never)
    compilation = compiling.Compilation("flow_math")
    assert compilation.source() is compilation.source()
    compilation.close()


def test_every_recipe_is_found_again_by_all_that_lies_beside_the_sources() -> None:
    """The cache's key covers the directory of the path; headers must not be missed."""
    for make in compiling.RECIPES.values():
        assert make().path.parent == FLOW_SOURCE.parent
