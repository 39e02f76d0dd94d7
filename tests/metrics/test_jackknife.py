"""Errors and intervals from leaving out one film at a time, and that they cover what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from microg4m_hf.clip_ids import source_of
from microg4m_hf.errors import RecipeError
from microg4m_hf.metrics import har_scores, text_scores
from microg4m_hf.metrics.jackknife import (
    MIN_SOURCES,
    Spread,
    cluster_codes,
    interval,
    leave_one_out,
    spread_between,
    spread_of,
    student_quantile,
    student_tails,
    weighted_means,
)
from microg4m_hf.metrics.results import Signature


def test_source_is_the_name_without_its_last_number() -> None:
    assert source_of("Apollo13_032") == "Apollo13"
    assert source_of("a_b_c_1000") == "a_b_c"
    assert source_of("no-number") == "no-number"
    assert source_of("_7") == "_7"
    assert source_of("film_²") == "film_²"  # a digit to Python, no piece number


@pytest.mark.parametrize(
    ("wrong", "message"), [({"resamples": -1}, "-1 resamples"), ({"seed": -1}, "seed=-1 is out of range")]
)
def test_impossible_options_are_named(wrong: dict[str, int], message: str) -> None:
    truth = [("a_001", 1, 0, 0, 1, 1, 12)]
    with pytest.raises(RecipeError, match=message):
        har_scores([(*truth[0], 1.0)], truth, **wrong)
    with pytest.raises(RecipeError, match=message):
        text_scores(["a"], ["a"], **wrong)


def test_means_are_those_of_repeated_items() -> None:
    random = np.random.RandomState(0)
    values, sources = random.rand(30, 2), [f"s{i % 7}" for i in range(30)]
    names, codes = cluster_codes(sources)
    weights = random.randint(0, 3, (20, len(names))) + np.eye(20, len(names), dtype=int)
    found = weighted_means(values, codes, weights)
    for row, drawn in enumerate(weights):
        assert found[row] == pytest.approx(np.repeat(values, drawn[codes], axis=0).mean(axis=0))


def test_students_distribution_is_scipys() -> None:
    from scipy import stats

    for freedom in (1, 2, 4, 4.7, 46, 1000):
        for value in (1e-6, 0.3, 1.0, 2.0, 2.5, 7.0, 300.0):
            assert student_tails(value, freedom) == pytest.approx(2 * stats.t.sf(value, freedom), rel=1e-9)
        for tails in (0.9, 0.05, 0.01, 1e-7):
            assert student_quantile(tails, freedom) == pytest.approx(stats.t.isf(tails / 2, freedom), rel=1e-8)


def test_the_error_of_a_mean_is_its_textbook_error() -> None:
    values = np.random.RandomState(1).rand(9)
    spread = spread_of(weighted_means(values, np.arange(9), leave_one_out(9)))
    assert spread is not None
    assert spread.error == pytest.approx(values.std(ddof=1) / 3)
    assert spread.freedom == 8


def test_independent_sides_add_up_as_in_welchs_test() -> None:
    from scipy import stats

    random = np.random.RandomState(2)
    sides = [random.randn(12), 0.5 + 3 * random.randn(7)]
    spreads = [spread_of(weighted_means(side, np.arange(len(side)), leave_one_out(len(side)))) for side in sides]
    both = spread_between(*spreads)
    assert both is not None
    expected = stats.ttest_ind(*sides, equal_var=False)
    assert both.p_value(sides[0].mean() - sides[1].mean()) == pytest.approx(expected.pvalue)
    assert spread_between(spreads[0], None) is None


def test_intervals_cover_and_know_about_clusters() -> None:
    """With strong clusters, leaving out clusters covers the truth as promised; leaving out items would not."""
    random = np.random.RandomState(3)
    covered, naive = 0, 0
    for _ in range(120):
        values = np.repeat(random.randn(30), 8) + 0.1 * random.randn(240)
        for codes, count in ((np.repeat(np.arange(30), 8), 30), (np.arange(240), 240)):
            edges = interval(values.mean(), spread_of(weighted_means(values, codes, leave_one_out(count))))
            assert edges is not None
            if count == 30:
                covered += edges[0] <= 0 <= edges[1]
            else:
                naive += edges[0] <= 0 <= edges[1]
    assert 0.86 <= covered / 120 <= 1
    assert naive / 120 < 0.7


def test_there_is_no_interval_below_the_minimum_of_films() -> None:
    random = np.random.RandomState(4)
    assert spread_of(random.rand(MIN_SOURCES - 1)) is None
    assert spread_of(random.rand(MIN_SOURCES)) is not None
    assert spread_of(random.rand(40), films=MIN_SOURCES - 1) is None  # of 40 films, too few say anything about it
    assert spread_of(np.array([0.5] * 9 + [np.nan])) is None
    assert interval(0.5, None) is None
    with pytest.raises(ValueError, match="between 0 and 1"):
        interval(0.5, Spread(0.1, 9), level=95)


def test_a_score_lies_in_its_interval_and_the_interval_in_its_range() -> None:
    random = np.random.RandomState(5)
    for _ in range(200):
        value, error = random.rand(), random.rand()
        edges = interval(value, Spread(error, 1 + random.randint(50)), limits=(0.0, 1.0))
        assert edges is not None
        assert 0 <= edges[0] <= value <= edges[1] <= 1


def test_signature_tells_scores_apart() -> None:
    one = Signature("caption", "paper", tokenizer="raw split", used=3, settings={"orders": [1, 4]})
    assert str(one).startswith("caption|protocol:paper|tokenizer:raw-split|orders:1,4|used:3|missing:0|version:")
    assert str(Signature("caption", "coco")) != str(one)
    assert "|references:12ab|version:" in str(Signature("caption", "paper", references="12ab"))
