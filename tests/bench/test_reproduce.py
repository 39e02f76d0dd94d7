"""``microg4m reproduce``: rows of known scores are judged rightly, from prediction files and from models."""

from __future__ import annotations

import importlib
import io
import json
import os
import pickle
import re
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microg4m_hf.bench.published import JHMDB, published_tables
from microg4m_hf.bench.reproduction.har_evidence import (
    in_published_order,
    read_references,
    sampler_order,
    score_as_published,
    shifts_of,
)
from microg4m_hf.bench.reproduction.har_rows import find_predictions
from microg4m_hf.bench.reproduction.judgement import Allowance, RowResult, exit_code, judge
from microg4m_hf.cli.main import main
from microg4m_hf.data import ensure_sample
from microg4m_hf.errors import PredictionError, RecipeError
from microg4m_hf.inference.journal import Journal
from microg4m_hf.metrics import har_scores, write_predictions
from microg4m_hf.metrics.har.inputs import read_rows
from microg4m_hf.models import PUBLISHED
from microg4m_hf.models.weights import MODELS_REPO
from microg4m_hf.taxonomy import ACTION_IDS
from tests.support import planted_release
from tests.support.file_server import FileServer
from tests.support.har_split import naive_f1_recall_precision_auroc
from tests.support.hub_server import HubServer
from tests.support.kills import run_forked
from tests.support.ports import free_port

pytestmark = pytest.mark.filterwarnings("ignore::microg4m_hf.metrics.har.scores.TieWarning")

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
    assert (judged.outcome, judged.notes) == ("reproduced", ("not compared: F1",))
    rows = [RowResult("a", "A", "", "har", judged)]
    assert exit_code(rows) == 0 and exit_code([]) == 2
    rows.append(RowResult("b", "B", "", "har", judge({"map": 50.0}, {"map": 0.5}, faults=["other clips", "more"])))
    assert rows[1].judgement.summary == "differs: other clips" and exit_code(rows) == 1
    rows.append(RowResult("c", "C", "", "har", judge({"map": 50.0}, {})))
    assert rows[2].judgement.summary == "not possible: none of mAP@0.5 could be computed" and exit_code(rows) == 2


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
    assert "mAP@0.5 is printed as 42.10 and as 42.09" in rows["slowfast_4x16_r50"]["notes"]
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
    truth = released / "train_ready" / "ava_test_gt.csv"
    back = in_published_order(shuffled, read_rows(truth, references=True))
    assert all(np.array_equal(getattr(back, name), getattr(rows, name)) for name in ("video", "frame", "box", "score"))
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
            folder / "C2D_8x8_R50" / "detections_test.csv": [
                "differs: mAP@0.5 -16.90",
                "the weights: the scores of 1136",
            ],
            sigmoid: ["differs: F1 +", "the scores lie in 0..1 like probabilities"],
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


def test_pixels_may_move_scores_as_far_as_was_measured(shared: Path, released: Path, tmp_path: Path) -> None:
    """A run whose logits lie as far from the released ones as measured is reproduced, and one further away is not."""
    rows = read_rows(shared / "data" / "har_predictions" / "I3D_8x8_R50" / "detections_test.csv")
    rows = rows.take(np.arange(50, len(rows)))  # the first key frame once
    assert rows.score is not None
    references = read_references(None, {"data_dir": str(released), "source": None, "revision": None})
    table = published_tables()["har"]
    random = np.random.default_rng(1)
    boxes = len(rows) // 50
    columns = {
        "video_id": [rows.videos[code] for code in rows.video[::50]],
        "frame": rows.frame[::50],
        "boxes": rows.box[::50],
    }
    for noise, measured, outcome in ((0.0, 0.0, "digits"), (0.1, 0.1, "pixels"), (1.0, 0.02, None)):
        scores = rows.score.reshape(-1, 50) + noise * random.standard_normal((boxes, 50))
        path = write_predictions(
            tmp_path / f"{noise}.parquet", **columns, scores=scores, about={"scores_are": "logits"}
        )
        evidence = score_as_published(path, references, table, shifts=measured * random.standard_normal((64, 50)))
        allowed = {one.name: one.points for one in evidence.allowances}["pixels"]
        assert all((low > 0) == (measured > 0) and low == high for low, high in allowed.values())
        judged = judge(table.row("i3d_8x8_r50").printed, evidence.scores, evidence.allowances, faults=evidence.faults)
        within = {one.within for one in judged.comparisons}
        assert outcome in within and (None in within) == (outcome is None), judged
    everywhere = shifts_of(path, {("QvTmdIhYnes_128", 52): np.zeros((1, 50))})
    key = [place for place, name in enumerate(columns["video_id"]) if name == "QvTmdIhYnes_128"]
    assert everywhere == pytest.approx(-scores[key], abs=1e-9)


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
            from accelerate.state import AcceleratorState

            os.environ.update(
                {"MICROG4M_WEIGHTS": str(self.weights), "HF_ENDPOINT": "http://127.0.0.1:9"} | (env or {})
            )
            AcceleratorState._reset_state(reset_partial_state=True)  # tests before this one may have left theirs
            planted_release.plant(self.plan)
            command = ["reproduce", *words, "--data-dir", str(self.data), "--out", str(out), "--workers", "0"]
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
    plan["jhmdb"] = {name: [printed[name][0], printed[name][3] + 2 * (name in off)] for name in JHMDB}
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


