"""The content of a report: sections of blocks that every output format (HTML, Markdown, LaTeX, files) can show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .drawing import Drawing


@dataclass(frozen=True)
class Cell:
    """A table cell: its text, and below it in small print what belongs to it, such as an interval."""

    text: str
    below: str = ""
    strong: bool = False


@dataclass
class Table:
    """A table; ``name`` is also the name of its file."""

    name: str
    caption: str
    head: list[str]
    rows: list[list[Cell]]
    row_kinds: list[str] = field(default_factory=list)  # "published", "own", "other protocol", "baseline" or ""
    text_columns: tuple[int, ...] = ()  # columns that hold words instead of numbers, besides the first


@dataclass
class Figure:
    """A drawing; ``name`` is also the name of its file."""

    name: str
    drawing: Drawing


@dataclass
class ClipExample:
    """A clip with its predictions and references, as ``(label, text)`` lines."""

    title: str
    lines: list[tuple[str, str]]
    jpeg: bytes | None = None
    alt: str = ""


@dataclass
class ExampleGrid:
    """Examples side by side under one caption."""

    caption: str
    items: list[ClipExample]


@dataclass
class Paragraph:
    """Plain text."""

    text: str


@dataclass
class BulletList:
    """A list of short remarks."""

    items: list[str]


@dataclass
class Collapsible:
    """Blocks under a title that a reader clicks to open."""

    title: str
    blocks: list[ContentBlock]
    is_open: bool = False


ContentBlock = Table | Figure | ExampleGrid | Paragraph | BulletList | Collapsible


@dataclass
class Section:
    """A heading with its blocks."""

    title: str
    blocks: list[ContentBlock]


@dataclass
class Document:
    """A whole report."""

    title: str
    summary: list[str]
    sections: list[Section]

    def figures(self) -> list[Figure]:
        """Return all figures, including those in collapsible blocks."""
        return [block for section in self.sections for block in _walk(section.blocks) if isinstance(block, Figure)]

    def tables(self) -> list[Table]:
        """Return all tables, including those in collapsible blocks."""
        return [block for section in self.sections for block in _walk(section.blocks) if isinstance(block, Table)]


def _walk(blocks: Iterable[ContentBlock]) -> Iterator[ContentBlock]:
    for block in blocks:
        yield block
        if isinstance(block, Collapsible):
            yield from _walk(block.blocks)
