"""Resampling by source: the draws and the intervals, and that they cover what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from microg4m_hf.clip_ids import source_of
from microg4m_hf.errors import RecipeError
from microg4m_hf.metrics.bootstrap import cluster_codes, cluster_weights, interval, resampled_means
from microg4m_hf.metrics.results import Signature


def test_source_is_the_name_without_its_last_number() -> None:
    assert source_of("Apollo13_032") == "Apollo13"
    assert source_of("a_b_c_1000") == "a_b_c"
    assert source_of("no-number") == "no-number"
    assert source_of("_7") == "_7"
    assert source_of("film_²") == "film_²"  # a digit to Python, no piece number


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"resamples": 0}, "0 resamples"), ({"clusters": 0}, "0 sources"), ({"seed": -1}, "seed=-1 is out of range")],
)
def test_impossible_draws_are_named(wrong: dict[str, int], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        cluster_weights(**{"clusters": 3, "resamples": 2, "seed": 0, **wrong})


def test_draws_are_seeded_and_frozen() -> None:
    weights = cluster_weights(5, 4, seed=0)
    assert (weights.sum(axis=1) == 5).all()
    # These values never change: numpy froze the stream of RandomState.
    assert weights.tolist() == [[1, 0, 0, 3, 1], [1, 1, 1, 1, 1], [2, 1, 1, 0, 1], [1, 3, 0, 0, 1]]
    assert (cluster_weights(5, 4, seed=1) != weights).any()
    with pytest.raises(ValueError, match="nothing to resample"):
        cluster_weights([], 10)


def test_means_are_those_of_repeated_items() -> None:
    random = np.random.RandomState(0)
    values, sources = random.rand(30, 2), [f"s{i % 7}" for i in range(30)]
    names, codes = cluster_codes(sources)
    weights = cluster_weights(len(names), 20, seed=2)
    found = resampled_means(values, codes, weights)
    for row, drawn in enumerate(weights):
        assert found[row] == pytest.approx(np.repeat(values, drawn[codes], axis=0).mean(axis=0))


def test_intervals_cover_and_know_about_clusters() -> None:
    """With strong clusters, resampling clusters covers the truth as promised; resampling items would not."""
    random = np.random.RandomState(3)
    covered, naive = 0, 0
    for _ in range(120):
        values = np.repeat(random.randn(30), 8) + 0.1 * random.randn(240)
        codes = np.repeat(np.arange(30), 8)
        low, high = interval(resampled_means(values, codes, cluster_weights(30, 200, seed=random.randint(1000))))
        covered += low <= 0 <= high
        items = resampled_means(values, np.arange(240), cluster_weights(240, 200, seed=random.randint(1000)))
        naive += interval(items)[0] <= 0 <= interval(items)[1]
    assert 0.86 <= covered / 120 <= 1
    assert naive / 120 < 0.7


def test_interval_leaves_undefined_resamples_out() -> None:
    assert interval(np.array([1.0, np.nan, 1.0])) == (1.0, 1.0)
    assert np.isnan(interval(np.array([np.nan]))).all()
    with pytest.raises(ValueError, match="between 0 and 1"):
        interval(np.zeros(3), level=95)


def test_signature_tells_scores_apart() -> None:
    one = Signature("caption", "paper", tokenizer="raw split", used=3, settings={"orders": [1, 4]})
    assert str(one).startswith("caption|protocol:paper|tokenizer:raw-split|orders:1,4|used:3|missing:0|version:")
    assert "seed" not in one.as_dict()
    assert str(Signature("caption", "coco")) != str(one)
