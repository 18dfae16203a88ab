"""The generated modules are those that the .proto files give."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROTOS = Path(__file__).resolve().parents[3] / "protos"


def _generated(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): path.read_text()
        for path in sorted(root.rglob("*_pb2*.py*"))
        if path.suffix in {".py", ".pyi"}
    }


def test_committed_modules_equal_what_the_generator_writes(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, str(PROTOS / "generate.py"), "--out", str(tmp_path)],
        check=True,
        capture_output=True,
    )
    fresh = _generated(tmp_path)
    assert len(fresh) >= 4
    assert _generated(PROTOS) == fresh
