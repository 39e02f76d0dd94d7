"""The tutorials: the notebooks with their stored outputs as pages, with a link that opens them in Colab."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import nbformat

from .links import PROJECT, repository

NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def pages() -> dict[str, str]:
    """Return page -> Markdown."""
    found, rows = {}, []
    for path in NOTEBOOKS:
        text = _page(path)
        found[f"tutorials/{path.stem}.md"] = text
        title = re.search(r"^# (.*)$", text, re.M)
        assert title, f"{path} has no title"
        rows.append(f"| [{title[1]}]({path.stem}.md) | [open in Colab]({colab(path)}) |")
    found["tutorials/index.md"] = (
        "# Tutorials\n\nEach tutorial is a notebook that runs on the built-in sample, without a GPU. Its outputs are "
        "those of a real run.\n\n| tutorial | try it |\n| --- | --- |\n" + "\n".join(rows) + "\n"
    )
    return found


def pictures() -> dict[str, bytes]:
    """Return file -> PNG of the pictures that the notebooks show."""
    found = {}
    for path in NOTEBOOKS:
        for number, cell in enumerate(nbformat.read(path, as_version=4).cells):
            for place, output in enumerate(cell.get("outputs", [])):
                png = output.get("data", {}).get("image/png")
                if png:
                    found[f"tutorials/{path.stem}_{number}_{place}.png"] = base64.b64decode(png)
    return found


def colab(path: Path) -> str:
    """Return the address that opens a notebook of the repository in Colab."""
    name = repository().removeprefix("https://github.com/")
    return f"https://colab.research.google.com/github/{name}/blob/main/notebooks/{path.name}"


def _page(path: Path) -> str:
    parts = []
    for number, cell in enumerate(nbformat.read(path, as_version=4).cells):
        if cell.cell_type == "markdown":
            parts.append(cell.source)
        else:
            parts.append(f"```python\n{cell.source}\n```")
            parts += [_output(one, f"{path.stem}_{number}_{place}.png") for place, one in enumerate(cell.outputs)]
        if number == 0:
            file = f"{repository()}/blob/main/notebooks/{path.name}"
            parts.append(f"[Open in Colab]({colab(path)}){{ .md-button }} [Notebook]({file}){{ .md-button }}")
    return "\n\n".join(part for part in parts if part) + "\n"


def _output(output: Any, picture: str) -> str:
    data = output.get("data", {})
    if "image/png" in data:
        return f"![Output of the cell above]({picture})"
    text = ANSI.sub("", output.get("text") or data.get("text/plain") or "").rstrip()
    fence = max(re.findall(r"`{3,}", text), key=len, default="``")  # text that holds fences needs a longer one
    return f"{fence}`text\n{text}\n{fence}`" if text else ""
