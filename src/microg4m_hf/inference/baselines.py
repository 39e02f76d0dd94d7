"""Baselines that answer questions and caption clips without looking at the video.

All use the references of *other* sources only, so nothing about the source film leaks in. They are no competitors of
models: they read references, and show what the wording of the references alone is worth.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from .items import ClipQueries, TextSettings
from .run import Results, Runner

_BLOCK = 1024  # rows of the similarity matrix that are computed at once


def baseline_runner(settings: TextSettings, rows: Any) -> Runner:
    """Return a runner for the baseline that ``settings.model`` names, given a dataset with references and sources."""
    if settings.task == "caption":
        if settings.model == "blind":
            texts = drawn_captions(rows["caption"], rows["source"], settings.seed)
        else:
            texts = typical_captions(rows["caption"], rows["source"])
        by_id = dict(zip(rows["video_id"], texts, strict=True))
    else:
        answer = blind_answers if settings.model == "blind" else majority_answers
        texts = answer(rows["question"], rows["answer"], rows["source"])
        by_id = dict(zip(rows["question_id"], texts, strict=True))

    def runner(clips: Sequence[ClipQueries]) -> Results:
        for clip in clips:
            for query in clip.queries:
                yield query, {"status": "ok", "text": by_id[query.id]}

    return runner


def words(text: str) -> list[str]:
    """Split a text into lowercase words.

    >>> words("How many people?")
    ['how', 'many', 'people']
    """
    return re.findall(r"[a-z0-9']+", text.lower())


def question_type(question: str) -> str:
    """Return the first word of a question, or its first two if the first is ambiguous.

    >>> question_type("How many people are there?"), question_type("Who waves?")
    ('how many', 'who')
    """
    first = words(question)[:2]
    return " ".join(first) if first[:1] in (["how"], ["what"], ["is"], ["are"]) else "".join(first[:1])


def majority_answers(questions: Sequence[str], answers: Sequence[str], sources: Sequence[str]) -> list[str]:
    """Answer each question with the most frequent answer to its type in other sources.

    Ties go to the first answer in alphabetical order.

    >>> majority_answers(["Who?", "Who?", "Who?"], ["A", "B", "B"], ["x", "y", "z"])
    ['B', 'A', 'A']
    """
    kinds = [question_type(question) for question in questions]
    by_kind: dict[str, Counter[str]] = {}
    by_source: dict[tuple[str, str], Counter[str]] = {}
    for kind, answer, source in zip(kinds, answers, sources, strict=True):
        by_kind.setdefault(kind, Counter())[answer] += 1
        by_source.setdefault((kind, source), Counter())[answer] += 1
    overall = _most_frequent(Counter(answers))
    # Subtracting a counter keeps positive counts only.
    best = {key: _most_frequent(by_kind[key[0]] - own) or overall for key, own in by_source.items()}
    return [best[key] for key in zip(kinds, sources, strict=True)]


def blind_answers(questions: Sequence[str], answers: Sequence[str], sources: Sequence[str]) -> list[str]:
    """Answer each question like the most similar question of another source, by the TF-IDF of words.

    >>> blind_answers(["Who waves?", "Who waves now?", "Where is it?"], ["Ann", "Bob", "ISS"], ["x", "y", "z"])
    ['Bob', 'Ann', 'Ann']
    """
    vectors = _tf_idf([words(question) for question in questions])
    _, codes = np.unique(np.asarray(sources, dtype=str), return_inverse=True)
    results = []
    for start in range(0, len(questions), _BLOCK):
        similarity = vectors[start : start + _BLOCK] @ vectors.T
        similarity[codes[start : start + _BLOCK, None] == codes[None, :]] = -1.0
        nearest = similarity.argmax(1)
        no_match = similarity[np.arange(len(nearest)), nearest] < 0
        results += ["" if unmatched else answers[index] for index, unmatched in zip(nearest, no_match, strict=True)]
    return results


def typical_captions(captions: Sequence[str], sources: Sequence[str]) -> list[str]:
    """Caption each clip with the caption of another source that is most similar to all captions of other sources.

    Similarity is that of :func:`blind_answers`. It is the counterpart of the most frequent answer, as hardly any
    caption occurs twice.

    >>> typical_captions(["He eats.", "She eats now.", "She eats.", "Stars."], ["x", "y", "z", "z"])
    ['She eats now.', 'He eats.', 'He eats.', 'He eats.']
    """
    vectors = _tf_idf([words(caption) for caption in captions])
    names, codes = np.unique(np.asarray(sources, dtype=str), return_inverse=True)
    total = vectors.sum(0)
    best = []
    for code in range(len(names)):
        similarity = vectors @ (total - vectors[codes == code].sum(0))
        similarity[codes == code] = -1.0
        best.append(captions[int(similarity.argmax())] if similarity.max() >= 0 else "")
    return [best[code] for code in codes]


def drawn_captions(captions: Sequence[str], sources: Sequence[str], seed: int = 0) -> list[str]:
    """Caption each clip with a caption of another source, drawn at random.

    >>> drawn_captions(["He eats.", "She floats.", "Stars."], ["x", "y", "y"])[1:]
    ['He eats.', 'He eats.']
    """
    _, codes = np.unique(np.asarray(sources, dtype=str), return_inverse=True)
    order = np.argsort(codes, kind="stable")  # the captions of other sources are those before and behind the own ones
    sizes = np.bincount(codes)
    begins = np.cumsum(sizes) - sizes
    draws = np.random.default_rng(seed).random(len(captions))
    results = []
    for code, draw in zip(codes.tolist(), draws.tolist(), strict=True):
        place = int(draw * (len(captions) - int(sizes[code])))
        place += int(sizes[code]) if place >= begins[code] else 0
        results.append(captions[int(order[place])] if place < len(captions) else "")
    return results


def _most_frequent(counts: Counter[str]) -> str:
    return min(((-count, answer) for answer, count in counts.items()), default=(0, ""))[1]


def _tf_idf(texts: list[list[str]]) -> np.ndarray:
    """Return one row of unit length per text."""
    column = {word: number for number, word in enumerate(sorted({word for text in texts for word in text}))}
    counts = np.zeros((len(texts), max(1, len(column))), np.float32)
    for row, text in enumerate(texts):
        for word in text:
            counts[row, column[word]] += 1
    idf = np.log((1 + len(texts)) / (1 + (counts > 0).sum(0))) + 1
    weighted = counts * idf.astype(np.float32)
    length = np.linalg.norm(weighted, axis=1, keepdims=True)
    return weighted / np.where(length == 0, 1, length)
