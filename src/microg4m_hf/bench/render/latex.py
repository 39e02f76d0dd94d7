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
HEIGHT = 560.0  # points of a column of A4 or letter that a float may fill
_GAP = 2.5  # points on each side of a cell
_BODY, _SMALL = 8.0, 7.0
_LINE, _SMALL_LINE, _ROW_GAP = 9.6, 8.4, 1.5
_WIDE, _NARROW = "mwMW@%×→−+<>", "ijlt.,:;|'()[]fIr1 -/"


def latex_table(table: Table) -> str:
    r"""Return a table as floats for ``booktabs`` that fit a column: caption, label, and intervals under the values.

    Columns that do not fit stand below the others or, in a long table, in a float of their own; so do rows that do not
    fit the height of a page.

    >>> print(latex_table(Table("t", "Scores, 50 %", ["a_1", "b"], [[Cell("x & y"), Cell("1.0", "0 to 2", True)]])))
    % \usepackage{booktabs}
    \begin{table}[tbp]
    \centering
    \caption{Scores, 50 \%}
    \label{tab:t}
    \fontsize{8}{9.6}\selectfont
    \setlength{\tabcolsep}{2.5pt}
    \begin{tabular}{@{}lr@{}}
    \toprule
    a\_\allowbreak 1 & b \\
    \midrule
    x \& y & \begin{tabular}[t]{@{}r@{}}\textbf{1.0}\\{\fontsize{7}{8.4}\selectfont 0--2}\end{tabular} \\[1.5pt]
    \bottomrule
    \end{tabular}
    \end{table}
    """
    groups = _column_groups(table)
    every = list(range(len(table.rows)))
    if sum(_height(table, every, columns) for columns in groups) <= HEIGHT:
        floats = [(groups, every)]
    else:
        floats = [([columns], rows) for columns in groups for rows in _pages(table, columns)]
    parts = [r"% \usepackage{booktabs}"]
    for place, (panels, rows) in enumerate(floats):
        parts += [
            r"\begin{table}[tbp]",
            r"\centering",
            rf"\caption{{{latex_text(table.caption)}{' (continued)' if place else ''}}}",
            rf"\label{{tab:{table.name}{f'-{place + 1}' if place else ''}}}",
            rf"\fontsize{{{_BODY:g}}}{{{_LINE:g}}}\selectfont",
            rf"\setlength{{\tabcolsep}}{{{_GAP:g}pt}}",
            "\n\n\\medskip\n".join(_panel(table, rows, columns) for columns in panels),
            *_note(table),
            r"\end{table}",
        ]
    return "\n".join(parts)


def _note(table: Table) -> list[str]:
    text = table.paper_note or table.note
    style = r"\fontsize{7}{8.4}\selectfont\raggedright"
    return [rf"\par\smallskip\parbox{{{COLUMN:g}pt}}{{{style} {_breakable(text)}}}"] if text else []


def _panel(table: Table, rows: Sequence[int], columns: Sequence[int]) -> str:
    """Return the ``tabular`` of some columns; the first column of the table is always among them."""
    heads, best = _heads(table), _best(table)
    letters = "".join("l" if column in table.text_columns else "r" for column in columns)
    first = "l"
    if _needs(table, 0) > _first_width(table, columns):
        first = rf"p{{{_first_width(table, columns) - 2:.0f}pt}}"
    lines = [
        rf"\begin{{tabular}}{{@{{}}{first}{letters}@{{}}}}",
        r"\toprule",
        " & ".join([_name(heads[0], first), *(latex_text(heads[column]) for column in columns)]) + r" \\",
        r"\midrule",
    ]
    for row in rows:
        cells = table.rows[row]
        texts = [_name(cells[0].text, first)]
        for column, letter in zip(columns, letters, strict=True):
            cell = cells[column]
            texts.append(_value(cell, cell.strong or (row, column) in best, letter))
        lines.append(" & ".join(texts) + rf" \\[{_ROW_GAP:g}pt]")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


def _name(text: str, kind: str) -> str:
    return _breakable(text) if kind == "l" else rf"\raggedright\hspace{{0pt}}{_breakable(text)}"


