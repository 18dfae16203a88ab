"""Run the notebooks from a clean kernel each, and write executed copies.

`python scripts/notebooks.py [--out FOLDER] [NAME ...]`: executed copies go to build/notebooks/ or
FOLDER, the notebooks themselves stay stripped of outputs. Exits 1 with the cell and its error where
one fails.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "notebooks"
CELL_LIMIT_S = 240
"""The first run on a machine compiles the simulator."""


def executed(path: Path) -> nbformat.NotebookNode:
    """The notebook with its outputs. Raises CellExecutionError."""
    notebook = nbformat.read(path, as_version=4)
    # In this interpreter, whatever kernels the user has installed.
    client = NotebookClient(
        notebook, timeout=CELL_LIMIT_S, resources={"metadata": {"path": str(FOLDER)}}
    )
    client.create_kernel_manager()
    client.km.kernel_spec.argv[0] = sys.executable
    client.execute()
    return notebook


def main() -> int:
    """Run those named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", type=Path, help="notebooks; else all")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "notebooks", metavar="FOLDER")
    arguments = parser.parse_args()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    for path in arguments.names or sorted(FOLDER.glob("*.ipynb")):
        began_s = time.monotonic()
        try:
            notebook = executed(path)
        except CellExecutionError as error:
            sys.stderr.write(f"{path.name}: {error}\n")
            return 1
        nbformat.write(notebook, out / path.name)
        took_s = time.monotonic() - began_s
        sys.stdout.write(f"{path.name}: {took_s:.1f} s, {out / path.name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
