"""The published numbers, from the released prediction files."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest

from microg4m_hf.errors import PredictionError
from microg4m_hf.metrics import TieWarning, compare, har_scores, tune_thresholds

MODELS = ("C2D_8x8_R50", "I3D_8x8_R50", "MVIT_B_16x4", "SLOWFAST_4x16_R50", "X3D_S")
# mAP in percent over best and worst order of equal scores, where it matters.
TIED = {"MVIT_B_16x4": (12.14, 18.96), "X3D_S": (13.79, 19.64)}


def files(shared: Path, model: str) -> tuple[Path, Path]:
    truth = shared / "data/microg4m/train_ready/ava_test_gt.csv"
    return shared / "data/har_predictions" / model / "detections_test.csv", truth


@pytest.mark.parametrize("model", MODELS)
def test_reported_scores(shared: Path, model: str) -> None:
    predictions, references = files(shared, model)
    text = (predictions.parent / "reported.json").read_text()
    reported = json.JSONDecoder().raw_decode(text[text.index("{") :])[0]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = har_scores(predictions, references)
    for name, key in (("map", "map"), ("f1", "f1_macro"), ("recall", "recall_macro"), ("auroc", "auroc_macro")):
        assert result["scores"][name] == pytest.approx(reported[key], abs=5e-5), name
    assert result["counts"]["rows"] == 56_850
    assert result["counts"]["boxes"] == 1_137
    assert result["counts"]["labels"] == 2_656
    assert result["counts"]["repeated_rows"] == 50
    low, high = result["ties"]["map_range"]
    assert low <= result["scores"]["map"] <= high
    assert bool([one for one in caught if one.category is TieWarning]) == (model in TIED)
    if model in TIED:
        assert (100 * low, 100 * high) == pytest.approx(TIED[model], abs=0.01)
        assert 0.08 < result["ties"]["boxes"] < 0.12  # about a tenth of the boxes lie off the feature map
    else:
        assert high - low < 2e-5
        assert result["ties"]["boxes"] < 0.001


@pytest.mark.filterwarnings("ignore::microg4m_hf.metrics.TieWarning")
def test_instance_protocol_counts_each_person_once(shared: Path) -> None:
    predictions, references = files(shared, "X3D_S")
    result = har_scores(predictions, references, protocol="instance", by=("group", "frequency"))
    assert result["counts"]["boxes"] == 1_136
    low, high = result["ties"]["map_range"]
    assert low < result["scores"]["map"] < high
    assert result["recipe"]["scores"] == "logits"
    assert len(result["by"]["frequency"]) == 3


def test_parts_of_a_result(shared: Path) -> None:
    predictions, references = files(shared, "I3D_8x8_R50")
    actions = (shared / "data/microg4m/actions.csv").read_text().splitlines()[1:]
    domains = {line.split(",")[0]: {"m": "movie", "r": "real"}[line.split(",")[1]] for line in actions}
    result = har_scores(predictions, references, by=("domain", "source"), domains=domains)
    assert set(result["by"]["domain"]) == {"movie", "real"}
    assert sum(part["boxes"] for part in result["by"]["domain"].values()) == 1_137
    assert len(result["by"]["source"]) == result["counts"]["sources"] == 47


def test_which_differences_are_real(shared: Path) -> None:
    (i3d, references), (c2d, _) = files(shared, "I3D_8x8_R50"), files(shared, "C2D_8x8_R50")
    slowfast, _ = files(shared, "SLOWFAST_4x16_R50")
    far = compare(i3d, c2d, references, names=("I3D", "C2D"))["scores"]["map"]
    assert far["difference"] == pytest.approx(0.46409 - 0.29514, abs=1e-4)
    assert far["real"]
    assert far["interval"][0] > 0.05
    near = compare(i3d, slowfast, references)["scores"]
    assert not near["auroc"]["real"]
    # The bootstrap said +2.3 to +9.0 and "not significant"; one error for both cannot contradict itself.
    for entry in near.values():
        assert (entry["interval"][0] > 0 or entry["interval"][1] < 0) == (entry["p"] < 0.05)


def test_every_score_lies_in_its_interval(shared: Path) -> None:
    for model in MODELS:
        predictions, references = files(shared, model)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TieWarning)
            result = har_scores(predictions, references, resamples=1, by="frequency")
        assert all(low < high for low, high in result["intervals"].values())
        for part in (result, *result["by"]["frequency"].values()):
            for name, (low, high) in part["intervals"].items():
                assert 0 <= low <= part["scores"][name] <= high <= 1, (model, name)


def test_thresholds_tuned_on_the_scored_split_are_refused(shared: Path) -> None:
    predictions, references = files(shared, "C2D_8x8_R50")
    tuned = tune_thresholds(predictions, references)
    assert len(tuned) == 41
    with pytest.raises(PredictionError, match="tuned on 953 of the 953 clips"):
        har_scores(predictions, references, protocol="instance", threshold=tuned)
