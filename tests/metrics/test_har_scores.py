"""har_scores on random data: scores by their definition, protocols, missing boxes, detectors, parts, signatures."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from microg4m_hf.errors import DataError, PredictionError
from microg4m_hf.metrics import compare, frame_ap, har_scores, tune_thresholds, write_predictions
from microg4m_hf.metrics.har import result as har_result
from microg4m_hf.metrics.har.inputs import read_rows
from microg4m_hf.metrics.har.result import HarSettings, score_har
from microg4m_hf.taxonomy import ACTION_IDS
from tests.support.har_split import IDS, dense, draw, labeled, naive_f1_recall_precision_auroc

SCORES = ("f1", "recall", "precision", "auroc")
TIES_DO_NOT_MATTER = pytest.mark.filterwarnings("ignore::microg4m_hf.metrics.TieWarning")


def per_class(result: dict, name: str) -> list[float]:
    return [result["per_class"][action][name] for action in IDS]


def definition(truth: list[tuple], found: list[tuple], *, by_frame: bool, cut: float) -> dict[int, tuple]:
    """Scores of each class from plain loops over boxes."""
    result = {}
    for action in IDS:
        labeled_at = {row[: 2 if by_frame else 6] for row in truth if row[6] == action}
        rows = [row for row in found if row[6] == action]
        positive = [row[: 2 if by_frame else 6] in labeled_at for row in rows]
        result[action] = naive_f1_recall_precision_auroc(positive, [row[7] for row in rows], cut)
    return result


@pytest.mark.parametrize(("protocol", "cut"), [("paper", 0.5), ("instance", 0.0)])
@pytest.mark.parametrize("ties", [False, True])
@TIES_DO_NOT_MATTER
def test_scores_are_their_definitions(protocol: str, cut: float, ties: bool) -> None:
    truth, found = draw(5, clips=15, ties=ties)
    result = har_scores(found, truth, protocol=protocol, classes=IDS)
    expected = definition(truth, found, by_frame=protocol == "paper", cut=cut)
    for place, name in enumerate(SCORES):
        assert per_class(result, name) == pytest.approx([expected[a][place] for a in IDS], abs=1e-12, nan_ok=True), name
        values = [expected[action][place] for action in IDS]
        assert result["scores"][name] == pytest.approx(np.nanmean(values), abs=1e-12)


def test_auroc_is_sklearns() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    truth, found = draw(8, clips=40, ties=True)
    result = har_scores(found, truth, protocol="instance", classes=IDS)
    for action in IDS:
        rows = [row for row in found if row[6] == action]
        boxes = {row[:6] for row in truth if row[6] == action}
        positive = [row[:6] in boxes for row in rows]
        assert result["per_class"][action]["auroc"] == pytest.approx(
            metrics.roc_auc_score(positive, [row[7] for row in rows]), abs=1e-12
        )
        assert result["per_class"][action]["f1"] == pytest.approx(
            metrics.f1_score(positive, [row[7] >= 0 for row in rows], zero_division=0), abs=1e-12
        )


@TIES_DO_NOT_MATTER
def test_frame_labels_are_the_union_and_person_labels_are_not() -> None:
    left, right = (0.0, 0.0, 0.4, 1.0), (0.6, 0.0, 1.0, 1.0)
    truth = [("a_001", 1, *left, 12), ("a_001", 1, *right, 14)]
    found = [("a_001", 1, *box, action, 2.0) for box in (left, right) for action in (12, 14)]
    paper, instance = (har_scores(found, truth, protocol=name, classes=(12, 14)) for name in ("paper", "instance"))
    assert (paper["scores"]["f1"], paper["scores"]["precision"]) == (1.0, 1.0)
    assert (instance["scores"]["f1"], instance["scores"]["precision"]) == (pytest.approx(2 / 3), 0.5)


def test_averages_run_over_all_classes() -> None:
    truth, found = [("a_001", 1, 0, 0, 1, 1, 12)], [("a_001", 1, 0, 0, 1, 1, 12, 3.0)]
    assert har_scores(found, truth)["scores"]["f1"] == pytest.approx(1 / 50)
    assert har_scores(found, truth, classes=80)["scores"]["f1"] == pytest.approx(1 / 80)
    assert har_scores(found, truth)["scores"]["map"] == 1.0
    assert math.isnan(har_scores(found, truth)["scores"]["auroc"])


def test_zero_shot_outputs_have_eighty_columns() -> None:
    truth, found = draw(4)
    clips = dense(found)
    for clip in clips:
        wide = np.full((len(clip["boxes"]), 80), -9.0)
        wide[:, np.array(ACTION_IDS) - 1] = clip["scores"]
        wide[:, 1] = 5.0  # action 2 is none of the 50: dropped from the mAP, wrong in F1
        clip["scores"] = wide.tolist()
    narrow, wide = har_scores(dense(found), truth), har_scores(clips, truth)
    assert wide["scores"]["map"] == narrow["scores"]["map"]
    assert wide["scores"]["f1"] * 80 == pytest.approx(narrow["scores"]["f1"] * 50)
    assert wide["recipe"]["classes"] == 80


def test_raw_scores_and_probabilities() -> None:
    truth, found = draw(6, clips=20)
    squashed = [(*row[:7], 1 / (1 + math.exp(-row[7]))) for row in found]
    logits = har_scores(found, truth, protocol="instance", threshold=0.3)
    chances = har_scores(squashed, truth, protocol="instance", threshold=0.3)
    assert chances["scores"] == pytest.approx(logits["scores"], abs=1e-12)
    assert (logits["recipe"]["scores"], chances["recipe"]["scores"]) == ("logits", "probabilities")
    # The paper's threshold is on the raw score: 0.5 as a logit is a probability of 0.622.
    raw = har_scores(found, truth)["scores"]
    assert har_scores(squashed, truth, threshold=1 / (1 + math.exp(-0.5)))["scores"] == pytest.approx(raw)
    with pytest.raises(PredictionError, match="not probabilities"):
        har_scores(found, truth, protocol="instance", scores_are="probabilities")


def test_a_box_scored_twice_counts_twice_in_the_paper_only() -> None:
    truth, found = draw(7, persons=1)
    twice = found[:5] + found
    paper = har_scores(twice, truth, classes=IDS)
    assert paper["counts"]["repeated_rows"] == 5
    assert paper["counts"]["boxes"] == har_scores(found, truth, classes=IDS)["counts"]["boxes"] + 1
    assert paper["scores"]["auroc"] != har_scores(found, truth, classes=IDS)["scores"]["auroc"]
    once, again = (har_scores(rows, truth, classes=IDS, protocol="instance") for rows in (found, twice))
    assert once["scores"] == again["scores"]
    with pytest.raises(PredictionError, match="two scores"):
        har_scores([(*found[0][:7], 99.0), *found], truth)


def test_labels_given_twice_count_once_per_person() -> None:
    truth, found = draw(7, persons=1)
    once, twice = (har_scores(found, rows, protocol="instance") for rows in (truth, truth + truth[:3]))
    assert once["scores"] == twice["scores"]
    assert har_scores(found, truth + truth[:3])["scores"]["map"] < har_scores(found, truth)["scores"]["map"]


def test_persons_who_share_a_box() -> None:
    box = (0.1, 0.1, 0.9, 0.9)
    truth = [("a_001", 1, *box, 12, 0), ("a_001", 1, *box, 14, 1)]
    found = {
        "video_id": ["a_001"] * 2, "frame": [1, 1], "boxes": [box, box], "person_id": [0, 1],
        "scores": [[3.0 if action == own else -3.0 for action in ACTION_IDS] for own in (12, 14)],
    }  # fmt: skip
    result = har_scores(found, truth, protocol="instance", classes=50)
    assert result["counts"]["boxes"] == 2
    assert (result["per_class"][12]["f1"], result["per_class"][14]["f1"]) == (1.0, 1.0)


def test_missing_boxes() -> None:
    truth, found = draw(9, clips=12, persons=1)
    kept = [row for row in found if row[0] != found[0][0]]
    with pytest.raises(PredictionError, match=r"1 of 12 boxes have no prediction: film0_000:50"):
        har_scores(kept, truth)
    zero, drop = (har_scores(kept, truth, missing=rule, classes=IDS) for rule in ("zero", "drop"))
    assert zero["counts"]["missing"] == drop["counts"]["missing"] == 1
    assert "missing:1" in zero["signature"]
    without = har_scores(kept, [row for row in truth if row[0] != found[0][0]], classes=IDS)
    assert drop["scores"] == pytest.approx(without["scores"])
    assert zero["scores"]["recall"] < drop["scores"]["recall"]
    assert zero["scores"]["map"] < drop["scores"]["map"]
    assert zero["scores"]["map"] == pytest.approx(np.nanmean(list(frame_ap(truth, kept, IDS).values())))


def test_boxes_of_a_detector() -> None:
    """Loosely fitting boxes, one person that was not detected, one box without a person."""
    truth = [("a_001", 1, 0.1, 0.1, 0.5, 0.9, 12, 0), ("b_001", 1, 0.1, 0.1, 0.5, 0.9, 12, 0)]
    found = [("a_001", 1, 0.15, 0.1, 0.55, 0.85, 12, 3.0), ("a_001", 1, 0.7, 0.1, 0.9, 0.4, 12, 2.0)]
    paper = har_scores(found, truth, classes=(12, 14))
    assert paper["recipe"]["boxes"] == "detected"
    assert paper["scores"]["map"] == 0.5
    assert (
        paper["per_class"][12]["recall"] == 1.0
    )  # only detected boxes are looked at, and all lie in frames with the action
    instance = har_scores(found, truth, protocol="instance", classes=(12, 14))
    assert instance["per_class"][12]["recall"] == 0.5
    assert instance["per_class"][12]["precision"] == 0.5
    assert instance["counts"]["boxes"] == 3
    assert instance["counts"]["missing"] == 1


def test_best_score_claims_first_in_the_instance_protocol() -> None:
    truth = [("a_001", 1, 0, 0, 1, 1, 12), ("b_001", 1, 0, 0, 1, 1, 12)]
    found = [("a_001", 1, 0, 0, 1, 0.9, 12, 1.0), ("a_001", 1, 0, 0, 1, 1, 12, 3.0), ("b_001", 1, 0, 0, 1, 1, 12, 2.0)]
    assert har_scores(found, truth)["scores"]["map"] == pytest.approx(2 / 3)
    assert har_scores(found, truth, protocol="instance")["scores"]["map"] == 1.0


def test_parts() -> None:
    truth, found = draw(11, clips=30, sources=6)
    domains = {row[0]: "movie" if row[0].startswith("film0") else "real" for row in truth}
    result = har_scores(found, truth, by=("domain", "source", "group", "frequency"), domains=domains, resamples=1)
    movie = [[row for row in rows if row[0].startswith("film0")] for rows in (found, truth)]
    assert result["by"]["domain"]["movie"]["scores"] == pytest.approx(har_scores(*movie)["scores"], nan_ok=True)
    assert set(result["by"]["source"]) == {f"film{number}" for number in range(6)}
    assert set(result["by"]["domain"]["movie"]["intervals"].values()) == {None}  # one film
    assert result["by"]["source"]["film0"] == result["by"]["domain"]["movie"]
    low, high = result["by"]["domain"]["real"]["intervals"]["recall"]
    assert low <= result["by"]["domain"]["real"]["scores"]["recall"] <= high
    movement = result["by"]["group"]["person movement"]
    expected = np.mean([result["per_class"][action]["ap"] for action in (1, 12, 14)])
    assert movement["scores"]["map"] == pytest.approx(expected)
    assert movement["intervals"]["map"][0] <= movement["scores"]["map"] <= movement["intervals"]["map"][1]
    assert [result["by"]["frequency"][part]["classes"] for part in ("head", "middle", "tail")] == [17, 17, 16]
    counts = dict.fromkeys(ACTION_IDS, 0) | {80: 9}
    tail = har_scores(found, truth, by="frequency", class_counts=counts)["by"]["frequency"]["tail"]
    assert math.isnan(tail["scores"]["map"]) is False
    with pytest.raises(PredictionError, match="domains="):
        har_scores(found, truth, by="domain")
    with pytest.raises(PredictionError, match="lacks 30 clips"):
        har_scores(found, truth, by="domain", domains={})


def test_resampling_a_source_is_having_its_clips_again() -> None:
    """Weights are exact: drawing a source twice equals adding its clips under second names."""
    truth, found = draw(12, clips=16)
    scored = score_har(read_rows(found), read_rows(truth, references=True), HarSettings(classes=IDS))
    weights = np.random.RandomState(3).randint(0, 3, (12, 4)) + np.eye(12, 4, dtype=int)
    resampled = scored.statistics.resample(weights).macro()
    for number, drawn in enumerate(weights):
        repeat = {f"film{place}": int(count) for place, count in enumerate(drawn)}
        again = [
            [(f"{row[0]}x{copy}", *row[1:]) for row in rows for copy in range(repeat[row[0].split("_")[0]])]
            for rows in (found, truth)
        ]
        again[0].sort(key=lambda row: -row[7])
        expected = har_scores(*again, classes=IDS)["scores"]
        for name, value in expected.items():
            assert resampled[name][number] == pytest.approx(value, abs=1e-12, nan_ok=True), (number, name)


def test_one_result_serves_scores_parts_and_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows are aligned once for the system and once for each of its domains, however often they are asked for."""
    truth, found = draw(11, clips=20)
    domains = {row[0]: "movie" if row[0].startswith("film0") else "real" for row in truth}
    calls = []
    align = har_result.align
    monkeypatch.setattr(har_result, "align", lambda *rows, **options: calls.append(1) or align(*rows, **options))
    options = {"by": ("domain", "group"), "domains": domains, "resamples": 20, "seed": 3}
    expected = har_scores(found, truth, **options)
    assert len(calls) == 3
    scored = score_har(read_rows(found), read_rows(truth, references=True), HarSettings())
    for _ in range(2):
        assert json.dumps(scored.as_dict(**options)) == json.dumps(expected)
    movie = scored.subset({video for video, domain in domains.items() if domain == "movie"})
    assert movie.scores == pytest.approx(expected["by"]["domain"]["movie"]["scores"], nan_ok=True)
    assert scored.left_out(3) is scored.left_out(3)
    assert len(calls) == 6


