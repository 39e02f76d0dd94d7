"""The files of a finished run, and when its folder can be used again."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard

from microg4m_hf.citation import CITATION
from microg4m_hf.data.sources import DATA_REPO, list_files
from microg4m_hf.errors import RecipeError
from microg4m_hf.metrics import har_scores
from microg4m_hf.metrics.har.files import read_about
from microg4m_hf.training import har
from microg4m_hf.training.build import split_items
from microg4m_hf.training.card import write_model_card
from microg4m_hf.training.predict import reference_columns
from microg4m_hf.training.recipe_io import load_recipe
from microg4m_hf.training.run_folder import RunFolder
from tests.support.hub_release import put_release, tiny_release
from tests.support.hub_server import HubServer
from tests.support.kills import count_steps, kill_at_step
from tests.support.train_runs import losses, write_recipe


def test_files_of_a_finished_run(finished: Path) -> None:
    run = RunFolder(finished)
    recipe = load_recipe(run.config)
    assert recipe.loop.max_steps == 10
    assert sorted(losses(finished)) == list(range(1, 11))
    assert json.loads(run.environment.read_text())["torch"]

    summary = json.loads(run.results.read_text())
    assert (summary["steps"], summary["best_step"], summary["skipped_clips"]) == (10, 10, 0)
    items = split_items(recipe.data, "test")
    again = har_scores(run.predictions / "test.parquet", reference_columns(items))
    assert again["scores"] == pytest.approx(summary["test"]["scores"], nan_ok=True)
    assert 0.05 < summary["test"]["chance_map"] < 0.6
    assert set(summary["test"]["by"]) == {"domain", "group", "frequency"}
    assert read_about(run.predictions / "test.parquet")["scores_are"] == "logits"


def test_model_card(finished: Path) -> None:
    text = (finished / "model" / "README.md").read_text()
    assert text.endswith(f"\n\n{CITATION}")
    head = yaml.safe_load(text.split("---")[1])
    assert head["model-index"][0]["results"][0]["metrics"][0]["type"] == "map"
    assert "variant `own`" in text
    assert "Not a published setting" in text
    assert "of synthetic clips" in text
    assert text.count("\n| ") > 50  # a row for each class


@pytest.mark.parametrize(
    ("changes", "protocol", "entry"),
    [
        ({"source": None}, "paper", True),
        ({"source": "hub", "revision": "main"}, "paper", True),
        ({"source": "LEI-QI-233/MicroG-4M"}, "paper", True),
        ({"source": None}, "corrected", False),
        ({"source": None, "scheme": "source_disjoint"}, "paper", False),
        ({"source": None, "revision": "v9"}, "paper", False),  # never seen, so its commit is unknown
        ({"source": "other/films"}, "paper", False),
        ({"source": None, "data_dir": "/data/films"}, "paper", False),
        ({"source": "sample"}, "paper", False),
    ],
)
def test_only_scores_on_the_authors_data_enter_the_leaderboard(
    finished: Path,
    hub: HubServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, str | None],
    protocol: str,
    entry: bool,
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("MICROG4M_HOME", str(tmp_path / "home"))
    put_release(hub, tiny_release(tmp_path / "release"))
    list_files(DATA_REPO, "main")  # as a training has loaded it
    recipe, summary = load_recipe(RunFolder(finished).config), json.loads(RunFolder(finished).results.read_text())
    recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, **{"scheme": "official", **changes}))
    summary["test"]["signature"] = summary["test"]["signature"].replace("protocol:paper", f"protocol:{protocol}")
    (tmp_path / "model" / ".eval_results").mkdir(parents=True)
    (tmp_path / "model" / ".eval_results" / "microg4m.yaml").write_text("of an earlier version")
    write_model_card(recipe, summary, tmp_path / "model")
    file = tmp_path / "model" / ".eval_results" / "microg4m.yaml"
    assert file.exists() is entry
    if entry:
        (written,) = yaml.safe_load(file.read_text())
        commit = hub.repo("dataset", DATA_REPO).sha
        assert written["dataset"] == {"id": DATA_REPO, "task_id": "har-map50", "revision": commit}
    card = ModelCard.load(tmp_path / "model" / "README.md")
    of_authors = changes["source"] in (None, "hub", DATA_REPO) and "data_dir" not in changes
    assert (card.data.datasets == [DATA_REPO]) is of_authors
    assert (card.data.eval_results[0].dataset_type == DATA_REPO) is of_authors
    assert "/data/films" not in card.content


@pytest.mark.cpu
def test_saved_model_predicts_the_saved_logits(finished: Path) -> None:
    import torch

    from microg4m_hf.metrics.har.files import read_parquet
    from microg4m_hf.models import MicroG4MHarForVideoClassification
    from microg4m_hf.training.loading.batches import render_batch
    from microg4m_hf.training.loading.dataset import KeyFrameWindows, collate

    recipe = load_recipe(RunFolder(finished).config)
    items = split_items(recipe.data, "test")
    model = MicroG4MHarForVideoClassification.from_pretrained(finished / "model").eval()
    assert (model.config.test_size, model.config.sampling_rate) == (32, 8)
    part = collate([KeyFrameWindows(items, recipe.data)[0]])
    with torch.inference_mode():
        clips = render_batch(part["windows"], part["geometries"], model.config)
        logits = model(pixel_values=clips, boxes=part["boxes"]).logits.numpy()
    rows = read_parquet(RunFolder(finished).predictions / "test.parquet", references=False)
    assert rows.score is not None
    assert np.allclose(rows.score[: logits.size], logits.ravel(), atol=1e-5)


def test_another_recipe_is_an_error_with_the_differences(finished: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path)
    changed = load_recipe(recipe, ["optim.lr=0.01", "data.crop=40", "data.workers=0"])
    with pytest.raises(RecipeError, match=r"data\.crop: 32 -> 40; optim\.lr: 0\.05 -> 0\.01\. Give --out another"):
        RunFolder(finished).begin(changed)


def test_run_of_an_earlier_version_is_resumed(finished: Path, tmp_path: Path) -> None:
    run = RunFolder(shutil.copytree(finished, tmp_path / "run"))
    run.config.write_text(run.config.read_text().replace("no_decay: batchnorm", "undecayed: batchnorm"))
    assert "undecayed" in run.config.read_text()
    run.begin(load_recipe(write_recipe(tmp_path)))
    with pytest.raises(RecipeError, match=r"optim\.no_decay: 'batchnorm' -> 'none'\. Give --out another"):
        run.begin(load_recipe(write_recipe(tmp_path), ["optim.no_decay=none"]))


def test_folder_without_a_run_is_an_error(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path)
    with pytest.raises(RecipeError, match="not empty and does not contain a run"):
        RunFolder(tmp_path).begin(load_recipe(recipe))
    assert har.main(["--config", str(recipe), "--out", str(tmp_path / "none"), "--resume"]) == 2


def test_finished_run_is_not_repeated(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = shutil.copytree(finished, tmp_path / "copy")
    before = (copy / "results.json").stat().st_mtime_ns
    assert har.main(["--config", str(write_recipe(tmp_path)), "--out", str(copy), "--resume"]) == 0
    assert "this run is finished" in capsys.readouterr().err
    assert (copy / "results.json").stat().st_mtime_ns == before


def test_overrides_that_change_the_training_change_the_variant() -> None:
    file = Path(__file__).resolve().parents[2] / "recipes" / "i3d_nln_8x8_r50.yaml"
    assert load_recipe(file, ["data.workers=1", "loop.seed=3", "model.init=k400.pyth"]).variant == "paper"
    assert load_recipe(file, ["optim.lr=0.05"]).variant == "own"
    assert load_recipe(file.with_name("i3d_nln_8x8_r50_corrected.yaml"), ["data.scheme=source_disjoint"]).variant == (
        "corrected"
    )


def test_a_kill_while_a_run_begins_does_not_spoil_its_folder(tmp_path: Path) -> None:
    recipe = load_recipe(write_recipe(tmp_path))
    steps = count_steps(lambda: RunFolder(tmp_path / "whole").begin(recipe))
    assert steps > 5
    for step in range(1, steps + 1):
        run = RunFolder(tmp_path / str(step))
        assert kill_at_step(step, lambda run=run: run.begin(recipe))  # type: ignore[misc]
        run.begin(recipe)
        assert {path.name for path in run.path.iterdir()} == {path.name for path in (tmp_path / "whole").iterdir()}


def test_files_of_somebody_else_stay_in_a_folder_that_is_refused(tmp_path: Path) -> None:
    (tmp_path / "download.part").touch()
    with pytest.raises(RecipeError, match="is not empty and does not contain a run"):
        RunFolder(tmp_path).begin(load_recipe(write_recipe(tmp_path / "recipe")))
    assert (tmp_path / "download.part").exists()


def test_a_run_of_an_earlier_version_is_continued_with_the_defaults_of_later_keys(tmp_path: Path) -> None:
    recipe = load_recipe("demo")
    RunFolder(tmp_path / "run").begin(recipe)
    config = tmp_path / "run" / "config.yaml"
    values = yaml.safe_load(config.read_text())
    for key in ("rotate", "rotate_about", "vertical_flip"):
        del values["data"][key]
    config.write_text(yaml.safe_dump(values))
    RunFolder(tmp_path / "run").begin(recipe)
    assert yaml.safe_load(config.read_text())["data"]["rotate"] == "none"
    with pytest.raises(RecipeError, match=r"data\.rotate: 'none' -> 'any'"):
        RunFolder(tmp_path / "run").begin(load_recipe("demo", ["data.rotate=any"]))
