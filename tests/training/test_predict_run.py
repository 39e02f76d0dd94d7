"""``microg4m predict har`` with runs, model folders, wrapped encoders, and networks with AVA's 80 outputs."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import VideoMAEConfig

from microg4m_hf import models
from microg4m_hf.cli.main import main
from microg4m_hf.errors import CheckpointError, ClipError, RecipeError
from microg4m_hf.metrics import har_scores
from microg4m_hf.metrics.har.files import read_about
from microg4m_hf.models import PUBLISHED
from microg4m_hf.taxonomy import ACTION_IDS
from microg4m_hf.training.predict_run import predict_har, recipe_of
from microg4m_hf.training.recipe_io import load_recipe, save_recipe
from tests.support.train_runs import write_recipe

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


def test_run_predicts_the_same_again(finished: Path, tmp_path: Path) -> None:
    assert main(["predict", "har", "--model", str(finished), "--out", str(tmp_path / "again")]) == 0
    old, new = (json.loads((run / "results.json").read_text()) for run in (finished, tmp_path / "again"))
    assert new["test"]["scores"] == pytest.approx(old["test"]["scores"], abs=1e-6, nan_ok=True)
    tables = [pq.read_table(run / "predictions" / "test.parquet") for run in (finished, tmp_path / "again")]
    scores = [np.array(table["scores"].to_pylist()) for table in tables]
    assert np.allclose(*scores, atol=1e-5)
    data = read_about(tmp_path / "again" / "predictions" / "test.parquet")["data"]
    assert [data[name] for name in ("task", "split", "scheme", "source")] == ["har", "test", "official", "sample"]
    asked = {(video, frame) for video, frame in data["items"]}
    assert asked == set(zip(tables[1]["video_id"].to_pylist(), tables[1]["frame"].to_pylist(), strict=True))
    for run in (finished, tmp_path / "again"):
        json.loads((run / "results.json").read_text(), parse_constant=pytest.fail)  # NaN is not JSON


@pytest.mark.cpu
def test_a_prediction_that_runs_out_of_memory_takes_fewer_clips(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A layer asks the allocator for more memory than there is, for more than a number of clips."""
    from accelerate import Accelerator

    from microg4m_hf.training.build import split_items
    from microg4m_hf.training.loading.dataset import KeyFrameWindows
    from microg4m_hf.training.predict import predict_logits

    recipe = load_recipe(write_recipe(tmp_path))
    windows = KeyFrameWindows(split_items(recipe.data, "test")[:7], recipe.data, center_crop=True)
    network, fitting = models.create("tiny_slow", num_frames=4).eval(), 7

    def allocate(module: torch.nn.Module, inputs: tuple[list[torch.Tensor]]) -> None:
        torch.empty(2**62 if len(inputs[0][0]) > fitting else 1, dtype=torch.uint8)

    network.backbone.network.s3.register_forward_pre_hook(allocate)
    accelerator = Accelerator(cpu=True)
    whole = predict_logits(accelerator, network, windows, batch=7)
    assert "out of memory" not in capsys.readouterr().err
    fitting = 2
    parts = predict_logits(accelerator, network, windows, batch=7)
    assert list(parts) == list(whole)
    assert all(np.allclose(parts[index], whole[index], atol=1e-5) for index in whole)
    log = capsys.readouterr().err
    assert log.count("out of memory") == 2, log
    assert "out of memory with 3 key frames at once: now 1 at once" in log
    fitting = 0
    with pytest.raises(RecipeError, match=r"out of memory with 1 key frame at once; use .*--mixed-precision bf16"):
        predict_logits(accelerator, network, windows, batch=7)


def test_a_split_without_a_readable_clip_is_one_line(tmp_path: Path) -> None:
    from microg4m_hf.training.build import split_items
    from microg4m_hf.training.predict import score_logits

    items = split_items(load_recipe(write_recipe(tmp_path)).data, "test")
    with pytest.raises(ClipError, match=f"none of the {len(items)} key frames could be read; check data.data_dir"):
        score_logits(items, {})