@TIES_DO_NOT_MATTER
@pytest.mark.parametrize("protocol", ["paper", "instance"])
def test_intervals(protocol: str) -> None:
    truth, found = draw(13, clips=40, sources=10, ties=True)
    one, two = (har_scores(found, truth, protocol=protocol, resamples=number, seed=5) for number in (1, 200))
    assert one["intervals"] == two["intervals"]
    assert set(one["intervals"]) == {"map", *SCORES}
    for name, (low, high) in one["intervals"].items():
        assert low < one["scores"][name] < high, name
    narrow = har_scores(found, truth, protocol=protocol, resamples=200, seed=5, level=0.5)["intervals"]["map"]
    assert one["intervals"]["map"][0] < narrow[0] < narrow[1] < one["intervals"]["map"][1]


@TIES_DO_NOT_MATTER
def test_lists_of_scores_of_own_classes_are_read_everywhere() -> None:
    """``classes=`` names the action of each score, in ``compare`` and ``tune_thresholds`` as in ``har_scores``."""
    ids = [12, 14, 17]
    truth = [(f"{film}_001", 1, 0, 0, 1, 1, ids[place % 3]) for place, film in enumerate("abcdef")]
    rng = np.random.default_rng(0)
    entries = [
        {"video_id": row[0], "frame": 1, "boxes": [[0, 0, 1, 1]], "scores": rng.random((1, 3)).tolist()}
        for row in truth
    ]
    own = har_scores(entries, truth, classes=ids)["scores"]["map"]
    assert compare(entries, entries, truth, classes=ids)["scores"]["map"]["first"] == own
    assert set(tune_thresholds(entries, truth, classes=ids)) == set(ids)


