"""Expected AP over random order of equal scores, against all permutations and against one another."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from microg4m_hf.metrics import frame_ap
from microg4m_hf.metrics.har import ties
from microg4m_hf.metrics.har.average_precision import average_precisions, rank, tie_range
from microg4m_hf.metrics.har.frame_ap import evaluate_frames
from microg4m_hf.metrics.har.inputs import read_rows
from microg4m_hf.metrics.har.ties import expected_precisions
from tests.support.har_split import IDS, draw


def ranking(scores: np.ndarray, hit: np.ndarray):
    return rank(np.zeros(scores.size, dtype=int), scores, hit, 1)


@pytest.mark.parametrize("seed", range(60))
def test_mean_over_all_permutations(seed: int) -> None:
    random = np.random.RandomState(seed)
    size = random.randint(1, 8)
    scores, hit = random.randint(0, 3, size).astype(float), random.rand(size) < 0.5
    positives = np.array([max(1, int(hit.sum()) + random.randint(0, 3))])
    values = []
    for order in permutations(range(size)):
        shuffled = np.array(order)
        shuffled = shuffled[np.argsort(-scores[shuffled], kind="stable")]
        values.append(average_precisions(hit[shuffled], np.array([0, size]), positives)[0])
    ranked = ranking(scores, hit)
    assert expected_precisions(ranked, positives)[0] == pytest.approx(np.mean(values), abs=1e-12)
    low, high = tie_range(ranked, positives)
    assert (low[0], high[0]) == pytest.approx((min(values), max(values)), abs=1e-12)


def test_large_groups_are_bracketed(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.RandomState(0)
    hit, scores = random.rand(200) < 0.2, random.randint(0, 2, 200).astype(float)
    ranked, positives = ranking(scores, hit), np.array([50])
    exact = expected_precisions(ranked, positives)[0]
    monkeypatch.setattr(ties, "EXACT", 0)
    assert expected_precisions(ranked, positives)[0] == pytest.approx(exact, abs=1e-4)


def test_no_order_of_rows_changes_it() -> None:
    truth, found = draw(1, clips=30, ties=True)
    reference = frame_ap(truth, found, IDS, ties="expected")
    for seed in range(3):
        order = np.random.RandomState(seed).permutation(len(found))
        shuffled = frame_ap(truth, [found[i] for i in order], IDS, ties="expected")
        assert list(shuffled.values()) == pytest.approx(list(reference.values()), abs=1e-12)


def test_range_contains_the_published_and_the_expected_value() -> None:
    truth, found = draw(2, clips=40, ties=True)
    references, predictions = read_rows(truth, references=True), read_rows(found)
    published, mean = (evaluate_frames(predictions, references, IDS, ties=ties) for ties in ("published", "expected"))
    for result in (published, mean):
        assert (result.ap >= result.lowest - 1e-12).all()
        assert (result.ap <= result.highest + 1e-12).all()
    assert published.highest.sum() > published.lowest.sum()
    assert 0.5 < published.tied_share <= 1
