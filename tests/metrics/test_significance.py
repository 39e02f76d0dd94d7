"""P-values and Holm's correction, and that every comparison of the package uses them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from microg4m_hf.bench import orientation
from microg4m_hf.bench.pairwise import class_differences, compare_runs
from microg4m_hf.metrics import compare, compare_texts, significance, text_scores
from microg4m_hf.metrics.bootstrap import cluster_weights, resampled_means
from microg4m_hf.metrics.har.inputs import read_rows
from microg4m_hf.metrics.har.result import HarSettings, score_har
from microg4m_hf.metrics.significance import holm, paired_p_value
from microg4m_hf.taxonomy import label_of
from microg4m_hf.training.dataset import KeyFrame
from microg4m_hf.training.recipe import Data
from tests.support.har_split import IDS, draw


def test_p_values_are_uniform_when_nothing_differs() -> None:
    random = np.random.RandomState(4)
    p = []
    for _ in range(150):
        gaps = random.randn(60)
        weights = cluster_weights(60, 199, seed=random.randint(1000))
        p.append(paired_p_value(resampled_means(gaps, np.arange(60), weights), gaps.mean()))
    assert 0.01 <= np.mean(np.array(p) < 0.1) <= 0.2
    assert 0.4 < np.mean(p) < 0.6
    assert np.isnan(paired_p_value(np.array([np.nan]), 0.1))


def test_holm_is_monotone_and_keeps_nan() -> None:
    assert holm([0.01, float("nan"), 0.5])[0] == 0.02
    assert np.isnan(holm([0.01, float("nan")])[1])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def compare_actions_of_files() -> Any:
    truth, found = draw(1)
    return compare(found, [(*row[:7], -row[7]) for row in found], truth, classes=IDS, resamples=20)["scores"].values()


def compare_captions() -> Any:
    meant = [f"a crew member holds tool {number}" for number in range(6)]
    options: Any = {"metrics": ["rouge_l"], "sources": list("aabbcc")}
    results = [text_scores(texts, meant, **options) for texts in (meant, ["a tool"] * 6)]
    return compare_texts(*results, resamples=20)["scores"].values()


def _scored(seed: int) -> Any:
    truth, found = draw(seed)
    return score_har(read_rows(found), read_rows(truth, references=True), HarSettings(classes=IDS))


def compare_actions_in_a_report() -> Any:
    return class_differences(_scored(1), _scored(2), paired=False, resamples=20)["classes"]


def compare_all_pairs_in_a_report() -> Any:
    runs: Any = []
    for name, value in (("one", 0.25), ("two", 0.5), ("three", 0.75)):
        samples = {"cider": np.linspace(value - 0.1, value + 0.1, 20)}
        result = {"scores": {"cider": value}, "ids": ["a", "b"]}
        runs.append(SimpleNamespace(name=name, samples=samples, result=result, har=None))
    return compare_runs(runs, "cider")


def probe_the_orientation() -> Any:
    items = []
    for number in range(6):
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
        found = orientation.orientation_probe(model, items, Data(num_frames=2, stride=2, workers=0), resamples=20)
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
    monkeypatch.setattr(significance, "paired_p_value", lambda differences, observed: 0.0625)
    monkeypatch.setattr(significance, "holm", lambda p_values: [0.03125 for _ in p_values])
    found = list(entries())
    assert found
    assert {(entry["p"], entry["p_corrected"], entry["real"]) for entry in found} == {(0.0625, 0.03125, True)}
