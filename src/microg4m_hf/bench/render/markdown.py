"""Render a document as Markdown."""

from __future__ import annotations

from ...visible import visible
from .document import (
    BulletList,
    Cell,
    Collapsible,
    ContentBlock,
    Document,
    ExampleGrid,
    Figure,
    Paragraph,
    Table,
    Tiles,
)


def markdown_page(document: Document) -> str:
    """Return the report as Markdown; its figures are separate files."""
    parts = [f"# {_escape(document.title)}", *map(_escape, document.summary)]
    parts.append("\n".join(f"- {_escape(label)}: {_escape(text)}" for label, text in document.facts))
    for section in document.sections:
        parts += [f"## {_escape(section.title)}", *_markdown(section.blocks, 3)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _markdown(blocks: list[ContentBlock], level: int) -> list[str]:
    parts: list[str] = []
    for block in blocks:
        if isinstance(block, Table):
            parts += [f"**{_escape(block.caption)}**", markdown_table(block), _escape(block.note)]
        elif isinstance(block, Tiles):
            lines = ["; ".join([tile.text, *tile.details]) for tile in block.items]
            parts.append(
                "\n".join(
                    f"- {_escape(tile.title)}: {_escape(line)}" for tile, line in zip(block.items, lines, strict=True)
                )
            )
        elif isinstance(block, Figure):
            parts += [f"![{_escape(block.chart.title)}](figures/{block.name}.svg)", _escape(block.note)]
        elif isinstance(block, Paragraph):
            parts.append(_escape(block.text))
        elif isinstance(block, BulletList):
            parts.append("\n".join(f"- {_escape(item)}" for item in block.items))
        elif isinstance(block, Collapsible):
            parts += [f"{'#' * level} {_escape(block.title)}", *_markdown(block.blocks, level + 1)]
        elif isinstance(block, ExampleGrid) and block.items:
            lines = [f"{'#' * level} {_escape(block.caption)}"]
            for one in block.items:
                details = "; ".join(f"{_escape(label)}: {_escape(text)}" for label, text in one.lines)
                lines.append(f"- {_escape(one.title)}: {details}")
            parts += [lines[0], "\n".join(lines[1:])]
    return parts


def markdown_table(table: Table) -> str:
    """Return a table with its numbers to the right.

    >>> print(markdown_table(Table("t", "", ["a", "b"], [[Cell("x|y"), Cell("1.0", "0 to 2")]])))
    | a | b |
    | :-- | --: |
    | x\\|y | 1.0 (0 to 2) |
    """
    head = f"| {' | '.join(map(_escape, table.head))} |"
    line = (
        f"| {' | '.join(':--' if place in {0, *table.text_columns} else '--:' for place in range(len(table.head)))} |"
    )
    rows = [f"| {' | '.join(_markdown_cell(one) for one in row)} |" for row in table.rows]
    return "\n".join([head, line, *rows])


def _markdown_cell(one: Cell) -> str:
    text = f"**{_escape(one.text)}**" if one.strong and one.text else _escape(one.text)
    return f"{text} ({_escape(one.below)})" if one.below else text


def _escape(text: str) -> str:
    """Escape markup and table bars, on one line."""
    flat = " ".join(visible(text).split())
    for letter in "\\|`*<[":
        flat = flat.replace(letter, "&lt;" if letter == "<" else f"\\{letter}")
    return flat
