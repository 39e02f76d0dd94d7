"""Render a document as one HTML page that runs no script, requests nothing, and suits phones and screen readers."""

from __future__ import annotations

import base64
from itertools import groupby
from pathlib import Path

from ...visible import escape_html as escape
from .document import (
    BulletList,
    ClipExample,
    Collapsible,
    ContentBlock,
    Document,
    ExampleGrid,
    Figure,
    Paragraph,
    Section,
    Table,
)
from .formatting import unique_slugs


def html_page(document: Document) -> str:
    """Return the page as text."""
    names = unique_slugs(one.title for one in document.sections)
    sections = "".join(map(_section, document.sections, names))
    titles = zip(names, (escape(one.title) for one in document.sections), strict=True)
    links = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title in titles)
    style = (Path(__file__).parent / "report.css").read_text(encoding="utf-8")
    summary = "".join(f"<p>{escape(line)}</p>" for line in document.summary)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        # An inline icon keeps browsers from requesting /favicon.ico.
        '<link rel="icon" href="data:,">'
        f"<title>{escape(document.title)}</title><style>{style}</style></head><body>"
        '<a class="skip" href="#main">Skip to the results</a>'
        f'<header><h1>{escape(document.title)}</h1>{summary}<nav aria-label="Sections"><ul>{links}</ul></nav></header>'
        f'<main id="main">{sections}</main></body></html>\n'
    )


def _section(section: Section, name: str) -> str:
    head = f'<h2 id="{name}">{escape(section.title)}</h2>'
    return f'<section aria-labelledby="{name}">{head}{_blocks(section.blocks)}</section>'


def _blocks(blocks: list[ContentBlock]) -> str:
    """Stack blocks, with neighboring figures side by side where there is room."""
    parts: list[str] = []
    for is_figure, group in groupby(blocks, key=lambda block: isinstance(block, Figure)):
        content = "".join(map(_block, group))
        parts.append(f'<div class="figures">{content}</div>' if is_figure else content)
    return "".join(parts)


def _block(block: ContentBlock) -> str:
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, ExampleGrid):
        items = "".join(map(_example, block.items))
        return f'<h3>{escape(block.caption)}</h3><div class="examples">{items}</div>' if items else ""
    if isinstance(block, Paragraph):
        return f"<p>{escape(block.text)}</p>"
    if isinstance(block, BulletList):
        return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in block.items)}</ul>"
    if isinstance(block, Collapsible):
        is_open = " open" if block.is_open else ""
        return f"<details{is_open}><summary>{escape(block.title)}</summary>{_blocks(block.blocks)}</details>"
    caption = f"<figcaption>{escape(block.drawing.title)}</figcaption>"
    return f"<figure>{caption}{block.drawing.svg(block.name + '-')}</figure>"


def _table(table: Table) -> str:
    kind_of = [' class="words"' if column in table.text_columns else "" for column in range(len(table.head))]
    head = "".join(f'<th scope="col"{kind}>{escape(name)}</th>' for name, kind in zip(table.head, kind_of, strict=True))
    rows = []
    for place, row in enumerate(table.rows):
        kind = table.row_kinds[place].replace(" ", "-") if place < len(table.row_kinds) else ""
        cells = []
        for column, one in enumerate(row):
            text = f"<strong>{escape(one.text)}</strong>" if one.strong else escape(one.text)
            below = f' <span class="small">{escape(one.below)}</span>' if one.below else ""
            tag, scope = ("th", ' scope="row"') if column == 0 else ("td", "")
            cells.append(f"<{tag}{scope}{kind_of[column]}>{text}{below}</{tag}>")
        rows.append(f"<tr{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>{''.join(cells)}</tr>")
    name = f"table-{table.name}"
    return (
        f'<p class="caption" id="{name}">{escape(table.caption)}</p>'
        f'<div class="scroll" tabindex="0" role="region" aria-labelledby="{name}"><table aria-labelledby="{name}">'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _example(example: ClipExample) -> str:
    image = ""
    if example.jpeg is not None:
        data = base64.b64encode(example.jpeg).decode()
        image = f'<img src="data:image/jpeg;base64,{data}" alt="{escape(example.alt)}" loading="lazy">'
    lines = "".join(f"<dt>{escape(label)}</dt><dd>{escape(text)}</dd>" for label, text in example.lines)
    return f'<article class="example">{image}<h4>{escape(example.title)}</h4><dl>{lines}</dl></article>'
