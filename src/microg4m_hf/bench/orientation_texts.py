"""The orientation probe for vision-language models: answers about rotated and mirrored clips, by kind of question."""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..data.turns import TURNS, Turn
from ..errors import CheckpointError, MissingExtraError, RecipeError
from ..inference.items import BASELINES, TextSettings
from ..inference.text_prediction import predict_texts, resolve_settings
from ..metrics.jackknife import cluster_codes, interval, leave_one_out, spread_of, weighted_means
from ..metrics.significance import add_corrected_p_values, paired_test
from ..metrics.text.caption_vqa import is_refusal

# The first kind whose words a question has; all others are "other".
KINDS = {
    "count": r"how many|number of",
    "direction": r"directions?|which way|facing|left|right|above|below|upwards?|downwards?|upright|upside|sideways|"
    r"horizontal\w*|vertical\w*|clockwise|counterclockwise|rotat\w+|orient\w+|tilt\w*",
    "identity": r"who|whom|whose|name of|names of",
    "posture": r"postures?|poses?|posed|doing|stand|stands|standing|sit|sits|sitting|lie|lies|lying|sleep\w*|"
    r"float|floats|floating|hover\w*|crouch\w*|kneel\w*|lean\w*|bend\w*|bent|curled|stretch\w*|body",
}
_NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
_ARTICLES = frozenset(("a", "an", "the"))


def question_kind(question: str) -> str:
    """Return what a question asks for, by its words: count, direction, identity, posture or other.

    The first kind that matches counts, in this order: how many; where something is, faces or turns to (the answer may
    itself change when a clip is turned); who; what a body does.

    >>> [question_kind(text) for text in ("How many people float?", "Who is on the left?", "Who sleeps?", "Why?")]
    ['count', 'direction', 'identity', 'other']
    >>> question_kind("What is the astronaut in the red shirt doing?")
    'posture'
    """
    text = question.lower()
    return next((kind for kind, words in KINDS.items() if re.search(rf"\b({words})\b", text)), "other")


def normalize(text: str) -> list[str]:
    """Return the words of an answer for comparisons: lowercase, without punctuation and articles, numbers as digits.

    >>> normalize("Three astronauts float in the cabin.")
    ['3', 'astronauts', 'float', 'in', 'cabin']
    """
    words = re.findall(r"\w+", unicodedata.normalize("NFKC", text).lower())
    return [str(_NUMBERS.index(word)) if word in _NUMBERS else word for word in words if word not in _ARTICLES]


def contains(answer: str, reference: str) -> bool:
    """Return whether an answer has the words of the reference, normalized, in their order and next to each other.

    >>> contains("They are three astronauts.", "Three astronauts"), contains("No.", "Not mentioned.")
    (True, False)
    """
    given, wanted = normalize(answer), normalize(reference)
    starts = range(len(given) - len(wanted) + 1)
    return bool(wanted) and any(given[start : start + len(wanted)] == wanted for start in starts)


def probe_texts(
    settings: TextSettings,
    rows: Any,
    out: str | os.PathLike[str],
    *,
    turns: Sequence[Turn] = TURNS,
    encoder: Any = None,
    **options: Any,
) -> dict[str, Any]:
    """Ask a model about every clip under each turn, and compare the answers with those under the first one.

    Every turn is a run in ``out``, which ``microg4m score`` and ``compare`` read; the same call resumes. The baseline
    ``blind``, which answers without the video, shows what the wording of a question gives away.

    Args:
        settings: The model and how it is asked, for the task ``"vqa"``; with ``turns``, it is asked under several turns
            of each turned clip.
        rows: A split of the ``vqa`` config.
        out: The folder of the runs.
        turns: At least two; the first is the baseline.
        encoder: The sentence encoder of S-VQA, as for ``text_scores``. S-VQA is left out with False, and where it
            cannot be loaded.
        options: Of :func:`predict_texts`: ``limit``, ``retry_failed``, ``placement``, ``endpoint``, ``environment``.

    Returns:
        ``turns`` with the scores of each, ``gap`` with the accuracy of the first turn minus the mean of those with
        another rotation, ``gaps`` with this for each score, and ``kinds`` with accuracy and gap by kind of question.

    Raises:
        RecipeError: If there are fewer than two turns, the task is not ``vqa``, or other processes are not done yet.
    """
    if len(turns) < 2 or settings.task != "vqa":
        raise RecipeError(
            f"the probe compares answers under at least two turns, given {len(turns)} and the task "
            f"{settings.task}; give two turns or more, and settings with task='vqa'"
        )
    if settings.model in BASELINES:
        raise RecipeError(f"{settings.model} does not look at the video; give a model, and the probe adds blind to it")
    folder, cache = Path(out), dict[str, Any]()
    settings = resolve_settings(settings, options.get("environment"))
    runs: dict[str, TextSettings] = {
        turn.name: replace(settings, rotation=turn.degrees % 360, mirrored=turn.mirrored) for turn in turns
    }
    runs["blind"] = TextSettings("vqa", model="blind")
    answers: dict[str, dict[str, str]] = {}
    failed: dict[str, int] = {}
    asked: set[str] = set()
    for name, one in runs.items():
        place = folder / re.sub(r"\W+", "-", name.replace("°", "")).strip("-")
        own = {"limit": options.get("limit")} if name == "blind" else {"cache": cache, **options}
        summary = predict_texts(one, rows, place, **own)
        if summary["missing"]:
            raise RecipeError(
                f"{summary['missing']} answers are not there yet, because other processes still work on them; "
                "run the same command again in one process when they have finished"
            )
        failed[name] = summary["failed"]
        lines = Path(summary["predictions"]).read_text(encoding="utf-8").splitlines()
        answers[name] = {line["question_id"]: line["answer"] for line in map(json.loads, lines)}
        asked |= set(answers[name]) | {failure["id"] for failure in summary["failures"]}
    items = [row for row in rows.remove_columns("video") if row["question_id"] in asked]
    similarity, note = _similarity(encoder)
    found = compare_answers(items, answers, list(turns), similarity)
    views = {"turns": settings.turns, "choice": settings.turn_choice} if settings.turns > 1 else None
    about = {
        "task": "vqa",
        "model": settings.model,
        "settings": settings.to_dict(),
        "failed": failed,
        "svqa_note": note,
    }
    return about | ({"asked": views} if views else {}) | found


