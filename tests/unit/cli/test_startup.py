"""`--help` and `--version` answer at once: nothing heavy is imported for them."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("numpy", "scipy", "pandas", "plotly", "networkx", "pydantic", "grpc", "numba", "jinja2")
PROGRAM = """
import sys
from sentinel_sim.cli.main import main
sys.argv[1:] = {arguments!r}
try:
    main()
except SystemExit:
    pass
print(*sorted(set(sys.modules) & set({heavy!r})), file=sys.stderr)
"""


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["run", "--help"]])
def test_words_alone_import_nothing_heavy(words: list[str]) -> None:
    program = PROGRAM.format(arguments=words, heavy=HEAVY)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert "sentinel-sim" in done.stdout
    assert done.stderr.split() == []
