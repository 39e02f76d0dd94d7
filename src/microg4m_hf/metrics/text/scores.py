"""Scores of predicted texts against references: one function over all text metrics."""

from __future__ import annotations

import warnings as python_warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ...errors import RecipeError
from ..bootstrap import LEVEL, RESAMPLES
from ..signature import Signature
from .base import MetricResult, checked_texts, empty_places
from .bleu import bleu_from_statistics, bleu_statistics
from .cider import cider_items
from .ngrams import count_ngrams, pair_words
from .resampling import text_intervals
from .rouge_l import rouge_l_items
from .tokenizer_ptb import coco_tokens

PROTOCOLS = {"paper": "whitespace", "coco": "ptb"}
NGRAM_METRICS = ("bleu", "cider", "rouge_l")
TEXT_METRICS = (*NGRAM_METRICS, "meteor_1_5", "meteor_nltk", "sbert", "svqa", "bertscore")


def text_scores(
    predictions: Sequence[str],
    references: Sequence[str] | Sequence[Sequence[str]],
    *,
    metrics: Sequence[str] = NGRAM_METRICS,
    protocol: str = "paper",
    on_empty: str = "error",
    ids: Sequence[Any] | None = None,
    sources: Sequence[str] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
    missing: int = 0,
    zero: Sequence[int] = (),
    extra: Mapping[str, Sequence[float]] | None = None,
    encoder: Any = None,
    bert_model: Any = None,
    device: str | None = None,
) -> dict[str, Any]:
    """Score predictions against references, two equally long lists; fractions, CIDEr on its own scale of 0 to 10.

    ``protocol="paper"`` compares raw strings split at whitespace, as the published numbers did; ``"coco"`` compares
    lower-cased Penn-Treebank tokens without punctuation. METEOR follows the protocol's tokens; ``sbert``, ``svqa``
    and ``bertscore`` always read the raw strings. A reference may be a list of several texts.

    ``on_empty="error"`` refuses predictions without a word and names them (by ``ids``, else by index);
    ``"score"`` scores them as the released code would. ``sources`` (the film of each item) asks for confidence
    intervals resampled by source. ``encoder`` and ``bert_model`` are a Hub id, ``id@revision``, a folder or a
    loaded model (:class:`~microg4m_hf.metrics.text.sentence.SentenceEncoder`,
    :class:`~microg4m_hf.metrics.text.bertscore.BertScorer`), so that a loop over systems loads and encodes once.

    Callers that join predictions themselves say how many are ``missing``, which places score ``zero`` because they
    are, and hand over ``extra`` values per item to be averaged beside the metrics.

    The result holds ``scores``, ``items`` (the same per item), ``statistics`` (integers from which corpus scores are
    summed), ``intervals``, ``warnings``, ``signature`` and ``recipe``.

    >>> result = text_scores(["A cat sits.", "Two dogs run."], ["A cat sits.", "Two dogs sleep."])
    >>> round(result["scores"]["rouge_l"], 4), result["items"]["cider"][0]
    (0.8333, 7.5)
    >>> result["signature"].split("|version")[0]
    'text|protocol:paper|tokenizer:whitespace|metrics:bleu,cider,rouge_l|used:2|missing:0'
    """
    wanted = _checked_metrics(metrics)
    if protocol not in PROTOCOLS:
        raise RecipeError(f"unknown protocol {protocol!r}; choose one of {list(PROTOCOLS)}")
    if on_empty not in ("error", "score"):
        raise RecipeError(f"on_empty={on_empty!r} means nothing; choose 'error' or 'score'")
    said, meant = checked_texts(predictions, references, on_empty=on_empty, ids=ids)
    notes = _warnings(said, meant, wanted, set(zero))

    raw = said, meant
    if protocol == "coco" and {*NGRAM_METRICS, "meteor_1_5", "meteor_nltk"} & set(wanted):
        said = [coco_tokens(text) for text in said]
        meant = [[coco_tokens(text) for text in several] for several in meant]
    parts = [_ngram_part(said, meant, wanted)]
    for name, score in _model_metrics(raw, (said, meant), encoder, bert_model, device).items():
        if name in wanted:
            parts.append(score())
    part = MetricResult.merge(parts)
    part.set_zero(zero)
    for name, values in (extra or {}).items():
        part.add_mean(name, np.asarray(values, np.float64))

    signature = Signature(
        "text",
        protocol,
        tokenizer=PROTOCOLS[protocol],
        used=len(said),
        missing=missing,
        seed=seed if sources is not None and resamples else None,
        settings={"metrics": wanted, **part.settings},
    )
    result: dict[str, Any] = {
        "scores": part.scores,
        "items": {name: values.tolist() for name, values in part.items.items()},
        "statistics": {name: rows.tolist() for name, rows in part.statistics.items()},
        "ids": list(range(len(said)) if ids is None else ids),
        "warnings": notes,
        "signature": str(signature),
        "recipe": signature.as_dict(),
    }
    if sources is not None:
        result["sources"] = list(sources)
        if resamples:
            result["intervals"] = text_intervals(result, resamples=resamples, seed=seed, level=level)
    return result


