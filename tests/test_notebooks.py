"""Every notebook runs on the sample, and is stored without outputs."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def _only_the_upright_network_has_a_gap(folder: Path) -> None:
    """Notebook 05: the network trained on upright people relies on the orientation, the other does not."""
    upright, turned = (
        json.loads((folder / "gap" / kind / "report.json").read_text()) for kind in ("upright", "turned")
    )
    assert upright["turns"][0]["map"] > 0.8
    assert turned["turns"][0]["map"] > 0.8
    assert upright["gap"]["difference"] > 0.15 and upright["gap"]["interval"][0] > 0 and upright["gap"]["p"] < 0.05
    low, high = turned["gap"]["interval"]
    assert abs(turned["gap"]["difference"]) < 0.05 and low < 0 < high and turned["gap"]["p"] > 0.05


RESULTS = {"05_the_gap": _only_the_upright_network_has_a_gap}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs(path: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    (tmp_path / "metrics").symlink_to(FOLDER.parent / "metrics")
    (tmp_path / "recipes").symlink_to(FOLDER.parent / "recipes")
    NotebookClient(notebook, timeout=1200, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    if path.stem in RESULTS:
        RESULTS[path.stem](tmp_path)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_without_outputs(path: Path) -> None:
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in cells)
