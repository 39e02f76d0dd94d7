"""A report as Markdown, and its tables as LaTeX for papers."""

from __future__ import annotations

from .document import Block, Cell, Document, Examples, Figure, Fold, Paragraph, Points, Table

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "×": r"$\times$", "−": "$-$", "–": "--", "·": r"$\cdot$",
    "“": "``", "”": "''", "→": r"$\rightarrow$", "@": "@", "…": r"\ldots{}",
}  # fmt: skip


def markdown_page(document: Document) -> str:
    """The report as Markdown; figures are the files beside it."""
    parts = [f"# {document.title}", *document.summary]
    for section in document.sections:
        parts += [f"## {section.title}", *_markdown(section.blocks, 3)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _markdown(blocks: list[Block], level: int) -> list[str]:
    parts: list[str] = []
    for block in blocks:
        if isinstance(block, Table):
            parts += [f"**{_quiet(block.caption)}**", markdown_table(block)]
        elif isinstance(block, Figure):
            parts.append(f"![{_quiet(block.drawing.title)}](figures/{block.name}.svg)")
        elif isinstance(block, Paragraph):
            parts.append(_quiet(block.text))
        elif isinstance(block, Points):
            parts.append("\n".join(f"- {_quiet(item)}" for item in block.items))
        elif isinstance(block, Fold):
            parts += [f"{'#' * level} {_quiet(block.title)}", *_markdown(block.blocks, level + 1)]
        elif isinstance(block, Examples) and block.items:
            lines = [f"{'#' * level} {_quiet(block.caption)}"]
            for one in block.items:
                said = "; ".join(f"{what}: {_quiet(text)}" for what, text in one.lines)
                lines.append(f"- `{one.title}` {said}")
            parts += [lines[0], "\n".join(lines[1:])]
    return parts


def markdown_table(table: Table) -> str:
    """A table with its numbers to the right.

    >>> print(markdown_table(Table("t", "", ["a", "b"], [[Cell("x|y"), Cell("1.0", "0 to 2")]])))
    | a | b |
    | :-- | --: |
    | x\\|y | 1.0 (0 to 2) |
    """
    head = f"| {' | '.join(map(_quiet, table.head))} |"
    words = {0, *table.words}
    line = f"| {' | '.join(':--' if place in words else '--:' for place in range(len(table.head)))} |"
    rows = [f"| {' | '.join(_markdown_cell(one) for one in row)} |" for row in table.rows]
    return "\n".join([head, line, *rows])


def _markdown_cell(one: Cell) -> str:
    text = f"**{_quiet(one.text)}**" if one.strong and one.text else _quiet(one.text)
    return f"{text} ({_quiet(one.below)})" if one.below else text


def _quiet(text: str) -> str:
    """Text that stays text: no table bar, no markup, one line."""
    flat = " ".join(text.split())
    for letter in "\\|`*<[":
        flat = flat.replace(letter, "&lt;" if letter == "<" else f"\\{letter}")
    return flat


def latex_table(table: Table) -> str:
    r"""A table for ``booktabs``; intervals in small print behind the values.

    >>> print(latex_table(Table("t", "Scores, 50 %", ["a_1", "b"], [[Cell("x & y"), Cell("1.0", "0 to 2")]])))
    % \usepackage{booktabs}
    \begin{tabular}{lr}
    \toprule
    a\_1 & b \\
    \midrule
    x \& y & 1.0 {\scriptsize [0 to 2]} \\
    \bottomrule
    \end{tabular}
    % Scores, 50 \%
    """
    letters = "".join("l" if place in {0, *table.words} else "r" for place in range(len(table.head)))
    rows = [" & ".join(_latex_cell(one) for one in row) + r" \\" for row in table.rows]
    return "\n".join(
        [
            r"% \usepackage{booktabs}",
            rf"\begin{{tabular}}{{{letters}}}",
            r"\toprule",
            " & ".join(map(latex_text, table.head)) + r" \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            f"% {latex_text(table.caption)}",
        ]
    )


def _latex_cell(one: Cell) -> str:
    return latex_text(one.text) + (rf" {{\scriptsize [{latex_text(one.below)}]}}" if one.below else "")


def latex_text(text: str) -> str:
    r"""Text without meaning to LaTeX.

    >>> latex_text("50 % of a_b × 2")
    '50 \\% of a\\_b $\\times$ 2'
    """
    return "".join(_LATEX.get(letter, letter) for letter in " ".join(text.split()))
