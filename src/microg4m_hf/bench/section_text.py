"""The section on captions or answers: frames, lengths, refusals, parts, examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..metrics.text.caption_vqa import is_refusal
from .examples import text_examples
from .pairwise import MAIN_SCORE
from .published import PublishedTable
from .references import Truth
from .render import charts
from .render.document import Block, Cell, Examples, Figure, Fold, Paragraph, Table
from .render.names import SCORE_NAMES, slug
from .scoring import Scored
from .section_scores import breakdown_table, number, share

# How long, how varied and how evasive texts are, beside their references.


def text_facts(texts: Sequence[str]) -> dict[str, Any]:
    """Words per text, share of empty and evasive texts, and the share of the commonest text.

    >>> facts = text_facts(["Not mentioned.", "A crew eats.", "Not mentioned.", ""])
    >>> facts["refusals"], facts["empty"], facts["words_median"], facts["commonest_share"]
    (0.5, 0.25, 2.0, 0.5)
    """
    if not texts:
        return {"texts": 0}
    words = np.array([len(text.split()) for text in texts])
    _, counts = np.unique(np.array(list(texts), dtype=object).astype(str), return_counts=True)
    return {
        "texts": len(texts),
        "words_mean": float(words.mean()),
        "words_median": float(np.median(words)),
        "words_5": float(np.percentile(words, 5)),
        "words_95": float(np.percentile(words, 95)),
        "empty": float((words == 0).mean()),
        "refusals": float(np.mean([is_refusal(text) for text in texts])),
        "distinct": float(counts.size / len(texts)),
        "commonest_share": float(counts.max() / len(texts)),
        "histogram": length_histogram(words),
    }


def length_histogram(words: np.ndarray, edges: Sequence[int] = (0, 1, 2, 4, 8, 16, 32, 64, 128)) -> dict[str, int]:
    """How many texts have how many words, in classes that double.

    >>> length_histogram(np.array([0, 3, 200]), (0, 1, 4))
    {'0': 1, '1–3': 1, '4 and more': 1}
    """
    found: dict[str, int] = {}
    for low, high in zip(edges, [*edges[1:], None], strict=True):
        inside = words >= low if high is None else (words >= low) & (words < high)
        name = f"{low} and more" if high is None else str(low) if high == low + 1 else f"{low}–{high - 1}"
        found[name] = int(inside.sum())
    return found


def text_blocks(
    name: str, systems: Sequence[Scored], truth: Truth, details: int, tables: Mapping[str, PublishedTable]
) -> tuple[list[Block], dict[str, Any]]:
    """Charts and tables of all systems, then a fold for each of the first ``details``."""
    main = MAIN_SCORE[truth.task]
    best = sorted(systems, key=lambda one: -one.result["scores"][main])
    facts = {one.system.name: text_facts([said for _, said, _ in one.texts]) for one in best}
    reference = text_facts([meant for _, _, meant in best[0].texts])
    blocks: list[Block] = [_facts_table(name, reference, facts), _lengths_table(name, reference, facts)]
    figure = _frames_figure(name, best, truth, main, tables)
    if figure is not None:
        blocks.append(figure)
    for place, one in enumerate(best[:details]):
        blocks.append(Fold(one.system.name, _details(name, one, truth), shown=place == 0))
    if len(best) > details:
        blocks.append(Paragraph(f"Details of the {details} best of {len(best)} systems; --details asks for more."))
    return blocks, {"references": reference, **{key: {"texts": value} for key, value in facts.items()}}


def _facts_table(name: str, reference: dict[str, Any], facts: Mapping[str, dict[str, Any]]) -> Table:
    head = [
        "texts",
        "number",
        "words, median",
        "5 % to 95 %",
        "mean",
        "“Not mentioned”",
        "empty",
        "distinct",
        "commonest",
    ]
    rows = []
    for label, one in {"references": reference, **facts}.items():
        spread = Cell(f"{one['words_5']:.0f} to {one['words_95']:.0f}")
        shares = [share(one[key]) for key in ("refusals", "empty", "distinct", "commonest_share")]
        words = [number(one["words_median"], 0), spread, number(one["words_mean"])]
        rows.append([Cell(label, strong=label != "references"), Cell(str(one["texts"])), *words, *shares])
    return Table(f"{name}-texts", "Length, refusals and variety of the texts", head, rows, ["published"])


def _lengths_table(name: str, reference: dict[str, Any], facts: Mapping[str, dict[str, Any]]) -> Table:
    head = ["words", *reference["histogram"]]
    rows = [
        [Cell(label), *(share(count / one["texts"]) for count in one["histogram"].values())]
        for label, one in {"references": reference, **facts}.items()
    ]
    return Table(f"{name}-lengths", "Share of texts by number of words", head, rows, ["published"])


def _frames_figure(
    name: str, systems: Sequence[Scored], truth: Truth, main: str, tables: Mapping[str, PublishedTable]
) -> Figure | None:
    """Score against number of frames, where runs say how many they saw."""
    own = [
        {"name": one.system.name, "x": one.system.frames, "y": one.result["scores"][main], "published": False}
        for one in systems
        if one.system.frames
    ]
    if not own:
        return None
    rows = [] if truth.sample else [
        {"name": row.name, "x": row.frames, "y": row.scores[main] / 100, "published": True}
        for row in tables[truth.task].rows
    ]  # fmt: skip
    title = f"{SCORE_NAMES[main]} against frames of a clip"
    return Figure(f"{name}-frames", charts.points(title, [*own, *rows], across="frames", up=SCORE_NAMES[main]))


def _details(name: str, one: Scored, truth: Truth) -> list[Block]:
    blocks: list[Block] = []
    columns = [score for score in one.result["scores"] if score not in ("bleu_1", "bleu_2", "bleu_3")]
    table = breakdown_table(name, one, ("answerable",), columns)
    if table is not None:
        blocks.append(table)
    values = one.result["items"].get("rouge_l")
    if values is None:
        blocks.append(Paragraph("No examples: they are chosen by ROUGE-L, which was not asked for."))
        return blocks
    worst, best = text_examples(one.texts, values, truth.clips)
    if not any(example.jpeg for example in [*worst, *best]):
        blocks.append(Paragraph("No pictures: the clips are not at hand."))
    own = slug(one.system.name)
    return [*blocks, Examples(f"Lowest ROUGE-L, {own}", worst), Examples(f"Highest ROUGE-L, {own}", best)]
