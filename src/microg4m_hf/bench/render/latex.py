"""Write tables for LaTeX: each fits a column of 8.4 cm, at 8 points with intervals of 7 points under the values."""

from __future__ import annotations

from collections.abc import Sequence

from ...visible import visible
from .document import Cell, Table

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "×": r"$\times$", "−": "$-$", "–": "--", "·": r"$\cdot$",
    "“": "``", "”": "''", "→": r"$\rightarrow$", "Δ": r"$\Delta$", "@": "@", "…": r"\ldots{}",
    "[": "{[}", "]": "{]}", "*": "{*}",  # \\ before them would take them for its options
}  # fmt: skip

COLUMN = 238.0  # points in 8.4 cm
HEIGHT = 520.0  # points of a column of A4 or letter that a float may fill
_GAP = 3.0  # points on each side of a cell
_BODY, _SMALL, _LINE = 8.0, 7.0, 9.6
_WIDE, _NARROW = "mwMW@%×→−", "ijlt.,:;|'()[]fIr1 -/"


def latex_table(table: Table) -> str:
    r"""Return a table as floats for ``booktabs`` that fit a column: caption, label, and intervals under the values.

    Columns that do not fit stand below the others, and rows that do not fit go into a second float.

    >>> print(latex_table(Table("t", "Scores, 50 %", ["a_1", "b"], [[Cell("x & y"), Cell("1.0", "0 to 2", True)]])))
    % \usepackage{booktabs}
    \begin{table}[tbp]
    \centering
    \caption{Scores, 50 \%}
    \label{tab:t}
    \fontsize{8}{9.6}\selectfont
    \setlength{\tabcolsep}{3pt}
    \begin{tabular}{@{}lr@{}}
    \toprule
    a\_1 & b \\
    \midrule
    x \& y & \textbf{1.0} \\[-1pt]
     & {\fontsize{7}{8}\selectfont 0--2} \\
    \bottomrule
    \end{tabular}
    \end{table}
    """
    floats = []
    for place, rows in enumerate(_pages(table)):
        caption = latex_text(table.caption) + (" (continued)" if place else "")
        panels = [_panel(table, rows, columns) for columns in _column_groups(table)]
        floats.append(
            [
                r"\begin{table}[tbp]",
                r"\centering",
                rf"\caption{{{caption}}}",
                rf"\label{{tab:{table.name}{f'-{place + 1}' if place else ''}}}",
                rf"\fontsize{{{_BODY:g}}}{{{_LINE:g}}}\selectfont",
                rf"\setlength{{\tabcolsep}}{{{_GAP:g}pt}}",
                "\n\n\\medskip\n".join("\n".join(panel) for panel in panels),
                *_note(table),
                r"\end{table}",
            ]
        )
    return "\n".join([r"% \usepackage{booktabs}", *("\n".join(lines) for lines in floats)])


def _note(table: Table) -> list[str]:
    text = table.paper_note or table.note
    return [rf"\\[2pt]\parbox{{{COLUMN:g}pt}}{{\fontsize{{7}}{{8.4}}\selectfont {latex_text(text)}}}"] if text else []


def _panel(table: Table, rows: Sequence[int], columns: Sequence[int]) -> list[str]:
    """Return the ``tabular`` of some columns; the first column of the table is always among them."""
    heads = _heads(table)
    first = _first_width(table, columns)
    natural = max(_width(table.rows[row][0].text, _BODY) for row in range(len(table.rows))) if table.rows else 0.0
    is_wrapped = max(natural, _width(heads[0], _BODY)) > first
    wrapped = rf">{{\raggedright\arraybackslash}}p{{{first:.0f}pt}}" if is_wrapped else "l"
    letters = "".join("l" if column in table.text_columns else "r" for column in columns)
    lines = [rf"\begin{{tabular}}{{@{{}}{wrapped}{letters}@{{}}}}", r"\toprule"]
    lines += [" & ".join(latex_text(heads[column]) for column in (0, *columns)) + r" \\", r"\midrule"]
    best = _best(table)
    for row in rows:
        cells = [table.rows[row][column] for column in (0, *columns)]
        values = [
            _bold(cell.text, cell.strong or (row, column) in best)
            for cell, column in zip(cells, (0, *columns), strict=True)
        ]
        below = [_below(cell) for cell in cells[1:]]
        for place in range(max(map(len, below), default=0)):
            lines.append(" & ".join(values) + r" \\[-1pt]")
            small = (part[place] if place < len(part) else "" for part in below)
            values = [
                "",
                *(rf"{{\fontsize{{7}}{{8}}\selectfont {latex_text(text)}}}" if text else "" for text in small),
            ]
        lines.append(" & ".join(values) + r" \\")
    return [*lines, r"\bottomrule", r"\end{tabular}"]


