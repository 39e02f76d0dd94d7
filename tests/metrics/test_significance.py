"""P-values and Holm's correction, and that every comparison of the package uses them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from microg4m_hf.bench import orientation
from microg4m_hf.bench.pairwise import class_differences, compare_runs
from microg4m_hf.metrics import compare, compare_texts, significance, text_scores
from microg4m_hf.metrics.har.inputs import read_rows
from microg4m_hf.metrics.har.result import HarSettings, score_har
from microg4m_hf.metrics.jackknife import Spread, leave_one_out, weighted_means
from microg4m_hf.metrics.significance import ALPHA, holm, paired_test
from microg4m_hf.taxonomy import label_of
from microg4m_hf.training.loading.dataset import KeyFrame
from microg4m_hf.training.recipe import Data
from tests.support.har_split import IDS, draw


def test_p_values_are_uniform_when_nothing_differs() -> None:
    random = np.random.RandomState(4)
    p = []
    for _ in range(150):
        gaps = random.randn(60)
        p.append(paired_test(gaps.mean(), weighted_means(gaps, np.arange(60), leave_one_out(60)))["p"])
    assert 0.01 <= np.mean(np.array(p) < 0.1) <= 0.2
    assert 0.4 < np.mean(p) < 0.6
    assert paired_test(0.1, np.full(60, np.nan))["p"] is None


def test_an_interval_excludes_zero_exactly_when_p_is_small() -> None:
    """Both come from the same error, so they cannot contradict each other."""
    random = np.random.RandomState(6)
    small = 0
    for _ in range(1500):
        films = random.randint(5, 60)
        gaps = random.standard_t(2, films) * random.choice([1e-9, 0.01, 1.0]) + random.choice([0, 0.02, 0.7])
        tested = paired_test(gaps.mean(), weighted_means(gaps, np.arange(films), leave_one_out(films)))
        low, high = tested["interval"]
        assert (low > 0 or high < 0) == (tested["p"] < ALPHA), tested
        small += tested["p"] < ALPHA
    assert 300 < small < 1200


def test_systems_without_a_difference_are_equal_in_spite_of_rounding() -> None:
    tested = paired_test(3e-17, 1e-17 * np.arange(9.0))
    assert (tested["p"], tested["interval"]) == (1.0, [0.0, 0.0])


def test_a_clear_difference_stays_significant_among_sixty_six_pairs() -> None:
    random = np.random.RandomState(7)
    runs: Any = []
    for place in range(12):
        values = {"cider": 0.05 * place + 0.002 * random.randn(20)}
        result = {"scores": {"cider": 0.05 * place}, "ids": ["a", "b"]}
        runs.append(SimpleNamespace(name=str(place), left_out=values, result=result, har=None))
    pairs = compare_runs(runs, "cider")
    assert len(pairs) == 66
    assert all(pair["p"] <= pair["p_corrected"] for pair in pairs)
    assert sum(pair["real"] for pair in pairs) > 33


def test_below_the_minimum_of_films_nothing_is_tested() -> None:
    meant = [f"a crew member holds tool {number}" for number in range(8)]
    for films, tested in (("aaaaaaaa", False), ("aabbccdd", False), ("aabbccde", True)):
        options: Any = {"metrics": ["rouge_l"], "sources": list(films)}
        results = [text_scores(texts, meant, **options) for texts in (meant, ["a tool"] * 8)]
        entry = compare_texts(*results)["scores"]["rouge_l"]
        assert entry["difference"] > 0
        assert (entry["interval"] is not None) == (entry["p"] is not None) == (entry["real"] is True) == tested
        assert ("at least 5 films" in entry.get("why_not", "")) != tested
        assert all((edges is not None) == tested for edges in results[0]["intervals"].values())


def test_holm_is_monotone_and_keeps_nan() -> None:
    assert holm([0.01, float("nan"), 0.5])[0] == 0.02
    assert np.isnan(holm([0.01, float("nan")])[1])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def compare_actions_of_files() -> Any:
    truth, found = draw(1, clips=20, sources=6)
    return compare(found, [(*row[:7], -row[7]) for row in found], truth, classes=IDS)["scores"].values()


def compare_captions() -> Any:
    meant = [f"a crew member holds tool {number}" for number in range(6)]
    options: Any = {"metrics": ["rouge_l"], "sources": list("abcdef")}
    results = [text_scores(texts, meant, **options) for texts in (meant, ["a tool"] * 6)]
    return compare_texts(*results)["scores"].values()


def _scored(seed: int) -> Any:
    truth, found = draw(seed, clips=24, sources=6)
    return score_har(read_rows(found), read_rows(truth, references=True), HarSettings(classes=IDS))


def compare_actions_in_a_report() -> Any:
    return class_differences(_scored(1), _scored(2))["classes"]


def compare_all_pairs_in_a_report() -> Any:
    runs: Any = []
    for name, value in (("one", 0.25), ("two", 0.5), ("three", 0.75)):
        left_out = {"cider": np.linspace(value - 0.1, value + 0.1, 20) ** 2}
        result = {"scores": {"cider": value}, "ids": ["a", "b"]}
        runs.append(SimpleNamespace(name=name, left_out=left_out, result=result, har=None))
    return compare_runs(runs, "cider")


def probe_the_orientation() -> Any:
    pytest.importorskip("accelerate", reason="no Accelerate; pip install 'microg4m-hf[train]'")
    items = []
    for number in range(14):
        labels = np.zeros((1, 50), np.uint8)
        labels[0, label_of(12 if number % 2 else 14)] = 1
        box = np.array([[0.1, 0.1, 0.5, 0.9]], np.float32)
        items.append(KeyFrame("clip.mp4", f"film{number // 2}_{number:03d}", 3, box, labels, np.array([1])))
    random = np.random.RandomState(0)

    def draw_logits(*_: Any, **__: Any) -> dict[int, np.ndarray]:
        return {place: random.randn(1, 50).astype(np.float32) for place in range(len(items))}

    model = SimpleNamespace(to=lambda device: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(orientation, "predict_logits", draw_logits)
        found = orientation.orientation_probe(model, items, Data(num_frames=2, stride=2, workers=0))
    return [*found["turns"][1:], *found["classes"]]


@pytest.mark.parametrize(
    "entries",
    [
        compare_actions_of_files,
        compare_captions,
        compare_actions_in_a_report,
        compare_all_pairs_in_a_report,
        probe_the_orientation,
    ],
)
def test_every_comparison_goes_through_this_module(entries: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Spread, "p_value", lambda spread, difference: 0.0625)
    monkeypatch.setattr(significance, "holm", lambda p_values: [0.03125 for _ in p_values])
    found = list(entries())
    assert found
    assert {(entry["p"], entry["p_corrected"], entry["real"]) for entry in found} == {(0.0625, 0.03125, True)}
