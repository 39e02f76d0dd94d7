"""The floor under every table: answers without a look at the video.

Both baselines answer a question from the questions and answers of *other* sources, so nothing about the film itself
can leak, and all questions of the benchmark can be answered.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..errors import RecipeError
from .items import ClipQueries, Query, TextSettings
from .run import Runner

_WORD = re.compile(r"[a-z0-9']+")
_BLOCK = 1024


def words(text: str) -> list[str]:
    """Lower-case words.

    >>> words("How many people?")
    ['how', 'many', 'people']
    """
    return _WORD.findall(text.lower())


def question_type(question: str) -> str:
    """The first word, with its second where the first alone says little.

    >>> question_type("How many people are there?"), question_type("Who waves?")
    ('how many', 'who')
    """
    first = words(question)[:2]
    return " ".join(first) if first[:1] in (["how"], ["what"], ["is"], ["are"]) else "".join(first[:1])


def majority_answers(questions: Sequence[str], answers: Sequence[str], sources: Sequence[str]) -> list[str]:
    """For every question the most frequent answer of its type in other sources; ties go to the first in the alphabet.

    >>> majority_answers(["Who?", "Who?", "Who?"], ["A", "B", "B"], ["x", "y", "z"])
    ['B', 'A', 'A']
    """
    kinds = [question_type(question) for question in questions]
    whole = Counter(zip(kinds, answers, strict=True))
    overall = Counter(answers)
    own: dict[str, Counter[tuple[str, str]]] = {}
    for kind, answer, source in zip(kinds, answers, sources, strict=True):
        own.setdefault(source, Counter())[kind, answer] += 1
    by_kind: dict[str, Counter[str]] = {}
    for (kind, answer), count in whole.items():
        by_kind.setdefault(kind, Counter())[answer] = count
    known: dict[tuple[str, str], str] = {}
    found = []
    for kind, source in zip(kinds, sources, strict=True):
        if (kind, source) not in known:
            left = {answer: count - own[source][kind, answer] for answer, count in by_kind[kind].items()}
            known[kind, source] = _top(left) or _top(dict(overall)) or ""
        found.append(known[kind, source])
    return found


def blind_answers(questions: Sequence[str], answers: Sequence[str], sources: Sequence[str]) -> list[str]:
    """For every question the answer to the nearest question of another source, by TF-IDF of words.

    >>> blind_answers(["Who waves?", "Who waves now?", "Where is it?"], ["Ann", "Bob", "ISS"], ["x", "y", "z"])
    ['Bob', 'Ann', 'Ann']
    """
    vectors = _tf_idf([words(question) for question in questions])
    _, codes = np.unique(np.asarray(sources, dtype=str), return_inverse=True)
    found = []
    for start in range(0, len(questions), _BLOCK):
        likeness = vectors[start : start + _BLOCK] @ vectors.T
        likeness[codes[start : start + _BLOCK, None] == codes[None, :]] = -1.0
        nearest = likeness.argmax(1)
        nothing = likeness[np.arange(len(nearest)), nearest] < 0
        found += ["" if lost else answers[place] for place, lost in zip(nearest, nothing, strict=True)]
    return found


def _top(counts: dict[str, int]) -> str | None:
    positive = [(-count, answer) for answer, count in counts.items() if count > 0]
    return min(positive)[1] if positive else None


def _tf_idf(texts: list[list[str]]) -> np.ndarray:
    """Rows of unit length."""
    place = {word: index for index, word in enumerate(sorted({word for text in texts for word in text}))}
    counts = np.zeros((len(texts), max(1, len(place))), np.float32)
    for row, text in enumerate(texts):
        for word in text:
            counts[row, place[word]] += 1
    idf = np.log((1 + len(texts)) / (1 + (counts > 0).sum(0))) + 1
    weighted = counts * idf.astype(np.float32)
    length = np.linalg.norm(weighted, axis=1, keepdims=True)
    return weighted / np.where(length == 0, 1, length)


# The baselines as a runner.


def baseline_runner(settings: TextSettings, rows: Any) -> Runner:
    """Answers every question of ``rows`` (a ``vqa`` data set) once, then hands them out."""
    if settings.task != "vqa":
        raise RecipeError(f"the baseline {settings.model!r} answers questions; for captions give a model")
    answer = blind_answers if settings.model == "blind" else majority_answers
    answers = answer(rows["question"], rows["answer"], rows["source"])
    by_id = dict(zip(rows["question_id"], answers, strict=True))

    def runner(work: Sequence[ClipQueries]) -> Iterator[tuple[Query, dict[str, Any]]]:
        for clip in work:
            for query in clip.queries:
                yield query, {"status": "ok", "text": by_id[query.id]}

    return runner
