"""Run the notebooks and store their outputs, so that GitHub and the site show them.

``python -m docs.scripts.notebooks [NAME…]`` runs all of them or those named, which takes some minutes. Outputs are
stored without what differs from run to run and tells nothing: bars, warnings, folders of this machine. Pictures
are scaled down.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat

from .links import PROJECT

FOLDER = PROJECT / "notebooks"
INSTALL = "%pip install"
WIDTH, COLORS = 800, 96
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


def run(path: Path) -> None:
    """Run a notebook in an empty folder and store it with its outputs."""
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    install = [cell for cell in notebook.cells if cell.source.startswith(INSTALL)]
    sources = [cell.source for cell in install]
    for cell in install:
        cell.source = ""  # what is installed here is what is documented
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(notebook, timeout=7200, kernel_name="python3", resources={"metadata": {"path": folder}})
        client.execute()
        hidden = {os.path.realpath(folder): ".", folder: ".", str(Path.home()): "~"}
    for cell, source in zip(install, sources, strict=True):
        cell.source = source
    store(notebook, path, hidden)


def store(notebook: Any, path: Path, hidden: dict[str, str]) -> None:
    """Write a notebook with clean outputs and a digest of its code."""
    number = 0
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            number += 1
            cell.execution_count = number
            cell.outputs = clean(cell.outputs, number, hidden)
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        "outputs_of": digest(notebook),
    }
    nbformat.validate(notebook)
    nbformat.write(notebook, path)


def digest(notebook: Any) -> str:
    """Return a digest of the code, which tells whether the stored outputs are those of this code."""
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.sha256("\0".join(code).encode()).hexdigest()[:16]


def clean(outputs: list[Any], number: int, hidden: dict[str, str]) -> list[Any]:
    """Return outputs without what tells nothing: streams of one kind together, small pictures, no folders of yours."""
    kept: list[Any] = []
    for output in outputs:
        if output.output_type == "stream":
            if output.name != "stdout":
                continue
            text = _text(output.text, hidden)
            if kept and kept[-1].output_type == "stream":
                kept[-1].text += text
            elif text.strip():
                kept.append(nbformat.v4.new_output("stream", name="stdout", text=text))
            continue
        data = {kind: output.data[kind] for kind in ("image/png", "text/plain") if kind in output.data}
        if "image/png" in data:
            data = {"image/png": _small(data["image/png"]), "text/plain": "<picture>"}
        elif re.match(r"\s*\d+%\||.*it/s\]", data.get("text/plain", "")):
            continue
        else:
            data = {kind: _text(text, hidden) for kind, text in data.items()}
        new = nbformat.v4.new_output(output.output_type, data=data)
        if output.output_type == "execute_result":
            new.execution_count = number
        kept.append(new)
    return kept


def _text(text: str, hidden: dict[str, str]) -> str:
    for folder, name in hidden.items():
        text = text.replace(folder, name)
    lines = [line.rpartition("\r")[2] for line in _ANSI.sub("", text).split("\n")]
    return "\n".join(lines)


def _small(png: str) -> str:
    from PIL import Image

    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    if picture.width > WIDTH:
        picture = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.quantize(COLORS, method=Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE).save(
        file, "PNG", optimize=True
    )
    return base64.b64encode(file.getvalue()).decode()


def main() -> None:
    names = sys.argv[1:]
    paths = [path for path in sorted(FOLDER.glob("*.ipynb")) if not names or path.stem in names]
    for path in paths:
        run(path)
        print(f"{path.relative_to(PROJECT)}: {path.stat().st_size / 1000:.0f} kB", flush=True)
    shutil.rmtree(FOLDER / ".ipynb_checkpoints", ignore_errors=True)


if __name__ == "__main__":
    main()