def test_boxes_that_meet_no_labeled_one_are_an_error_where_those_are_left_out() -> None:
    truth = [("a_001", 1, 0.1, 0.1, 0.3, 0.3, 12), ("b_001", 1, 0.1, 0.1, 0.3, 0.3, 14)]
    found = [(*row[:2], 0.6, 0.6, 0.9, 0.9, row[6], 0.5) for row in truth]
    for protocol in ("paper", "instance"):
        with pytest.raises(PredictionError, match="none of the predicted boxes lies on a labeled one"):
            har_scores(found, truth, protocol=protocol, missing="drop")
    with pytest.raises(PredictionError, match="none of the predicted boxes lies on a labeled one"):
        tune_thresholds(found, truth, missing="drop")


def test_tuned_thresholds() -> None:
    truth, found = draw(14, clips=40)
    validation = [[(f"val{row[0]}", *row[1:]) for row in rows] for rows in draw(15, clips=40)]
    tuned = tune_thresholds(validation[1], validation[0], classes=IDS)
    own = har_scores(validation[1], validation[0], protocol="instance", classes=IDS)["scores"]["f1"]
    best = har_scores(validation[1], validation[0], protocol="instance", classes=IDS, threshold=dict(tuned))["scores"][
        "f1"
    ]
    assert best > own
    for action in IDS:  # no other threshold is better on the data they were chosen on
        for other in np.linspace(0.05, 0.95, 19):
            moved = {**dict(tuned), action: other}
            assert (
                har_scores(validation[1], validation[0], protocol="instance", classes=IDS, threshold=moved)["scores"][
                    "f1"
                ]
                <= best + 1e-12
            )
    result = har_scores(found, truth, protocol="instance", classes=IDS, threshold=tuned)
    assert "threshold:tuned" in result["signature"]
    again = type(tuned).from_dict(json.loads(json.dumps(tuned.as_dict())))
    assert again == tuned
    with pytest.raises(PredictionError, match="tuned on 40 of the 40 clips"):
        har_scores(validation[1], validation[0], protocol="instance", threshold=again)
    with pytest.raises(PredictionError, match="one threshold"):
        har_scores(found, truth, threshold=tuned)