def _die_at(count: int, of: str) -> None:
    """Kill this process before it stores one more key frame of a row."""
    add, done = Journal.add, []

    def add_or_die(journal: Journal, record: dict[str, Any]) -> None:
        if of in str(journal.folder):
            if len(done) == count:
                os.kill(os.getpid(), signal.SIGKILL)
            done.append(record)
        add(journal, record)

    Journal.add = add_or_die  # type: ignore[method-assign]  # in a forked process


@pytest.mark.slow
def test_fourteen_rows_are_judged_and_a_kill_costs_nothing(planted: Planted, tmp_path: Path) -> None:
    """Every second row is off by one point. The run is killed in between, and goes on."""
    out = tmp_path / "out"
    two = ["c2d_8x8_r50", "I3D_NLN_8x8_R50"]
    assert (
        run_forked(planted.work("har", *two, out=out), before=lambda: _die_at(11, of="i3d_nln_8x8_r50"))
        == -signal.SIGKILL
    )
    kept = {path.parent.parent.parent.name: path.read_bytes() for path in out.glob("*/journal/test/*.jsonl")}
    assert kept["c2d_8x8_r50"].count(b"\n") == 15 and kept["i3d_nln_8x8_r50"].count(b"\n") == 11
    code, printed = planted.run("har", out=out)
    assert code == 1
    assert (out / "c2d_8x8_r50" / "journal" / "test" / "items.rank0.jsonl").read_bytes() == kept["c2d_8x8_r50"]
    assert "11 of 15 key frames of test are in " in printed
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
        assert re.search(rf"^{name} .*{'differs: F1 -1.00' if off else 'reproduced to the digit'}", printed, re.M)
        assert rows[name]["weights"]["file"].endswith(f"{planted_release.place_of(name)} in {planted.weights}") or (
            variant.num_labels == 80
        )
    assert "MicroG-4M reproduction" in (out / "report" / "report.html").read_text()


