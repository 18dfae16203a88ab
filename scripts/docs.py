"""Build the documentation: docs/ and the notebooks, as a site in build/site.

`python scripts/docs.py [--stripped]`: notebooks are executed from a clean kernel each, so that
their figures are in the site; with --stripped they stand there without outputs (a check of
everything else, in a few seconds). Exits with 1 for any warning.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FETCHED_SCRIPT = re.compile(r'<script src=\\"https://[^>]*></script>')
"""In a notebook's JSON: plotly would fetch MathJax, which no figure of ours needs."""


def assemble(into: Path) -> Path:
    """A fresh copy of docs/ there, with a place for the notebooks; gives that place."""
    shutil.rmtree(into, ignore_errors=True)
    shutil.copytree(ROOT / "docs", into)
    notebooks = into / "notebooks"
    notebooks.mkdir()
    return notebooks


def execute(notebooks: Path) -> int:
    """Executed copies of all notebooks. Their figures carry plotly.js with them: no network."""
    command = (sys.executable, str(ROOT / "scripts/notebooks.py"), "--out", str(notebooks))
    status = subprocess.run(command, env={**os.environ, "PLOTLY_RENDERER": "notebook"}).returncode
    for path in notebooks.glob("*.ipynb"):
        path.write_text(FETCHED_SCRIPT.sub("", path.read_text()))
    return status


def main() -> int:
    """Assemble, execute, build."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stripped", action="store_true", help="notebooks without outputs")
    arguments = parser.parse_args()
    notebooks = assemble(ROOT / "build" / "docs")
    if arguments.stripped:
        for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
            shutil.copy(path, notebooks)
    elif execute(notebooks):
        return 1
    command = (sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet")
    # mkdocs-material would advertise its successor, in which the plugins for notebooks do not run.
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    status = subprocess.run(command, cwd=ROOT, env=environment).returncode
    if status == 0:
        sys.stdout.write(f"{ROOT / 'build/site/index.html'}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