def _ngram_part(said: list[str], meant: list[list[str]], wanted: list[str]) -> MetricResult:
    part = MetricResult()
    if not set(NGRAM_METRICS) & set(wanted):
        return part
    pairs = pair_words(said, meant)
    counts = count_ngrams(pairs) if {"bleu", "cider"} & set(wanted) else None
    if counts is not None and "bleu" in wanted:
        rows = bleu_statistics(counts)
        corpus, items = bleu_from_statistics(rows.sum(0)), bleu_from_statistics(rows)
        for n in range(corpus.shape[-1]):
            part.scores[f"bleu_{n + 1}"] = float(corpus[n])
            part.items[f"bleu_{n + 1}"] = items[:, n]
        part.statistics["bleu"] = rows
    if counts is not None and "cider" in wanted:
        part.add_mean("cider", cider_items(counts))
    if "rouge_l" in wanted:
        part.add_mean("rouge_l", rouge_l_items(pairs))
    return part


def _model_metrics(
    raw: tuple[list[str], list[list[str]]],
    tokenised: tuple[list[str], list[list[str]]],
    encoder: Any,
    bert_model: Any,
    device: str | None,
) -> dict[str, Callable[[], MetricResult]]:
    """The metrics that need another program or a model, each imported only when asked for."""

    def meteor_1_5() -> MetricResult:
        from .meteor_1_5 import compute_meteor_1_5

        return compute_meteor_1_5(*tokenised)

    def meteor_nltk() -> MetricResult:
        from .meteor_nltk import compute_meteor_nltk

        return compute_meteor_nltk(*tokenised)

    def similarity(name: str) -> MetricResult:
        from .sentence import compute_similarity

        return compute_similarity(name, *raw, encoder=encoder, device=device)

    def bertscore() -> MetricResult:
        from .bertscore import compute_bertscore

        return compute_bertscore(*raw, model=bert_model, device=device)

    return {
        "meteor_1_5": meteor_1_5,
        "meteor_nltk": meteor_nltk,
        "sbert": partial(similarity, "sbert"),
        "svqa": partial(similarity, "svqa"),
        "bertscore": bertscore,
    }


def _checked_metrics(metrics: Sequence[str]) -> list[str]:
    asked = [metrics] if isinstance(metrics, str) else list(metrics)
    if "meteor" in asked:
        raise RecipeError("'meteor' is two metrics with different values; say 'meteor_1_5' (Java) or 'meteor_nltk'")
    unknown = [name for name in asked if name not in TEXT_METRICS]
    if unknown or not asked:
        raise RecipeError(f"unknown text metrics {unknown}; choose from {list(TEXT_METRICS)}")
    return [name for name in TEXT_METRICS if name in asked]


def _warnings(said: list[str], meant: list[list[str]], wanted: list[str], unanswered: set[int]) -> list[str]:
    notes = []
    if "cider" in wanted and len(said) == 1:
        notes.append(
            "CIDEr of one item is 0 whatever the texts say: its idf weights ln(items/df) are all ln 1 = 0; "
            "score all items in one call, not one by one"
        )
    elif "cider" in wanted and not np.any([several != meant[0] for several in meant]):
        notes.append("CIDEr is 0 because every item has the same reference, so no n-gram has any idf weight")
    empty = set(empty_places(said)) - unanswered
    if empty:
        notes.append(f"{len(empty)} of {len(said)} predictions hold no word and were scored as they are")
    hollow = []
    if empty_places([text for several in meant for text in several]):
        hollow = [index for index, several in enumerate(meant) if empty_places(several)]
    if hollow:
        notes.append(f"{len(hollow)} of {len(meant)} items have a reference without a word, the first at {hollow[0]}")
    for note in notes:
        python_warnings.warn(note, stacklevel=3)
    return notes