def test_signature() -> None:
    truth, found = draw(16)
    result = har_scores(found, truth, model="me/model", revision="abc")
    assert result["recipe"]["model"] == "me/model"
    assert result["signature"].startswith(
        "har|protocol:paper|model:me/model|revision:abc|iou:0.5|classes:50|threshold:0.5"
    )
    json.dumps(result)


def test_written_prediction_file(tmp_path: Path) -> None:
    truth, found = draw(17)
    clips = dense(found)
    boxes = [box for clip in clips for box in clip["boxes"]]
    which = [clip for clip in clips for _ in clip["boxes"]]
    path = write_predictions(
        tmp_path / "predictions.parquet",
        video_id=[clip["video_id"] for clip in which],
        frame=[clip["frame"] for clip in which],
        boxes=boxes,
        scores=np.array([row for clip in clips for row in clip["scores"]]),
        about={"model": "me/x3d", "revision": "main", "scores_are": "logits"},
    )
    result = har_scores(path, truth)
    assert result["scores"] == har_scores(clips, truth)["scores"]
    assert (result["recipe"]["model"], result["recipe"]["revision"]) == ("me/x3d", "main")


def test_forms_of_references() -> None:
    truth, found = draw(18)
    expected = har_scores(found, truth)["scores"]
    by_id = {
        clip["video_id"]: {key: value for key, value in clip.items() if key != "video_id"} for clip in labeled(truth)
    }
    packed = [
        {**clip, "labels": [[ACTION_IDS.index(action) for action in ids] for ids in clip["action_ids"]]}
        for clip in labeled(truth)
    ]
    for clip in packed:
        del clip["action_ids"]
    hot = [{**clip, "labels": [np.isin(np.arange(50), row) for row in clip["labels"]]} for clip in packed]
    persons = [
        {
            "video_id": clip["video_id"],
            "domain": "real",
            "persons": [
                {
                    "person_id": place,
                    "actions": labels,
                    "repeated_actions": [],
                    "key_frame": clip["frame"],
                    "key_box": box,
                }
                for place, (box, labels) in enumerate(zip(clip["boxes"], clip["labels"], strict=True))
            ],
        }
        for clip in packed
    ]
    import datasets

    table = datasets.Dataset.from_list(persons)
    for references in (labeled(truth), by_id, packed, hot, table):
        assert har_scores(dense(found), references)["scores"]["map"] == pytest.approx(expected["map"])
    assert har_scores(dense(found), table, by="domain")["by"]["domain"]["real"]["scores"]["map"] == pytest.approx(
        expected["map"]
    )


