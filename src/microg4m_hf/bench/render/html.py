"""Render a document as one HTML page from the templates in ``page``: no request, readable without its small script."""

from __future__ import annotations

import base64
import functools
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...visible import escape_html, visible
from .document import ContentBlock, Document, Figure, Table
from .formatting import unique_slugs
from .svg import draw_svg

if TYPE_CHECKING:
    import jinja2


def html_page(document: Document) -> str:
    """Return the page as text."""
    names = unique_slugs(one.title for one in document.sections)
    return (
        _templates()
        .get_template("report.html")
        .render(
            document=document,
            sections=list(zip(names, document.sections, strict=True)),
            style=_page_file("report.css"),
            script=_page_file("report.js"),
        )
    )


@functools.cache
def _templates() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_without_controls,
    )
    environment.globals |= {
        "grouped": _grouped,
        "drawing": _drawing,
        "picture": _picture,
        "is_plain": _is_plain,
        "breakable": _breakable,
    }
    environment.tests |= {"kind": lambda block, name: type(block).__name__ == name}
    return environment


def _without_controls(value: Any) -> Any:
    """Show control characters of names as escapes; ``Markup``, a subclass, is escaped already."""
    return visible(value) if type(value) is str else value


def _page_file(name: str) -> str:
    return (Path(__file__).parent / "page" / name).read_text(encoding="utf-8")


def _grouped(blocks: list[ContentBlock]) -> Iterator[tuple[bool, list[ContentBlock]]]:
    """Yield blocks together with whether they are figures or matrices, which stand side by side where there is room."""
    for is_figure, group in groupby(blocks, key=lambda block: isinstance(block, Figure) or _is_matrix(block)):
        yield is_figure, list(group)


def _is_matrix(block: ContentBlock) -> bool:
    return isinstance(block, Table) and block.is_matrix


def _drawing(figure: Figure) -> str:
    return draw_svg(figure.chart, f"{figure.name}-", alone=False)


def _is_plain(name: str) -> bool:
    """Whether the head of a column has short words only, which are not broken to make the column narrower."""
    return max(map(len, name.split()), default=0) <= 10


def _breakable(name: str) -> str:
    """Return an escaped name that breaks behind underscores before it breaks inside words."""
    return "_<wbr>".join(map(escape_html, name.split("_")))


def _picture(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
