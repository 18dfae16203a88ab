"""The FSU compiled for tc: flow_math_tc.c, with flow_math.c in place of its #include."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sentinel_bpf.compiled import ProgramType
from sentinel_bpf.loader import FLOW_SOURCE, CompiledSource, Recipe

FLOW_TC_SOURCE = Path(__file__).with_name("flow_math_tc.c")
TC_PROGRAM = "flow_stabilization_tc"

_INCLUDE = '#include "flow_math.c"'


def flow_tc_text() -> str:
    """flow_math_tc.c with flow_math.c in place of its #include; lines keep their numbers."""
    outer = FLOW_TC_SOURCE.read_text(encoding="ascii")
    before, found, after = outer.partition(_INCLUDE)
    if not found:
        raise ValueError(f"{FLOW_TC_SOURCE} does not say {_INCLUDE}")
    line = before.count("\n") + 1
    inner = FLOW_SOURCE.read_text(encoding="ascii")
    return (
        f'{before}#line 1 "flow_math.c"\n{inner}\n#line {line + 1} "{FLOW_TC_SOURCE.name}"{after}'
    )


def flow_math_tc_recipe(cflags: Sequence[str] = ()) -> Recipe:
    """The FSU as tc program `flow_stabilization_tc`, with the same maps as the XDP program."""
    programs = {TC_PROGRAM: ProgramType.TC}
    return Recipe(FLOW_TC_SOURCE, programs, tuple(cflags), flow_tc_text())


def compile_flow_math_tc(cflags: Sequence[str] = ()) -> CompiledSource:
    """The FSU for tc, compiled; see `flow_math_tc_recipe`."""
    return flow_math_tc_recipe(cflags).compile()