def test_two_processes_give_the_same_rows(planted: Planted, tmp_path: Path) -> None:
    names = ["i3d_8x8_r50", "c2d_nln_8x8_r50"]
    port, codes = str(free_port()), {}

    def start(rank: int) -> None:
        env = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
        work = planted.work("har", *names, out=tmp_path / "two", env=env | {"MASTER_PORT": port})
        codes[rank] = run_forked(lambda: os._exit(work()))  # gloo can abort in its own teardown

    threads = [threading.Thread(target=start, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(600)
    printed = (tmp_path / "two.log").read_text()
    assert codes == {0: 1, 1: 0}, printed
    rows = rows_of(tmp_path / "two")
    assert [(name, row["outcome"]) for name, row in rows.items()] == [(names[1], "differs"), (names[0], "reproduced")]
    for row in rows.values():
        values = {key: one["value"] / 100 for key, one in row["scores"].items()}
        assert values == pytest.approx(planted.scores[50], abs=1e-9)
    assert len(list((tmp_path / "two" / names[0] / "journal" / "test").glob("*.jsonl"))) == 2
    assert printed.count("reproduced to the digit") == 2  # the line of progress and the one of the table


def test_the_table_from_earth_to_space(planted: Planted, tmp_path: Path) -> None:
    """The same clips serve as JHMDB, so the gap is zero. One row is off; without JHMDB its rows are not possible."""
    (tmp_path / "earth").mkdir()
    (tmp_path / "earth" / "videos").symlink_to(planted.data / "videos")
    truth = (planted.data / "train_ready" / "ava_test_gt.csv").read_text().splitlines()
    (tmp_path / "earth" / "annotations.csv").write_text("".join(f"{line}\n" for line in dict.fromkeys(truth)))
    out = tmp_path / "out"
    code, printed = planted.run("gap", "--jhmdb", str(tmp_path / "earth"), out=out)
    rows = rows_of(out, "gap")
    assert code == 1, printed
    assert [(name, row["table"], row["outcome"]) for name, row in rows.items()] == [
        ("slow_8x8_r50_ava on JHMDB", "jhmdb_zero_shot", "reproduced"),
        ("slow_8x8_r50_ava", "har_zero_shot", "reproduced"),
        ("slowfast_32x2_r101_ava on JHMDB", "jhmdb_zero_shot", "differs"),
        ("slowfast_32x2_r101_ava", "har_zero_shot", "differs"),
    ]
    assert rows["slowfast_32x2_r101_ava on JHMDB"]["summary"] == "differs: AUROC -2.00"
    assert "slow_8x8_r50_ava on JHMDB, slowfast_32x2_r101_ava on JHMDB: the paper does not say how JHMDB was" in printed
    transfer = rows["slow_8x8_r50_ava"]["transfer"]
    assert transfer["matched"]["difference"] == 0 and transfer["matched"]["first"] > 0.1
    assert "on Earth" in printed and (out / "report" / "tables" / "gap-slow_8x8_r50_ava.tex").is_file()
    files = [
        f"slow_8x8_r50_ava={out / 'slow_8x8_r50_ava' / 'predictions' / name}.parquet" for name in ("test", "earth")
    ]
    words = ["gap", "slow_8x8_r50_ava", "--predictions", files[0], "--earth-predictions", files[1]]
    code, printed = planted.run(*words, out=tmp_path / "files")
    assert code == 2 and "not possible: there is no JHMDB; give its folder with --jhmdb" in printed
    code, printed = planted.run(*words, "--jhmdb", str(tmp_path / "earth"), out=tmp_path / "files")
    assert code == 0 and printed.count("reproduced to the digit") >= 2, printed


def test_corrected_scores_stand_beside_a_row_and_settings_are_another_test(planted: Planted, tmp_path: Path) -> None:
    (tmp_path / "mine.pyth").write_bytes(_content(planted, "x3d_l"))
    words = ["har", "x3d_s", "x3d_l", "--corrected", "--weights", f"x3d_l_corrected={tmp_path / 'mine.pyth'}"]
    code, printed = planted.run(*words, out=tmp_path / "out")
    assert code == 1
    rows = rows_of(tmp_path / "out")
    file = tmp_path / "out" / "x3d_l" / "predictions" / "test.parquet"
    expected = har_scores(file, planted.data / "train_ready" / "ava_test_gt.csv", protocol="instance")["scores"]
    assert rows["x3d_l"]["corrected"]["instance"] == pytest.approx(expected, nan_ok=True)
    assert rows["x3d_l"]["corrected"]["network_instance"] == pytest.approx(expected, nan_ok=True)
    assert "x3d_s: corrected protocol: mAP@0.5 " in printed
    assert "corrected network x3d_s_corrected: no released weights; give --weights x3d_s_corrected=" in printed
    assert "corrected network x3d_l_corrected: mAP@0.5 " in printed
    given = ["har", "x3d_s", "data.eval_short_side=24", "--weights", str(tmp_path / "mine.pyth"), "--as-released"]
    code, printed = planted.run(*given, out=tmp_path / "other")
    row = rows_of(tmp_path / "other")["x3d_s"]
    assert code == 1 and row["summary"] == "differs: setting data.eval_short_side: 32 -> 24"
    assert row["causes"][0] == f"weights: {tmp_path / 'mine.pyth'} was given and is not known to be the released file"
    if row["pixels"].get("programs"):
        assert row["pixels"]["decoder"] == "as_released" and row["causes"][1].startswith("pixels: other versions of")


def test_a_clip_that_cannot_be_decoded_is_counted(planted: Planted, tmp_path: Path) -> None:
    """The other clips are scored, in the order that they have in the whole split."""
    clip = read_rows(planted.data / "train_ready" / "ava_test_gt.csv", references=True).videos[0]
    shutil.copytree(planted.data, tmp_path / "data")
    (path,) = (tmp_path / "data").rglob(f"videos/**/{clip}.mp4")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 3] + bytes(len(content) - len(content) // 3))  # the header is whole
    code, printed = replace(planted, data=tmp_path / "data").run("har", "x3d_s", out=tmp_path / "out")
    row = rows_of(tmp_path / "out")["x3d_s"]
    missing = row["counts"]["missing"]
    assert code == 1 and missing >= 1 and "skipped: " in printed
    assert row["summary"].startswith(f"differs: {missing} items without a prediction")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["tiny_x3d"], "'tiny_x3d' is not a row of the action tables; use c2d_8x8_r50"),
        (["--references", "x.csv"], "--references is for --predictions"),
        (["--predictions", "none.csv"], "none.csv does not exist; give a prediction file"),
        (["x3d_s", "x3d_l", "--weights", "a.pyth"], "does not say of which row; give --weights NAME=a.pyth"),
        (["x3d_s", "--weights", "x3d_l=a.pyth"], "weights of x3d_l are given, but not that row"),
        (["x3d_s", "--batch-size", "0"], "a batch of 0 predicts nothing"),
    ],
)
def test_options_that_cannot_work_are_one_line(
    words: list[str], problem: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["reproduce", "har", *words, "--source", "sample", "--out", str(tmp_path / "out")]) == 2
    assert problem in capsys.readouterr().err.splitlines()[-1]


