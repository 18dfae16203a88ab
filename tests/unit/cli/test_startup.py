"""`--help` and `--version` answer at once: nothing heavy is imported for them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sentinel_sim.cli.run_options import ARMS
from sentinel_sim.plan.model import Arm

HEAVY = ("numpy", "scipy", "pandas", "plotly", "networkx", "grpc", "numba", "jinja2")
"""Not pydantic: typer itself takes it to read a verb's words."""
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


def test_the_arms_in_the_help_are_those_that_there_are() -> None:
    assert ", ".join(Arm) == ARMS
