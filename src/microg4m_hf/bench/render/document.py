"""A report before it is written: sections of blocks that every form (page, Markdown, LaTeX, files) can show."""

from __future__ import annotations

from dataclasses import dataclass, field

from .drawing import Drawing


@dataclass(frozen=True)
class Cell:
    """A table cell: what it says, and smaller what belongs to it (an interval)."""

    text: str
    below: str = ""
    strong: bool = False


@dataclass
class Table:
    """``kinds`` has a word per row: "published", "other protocol" or ""."""

    name: str  # of its file
    caption: str
    head: list[str]
    rows: list[list[Cell]]
    kinds: list[str] = field(default_factory=list)
    words: tuple[int, ...] = ()  # columns beside the first that hold words, not numbers


@dataclass
class Figure:
    name: str
    drawing: Drawing


@dataclass
class Example:
    """One clip with what was said and what is true."""

    title: str
    lines: list[tuple[str, str]]  # (what, text)
    jpeg: bytes | None = None
    alt: str = ""


@dataclass
class Examples:
    caption: str
    items: list[Example]


@dataclass
class Paragraph:
    text: str


@dataclass
class Points:
    """A list of short remarks."""

    items: list[str]


@dataclass
class Fold:
    """Blocks that a reader opens; ``shown`` folds begin open."""

    title: str
    blocks: list[Block]
    shown: bool = False


Block = Table | Figure | Examples | Paragraph | Points | Fold


@dataclass
class Section:
    title: str
    blocks: list[Block]


@dataclass
class Document:
    title: str
    summary: list[str]
    sections: list[Section]

    def figures(self) -> list[Figure]:
        """All figures, also those in folds."""
        return [block for block in self._all() if isinstance(block, Figure)]

    def tables(self) -> list[Table]:
        """All tables, also those in folds."""
        return [block for block in self._all() if isinstance(block, Table)]

    def _all(self) -> list[Block]:
        found: list[Block] = []
        waiting: list[Block] = [block for section in self.sections for block in section.blocks]
        while waiting:
            block = waiting.pop(0)
            found.append(block)
            if isinstance(block, Fold):
                waiting = [*block.blocks, *waiting]
        return found
