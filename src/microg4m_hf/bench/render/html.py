"""Render a document as one HTML page that runs no script, requests nothing, and suits phones and screen readers."""

from __future__ import annotations

import base64
from html import escape
from itertools import groupby

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
from .formatting import slug

_STYLE = """
:root{color-scheme:light;--ink:#1b1f24;--quiet:#57606a;--line:#d5dbe1;--soft:#f3f6f9;--blue:#0b5fa5}
*{box-sizing:border-box}html{scroll-padding-top:1rem}
body{margin:0 auto;padding:1rem;max-width:72rem;font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:#fff}
h1{font-size:1.7rem;line-height:1.2;margin:.5rem 0}h2{font-size:1.35rem;margin:2.5rem 0 .5rem;padding-top:.75rem;
border-top:2px solid var(--ink)}h3{font-size:1.05rem;margin:1.5rem 0 .5rem}
a{color:var(--blue)}a:focus-visible,summary:focus-visible,.scroll:focus-visible{outline:3px solid var(--blue);
outline-offset:2px}.skip{position:absolute;left:-99rem}.skip:focus{left:1rem;background:#fff;padding:.5rem}
nav ul{display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;list-style:none;padding:0;margin:.5rem 0}
nav a{display:inline-block;padding:.35rem 0}
p{overflow-wrap:anywhere}.scroll{overflow-x:auto;margin:0 0 1rem}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
.caption{font-weight:600;font-size:.9rem;margin:1.25rem 0 .25rem}
th,td{padding:.35rem .6rem;text-align:right;vertical-align:top;border-bottom:1px solid var(--line);white-space:nowrap}
thead th{border-bottom:2px solid var(--ink);background:#fff}
tbody th{text-align:left;font-weight:400;position:sticky;left:0;background:#fff;max-width:15rem;white-space:normal;
overflow-wrap:anywhere;min-width:8rem}thead th:first-child{text-align:left;position:sticky;left:0}
tr.published,tr.published th{color:var(--quiet)}tr.own,tr.own th{background:#e8f1fa}
tr.other-protocol,tr.other-protocol th{background:#fff4e0}
.small{display:block;font-size:.78rem;color:#4a525a;font-weight:400}td.words .small{white-space:normal;
min-width:9rem}th.words,td.words{text-align:left}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr));gap:1rem;align-items:start}
figure{margin:1rem 0;max-width:34rem}figure svg{width:100%;height:auto;display:block}figcaption{font-weight:600;
font-size:.9rem;margin-bottom:.25rem}
details{border:1px solid var(--line);border-radius:.4rem;margin:.75rem 0;padding:0 .9rem}
summary{cursor:pointer;font-weight:600;padding:.7rem 0}
.examples{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,17rem),1fr));gap:1rem}
.example{border:1px solid var(--line);border-radius:.4rem;padding:.7rem;background:var(--soft)}
.example img{width:100%;height:auto;border-radius:.25rem}.example h4{margin:.4rem 0;font-size:.9rem;
overflow-wrap:anywhere}dl{margin:0;font-size:.87rem}dt{color:#4a525a;font-size:.78rem}dd{margin:0 0 .3rem;
overflow-wrap:anywhere}li{overflow-wrap:anywhere}
@media(max-width:30rem){body{padding:.6rem}details{padding:0 .35rem}th,td{padding:.35rem .4rem}}
@media print{details{break-inside:avoid}nav{display:none}}
"""


def html_page(document: Document) -> str:
    """Return the page as text."""
    sections = "".join(map(_section, document.sections))
    links = "".join(f'<li><a href="#{slug(one.title)}">{escape(one.title)}</a></li>' for one in document.sections)
    summary = "".join(f"<p>{escape(line)}</p>" for line in document.summary)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        # An inline icon keeps browsers from requesting /favicon.ico.
        '<link rel="icon" href="data:,">'
        f"<title>{escape(document.title)}</title><style>{_STYLE}</style></head><body>"
        '<a class="skip" href="#main">Skip to the results</a>'
        f'<header><h1>{escape(document.title)}</h1>{summary}<nav aria-label="Sections"><ul>{links}</ul></nav></header>'
        f'<main id="main">{sections}</main></body></html>\n'
    )


def _section(section: Section) -> str:
    name = slug(section.title)
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
