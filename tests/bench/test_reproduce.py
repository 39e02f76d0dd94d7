"""``microg4m reproduce``: rows of known scores are judged rightly, from prediction files and from models."""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microg4m_hf.bench.reproduction.har_evidence import in_published_order, sampler_order
from microg4m_hf.bench.reproduction.har_rows import find_predictions
from microg4m_hf.bench.reproduction.judgement import Allowance, RowResult, exit_code, judge
from microg4m_hf.cli.main import main
from microg4m_hf.data import ensure_sample
from microg4m_hf.errors import PredictionError, RecipeError
from microg4m_hf.metrics import har_scores
from microg4m_hf.metrics.har.inputs import read_rows
from microg4m_hf.models import PUBLISHED
from microg4m_hf.taxonomy import ACTION_IDS
from tests.support import planted_release
from tests.support.har_split import naive_f1_recall_precision_auroc
from tests.support.kills import count_steps, kill_at_step, run_forked

FIVE = {
    "C2D_8x8_R50": "c2d_8x8_r50",
    "I3D_8x8_R50": "i3d_8x8_r50",
    "MVIT_B_16x4": "mvitv1_b_16x4",
    "SLOWFAST_4x16_R50": "slowfast_4x16_r50",
    "X3D_S": "x3d_s",
}


def rows_of(out: Path, kind: str = "har") -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in json.loads((out / "reproduce.json").read_text())["kinds"][kind]["rows"]}


# The judge.


@pytest.mark.parametrize(
    ("value", "within"),
    [
        (0.1286, "digits"),
        (0.12855, "digits"),
        (0.12845, "rounding"),
        (0.1220, "ties"),
        (0.1880, None),
        (0.1200, "pixels"),
    ],
)
def test_the_first_allowance_that_is_enough_is_named(value: float, within: str | None) -> None:
    allowances = [
        Allowance("rounding", "r", {"map": (0.02, 0.02)}),
        Allowance("ties", "t", {"map": (0.1, 0.7)}),
        Allowance("pixels", "p", {"map": (0.2, 0.2)}),
    ]
    judged = judge({"map": 12.86}, {"map": value}, allowances, causes=["the weights"])
    assert judged.comparisons[0].within == within
    assert judged.outcome == ("differs" if within is None else "reproduced")
    assert judged.causes == (("the weights",) if within is None else ())
    low, high = judged.comparisons[0].allowed
    assert (low, high) == pytest.approx((100 * value - 0.325, 100 * value + 0.925))


def test_scores_that_are_absent_are_named_and_none_at_all_is_not_possible() -> None:
    judged = judge({"map": 50.0, "f1": 10.0}, {"map": 0.5, "f1": float("nan")})
    assert (judged.outcome, judged.notes) == ("reproduced", ("not compared: f1",))
    rows = [RowResult("a", "A", "", "har", judged)]
    assert exit_code(rows) == 0 and exit_code([]) == 2
    rows.append(RowResult("b", "B", "", "har", judge({"map": 50.0}, {"map": 0.5}, faults=["other clips", "more"])))
    assert rows[1].judgement.summary == "differs: other clips" and exit_code(rows) == 1
    rows.append(RowResult("c", "C", "", "har", judge({"map": 50.0}, {})))
    assert rows[2].judgement.summary == "not possible: none of map could be computed" and exit_code(rows) == 2


# The authors' prediction files.


