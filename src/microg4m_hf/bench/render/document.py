"""The content of a report: sections of blocks that every output format (HTML, Markdown, LaTeX, files) can show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from .charts import Chart


@dataclass(frozen=True)
class Cell:
    """A table cell: its text, and below it in small print what belongs to it, such as an interval.

    ``hint`` is shown on hover, where the text itself has no room for it.
    """

    text: str
    below: str = ""
    strong: bool = False
    hint: str = field(default="", repr=False)


@dataclass
class Table:
    """A table; ``name`` is also the name of its file."""

    name: str
    caption: str
    head: list[str]
    rows: list[list[Cell]]
    row_kinds: list[str] = field(default_factory=list)  # "published", "own", "other protocol", "baseline" or ""
    text_columns: tuple[int, ...] = ()  # columns that hold words instead of numbers, besides the first
    row_runs: list[str] = field(default_factory=list)  # the run that a row is about, "" for none
    row_actions: list[int] = field(default_factory=list)  # the action that a row is about
    row_links: list[str] = field(default_factory=list)  # where to look closer, "" for nowhere
    sortable: bool = False  # whether a click on a column sorts the rows
    short_head: list[str] = field(default_factory=list)  # for papers, where the columns are narrow
    is_matrix: bool = False  # columns are as wide as their cells, with upright names above them
    note: str = ""  # below the table
    paper_note: str = ""  # the same in a paper, where heads are short
    page_columns: tuple[int, ...] = ()  # columns for the page only, which a table of a paper leaves out
    in_paper: bool = True  # whether it is written for LaTeX
    best_columns: tuple[int, ...] = ()  # columns whose highest value is bold in a paper

    def kind(self, place: int) -> str:
        """Return the kind of a row."""
        return self.row_kinds[place] if place < len(self.row_kinds) else ""


@dataclass
class Figure:
    """A chart; ``name`` is also the name of its file."""

    name: str
    chart: Chart
    note: str = ""  # below the chart


@dataclass(frozen=True)
class Tile:
    """A finding of the first screen: what it is about, the finding itself, and what supports it."""

    title: str
    text: str
    details: Sequence[str] = ()
    is_warning: bool = False


@dataclass
class Tiles:
    """The findings of a section, side by side."""

    items: list[Tile]


@dataclass
class ClipExample:
    """A clip with its predictions and references, as ``(label, text)`` lines."""

    title: str
    lines: list[tuple[str, str]]
    jpeg: bytes | None = None
    alt: str = ""
    link: str = ""  # where to look closer
    clip: str = ""


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
    run: str = ""  # the run that the blocks are about


ContentBlock = Tiles | Table | Figure | ExampleGrid | Paragraph | BulletList | Collapsible


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
    facts: list[tuple[str, str]] = field(default_factory=list)  # date, command and such, below the summary

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
