"""Figures and tables of a report for papers: widths, fonts, type size, and a two-column article with all of them."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from microg4m_hf.bench import make_report
from microg4m_hf.bench.render.charts import COLORS, MARKERS, ScoreChart, shorten
from microg4m_hf.bench.render.document import Cell, Table
from microg4m_hf.bench.render.latex import COLUMN, latex_table
from microg4m_hf.bench.scoring import ScoringOptions
from tests.support.report_runs import har_run, labeled_items

ARTICLE = r"""\documentclass[10pt,twocolumn]{article}
\usepackage[a4paper,hmargin=1.7cm,columnsep=0.8cm]{geometry}
\usepackage{booktabs,graphicx}
\begin{document}
%s
x\end{document}
"""


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of four runs, one of which has a long name, with figures for papers."""
    pytest.importorskip("matplotlib")
    folder = tmp_path_factory.mktemp("paper")
    items = labeled_items()
    names = ("i3d", "slow", "x3d_s", "slowfast_8x8_r50_learning_rate_1e-4_seed_0")
    for place, name in enumerate(names):
        har_run(folder / "runs" / name, items, noise=2.0 * place, seed=place)
    options = ScoringOptions(resamples=20)
    make_report([folder / "runs"], folder / "out", source="sample", options=options, details=0, figures=True)
    return folder / "out"


def test_figures_have_both_widths_and_embedded_true_type_fonts(paper: Path) -> None:
    charts = {path.stem for path in (paper / "figures").glob("*.svg")}
    for width, centimeters in (("84mm", 8.4), ("176mm", 17.6)):
        for name in charts:
            pdf = (paper / "paper" / f"{name}-{width}.pdf").read_bytes()
            assert b"/FontFile2" in pdf and b"/Type3" not in pdf
            box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+)", pdf)
            assert box is not None
            assert float(box.group(1)) == pytest.approx(centimeters * 72 / 2.54, abs=1)
            assert (paper / "paper" / f"{name}-{width}.svg").is_file()


def test_no_two_runs_look_alike_and_no_two_names_become_one() -> None:
    looks = [(COLORS[place % len(COLORS)], MARKERS[place % len(MARKERS)]) for place in range(24)]
    assert len(set(looks)) == 24
    names = [f"i3d_nln_8x8_r50_pretrained_{one}_seed_{two}" for one, two in itertools.product("abc", range(3))]
    assert len(set(shorten(names, 12))) == len(names)
    assert ScoreChart("t", []).description == ""


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX; apt-get install texlive-latex-recommended")
def test_everything_fits_into_a_two_column_article(paper: Path, tmp_path: Path) -> None:
    tables = sorted((paper / "tables").glob("*.tex"))
    figures = sorted((paper / "paper").glob("*-84mm.pdf"))
    assert len(tables) >= 4 and len(figures) >= 5
    parts = [rf"\input{{{path}}}\clearpage" for path in tables]
    parts += [rf"\begin{{figure}}\includegraphics{{{path}}}\end{{figure}}\clearpage" for path in figures]
    (tmp_path / "article.tex").write_text(ARTICLE % "\n".join(parts))
    words = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "article.tex"]
    ran = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert ran.returncode == 0, ran.stdout[-2000:]
    assert not re.findall(r"(?:Overfull .hbox|Float too large|Undefined).*", ran.stdout)


def test_tables_have_caption_label_bold_best_and_type_of_seven_points() -> None:
    rows = [[Cell("a"), Cell("46.41", "35.8 to 57.0")], [Cell("b"), Cell("9.50", "")]]
    text = latex_table(Table("scores", "All", ["run", "mAP"], rows, best_columns=(1,)))
    assert r"\caption{All}" in text and r"\label{tab:scores}" in text
    assert r"\textbf{46.41}" in text and r"\textbf{9.50}" not in text
    assert "35.8--57.0" in text
    assert min(float(size) for size in re.findall(r"fontsize{([\d.]+)}", text)) >= 7


def test_a_wide_table_is_divided_and_a_long_one_continues() -> None:
    head = ["run", *(f"column {number}" for number in range(12))]
    rows = [[Cell(f"run {number}"), *(Cell("12.34", "10.0 to 14.0") for _ in range(12))] for number in range(40)]
    text = latex_table(Table("t", "Wide", head, rows))
    labels = set(re.findall(r"label{(.+?)}", text))
    assert len(labels) > 3
    assert text.count(r"\begin{table}") == len(labels)
    assert text.count("12.34") == 40 * 12  # every value, once
    assert pytest.approx(8.4 / 2.54 * 72.27, abs=1.1) == COLUMN