def _best(table: Table) -> set[tuple[int, int]]:
    """Return the cells with the best value of a column of scores."""
    found = set()
    for column in table.best_columns:
        values = {
            row: float(cells[column].text) for row, cells in enumerate(table.rows) if _is_number(cells[column].text)
        }
        if values:
            top = max(values.values())
            found |= {(row, column) for row, value in values.items() if value == top}
    return found


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()


def _bold(text: str, strong: bool) -> str:
    return rf"\textbf{{{latex_text(text)}}}" if strong and text else latex_text(text)


def _below(cell: Cell) -> list[str]:
    """Return the lines under a value: its interval, in the short form of papers, and what else belongs to it."""
    return [text.replace(" to ", "–") for text in cell.below.split("; ") if text and text != "–"]


def _heads(table: Table) -> list[str]:
    return table.short_head or table.head


def _width(text: str, size: float) -> float:
    """Estimate the width of a text in Computer Modern, a little too wide."""
    units = (0.85 if c in _WIDE else 0.36 if c in _NARROW else 0.74 if c.isupper() else 0.53 for c in text)
    return size * sum(units)


def _column_width(table: Table, column: int) -> float:
    cells = [row[column] for row in table.rows]
    values = max((_width(cell.text, 1.12 * _BODY if cell.strong else _BODY) for cell in cells), default=0.0)
    below = max((_width(line, _SMALL) for cell in cells for line in _below(cell)), default=0.0)
    return max(values, below, _width(_heads(table)[column], _BODY)) + 2 * _GAP


def _first_width(table: Table, columns: Sequence[int]) -> float:
    return COLUMN - sum(_column_width(table, column) for column in columns) - _GAP


def _column_groups(table: Table) -> list[list[int]]:
    """Divide the columns after the first into groups that fit beside it."""
    names = [_width(row[0].text, _BODY) for row in table.rows] or [0.0]
    first = min(max(names), 0.34 * COLUMN)
    groups: list[list[int]] = [[]]
    used = first
    for column in range(1, len(_heads(table))):
        if column in table.page_columns:
            continue
        width = _column_width(table, column)
        if groups[-1] and used + width > COLUMN - _GAP:
            groups.append([])
            used = first
        groups[-1].append(column)
        used += width
    return groups


def _pages(table: Table) -> list[list[int]]:
    """Divide the rows into floats that fit the height of a column."""
    groups = _column_groups(table)
    room = HEIGHT - 16 * len(groups) * 2
    pages: list[list[int]] = [[]]
    used = 0.0
    for row in range(len(table.rows)):
        height = sum(_row_height(table, row, columns) for columns in groups)
        if pages[-1] and used + height > room:
            pages.append([])
            used = 0.0
        pages[-1].append(row)
        used += height
    return pages


def _row_height(table: Table, row: int, columns: Sequence[int]) -> float:
    cells = table.rows[row]
    lines = max((len(_below(cells[column])) for column in columns), default=0)
    wrapped = -(-_width(cells[0].text, _BODY) // max(_first_width(table, columns), 1.0))
    return _LINE * max(wrapped, 1.0) + 8.5 * lines


def latex_text(text: str) -> str:
    r"""Escape text for LaTeX.

    >>> latex_text("50 % of a_b × 2")
    '50 \\% of a\\_b $\\times$ 2'
    """
    return "".join(_LATEX.get(letter, letter) for letter in " ".join(visible(text).split()))
