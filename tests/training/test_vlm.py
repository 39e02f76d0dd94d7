"""Train an adapter on the sample, resume it exactly, push it, pull it and use it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from microg4m_hf.citation import CITATION
from microg4m_hf.cli.main import main
from microg4m_hf.errors import RecipeError
from microg4m_hf.training.recipe_io import load_vlm_recipe
from tests.support.hub_server import HubServer
from tests.support.tiny_vlm import tiny_vlm
from tests.support.warm_python import warm_python

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "qwen2_5_vl_lora.yaml"
SMALL = ["source=sample", "frames=2", "dtype=float32", "batch=4", "lr=0.01", "gradient_checkpointing=false"]
SMALL += ["warmup_steps=1", "checkpoint_every=4", "epochs=20"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_vlm("qwen2_5_vl", tmp_path_factory.mktemp("qwen"))


@pytest.fixture
def at_hub(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    for name, value in hub.environment().items():
        monkeypatch.setenv(name, value)
    yield hub


def train(model: Path, out: Path, *words: str) -> int:
    return main(["train", "vlm", "--config", str(RECIPE), "--out", str(out), f"model={model}", *SMALL, *words])


def losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()]


def captions(out: Path) -> list[str]:
    return [json.loads(line)["caption"] for line in (out / "predictions.jsonl").read_text().splitlines()]


@pytest.mark.filterwarnings("ignore")
def test_adapter_learns_resumes_exactly_and_is_pushed(
    model: Path, tmp_path: Path, at_hub: HubServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train(model, whole, "max_steps=10") == 0
    seen = losses(whole)
    assert len(seen) == 10
    assert sum(seen[-3:]) / 3 < 0.95 * sum(seen[:3]) / 3

    assert train(model, parts, "max_steps=4") == 0
    (parts / "checkpoints" / ".step-00000006.half").mkdir()  # left by a kill
    with (parts / "metrics.jsonl").open("a") as log:
        log.write('{"step": 5, "loss": 99.0}\n{"step": 6, "lo')
    assert train(model, parts, "max_steps=10") == 0
    assert losses(parts) == seen
    adapters = [(out / "adapter" / "adapter_model.safetensors").read_bytes() for out in (whole, parts)]
    assert adapters[0] == adapters[1]
    capsys.readouterr()
    assert train(model, parts, "max_steps=10", "frames=3") == 2
    assert "frames: 2 -> 3" in capsys.readouterr().err

    from microg4m_hf.training import push_run

    assert push_run(whole, "me/adapter")
    pushed = at_hub.repo("model", "me/adapter").tree()
    assert {"adapter_model.safetensors", "adapter_config.json", "README.md", "processor_config.json"} <= set(pushed)
    words = ["predict", "caption", "--source", "sample", "--limit", "2", "--frames", "2", "--max-new-tokens", "8"]
    from huggingface_hub import HfApi

    endpoint = at_hub.environment()["HF_ENDPOINT"]
    pulled = HfApi(endpoint).snapshot_download("me/adapter", cache_dir=tmp_path / "cache")
    for name, out in ((str(model), "plain"), (str(whole / "adapter"), "tuned"), (pulled, "pulled")):
        assert main([*words, "--model", name, "--out", str(tmp_path / out)]) == 0
    assert captions(tmp_path / "tuned") != captions(tmp_path / "plain")
    assert captions(tmp_path / "pulled") == captions(tmp_path / "tuned")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("retry", ["push", "train"])
def test_failed_push_is_repeated(
    model: Path, tmp_path: Path, at_hub: HubServer, capsys: pytest.CaptureFixture[str], retry: str
) -> None:
    """``microg4m push``, as the error says, or the same training command, which takes no further step."""
    out = tmp_path / "run"
    words = ["max_steps=2", "--push-to-hub", "me/adapter"]
    at_hub.fail("POST", "/commit/", status=403)
    assert train(model, out, *words) == 2
    assert f"to push it again: microg4m push {out} me/adapter" in capsys.readouterr().err
    weights = (out / "adapter" / "adapter_model.safetensors").read_bytes()
    assert (main(["push", str(out), "me/adapter"]) if retry == "push" else train(model, out, *words)) == 0
    assert "pushed to " in capsys.readouterr().out
    pushed = at_hub.repo("model", "me/adapter").tree()
    assert {"adapter_model.safetensors", "README.md", "config_run.yaml", "metrics.jsonl"} <= set(pushed)
    assert (out / "adapter" / "adapter_model.safetensors").read_bytes() == weights
    assert len(losses(out)) == 2


@pytest.mark.filterwarnings("ignore")
def test_python_and_module_train_the_same_adapter(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from microg4m_hf.training import load_vlm_recipe, run_vlm_training
    from tests.support.train_runs import run_command

    words = [f"model={model}", *SMALL, "max_steps=2"]
    loss = run_vlm_training(load_vlm_recipe(RECIPE, words), tmp_path / "door")
    assert f"last loss {loss:.4f}" in capsys.readouterr().out
    command = [warm_python(), "-m", "microg4m_hf.training.vlm", "--config", str(RECIPE)]
    ended = run_command([*command, "--out", str(tmp_path / "module"), *words], seconds=1200)
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert f"last loss {loss:.4f}" in ended.stdout
    runs = [tmp_path / name for name in ("door", "module")]
    assert losses(runs[0]) == losses(runs[1]) != []
    assert len({(run / "adapter" / "adapter_model.safetensors").read_bytes() for run in runs}) == 1
    ended = run_command([*command, "--out", str(tmp_path / "none"), "--resume", *words], seconds=1200)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)


def test_adapter_card(model: Path, tmp_path: Path) -> None:
    from huggingface_hub import ModelCard

    from microg4m_hf.training.card import write_adapter_card

    for scheme, warned in (("official", True), ("source_disjoint", False)):
        recipe = load_vlm_recipe(RECIPE, [f"scheme={scheme}"])
        card = ModelCard.load(write_adapter_card(recipe, 10, 0.5, tmp_path))
        assert card.content.endswith(f"\n\n{CITATION}")
        assert card.data.base_model == "Qwen/Qwen2.5-VL-7B-Instruct"
        assert (card.data.library_name, card.data.datasets) == ("peft", ["LEI-QI-233/MicroG-4M"])
        assert ("also in training" in card.text) == warned


def test_recipes_are_read_strictly(tmp_path: Path) -> None:
    assert load_vlm_recipe(RECIPE).scheme == "source_disjoint"
    for word, what in (
        ("tasks=[har]", "choose caption, vqa or both"),
        ("rnk=4", "unknown key rnk; did you mean rank"),
        ("batch=0", "batch must be at least 1"),
        ("frames=many", "frames must be int"),
    ):
        with pytest.raises(RecipeError, match=what):
            load_vlm_recipe(RECIPE, [word])
    (tmp_path / "list.yaml").write_text("- 1")
    with pytest.raises(RecipeError, match="a recipe is a mapping"):
        load_vlm_recipe(tmp_path / "list.yaml")
    with pytest.raises(RecipeError, match="there is no recipe"):
        load_vlm_recipe(tmp_path / "none.yaml")


def test_labels_are_the_answer_and_its_end_token(model: Path) -> None:
    from transformers import AutoProcessor

    from microg4m_hf.data import load_dataset
    from microg4m_hf.training.vlm import IGNORE_INDEX, ExampleEncoder

    processor = AutoProcessor.from_pretrained(model)
    row = load_dataset("vqa", split="test", source="sample")[0]
    example = ExampleEncoder(processor, prompts="default", frames=2).encode(row)
    labels = example["labels"][0]
    learned = labels[labels != IGNORE_INDEX]
    assert processor.tokenizer.decode(learned) == row["answer"].strip() + processor.tokenizer.eos_token
    assert (example["input_ids"][0, -len(learned) :] == learned).all()
    assert example["mm_token_type_ids"].shape == example["input_ids"].shape == labels[None].shape