class _Hostile:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self.target), "w"))


def test_bad_weights_are_one_line_each(planted: Planted, hub: HubServer, tmp_path: Path) -> None:
    """The other rows go on, and the exit code says that not all are possible."""
    whole = dict(_state(planted.weights / planted_release.place_of("c2d_nln_8x8_r50")))
    contents = {
        "c2d_8x8_r50": _pyth(_with_head(whole, 400)),
        "c2d_nln_8x8_r50": _pyth(dict(list(whole.items())[::2]) | _with_head({}, 50, whole)),
        "i3d_8x8_r50": pickle.dumps({"blobs": _Hostile(tmp_path / "harm")}),
        "i3d_nln_8x8_r50": b"<!doctype html><title>Sign in</title>",
        "slow_8x8_r50": b"",
    }
    folder = planted_release.weights_folder(tmp_path / "weights", contents)
    for number in range(2):
        (folder / f"part{number}" / "MVIT_B_16x4").mkdir(parents=True)
        (folder / f"part{number}" / "MVIT_B_16x4" / "best.pyth").write_bytes(b"")
    good = {planted_release.place_of(name): _content(planted, name) for name in ("x3d_s",)}
    hub.put("model", MODELS_REPO, good | {"README.md": b"# Models"})
    zoo = {planted_release.place_of("slowfast_32x2_r101_ava"): b"PK"}
    with FileServer(zoo) as server:
        env = {"MICROG4M_WEIGHTS": str(folder), "MICROG4M_ZOO": server.url, "MICROG4M_HOME": str(tmp_path / "home")}
        names = [*contents, "mvitv1_b_16x4", "x3d_s", "x3d_l", "slow_8x8_r50_ava", "slowfast_32x2_r101_ava"]
        work = planted.work("har", *names, out=tmp_path / "out", env=env | hub.environment())

        def full_disk() -> None:
            from microg4m_hf.models import download

            download.SPARE_DISK_BYTES = 1 << 60

        code = run_forked(lambda: sys.exit(work()), before=full_disk)
    printed = (tmp_path / "out.log").read_text()
    assert code == 2, printed
    table = {line.split()[0]: line for line in printed.splitlines() if "| " in line}
    for name, reason in {
        "c2d_8x8_r50": "has 400 classes and c2d_8x8_r50 has 50",
        "c2d_nln_8x8_r50": "does not fit c2d_nln_8x8_r50: .* missing",
        "i3d_8x8_r50": "nothing of it was loaded",
        "i3d_nln_8x8_r50": "not a Caffe2 checkpoint",
        "slow_8x8_r50": "not a Caffe2 checkpoint",
        "mvitv1_b_16x4": r"2 files of mvitv1_b_16x4 \(part0/.*choose one",
        "x3d_l": f"{MODELS_REPO} at .* has no file of x3d_l",
        "slow_8x8_r50_ava": "the server replied 404; put C2D_8x8_R50.pkl into a folder",
        "slowfast_32x2_r101_ava": "are free; free some space or set MICROG4M_HOME",
    }.items():
        assert re.search(rf"–\s*\|\s*– \| not possible: .*(?:{reason})", table[name]), table[name]
        assert rows_of(tmp_path / "out")[name]["outcome"] == "not possible"
    assert "reproduced to the digit" in table["x3d_s"]
    assert not (tmp_path / "harm").exists() and "Traceback" not in printed


def _content(planted: Planted, name: str) -> bytes:
    return (planted.weights / planted_release.place_of(name)).read_bytes()


def _state(path: Path) -> dict[str, Any]:
    from microg4m_hf.models.checkpoint_reader import read_checkpoint

    return read_checkpoint(path)


def _with_head(state: dict[str, Any], classes: int, of: dict[str, Any] | None = None) -> dict[str, Any]:
    import torch

    width = (of or state)["head.projection.weight"].shape[1]
    head = {"head.projection.weight": torch.zeros(classes, width), "head.projection.bias": torch.zeros(classes)}
    return state | head


def _pyth(state: dict[str, Any]) -> bytes:
    import torch

    content = io.BytesIO()
    torch.save({"epoch": 0, "model_state": state}, content)
    return content.getvalue()
