"""Predictions under several turns of a clip: their logits, how they are pooled, and what a run records of them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from microg4m_hf.bench.orientation import TurnedWindows
from microg4m_hf.cli.main import main
from microg4m_hf.data.turns import Turn, quarter_turns
from microg4m_hf.errors import RecipeError
from microg4m_hf.metrics.har.files import read_about
from microg4m_hf.training import KeyFrameWindows, predict_logits, score_logits, split_items
from microg4m_hf.training.build import build_model
from microg4m_hf.training.predict import pool_turns
from microg4m_hf.training.predict_run import recipe_of
from microg4m_hf.training.recipe_io import load_recipe
from tests.support.train_runs import Trainers, write_recipe


def _scores(run: Path, split: str = "test") -> np.ndarray:
    return np.array(pq.read_table(run / "predictions" / f"{split}.parquet")["scores"].to_pylist())


def test_each_turn_has_the_logits_of_a_turned_clip(finished: Path) -> None:
    """Turning what the model sees is turning the video and its boxes, up to the rounding of the resize."""
    from accelerate import Accelerator

    recipe = load_recipe(finished / "config.yaml")
    data = dataclasses.replace(recipe.data, workers=0)
    items = split_items(data, "validation")[:3]
    model = build_model(dataclasses.replace(recipe.model, init=str(finished / "model"), overrides={}), data, 0)
    turns = quarter_turns(4, mirror=True)
    assert len(turns) == 8
    together = predict_logits(Accelerator(), model, KeyFrameWindows(items, data), turns=turns)
    plain = predict_logits(Accelerator(), model, KeyFrameWindows(items, data))
    for place, turn in enumerate(turns):
        alone = predict_logits(Accelerator(), model, TurnedWindows(items, data, turn))
        for index, logits in together.items():
            assert logits[place] == pytest.approx(alone[index], abs=0.02)
            assert turn == Turn(0) or not np.allclose(logits[place], plain[index], atol=1e-3)
    assert all(np.array_equal(logits[0], plain[index]) for index, logits in together.items())


def test_turns_are_predicted_pooled_and_recorded(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["predict", "har", "--model", str(finished), "--workers", "0"]
    assert main([*words, "--turns", "4", "--mirror"]) == 0
    shown = capsys.readouterr()
    assert shown.err.count("8 forward passes per key frame instead of 1; their logits are pooled by mean") == 1
    run = tmp_path / "runs" / "predict-probe-test-8-turns"
    about, result = read_about(run / "predictions" / "test.parquet"), json.loads((run / "results.json").read_text())
    assert (
        about["turns"]
        == result["turns"]
        == {"asked": [turn.name for turn in quarter_turns(4, True)]} | {"pooling": "mean"}
    )
    assert (about["variant"], load_recipe(run / "config.yaml").data.test_turns) == ("own", 4)

    lines = [json.loads(line) for line in (run / "journal" / "test" / "items.rank0.jsonl").read_text().splitlines()]
    turns = [np.array(line["scores"]) for line in lines]
    assert {scores.shape[0] for scores in turns} == {8}
    for how, pool in (("max", np.max), ("lme", lambda x, axis: np.log(np.mean(np.exp(x), axis)))):
        out = tmp_path / how
        (out / "journal").mkdir(parents=True)
        (run / "journal" / "test").rename(out / "journal" / "test")
        (out / "config.yaml").write_text(
            (run / "config.yaml").read_text().replace("test_pooling: mean", f"test_pooling: {how}")
        )
        assert main([*words, "--turns", "4", "--mirror", "--turn-pooling", how, "--out", str(out)]) == 0
        assert f"{len(lines)} of {len(lines)} key frames of test are in" in capsys.readouterr().err
        assert _scores(out) == pytest.approx(np.concatenate([pool(x, axis=0) for x in turns]), abs=1e-5)
        (out / "journal" / "test").rename(run / "journal" / "test")
    assert _scores(run) == pytest.approx(np.concatenate([x.mean(0) for x in turns]), abs=1e-5)
    assert main([*words, "--turns", "2", "--out", str(run)]) == 2
    assert "data.test_mirror: True -> False; data.test_turns: 4 -> 2" in capsys.readouterr().err


def test_the_pooling_is_chosen_on_validation(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["predict", "har", "--model", str(finished), "--workers", "0", "--turns", "2", "--turn-pooling", "auto"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    found = json.loads((tmp_path / "out" / "results.json").read_text())["turns"]
    assert found["asked"] == ["0°", "180°"]
    assert found["pooling"] == max(found["validation_map"], key=found["validation_map"].__getitem__)
    data = recipe_of(str(finished)).data
    items = split_items(data, "validation")
    journal = (tmp_path / "out" / "journal" / "validation" / "items.rank0.jsonl").read_text().splitlines()
    by_name = {line["id"]: np.array(line["scores"], np.float32) for line in map(json.loads, journal)}
    logits = {index: by_name[f"{item.video_id} {item.frame}"] for index, item in enumerate(items)}
    for how, value in found["validation_map"].items():
        assert score_logits(items, pool_turns(logits, how))["scores"]["map"] == pytest.approx(value)
    assert f"pooled by {found['pooling']}: validation mAP" in capsys.readouterr().err
    assert main([*words, "--out", str(tmp_path / "other"), "--split", "validation"]) == 2
    assert "chosen on validation, the split that is predicted" in capsys.readouterr().err


def test_two_processes_pool_the_same_turns(trainers: Trainers, tmp_path: Path) -> None:
    """A training ends with the turns of its recipe; one process predicts the same scores as its two."""
    words = ["data.test_turns=4", "data.workers=0", "loop.max_steps=2"]
    trainers.start(write_recipe(tmp_path), tmp_path / "run", *words, processes=2).finish()
    assert json.loads((tmp_path / "run" / "results.json").read_text())["turns"]["pooling"] == "mean"
    assert main(["predict", "har", "--model", str(tmp_path / "run"), "--out", str(tmp_path / "one")]) == 0
    assert _scores(tmp_path / "one") == pytest.approx(_scores(tmp_path / "run"), abs=1e-5)


def test_a_folder_of_an_earlier_version_is_continued(finished: Path, tmp_path: Path) -> None:
    """Keys that a recipe did not have yet count as their default."""
    words = [
        "predict",
        "har",
        "--model",
        str(finished),
        "--workers",
        "0",
        "--limit",
        "1",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(words) == 0
    config = tmp_path / "out" / "config.yaml"
    kept = [line for line in config.read_text().splitlines() if "test_turns" not in line and "test_pooling" not in line]
    config.write_text("\n".join(kept))
    assert main(words) == 0
    assert main([*words, "--turns", "4"]) == 2


def test_turns_without_an_effect_are_refused() -> None:
    data = load_recipe("orientation").data
    assert data.views == ()
    with pytest.raises(RecipeError, match=r"test_pooling is max.*--turns 4"):
        dataclasses.replace(data, test_pooling="max")
    with pytest.raises(RecipeError, match="test_turns is 3, it can be 1, 2, 4"):
        dataclasses.replace(data, test_turns=3)
    with pytest.raises(RecipeError, match="3 turns do not divide a circle"):
        quarter_turns(3)
