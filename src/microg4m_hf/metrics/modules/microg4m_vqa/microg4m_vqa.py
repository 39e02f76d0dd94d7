"""`evaluate` module for answers about MicroG-4M, around `microg4m_hf.metrics.vqa_scores`."""

import datasets
import evaluate

from microg4m_hf.citation import BIBTEX
from microg4m_hf.metrics import vqa_scores

_DESCRIPTION = """
BLEU-1..4, CIDEr, ROUGE-L, METEOR (two kinds under two names), S-VQA, BERTScore, exact match and refusals of answers
(MicroG-4M). protocol="paper" gives the published numbers on raw strings, protocol="coco" compares Treebank tokens.
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions: one dictionary per question, `video_id`, `question` and `answer`; or plain strings; or a file's path.
    references: rows of the `vqa` config, or the same.
    Files, tables, rows and dictionaries join by `video_id` and `question`.
    metrics: of bleu, cider, rouge_l (default), rouge_1, rouge_2, rouge_lsum, meteor_1_5, meteor_nltk, svqa, bertscore.
    details: also return items, statistics, intervals, counts and recipe.
    Everything else is passed to `vqa_scores`: protocol, missing, unknown, on_empty, by, resamples, encoder, ...
Returns:
    one entry per score, as fractions (CIDEr from 0 to 10), exact_match, refusal_rate, `answerable` (the scores of
    questions with and without an answer), and `signature`, which says how they were computed.
Examples:
    >>> metric = evaluate.load("microg4m_vqa")
    >>> metric.compute(predictions="answers.jsonl", references="vqa_and_captioning.json")["refusal_rate"]
"""


def _features():
    text = datasets.Value("string")
    question = {"video_id": datasets.Value("string"), "question": text, "answer": text}
    return [
        datasets.Features({"predictions": question, "references": question}),
        datasets.Features({"predictions": text, "references": text}),
    ]


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class Microg4mVqa(evaluate.Metric):
    def _info(self):
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=BIBTEX,
            inputs_description=_KWARGS_DESCRIPTION,
            features=_features(),
            homepage="https://huggingface.co/datasets/LEI-QI-233/MicroG-4M",
        )

    def add(self, *, prediction=None, reference=None, **kwargs):
        """Add one prediction and its reference, which may be a row of the config `vqa`."""
        prediction, reference = _singular(prediction, reference, kwargs)
        return super().add(prediction=_scored_columns(prediction), reference=_scored_columns(reference), **kwargs)

    def add_batch(self, *, predictions=None, references=None, **kwargs):
        """Add predictions and references, which may be rows of the config `vqa`."""
        sides = [[_scored_columns(entry) for entry in side] for side in (predictions, references)]
        return super().add_batch(predictions=sides[0], references=sides[1], **kwargs)

    def compute(self, *, predictions=None, references=None, **kwargs):
        """Score what was added, or `predictions` and `references` in every form that `vqa_scores` takes."""
        added = predictions is None and references is None
        if not (added or _are_pairs(predictions, references)):  # files, tables, datasets: joined by clip and question
            return self._compute(predictions, references, **kwargs)
        return super().compute(predictions=predictions, references=references, **kwargs)

    def _compute(self, predictions, references, details=False, **settings):
        if isinstance(predictions, list) and predictions and isinstance(predictions[0], str):
            # Plain strings have no clip: number them, and leave out intervals, which need the films.
            settings["resamples"] = 0
            predictions, references = zip(*sorted(zip(predictions, references, strict=True)), strict=True)
            predictions, references = _number(predictions), _number(references)
        # Sorted by key, so that any number of processes gives the same sums to the last digit.
        result = vqa_scores(_sort(predictions), _sort(references), **settings)
        short = {**result["scores"], "answerable": result["by"]["answerable"], "signature": result["signature"]}
        return {**short, **result} if details else short


def _singular(prediction, reference, kwargs):
    """Return both, also where `evaluate.combine` passes them under the names of batches."""
    return kwargs.pop("predictions", prediction), kwargs.pop("references", reference)


def _are_pairs(predictions, references):
    """Return whether both are lists of equally many strings or answers, which `evaluate` can store."""
    lists = isinstance(predictions, list) and isinstance(references, list) and len(predictions) == len(references)
    both = [entry for entry in (*predictions, *references) if isinstance(entry, dict)] if lists else []
    return lists and all({"video_id", "question", "answer"} <= set(entry) for entry in both)


def _scored_columns(entry):
    """Return what is scored of a row; `evaluate` stores no columns that it does not know."""
    return {key: entry[key] for key in ("video_id", "question", "answer")} if isinstance(entry, dict) else entry


def _number(texts):
    return {(str(number), "question"): text for number, text in enumerate(texts)}


def _sort(rows):
    if isinstance(rows, list) and rows and isinstance(rows[0], dict):
        return sorted(rows, key=lambda row: (row["video_id"], row.get("question", "")))
    return rows
