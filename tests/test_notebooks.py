"""Every notebook runs from top to bottom, and the .ipynb beside its text holds the same cells."""

import shutil

import jupytext
import pytest
from nbclient import NotebookClient

from tests.helpers import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))
PAIRS = [path for path in NOTEBOOKS if path.with_suffix(".ipynb").exists()]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_to_its_end(path, tmp_path, monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    # A kernel of this environment, whatever kernels the user has named python3.
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
    # The story works beside a copy of the samples, so nothing it writes lands in the checkout.
    shutil.copytree(ROOT / "data_samples", tmp_path / "data_samples")
    work = tmp_path / "notebooks"
    work.mkdir()
    notebook = jupytext.read(path)
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": work}}
    )
    client.execute()  # raises CellExecutionError
    errors = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type == "error"
    ]
    assert errors == []
    assert any(cell.get("outputs") for cell in notebook.cells), "a story shows something"


@pytest.mark.parametrize("path", PAIRS, ids=lambda path: path.stem)
def test_text_and_notebook_hold_the_same_cells(path):
    def cells(source):
        return [(cell.cell_type, cell.source.strip()) for cell in jupytext.read(source).cells]

    assert cells(path) == cells(path.with_suffix(".ipynb"))