def test_references_are_checked() -> None:
    found = [("a_001", 1, 0, 0, 1, 1, 12, 3.0)]
    with pytest.raises(DataError, match="no labeled boxes"):
        har_scores(found, [])
    with pytest.raises(DataError, match="99 is not an action id"):
        har_scores(found, [("a_001", 1, 0, 0, 1, 1, 99)])


def test_scoring_imports_nothing_heavy(tmp_path: Path) -> None:
    truth, found = draw(19)
    path = tmp_path / "found.csv"
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in found))
    parquet = write_predictions(
        tmp_path / "found.parquet", video_id=["a_001"], frame=[1], boxes=[[0, 0, 1, 1]], scores=np.ones((1, 50))
    )
    code = f"""
import sys, numpy as np
from microg4m_hf.metrics import compare, frame_ap, har_scores
har_scores({str(path)!r}, {truth!r}, resamples=10)
har_scores({found!r}, {truth!r}, protocol="instance")
compare({str(path)!r}, {found!r}, {truth!r}, resamples=10)
har_scores({str(parquet)!r}, [("a_001", 1, 0, 0, 1, 1, 12)])
columns = dict(video_id=np.array(["x"]), frame=np.array([1]), box=np.ones((1, 4)), action_id=[1], score=[1.0])
frame_ap({truth!r}, columns, [1])
print([name for name in ("torch", "sklearn", "scipy", "pandas", "datasets", "evaluate") if name in sys.modules])
"""
    out = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert out.stdout.strip() == "[]", out.stderr[-2000:]
