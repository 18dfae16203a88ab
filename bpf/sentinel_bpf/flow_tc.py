"""The FSU compiled for tc: flow_math_tc.c, with flow_math.c in place of its #include."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from sentinel_bpf.compiled import ProgramType
from sentinel_bpf.loader import FLOW_SOURCE, CompiledSource

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


def compile_flow_math_tc(cflags: Sequence[str] = ()) -> CompiledSource:
    """The FSU as tc program `flow_stabilization_tc`, with the same maps as the XDP program."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / FLOW_TC_SOURCE.name
        path.write_text(flow_tc_text(), encoding="ascii")
        return CompiledSource.compile(
            path,
            [f"-I{FLOW_SOURCE.parent}", *cflags],
            programs={TC_PROGRAM: ProgramType.TC},
        )