def compare_answers(
    items: Sequence[Mapping[str, Any]],
    answers: Mapping[str, Mapping[str, str]],
    turns: Sequence[Turn],
    similarity: Callable[[list[str], list[str]], np.ndarray] | None = None,
) -> dict[str, Any]:
    """Score answers under several turns; see :func:`probe_texts`. An item without an answer is wrong.

    Args:
        items: Rows with ``question_id``, ``question``, ``answer`` and ``source``.
        answers: For the name of each turn, and for ``blind``, the answers by question.
        turns: The turns; the first is the baseline.
        similarity: Returns the similarities of answers and references (S-VQA).
    """
    references = [row["answer"] for row in items]
    kinds = np.array([question_kind(row["question"]) for row in items])
    _, codes = cluster_codes(row["source"] for row in items)
    values: dict[str, dict[str, np.ndarray]] = {}
    for name, given in answers.items():
        texts = [given.get(row["question_id"], "") for row in items]
        pairs = list(zip(texts, references, strict=True))
        values[name] = {
            "accuracy": np.array([contains(text, reference) for text, reference in pairs], float),
            "exact": np.array([normalize(text) == normalize(reference) for text, reference in pairs], float),
            "refusals": np.array([is_refusal(text) for text in texts], float),
        }
        if similarity is not None:
            values[name]["svqa"] = similarity(texts, references)
    first = turns[0].name
    rotated = [turn.name for turn in turns if turn.degrees % 360 != turns[0].degrees % 360]
    scores = list(values[first])

    def gap(score: str, keep: np.ndarray) -> dict[str, Any]:
        difference = values[first][score] - np.mean([values[name][score] for name in rotated], axis=0)
        return _test(difference[keep], codes[keep])

    everything = np.ones(len(items), bool)
    rows = []
    for name in (*(turn.name for turn in turns), "blind"):
        row: dict[str, Any] = {"turn": name}
        for score in scores:
            row |= {
                score: float(values[name][score].mean()),
                f"{score}_interval": _interval(values[name][score], codes),
            }
        if name != first:
            tested = _test(values[name]["accuracy"] - values[first]["accuracy"], codes)
            row |= {"difference": tested["difference"], "difference_interval": tested["interval"], "p": tested["p"]}
        rows.append(row)
    add_corrected_p_values(rows[1:])
    table = []
    for kind in (*KINDS, "other"):
        keep = kinds == kind
        if keep.any():
            accuracy = {name: float(scored["accuracy"][keep].mean()) for name, scored in values.items()}
            entry = {"kind": kind, "items": int(keep.sum()), "accuracy": accuracy}
            table.append(entry | (gap("accuracy", keep) if rotated else {}))
    result: dict[str, Any] = {"items": len(items), "films": int(codes.max()) + 1, "turns": rows, "kinds": table}
    if rotated:
        add_corrected_p_values(table)
        result |= {"gap": gap("accuracy", everything), "gaps": {score: gap(score, everything) for score in scores}}
    return result


def _left_out(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    _, codes = np.unique(codes, return_inverse=True)
    return weighted_means(values, codes, leave_one_out(int(codes.max()) + 1))


def _interval(values: np.ndarray, codes: np.ndarray) -> list[float] | None:
    return interval(float(values.mean()), spread_of(_left_out(values, codes)), limits=(0.0, 1.0))


def _test(differences: np.ndarray, codes: np.ndarray) -> dict[str, Any]:
    return paired_test(float(differences.mean()), _left_out(differences, codes))


def _similarity(encoder: Any) -> tuple[Callable[[list[str], list[str]], np.ndarray] | None, str | None]:
    """Return the function of S-VQA, or why there is none."""
    from ..metrics.text.sentence import SentenceEncoder

    if encoder is False:
        return None, "it was not asked for"
    try:
        loaded = encoder if isinstance(encoder, SentenceEncoder) else SentenceEncoder(encoder)
    except (MissingExtraError, CheckpointError) as error:
        return None, str(error)
    return lambda texts, references: loaded.similarities(texts, [[reference] for reference in references]), None
