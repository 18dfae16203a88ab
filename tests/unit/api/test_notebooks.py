"""The notebooks: stripped in git, and running to their end in clean kernels.

Their HTML and figures are looked at too: a notebook whose cells merely do not fail shows nothing.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[3]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FIGURE = "application/vnd.plotly.v1+json"
FIGURES = {
    "1-quick-start": 2,
    "2-does-distance-matter": 5,
    "3-prediction-and-the-fsu": 5,
    "4-designing-a-network": 1,
}
SHOWN = {
    "1-quick-start": "throughput-constant",
    "2-does-distance-matter": "throughput-constant",
    "3-prediction-and-the-fsu": "microsecond-sync",
    "4-designing-a-network": "simulated / predicted",
}
"""Words of a table that each notebook has."""
WITHOUT_A_RUN = ("3-prediction-and-the-fsu",)
"""Which look at a shipped result alone, and so show no progress."""


def runner() -> object:
    spec = importlib.util.spec_from_file_location("notebooks", ROOT / "scripts/notebooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_notebook_is_known_here() -> None:
    assert [path.stem for path in NOTEBOOKS] == sorted(FIGURES)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_outputs_are_in_git(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert all(not cell.outputs and cell.execution_count is None for cell in code)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.filterwarnings("default")  # of the kernel's own libraries
def test_it_runs_from_a_clean_kernel_and_shows_what_it_promises(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IPYTHONDIR", str(ROOT / "build" / "ipython"))
    notebook = runner().executed(path)  # type: ignore[attr-defined]
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", ())]
    complaints = [out.text for out in outputs if out.output_type == "stream"]
    drawn = [out for out in outputs if FIGURE in out.get("data", ())]
    shown = [out.data["text/html"] for out in outputs if "text/html" in out.get("data", ())]
    assert [text for text in complaints if "Error" in text or "Warning" in text] == []
    assert len(drawn) == FIGURES[path.stem]
    assert all(out.data[FIGURE]["data"] for out in drawn)
    assert any(SHOWN[path.stem] in html for html in shown)
    bars = [html for html in shown if "<progress" in html]
    assert bool(bars) == (path.stem not in WITHOUT_A_RUN)
    assert all("<summary>" in html and " done " in html for html in bars)
