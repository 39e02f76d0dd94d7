"""Documents, charts and their output formats: ``write_document`` writes HTML, Markdown, LaTeX, JSON, SVG and PDF."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .document import Document


def write_document(
    document: Document,
    data: Any,
    out: Path,
    *,
    png: bool = False,
    figures: bool = False,
    more: Mapping[str, str] | None = None,
) -> Path:
    """Write ``report.html``, ``report.md``, ``report.json``, ``figures/``, ``tables/`` and the texts of ``more``.

    The folder appears only when it is complete. An earlier report in it is replaced.

    Args:
        document: What to write.
        data: The content of ``report.json``.
        out: The folder.
        png: Write every figure as PNG as well; needs matplotlib.
        figures: Write every figure for papers, as PDF and SVG in two widths, into ``paper/``; needs matplotlib.
        more: Other files, by name.

    Returns:
        The path of the page.

    Raises:
        RecipeError: If the folder has other content than a report.
    """
    import json

    from ...errors import RecipeError
    from ...metrics.results import json_ready
    from ...storage import atomic_folder, write_atomic
    from .html import html_page
    from .latex import latex_table
    from .markdown import markdown_page
    from .svg import draw_svg

    if out.exists() and (not out.is_dir() or any(out.iterdir())) and not (out / "report.json").is_file():
        raise RecipeError(f"{out} is not empty and contains no report; choose another folder with --out")
    with atomic_folder(out, replace=True) as scratch:
        write_atomic(scratch / "report.html", html_page(document))
        write_atomic(scratch / "report.md", markdown_page(document))
        write_atomic(scratch / "report.json", json.dumps(json_ready(data), indent=1, ensure_ascii=False) + "\n")
        for name, text in (more or {}).items():
            write_atomic(scratch / name, text)
        for figure in document.figures():
            write_atomic(scratch / "figures" / f"{figure.name}.svg", draw_svg(figure.chart, "chart-"))
        for table in (table for table in document.tables() if table.in_paper):
            write_atomic(scratch / "tables" / f"{table.name}.tex", latex_table(table) + "\n")
        if png or figures:
            from .paper import write_figures

            write_figures(document.figures(), scratch, png=png, paper=figures)
    return out / "report.html"
