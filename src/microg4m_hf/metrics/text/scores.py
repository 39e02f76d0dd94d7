"""Score predicted texts against references: one function over all text metrics."""

from __future__ import annotations

import json
import warnings as python_warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...errors import RecipeError
from ..jackknife import LEVEL, check_former_options
from ..results import Signature, short_digest
from .base import MetricResult, check_texts, find_empty
from .bleu import compute_bleu
from .cider import cider_items
from .ngrams import count_ngrams, pair_texts
from .resampling import scores_left_out, text_intervals
from .rouge_l import rouge_l_items
from .rouge_score import ROUGE_SCORE, compute_rouge_score
from .tokenizer_ptb import tokenize_ptb

PROTOCOLS = {"paper": "whitespace", "coco": "ptb"}
NGRAM_METRICS = ("bleu", "cider", "rouge_l")
_METEOR = ("meteor_1_5", "meteor_nltk")
TEXT_METRICS = (*NGRAM_METRICS, *ROUGE_SCORE, *_METEOR, "sbert", "svqa", "bertscore")


def text_scores(
    predictions: Sequence[str],
    references: Sequence[str] | Sequence[Sequence[str]],
    *,
    metrics: Sequence[str] = NGRAM_METRICS,
    protocol: str = "paper",
    on_empty: str = "error",
    ids: Sequence[Any] | None = None,
    sources: Sequence[str] | None = None,
    resamples: int = 1,
    seed: int = 0,
    level: float = LEVEL,
    missing: int = 0,
    zero: Sequence[int] = (),
    extra: Mapping[str, Sequence[float]] | None = None,
    encoder: Any = None,
    bert_model: Any = None,
    device: str | None = None,
) -> dict[str, Any]:
    """Score predictions against references, two equally long lists.

    Args:
        predictions: One text per item.
        references: One text, or a list of several texts, per item.
        metrics: Names from ``TEXT_METRICS``.
        protocol: ``"paper"`` compares raw strings split at whitespace, as the published numbers did; ``"coco"``
            compares lower-cased Penn-Treebank tokens without punctuation. METEOR reads the tokens of the protocol;
            ``rouge_1``, ``rouge_2``, ``rouge_lsum``, ``sbert``, ``svqa`` and ``bertscore`` always read the raw strings.
        on_empty: ``"error"`` refuses predictions without a word and names them; ``"score"`` scores them as the
            released code would.
        ids: Names of the items; their indices by default.
        sources: The film of each item; adds confidence intervals, computed by leaving out one film at a time.
        resamples: 0 for no intervals, any other number for intervals. (Nothing is drawn at random; the name is from a
            time when that was different.)
        seed: The former seed of the bootstrap; it has no effect.
        level: Level of the intervals.
        missing: Number of references without a prediction, for the signature.
        zero: Indices of items that score zero because they have no prediction.
        extra: Other values per item, to be averaged beside the metrics.
        encoder: Sentence encoder: a Hub id, ``id@revision``, a folder, or a ``SentenceEncoder``, which embeds the
            references once for several systems.
        bert_model: BERTScore model: a Hub id, ``id@revision``, a folder, or a ``BertScorer``.
        device: Where these models run.

    Returns:
        ``scores`` (fractions; CIDEr from 0 to 10), ``items`` (the same per item), ``statistics`` (integers from which
        corpus scores are summed), ``ids``, ``warnings``, ``signature`` and ``recipe``; with ``sources`` also
        ``sources`` and ``intervals`` (None with fewer than five films).

    Raises:
        PredictionError: If the texts cannot be scored.
        RecipeError: If a metric, protocol or option is not known.

    Example:
        >>> result = text_scores(["A cat sits.", "Two dogs run."], ["A cat sits.", "Two dogs sleep."])
        >>> round(result["scores"]["rouge_l"], 4), result["items"]["cider"][0]
        (0.8333, 7.5)
        >>> result["signature"].split("|version")[0]
        'text|protocol:paper|tokenizer:whitespace|metrics:bleu,cider,rouge_l|used:2|missing:0|references:539f2bbf73ed'
    """
    names = _check_metrics(metrics)
    if protocol not in PROTOCOLS:
        raise RecipeError(f"unknown protocol {protocol!r}; choose one of {list(PROTOCOLS)}")
    if on_empty not in ("error", "score"):
        raise RecipeError(f"on_empty={on_empty!r} is not known; choose 'error' or 'score'")
    check_former_options(resamples, seed)
    raw = check_texts(predictions, references, on_empty=on_empty, ids=ids)
    notes = _warn(*raw, names, set(zero))

    tokens = raw
    if protocol == "coco" and {*NGRAM_METRICS, *_METEOR} & set(names):
        references_tokens = [[tokenize_ptb(text) for text in several] for several in raw[1]]
        tokens = [tokenize_ptb(text) for text in raw[0]], references_tokens
    models = {"encoder": encoder, "bert_model": bert_model, "device": device}
    result = _compute_ngram_metrics(*tokens, names)
    for name in names:
        if name not in NGRAM_METRICS:
            result.update(_compute(name, tokens if name in _METEOR else raw, models))
    result.zero_items(zero)
    for name, values in (extra or {}).items():
        result.add_mean(name, np.asarray(values, np.float64))

    signature = Signature(
        "text",
        protocol,
        tokenizer=PROTOCOLS[protocol],
        used=len(raw[0]),
        missing=missing,
        references=_digest(raw[1], ids),
        settings={"metrics": names, **result.settings},
    )
    output: dict[str, Any] = {
        "scores": result.scores,
        "items": {name: values.tolist() for name, values in result.items.items()},
        "statistics": {name: rows.tolist() for name, rows in result.statistics.items()},
        "ids": list(range(len(raw[0])) if ids is None else ids),
        "warnings": notes,
        "signature": str(signature),
        "recipe": signature.as_dict(),
    }
    if sources is not None:
        output["sources"] = list(sources)
        if resamples:
            output["intervals"] = text_intervals(result.scores, scores_left_out(output), level)
    return output