@pytest.mark.cpu
def test_compile_and_precision_are_recorded(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def predict(name: str, *options: str) -> tuple[np.ndarray, dict[str, Any]]:
        out = tmp_path / name
        assert main(["predict", "har", "--model", str(finished), "--limit", "4", "--out", str(out), *options]) == 0
        table = pq.read_table(out / "predictions" / "test.parquet")
        environment = json.loads((out / "environment.json").read_text())
        return np.array(table["scores"].to_pylist()), environment["forward_pass"]["test"]

    eager, how = predict("eager", "--compile", "no")
    assert how == {"compile": "no", "precision": "no", "used": "eager"}
    packed, how = predict("packed")
    assert (how["compile"], how["used"]) == ("auto", "packed")
    assert 0 < np.abs(packed - eager).max() < 1e-5 * np.abs(eager).max()
    asked, how = predict("asked", "--compile", "yes")
    assert how["used"] == "packed" and np.array_equal(asked, packed)
    assert load_recipe(tmp_path / "asked" / "config.yaml").loop.eval_compile == "yes"

    low, how = predict("low", "--mixed-precision", "bf16")
    assert how["precision"] == read_about(tmp_path / "low" / "predictions" / "test.parquet")["precision"] == "bf16"
    assert not np.array_equal(low, eager) and np.allclose(low, eager, atol=0.05 * np.abs(eager).max())
    again = ["predict", "har", "--model", str(finished), "--limit", "4", "--out", str(tmp_path / "low")]
    assert main(again) == 2  # float32 and bf16 logits are not mixed in one folder
    assert "eval_precision" in capsys.readouterr().err


def test_model_with_80_outputs_is_scored_on_50(tmp_path: Path) -> None:
    import torch

    from microg4m_hf.models import create
    from microg4m_hf.training.build import split_items
    from microg4m_hf.training.predict import reference_columns

    torch.manual_seed(1)
    create("tiny_slow", num_labels=80, test_size=48).save_pretrained(tmp_path / "ava")
    recipe = recipe_of(str(tmp_path / "ava"), source="sample", scheme="source_disjoint", workers=0)
    assert (recipe.data.eval_short_side, recipe.data.key_frame, recipe.variant) == (48, "exact", "own")
    result = predict_har(recipe, tmp_path / "out")
    table = pq.read_table(tmp_path / "out" / "predictions" / "test.parquet")
    scores = np.array(table["scores"].to_pylist())
    assert scores.shape[1] == 80

    references = reference_columns(split_items(recipe.data, "test"))
    columns = {name: table[name].to_pylist() for name in ("video_id", "frame", "person_id")}
    columns |= {"boxes": np.stack([table[side].to_numpy() for side in ("x1", "y1", "x2", "y2")], 1)}
    fifty = har_scores(columns | {"scores": scores[:, np.array(ACTION_IDS) - 1]}, references)
    assert result["test"]["scores"]["map"] == pytest.approx(fifty["scores"]["map"], abs=1e-6)


@pytest.mark.parametrize("name", ["slow_8x8_r50", "slowfast_32x2_r101"])
def test_zero_shot_recipes(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = load_recipe(RECIPES / f"zero_shot_{name}.yaml")
    variant = PUBLISHED[recipe.model.name]
    assert variant.num_labels == 80
    assert (recipe.data.num_frames, recipe.data.stride) == (variant.num_frames, variant.sampling_rate)
    assert (recipe.data.eval_short_side, recipe.data.key_frame, recipe.data.scheme) == (256, "released", "official")
    monkeypatch.setenv("MICROG4M_ZOO", "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.setenv("MICROG4M_HOME", str(tmp_path / "home"))
    with pytest.raises(CheckpointError, match=r"model_zoo/ava/.*\.pkl cannot be downloaded .*set MICROG4M_WEIGHTS"):
        predict_har(recipe, tmp_path / "out")
    with pytest.raises(RecipeError, match="has no weights yet"):
        predict_har(recipe_of(recipe.model.name), tmp_path / "out")
    assert recipe_of(recipe.model.name, "ava.pkl").data.key_frame == "released"


WRAPPED = VideoMAEConfig(
    image_size=32,
    patch_size=16,
    num_frames=4,
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=16,
)


@pytest.fixture(params=["model folder", "model with a recipe", "run folder"])
def wrapped(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A VideoMAE encoder behind the head, saved in every way that a user has it."""
    import torch

    from microg4m_hf.models import wrap

    torch.manual_seed(3)
    folder = tmp_path / "wrapped"
    model = folder / "model" if request.param == "run folder" else folder
    wrap(WRAPPED, sampling_rate=8).save_pretrained(model)
    words = ["num_frames=4", "stride=8", "crop=32", "eval_short_side=32", "source=sample", "workers=0"]
    words = [f"data.{word}" for word in words] + ["loop.mixed_precision=no"]
    recipe = load_recipe(RECIPES / "videomae_b_16x4.yaml", words)
    if request.param != "model folder":
        save_recipe(recipe, folder / ("config.yaml" if request.param == "run folder" else "recipe.yaml"))
    return folder


def test_a_wrapped_encoder_is_fed_the_same_by_predict_and_probe(
    wrapped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from microg4m_hf.bench.orientation import Turn, open_model, orientation_probe
    from microg4m_hf.models import MicroG4MHarForVideoClassification
    from microg4m_hf.training import split_items

    calls: list[tuple[torch.Tensor, torch.Tensor]] = []
    forward = MicroG4MHarForVideoClassification.forward

    def record(self: MicroG4MHarForVideoClassification, pixel_values: torch.Tensor, **inputs: Any) -> Any:
        output = forward(self, pixel_values=pixel_values, **inputs)
        calls.append((pixel_values, output.logits))
        return output

    monkeypatch.setattr(MicroG4MHarForVideoClassification, "forward", record)
    recipe = recipe_of(str(wrapped), source="sample", workers=0)
    # The probe is eager, and what a packed layer computes differs in the last digit on some processors.
    recipe = replace(recipe, loop=replace(recipe.loop, eval_compile="no"))
    predict_har(recipe, tmp_path / "out")
    predicted, probed = list(calls), calls
    calls.clear()
    model, data = open_model(str(wrapped))
    data = replace(data, source="sample", workers=0)
    orientation_probe(model, split_items(data, "test"), data, turns=[Turn(0), Turn(0, mirrored=True)], resamples=10)
    assert len(predicted) > 1
    assert {clips.shape[2:] for clips, _ in predicted} == {(4, 32, 32)}
    for (clips, logits), (other_clips, other_logits) in zip(predicted, probed[: len(predicted)], strict=True):
        assert clips.equal(other_clips)
        assert logits.equal(other_logits)


def test_unknown_model_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "har", "--model", "/no/such/model/folder"]) == 2
    assert "is not a run, a model folder" in capsys.readouterr().err
    assert main(["predict", "har"]) == 2


@pytest.mark.cpu
def test_a_limited_prediction_is_continued_where_it_ended(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The journal has what was predicted, also after a kill in the middle of a line; only the rest is predicted."""
    words = ["predict", "har", "--model", str(finished), "--workers", "0"]
    out = tmp_path / "out"
    assert main([*words, "--out", str(out), "--limit", "3", "--batch-size", "2"]) == 0
    assert "the first 3 of " in capsys.readouterr().out
    journal = out / "journal" / "test" / "items.rank0.jsonl"
    first = journal.read_text()
    assert len(first.splitlines()) == 3
    assert json.loads((out / "results.json").read_text())["test"]["key_frames"]["predicted"] == 3
    with journal.open("a") as file:
        file.write('{"run": "torn')

    assert main([*words, "--out", str(tmp_path / "whole")]) == 0
    whole = (tmp_path / "whole" / "journal" / "test" / "items.rank0.jsonl").read_text().splitlines()
    assert main([*words, "--out", str(out)]) == 0
    assert f"3 of {len(whole)} key frames of test are in" in capsys.readouterr().err
    assert journal.read_text().startswith(first)
    complete = journal.read_text()
    tables = [pq.read_table(run / "predictions" / "test.parquet") for run in (finished, tmp_path / "whole", out)]
    scores = [np.array(table["scores"].to_pylist()) for table in tables]
    assert np.allclose(scores[0], scores[1], atol=1e-5)
    assert np.array_equal(scores[1], scores[2])  # batches are those of a prediction that was not interrupted
    assert main([*words, "--out", str(out)]) == 0
    assert journal.read_text() == complete, "a finished prediction predicts nothing again"


def test_other_weights_and_other_input_do_not_use_the_journal(finished: Path, tmp_path: Path) -> None:
    import torch

    from microg4m_hf.training.build import build_model
    from microg4m_hf.training.predict_run import _journal_settings

    recipe = load_recipe(finished / "config.yaml")
    model = build_model(recipe.model, recipe.data, seed=0)
    settings = _journal_settings(model, recipe.data, "test")
    assert _journal_settings(model, dataclasses.replace(recipe.data, workers=7), "test") == settings
    assert _journal_settings(model, recipe.data, "validation") != settings
    assert _journal_settings(model, dataclasses.replace(recipe.data, eval_short_side=33), "test") != settings
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] += 1e-3
    assert _journal_settings(model, recipe.data, "test") != settings


def test_overrides_of_a_model_change_its_variant(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["predict", "har", "--model", str(finished), "--out", str(tmp_path / "out"), "--limit", "2"]
    assert main([*words, "data.workers=0", "data.eval_short_side=40"]) == 0
    assert load_recipe(tmp_path / "out" / "config.yaml").data.eval_short_side == 40
    assert main([*words, "data.eval_side=40"]) == 2
    assert "eval_side" in capsys.readouterr().err
    assert main([*words[:-1], "0"]) == 2
    assert "--limit 0 predicts nothing" in capsys.readouterr().err