def test_the_five_released_files_reproduce_their_rows_to_the_digit(
    shared: Path, released: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["reproduce", "har", "--predictions", str(shared / "data" / "har_predictions"), "--data-dir", str(released)]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    rows, printed = rows_of(tmp_path / "out"), capsys.readouterr().out
    assert sorted(rows) == sorted(FIVE.values())
    for name, row in rows.items():
        assert row["summary"] == "reproduced to the digit"
        assert {one["within"] for one in row["scores"].values()} == {"digits"}
        assert f"{name} " in printed
    assert rows["slowfast_4x16_r50"]["scores"]["map"]["published"] == 42.09
    assert "map is printed as 42.10 and as 42.09" in rows["slowfast_4x16_r50"]["notes"]
    for name, low, high in (("mvitv1_b_16x4", 12.14, 18.96), ("x3d_s", 13.79, 19.64)):
        assert f"{name}: " in printed and f"moves the mAP from {low} to {high}" in printed
        assert rows[name]["scores"]["map"]["allowed"] == pytest.approx([low, high], abs=0.015)
    assert not any("share scores" in note for name in ("c2d_8x8_r50", "i3d_8x8_r50") for note in rows[name]["notes"])
    page = (tmp_path / "out" / "report" / "report.md").read_text()
    assert "5 published rows" in page and "5 reproduced" in page


def test_predictions_without_repeated_rows_get_the_published_order(shared: Path, released: Path) -> None:
    """Equal scores decide the digits of this model: in another order its mAP is another."""
    torch = pytest.importorskip("torch")
    for count in (1, 2, 1091):
        assert sampler_order(count) == torch.randperm(count, generator=torch.Generator().manual_seed(0)).tolist()
    rows = read_rows(shared / "data" / "har_predictions" / "MVIT_B_16x4" / "detections_test.csv")
    once = np.r_[np.arange(50), np.arange(100, len(rows))]
    keys = [(int(video), int(frame)) for video, frame in zip(rows.video[once], rows.frame[once], strict=True)]
    places: dict[tuple[int, int], list[int]] = {}
    for row, key in zip(once.tolist(), keys, strict=True):
        places.setdefault(key, []).append(row)
    shuffled = rows.take(np.concatenate([places[key] for key in sorted(places)]))
    back = in_published_order(shuffled)
    assert all(np.array_equal(getattr(back, name), getattr(rows, name)) for name in ("video", "frame", "box", "score"))
    truth = released / "train_ready" / "ava_test_gt.csv"
    values = [100 * har_scores(one, truth)["scores"]["map"] for one in (rows, back, shuffled)]
    assert values[0] == values[1] == pytest.approx(12.856, abs=5e-4)
    assert abs(values[2] - values[0]) > 0.1


def test_another_file_differs_by_class_and_in_its_scores(
    shared: Path, released: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file of another model, the same file with sigmoid, and a file with missing persons."""
    folder = shared / "data" / "har_predictions"
    theirs = (folder / "I3D_8x8_R50" / "detections_test.csv").read_text().splitlines()
    sigmoid, partial = tmp_path / "sigmoid.csv", tmp_path / "partial.csv"
    scores = [line.rpartition(",") for line in theirs]
    sigmoid.write_text("".join(f"{a},{1 / (1 + np.exp(-float(c))):.9f}\n" for a, _, c in scores))
    partial.write_text("".join(f"{line}\n" for line in theirs[:-50]))
    more = ["--data-dir", str(released), "--released-results", str(folder), "--out"]
    for number, (path, facts) in enumerate(
        {
            folder / "C2D_8x8_R50" / "detections_test.csv": ["differs: map -16.90", "the weights: the scores of 1136"],
            sigmoid: ["differs: f1 +", "the scores lie in 0..1 like probabilities"],
            partial: ["differs: 1 items without a prediction"],
        }.items()
    ):
        out = tmp_path / f"out{number}"
        words = ["reproduce", "har", "i3d_8x8_r50", "--predictions", f"i3d_8x8_r50={path}"]
        assert main([*words, *more, str(out)]) == 1
        printed, row = capsys.readouterr().out, rows_of(out)["i3d_8x8_r50"]
        assert row["outcome"] == "differs" and all(fact in printed for fact in facts), printed
        if number == 0:
            mine = {one["action_id"]: one for one in row["released"]["per_class"]}
            reference = json.loads((shared / "data" / "har_models.json").read_text())
            for action, entry in mine.items():
                ours, expected = (reference[model]["ap"][str(action)] for model in ("C2D_8x8_R50", "I3D_8x8_R50"))
                assert entry["difference"] == pytest.approx(ours - expected, abs=1e-6)
            assert len(mine) == 41 and row["released"]["points_to"] == "the weights"


def test_files_find_their_rows(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data" / "har_predictions"
    assert {name: run.path.name for name, run in find_predictions([str(folder)]).items()} == {
        ours: theirs for theirs, ours in FIVE.items()
    }
    one = folder / "X3D_S" / "detections_test.csv"
    assert list(find_predictions([str(one)])) == ["x3d_s"]
    assert list(find_predictions([f"x3d_l={one}"])) == ["x3d_l"]
    mine = tmp_path / "mine.csv"
    mine.write_bytes(one.read_bytes()[:1000])
    (tmp_path / "I3D_8x8_R50.csv").write_bytes(mine.read_bytes())
    assert list(find_predictions([str(mine)], ["slow_4x16_r50"])) == ["slow_4x16_r50"]
    assert list(find_predictions([str(tmp_path)])) == ["i3d_8x8_r50"]
    for words, error in (
        ([str(mine)], "nothing shows which row .* belongs to; give it as NAME="),
        ([str(one), f"x3d_s={mine}"], "are both of x3d_s"),
        ([str(tmp_path / "absent")], "does not exist"),
    ):
        with pytest.raises(PredictionError, match=error):
            find_predictions(words)
    with pytest.raises(RecipeError, match="'tiny' is not a row of the action tables; use c2d_8x8_r50"):
        find_predictions([f"tiny={mine}"])


# Models whose logits are known.

PREDICTED = 3  # every third action has the logit 1, the others -1


@dataclass
class Planted:
    """A release and weights with known scores."""

    data: Path
    weights: Path
    plan: dict[str, Any]
    scores: dict[int, dict[str, float]]  # by number of classes

    def run(self, *words: str, out: Path, env: dict[str, str] | None = None) -> tuple[int, str]:
        """Run a command in a forked process, and return its exit code and what it printed."""
        work = self.work(*words, out=out, env=env)
        return run_forked(lambda: sys.exit(work())), out.with_suffix(".log").read_text()

    def work(self, *words: str, out: Path, env: dict[str, str] | None = None) -> Callable[[], int]:
        def work() -> int:
            os.environ.update(
                {"MICROG4M_WEIGHTS": str(self.weights), "HF_ENDPOINT": "http://127.0.0.1:9"} | (env or {})
            )
            planted_release.plant(self.plan)
            command = ["reproduce", "har", *words, "--data-dir", str(self.data), "--out", str(out), "--workers", "0"]
            with out.with_suffix(".log").open("a") as log, redirect_stdout(log), redirect_stderr(log):
                return main(command)

        return work


def logits(classes: int) -> list[float]:
    return [1.0 if place % PREDICTED == 0 else -1.0 for place in range(classes)]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    for module in ("accelerate", "microg4m_hf.models.modeling", "microg4m_hf.training.predict_run"):
        importlib.import_module(module)  # once, instead of in every forked process
    folder = tmp_path_factory.mktemp("planted")
    (folder / "data").symlink_to(ensure_sample())  # a folder of its own: the sample is never a published split
    truth = folder / "data" / "train_ready" / "ava_test_gt.csv"
    scores, plan = _known_scores(truth)
    off = {name for place, name in enumerate(PUBLISHED) if place % 2}
    printed = {
        name: [round(100 * scores[variant.num_labels][key], 2) for key in ("map", "f1", "recall", "auroc")]
        for name, variant in PUBLISHED.items()
    }
    plan["published"] = {name: [value + (name in off) for value in values] for name, values in printed.items()}

    def plant() -> None:
        planted_release.plant(plan)
        contents = {
            name: planted_release.checkpoint(name, logits(PUBLISHED[name].num_labels))
            for name in planted_release.NETWORKS
        }
        planted_release.weights_folder(folder / "weights", contents)

    assert run_forked(plant) == 0
    return Planted(folder / "data", folder / "weights", plan, scores)


def _known_scores(truth: Path) -> tuple[dict[int, dict[str, float]], dict[str, Any]]:
    """Return the scores of constant logits by definition, and what the plan says of the references."""
    import torch

    rows = read_rows(truth, references=True)
    names = [rows.videos[code] for code in rows.video]
    labels: dict[tuple[str, int], set[int]] = {}
    boxes: dict[tuple[str, int], list[tuple[float, ...]]] = {}
    for name, frame, box, action in zip(names, rows.frame.tolist(), rows.box.tolist(), rows.action, strict=True):
        labels.setdefault((name, frame), set()).add(int(action))
        if tuple(box) not in boxes.setdefault((name, frame), []):
            boxes[name, frame].append(tuple(box))
    keys = sorted(boxes)
    order = torch.randperm(len(keys), generator=torch.Generator().manual_seed(0)).tolist()
    drawn = [keys[place] for place in order]
    drawn = [key for key in drawn for _ in range(1 + (key in drawn[: -len(keys) % 3]))]
    scores = {}
    for classes in (50, 80):
        ids = ACTION_IDS if classes == 50 else tuple(range(1, 81))
        value = dict(zip(ids, logits(classes), strict=True))
        found = [(key[0], key[1], *box, action, value[action]) for key in drawn for box in boxes[key] for action in ids]
        own = [[action in labels[key] for key in drawn for _ in boxes[key]] for action in ids]
        parts = np.array(
            [naive_f1_recall_precision_auroc(one, [value[a]] * len(one), 0.5) for a, one in zip(ids, own, strict=True)]
        )
        f1, recall, _, auroc = np.nanmean(parts, axis=0)
        mean_ap = har_scores(found, truth, classes=classes)["scores"]["map"]
        scores[classes] = {"map": mean_ap, "f1": f1, "recall": recall, "auroc": auroc}
    people = sum(map(len, boxes.values()))
    return scores, {"labels": len(rows), "labelled_boxes": people, "digest": rows.digest}


def test_fourteen_rows_are_judged_and_a_kill_costs_nothing(planted: Planted, tmp_path: Path) -> None:
    """Every second row is off by one point. The run is killed in between, and goes on."""
    out = tmp_path / "out"
    two = ["c2d_8x8_r50", "I3D_NLN_8x8_R50"]
    work = planted.work(*two, out=out)
    steps = count_steps(planted.work(*two, out=tmp_path / "whole"))
    assert kill_at_step(steps * 2 // 3, work)
    kept = {path: path.read_bytes() for path in out.glob("*/journal/*/*.jsonl")}
    assert len(kept) == 2
    code, printed = planted.run(out=out)
    assert code == 1
    assert all(path.read_bytes() == content for path, content in kept.items() if "c2d_8x8" in str(path))
    rows = rows_of(out)
    assert list(rows) == [
        *(n for n in PUBLISHED if not n.endswith("ava")),
        "slow_8x8_r50_ava",
        "slowfast_32x2_r101_ava",
    ]
    for place, (name, variant) in enumerate(PUBLISHED.items()):
        values = {key: one["value"] / 100 for key, one in rows[name]["scores"].items()}
        assert values == pytest.approx(planted.scores[variant.num_labels], abs=1e-9)
        off = bool(place % 2)
        assert rows[name]["outcome"] == ("differs" if off else "reproduced"), rows[name]["summary"]
        assert [one["difference"] for one in rows[name]["scores"].values()] == pytest.approx([-off] * 4, abs=0.005)
        assert re.search(rf"^{name} .*{'differs: f1 -1.00' if off else 'reproduced to the digit'}", printed, re.M)
        assert rows[name]["weights"]["file"].endswith(f"{planted_release.place_of(name)} in {planted.weights}") or (
            variant.num_labels == 80
        )
    assert "MicroG-4M reproduction" in (out / "report" / "report.html").read_text()