def _breakable(text: str) -> str:
    """Escape a text whose names may be broken behind a separator."""
    escaped = latex_text(text)
    for mark in (r"\_", "/", "-"):
        escaped = escaped.replace(mark, rf"{mark}\allowbreak ")
    return escaped


def _value(cell: Cell, strong: bool, letter: str) -> str:
    text = rf"\textbf{{{latex_text(cell.text)}}}" if strong and cell.text else latex_text(cell.text)
    below = [rf"{{\fontsize{{7}}{{{_SMALL_LINE:g}}}\selectfont {latex_text(line)}}}" for line in _below(cell)]
    if not below:
        return text
    return rf"\begin{{tabular}}[t]{{@{{}}{letter}@{{}}}}" + r"\\".join([text, *below]) + r"\end{tabular}"


def _best(table: Table) -> set[tuple[int, int]]:
    """Return the cells with the best value of a column of scores."""
    found = set()
    for column in table.best_columns:
        texts = {row: cells[column].text for row, cells in enumerate(table.rows)}
        values = {row: float(text) for row, text in texts.items() if text.replace(".", "", 1).isdigit()}
        found |= {(row, column) for row, value in values.items() if value == max(values.values())}
    return found


def _below(cell: Cell) -> list[str]:
    """Return the lines under a value: its interval, in the short form of papers, and what else belongs to it."""
    return [text.replace(" to ", "–") for text in cell.below.split("; ") if text and text != "–"]


def _heads(table: Table) -> list[str]:
    return table.short_head or table.head


def _width(text: str, size: float) -> float:
    """Estimate the width of a text in Computer Modern, a little too wide; bold text is 15 % wider."""
    units = (0.85 if c in _WIDE else 0.36 if c in _NARROW else 0.76 if c.isupper() else 0.54 for c in text)
    return 1.04 * size * sum(units)


def _needs(table: Table, column: int) -> float:
    """Return the width of a column without breaks."""
    cells = [row[column] for row in table.rows]
    bold = 1.15 if column in table.best_columns else 1.0
    widths = [_width(cell.text, _BODY) * (1.15 if cell.strong else bold) for cell in cells]
    widths += [_width(line, _SMALL) for cell in cells for line in _below(cell)] if column else []
    return max([*widths, _width(_heads(table)[column], _BODY)])


def _first_width(table: Table, columns: Sequence[int]) -> float:
    return COLUMN - 2 - sum(_needs(table, column) + 2 * _GAP for column in columns) - _GAP


def _column_groups(table: Table) -> list[list[int]]:
    """Divide the columns after the first into groups that fit beside it."""
    first = min(_needs(table, 0), 0.34 * COLUMN) + _GAP
    groups: list[list[int]] = [[]]
    used = first
    for column in range(1, len(_heads(table))):
        if column in table.page_columns:
            continue
        width = _needs(table, column) + 2 * _GAP
        if groups[-1] and used + width > COLUMN - 2:
            groups.append([])
            used = first
        groups[-1].append(column)
        used += width
    return groups


def _pages(table: Table, columns: Sequence[int]) -> list[list[int]]:
    """Divide the rows into floats that fit the height of a page."""
    pages: list[list[int]] = [[]]
    for row in range(len(table.rows)):
        if pages[-1] and _height(table, [*pages[-1], row], columns) > HEIGHT:
            pages.append([])
        pages[-1].append(row)
    return pages


def _height(table: Table, rows: Sequence[int], columns: Sequence[int]) -> float:
    """Estimate the height of a panel with its share of caption and note."""
    room = max(_first_width(table, columns), 1.0)
    height = 62.0 + _SMALL_LINE * _width(table.paper_note or table.note, _SMALL) / COLUMN
    for row in rows:
        cells = table.rows[row]
        lines = max((len(_below(cells[column])) for column in columns), default=0)
        name = -(-1.15 * _width(cells[0].text, _BODY) // room)
        height += max(_LINE + _SMALL_LINE * lines, _LINE * name) + _ROW_GAP
    return height


def latex_text(text: str) -> str:
    r"""Escape text for LaTeX.

    >>> latex_text("50 % of a_b × 2")
    '50 \\% of a\\_b $\\times$ 2'
    """
    return "".join(_LATEX.get(letter, letter) for letter in " ".join(visible(text).split()))
