"""Every notebook is stored with the outputs of its code; ``test_wheel.py`` runs them and compares their outputs."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import nbformat
import pytest
from PIL import Image

from docs.scripts.notebooks import INSTALL, WIDTH, clean, digest
from docs.scripts.tutorials import NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_with_the_outputs_of_its_code(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    assert notebook.metadata.outputs_of == digest(notebook), "run python -m docs.scripts.notebooks"
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert sum(bool(cell.outputs) for cell in cells) >= 4
    assert all(output.output_type != "error" for cell in cells for output in cell.outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_begins_with_what_it_is_and_how_to_install_it(path: Path) -> None:
    title, install, *_ = nbformat.read(path, as_version=4).cells
    assert title.cell_type == "markdown" and title.source.startswith("# ")
    assert install.cell_type == "code" and install.source.startswith(f"{INSTALL} -q 'microg4m-hf")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_small_and_show_nothing_of_this_machine(path: Path) -> None:
    assert path.stat().st_size < 250_000
    text = path.read_text(encoding="utf-8")
    assert str(Path.home()) + "/" not in text and "/tmp/" not in text
    for cell in nbformat.read(path, as_version=4).cells:
        for output in cell.get("outputs", []):
            png = output.get("data", {}).get("image/png")
            assert png is None or Image.open(io.BytesIO(base64.b64decode(png))).width <= WIDTH


def test_volatile_outputs_are_left_out() -> None:
    picture = io.BytesIO()
    Image.new("RGB", (1600, 100)).save(picture, "PNG")
    outputs = [
        nbformat.v4.new_output("stream", name="stderr", text="UserWarning: …"),
        nbformat.v4.new_output("stream", name="stdout", text="10%\r100%\rdone in /home/me/x\n"),
        nbformat.v4.new_output("stream", name="stdout", text="\x1b[31mred\x1b[0m\n"),
        nbformat.v4.new_output("display_data", data={"text/plain": " 50%|█████     | 1/2 [00:01<00:01, 1.0it/s]"}),
        nbformat.v4.new_output("display_data", data={"image/png": base64.b64encode(picture.getvalue()).decode()}),
    ]
    stream, image = clean(outputs, 3, {"/home/me": "~"})
    assert stream.text == "done in ~/x\nred\n"
    assert Image.open(io.BytesIO(base64.b64decode(image.data["image/png"]))).size == (WIDTH, 50)