def _digest(references: list[list[str]], ids: Sequence[Any] | None) -> str:
    """Return a digest of the references and their ids that does not depend on their order."""
    names = ids if ids is not None else [None] * len(references)
    return short_digest(
        "\n".join(sorted(json.dumps(pair, default=str) for pair in zip(names, references, strict=True)))
    )


def _check_metrics(metrics: Sequence[str]) -> list[str]:
    names = [metrics] if isinstance(metrics, str) else list(metrics)
    if "meteor" in names:
        raise RecipeError("'meteor' is two metrics with different values; say 'meteor_1_5' (Java) or 'meteor_nltk'")
    if "rouge" in names or "rouge_score" in names:
        raise RecipeError(f"ROUGE has several forms; say 'rouge_l' (as published) or one of {list(ROUGE_SCORE)}")
    unknown = [name for name in names if name not in TEXT_METRICS]
    if unknown or not names:
        raise RecipeError(f"unknown text metrics {unknown}; choose from {list(TEXT_METRICS)}")
    return [name for name in TEXT_METRICS if name in names]


def _compute_ngram_metrics(predictions: list[str], references: list[list[str]], names: list[str]) -> MetricResult:
    result = MetricResult()
    if not set(NGRAM_METRICS) & set(names):
        return result
    pairs = pair_texts(predictions, references)
    if {"bleu", "cider"} & set(names):
        counts = count_ngrams(pairs)
        if "bleu" in names:
            result = compute_bleu(counts)
        if "cider" in names:
            result.add_mean("cider", cider_items(counts))
    if "rouge_l" in names:
        result.add_mean("rouge_l", rouge_l_items(pairs))
    return result


def _compute(name: str, texts: tuple[list[str], list[list[str]]], models: Mapping[str, Any]) -> MetricResult:
    """Compute a metric that needs another program or a model, which is imported only here."""
    if name == "meteor_1_5":
        from .meteor_1_5 import compute_meteor_1_5

        return compute_meteor_1_5(*texts)
    if name == "meteor_nltk":
        from .meteor_nltk import compute_meteor_nltk

        return compute_meteor_nltk(*texts)
    if name == "bertscore":
        from .bertscore import compute_bertscore

        return compute_bertscore(*texts, model=models["bert_model"], device=models["device"])
    if name in ROUGE_SCORE:
        return compute_rouge_score(name, *texts)
    from .sentence import compute_similarity

    return compute_similarity(name, *texts, encoder=models["encoder"], device=models["device"])


def _warn(predictions: list[str], references: list[list[str]], names: list[str], missing: set[int]) -> list[str]:
    """Warn about texts whose scores mislead, and return the warnings."""
    notes = []
    if "cider" in names and len(predictions) == 1:
        notes.append(
            "CIDEr of one item is 0 whatever the texts say: its idf weights ln(items/df) are all ln 1 = 0; "
            "score all items in one call, not one by one"
        )
    elif "cider" in names and all(several == references[0] for several in references):
        notes.append("CIDEr is 0 because every item has the same reference, so no n-gram has any idf weight")
    empty = set(find_empty(predictions)) - missing
    if empty:
        notes.append(f"{len(empty)} of {len(predictions)} predictions hold no word and were scored as they are")
    hollow = [index for index, several in enumerate(references) if find_empty(several)]
    if hollow:
        notes.append(
            f"{len(hollow)} of {len(references)} items have a reference without a word, the first at {hollow[0]}"
        )
    for note in notes:
        python_warnings.warn(note, stacklevel=3)
    return notes
