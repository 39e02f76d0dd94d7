"""Format scores for readers: names, percentages, signed differences, intervals and table cells."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from .document import Cell

EXPLORER = "http://127.0.0.1:7860"  # where `microg4m explore` serves

SCORE_NAMES = {
    "map": "mAP@0.5", "f1": "F1", "recall": "recall", "auroc": "AUROC", "precision": "precision",
    "bleu_1": "BLEU-1", "bleu_2": "BLEU-2", "bleu_3": "BLEU-3", "bleu_4": "BLEU-4", "cider": "CIDEr",
    "rouge_l": "ROUGE-L", "rouge_1": "ROUGE-1", "rouge_2": "ROUGE-2", "rouge_lsum": "ROUGE-Lsum",
    "meteor_1_5": "METEOR 1.5", "meteor_nltk": "METEOR (NLTK)", "sbert": "S-BERT",
    "svqa": "S-VQA", "bertscore": "BERTScore", "exact_match": "exact match", "refusal_rate": "refusals",
}  # fmt: skip

BASELINE_NOTE = (
    "a baseline repeats references of other films and looks at no clip: its scores show what the wording of the "
    "references alone is worth"
)


def explorer_link(**query: str) -> str:
    """Return an address in the explorer that ``microg4m explore`` starts on this machine: a clip, and filters.

    >>> explorer_link(run="mine", actions="12")
    'http://127.0.0.1:7860/?run=mine&actions=12'
    """
    return f"{EXPLORER}/?{urlencode(query)}"


def percent(value: float | None, digits: int = 2) -> str:
    """Format a fraction times 100, or an en dash for a missing value.

    >>> percent(0.46413), percent(0.8333, 1), percent(None), percent(float("nan"))
    ('46.41', '83.3', '–', '–')
    """
    return "–" if value is None or value != value else f"{100 * value:.{digits}f}"


def signed(value: float, digits: int = 2) -> str:
    """Format a difference times 100 with its sign.

    >>> signed(-0.0432), signed(0.1), signed(-0.00001)
    ('−4.32', '+10.00', '0.00')
    """
    text = f"{100 * value:+.{digits}f}"
    return text.replace("-", "−") if text.strip("+-0.") else text[1:]


def interval_text(interval: Sequence[float] | None, *, is_signed: bool = False) -> str:
    """Format an interval times 100, or nothing for a missing one.

    >>> interval_text([0.401, 0.527]), interval_text([-0.1, 0.2], is_signed=True), interval_text(None)
    ('40.1 to 52.7', '−10.0 to +20.0', '')
    """
    if interval is None or interval[0] != interval[0]:
        return ""
    low, high = (signed(edge, 1) if is_signed else f"{100 * edge:.1f}" for edge in interval)
    return f"{low} to {high}"


def score_cell(value: float | None, interval: list[float] | None = None) -> Cell:
    """Return a cell with a score and its interval below."""
    return Cell(percent(value), interval_text(interval))


def p_text(value: float | None) -> str:
    """Format a p-value; a dash where nothing was tested.

    >>> p_text(0.0312), p_text(0.00004), p_text(None)
    ('0.031', '<0.0001', '–')
    """
    if value is None or value != value:
        return "–"
    return "<0.0001" if value < 0.0001 else f"{value:.4f}" if value < 0.01 else f"{value:.3f}"


def difference_cell(tested: Mapping[str, Any], sign: int = 1) -> Cell:
    """Return a cell with a tested difference and, below it, its interval and both p-values; a star marks a real one.

    >>> difference_cell({"difference": 0.1, "interval": [0.02, 0.18], "p": 0.02, "p_corrected": 0.04, "real": True})
    Cell(text='+10.00*', below='+2.0 to +18.0; p 0.020, corrected 0.040', strong=True)
    >>> difference_cell({"difference": 0.1, "interval": None, "p": None}).below
    '–'
    """
    text, is_real = signed(sign * tested["difference"]), bool(tested.get("real"))
    if tested["interval"] is None:
        return Cell(text, "–")
    below = interval_text(sorted(sign * edge for edge in tested["interval"]), is_signed=True)
    below += f"; p {p_text(tested['p'])}"
    if "p_corrected" in tested:
        below += f", corrected {p_text(tested['p_corrected'])}"
    return Cell(f"{text}{'*' if is_real else ''}", below, is_real)


def number_cell(value: Any, digits: int = 1) -> Cell:
    """Return a cell with a plain number."""
    return Cell("–" if value is None else f"{value:.{digits}f}" if isinstance(value, float) else str(value))


def share_cell(value: float | None) -> Cell:
    """Return a cell with a fraction as a percentage."""
    return Cell("–" if value is None else f"{percent(value, 1)} %")


def unique_slugs(texts: Iterable[str]) -> list[str]:
    """Turn texts into names for files, with a number behind a name that another text has.

    >>> unique_slugs(["run 1", "run_1", "run-1-2", "???"])
    ['run-1', 'run-1-3', 'run-1-2', 'unnamed']
    """
    every = [slug(text) for text in texts]
    taken: set[str] = set()
    found = []
    for name in every:
        numbered = (f"{name}-{number}" for number in itertools.count(2))
        free = name if name not in taken else next(one for one in numbered if one not in taken and one not in every)
        taken.add(free)
        found.append(free)
    return found


def slug(text: str) -> str:
    """Turn a text into a name for files and HTML ids.

    >>> slug("I3D R50, 8×8 (mine)")
    'i3d-r50-8-8-mine'
    """
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60] or "unnamed"
