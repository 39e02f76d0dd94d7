"""Intervals and comparisons leave out sources, and are computed from the same statistics as the scores."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from microg4m_hf.errors import PredictionError
from microg4m_hf.metrics import compare_texts, text_scores
from microg4m_hf.metrics.jackknife import cluster_codes, leave_one_out
from microg4m_hf.metrics.text.resampling import resample_scores, scores_left_out

WORDS = ("the", "a", "crew", "floats", "eats", "near", "window", "blue")


def _texts(seed: int, count: int = 60) -> tuple[list[str], list[str], list[str]]:
    random = np.random.RandomState(seed)
    references = [" ".join(random.choice(WORDS, random.randint(3, 12))) for _ in range(count)]
    predictions = [" ".join(word if random.rand() < 0.7 else "x" for word in text.split()) for text in references]
    return predictions, references, [f"film{place % 7}" for place in range(count)]


def test_a_resample_equals_the_score_of_the_drawn_items() -> None:
    predictions, references, sources = _texts(0)
    result = text_scores(predictions, references, sources=sources)
    names, codes = cluster_codes(sources)
    weights = np.random.RandomState(3).randint(0, 3, (5, len(names)))
    samples = resample_scores(result, weights)
    for row in range(5):
        drawn = [place for place in range(len(predictions)) for _ in range(weights[row][codes[place]])]
        again = text_scores(
            [predictions[place] for place in drawn], [references[place] for place in drawn], metrics=["bleu", "rouge_l"]
        )
        for name, value in again["scores"].items():
            assert samples[name][row] == pytest.approx(value, rel=1e-12)
        # CIDEr keeps its idf weights: the mean of the drawn items' values, not a new computation.
        assert samples["cider"][row] == pytest.approx(np.mean([result["items"]["cider"][place] for place in drawn]))


def test_intervals_contain_the_score_and_depend_on_nothing_random() -> None:
    predictions, references, sources = _texts(1)
    first = text_scores(predictions, references, sources=sources, seed=4)
    assert first["intervals"] == text_scores(predictions, references, sources=sources, seed=5, resamples=7)["intervals"]
    for name, (low, high) in first["intervals"].items():
        assert 0 <= low < first["scores"][name] < high
    narrow = text_scores(predictions, references, sources=sources, level=0.5)["intervals"]["cider"]
    assert first["intervals"]["cider"][0] < narrow[0] < narrow[1] < first["intervals"]["cider"][1]
    assert "intervals" not in text_scores(predictions, references, sources=sources, resamples=0)


def test_a_score_without_a_film_is_the_score_of_the_others() -> None:
    predictions, references, sources = _texts(2)
    values = scores_left_out(text_scores(predictions, references, sources=sources))
    names, codes = cluster_codes(sources)
    assert len(leave_one_out(len(names))) == len(values["bleu_4"])
    for place in range(len(names)):
        kept = np.flatnonzero(codes != place)
        again = text_scores([predictions[i] for i in kept], [references[i] for i in kept], metrics=["bleu", "rouge_l"])
        for name, value in again["scores"].items():
            assert values[name][place] == pytest.approx(value, rel=1e-12)


def test_one_film_gives_no_interval() -> None:
    predictions, references, _ = _texts(2)
    result = text_scores(predictions, references, sources=["film"] * len(predictions))
    assert set(result["intervals"]) == set(result["scores"])
    assert all(edges is None for edges in result["intervals"].values())


def test_compare_accepts_results_from_json_in_another_order() -> None:
    predictions, references, sources = _texts(3)
    ids = [("film", place) for place in range(len(predictions))]
    good = text_scores(predictions, references, sources=sources, ids=ids)
    order = np.random.RandomState(0).permutation(len(predictions)).tolist()
    worse = ["x " + predictions[place] for place in order]
    bad = text_scores(
        worse,
        [references[place] for place in order],
        sources=[sources[place] for place in order],
        ids=[ids[place] for place in order],
    )
    table = compare_texts(good, json.loads(json.dumps(bad)), names=("A", "B"))["scores"]
    assert table["rouge_l"]["real"] and table["rouge_l"]["difference"] == pytest.approx(
        table["rouge_l"]["A"] - table["rouge_l"]["B"]
    )
    assert not any(entry["real"] for entry in compare_texts(good, good)["scores"].values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"protocol": "coco"}, "different protocols"),
        ({"ids": list(range(1, 61))}, "do not cover the same items: 2 are in one only"),
    ],
)
def test_results_that_cannot_be_compared_raise(change: dict[str, Any], message: str) -> None:
    predictions, references, sources = _texts(4)
    first = text_scores(predictions, references, sources=sources)
    with pytest.raises(PredictionError, match=message):
        compare_texts(first, text_scores(predictions, references, sources=sources, **change))
    with pytest.raises(PredictionError, match="does not know the source"):
        compare_texts(text_scores(predictions, references), text_scores(predictions, references))
