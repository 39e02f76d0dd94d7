"""BERTScore: equal to its definition and to the package ``bert-score``, on tiny random models.

The package needs an environment of its own. The comparison with it runs when ``MICROG4M_BERT_SCORE_PYTHON`` names its
Python: ``pip install torch 'transformers<5' bert-score``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microg4m_hf.errors import CheckpointError, MissingExtraError
from microg4m_hf.metrics import BertScorer, text_scores
from microg4m_hf.metrics.text import sentence

CORPUS = ["the astronaut floats in the cabin of the station", "a cat sits on the mat", "two dogs run"]
MAX_LENGTH = 64
PAIRS = [
    ("a cat sits", "the cat sits on a mat"),
    ("two dogs run", "two dogs run"),
    ("  two dogs run\n", "two dogs run"),
    ("Two Dogs, run!", "the astronaut"),
    ("station", "the astronaut floats in the cabin of the station, naïve 日本"),
    ("mat " * 500, "the mat"),
    ("a cat", "sits on " * 40),
    ("", "x"),
    ("x", ""),
    ("", " "),
    (" \t", "two dogs"),
    ("</s>", "two dogs"),
    ("two </s> dogs", "two dogs <s>"),
    ("[SEP]", "two [CLS] dogs"),
    ("cat<mask>[MASK]sits", "<pad> the [PAD] cat"),
    ("two dogs run", "two dogs run"),
]


def _roberta(folder: Path, sizes: dict[str, int]) -> None:
    from tokenizers import ByteLevelBPETokenizer
    from transformers import RobertaConfig, RobertaModel

    tokenizer = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer.train_from_iterator(CORPUS * 3, vocab_size=400, min_frequency=1, special_tokens=special)
    tokenizer.save_model(str(folder))
    positions = MAX_LENGTH + 2
    config = RobertaConfig(
        vocab_size=400, max_position_embeddings=positions, bos_token_id=0, pad_token_id=1, eos_token_id=2, **sizes
    )
    RobertaModel(config).save_pretrained(folder)


def _bert(folder: Path, sizes: dict[str, int]) -> None:
    from transformers import BertConfig, BertModel

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted({word for text in CORPUS for word in text.split()})]
    (folder / "vocab.txt").write_text("\n".join([*words, "##s", ",", "x"]))
    BertModel(BertConfig(vocab_size=len(words) + 3, max_position_embeddings=MAX_LENGTH, **sizes)).save_pretrained(
        folder
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny random RoBERTa with a byte-level tokenizer, and a tiny random BERT with words."""
    pytest.importorskip("transformers")
    import torch

    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}
    made = {}
    for name, make in (("Roberta", _roberta), ("Bert", _bert)):
        made[name] = tmp_path_factory.mktemp(name)
        torch.manual_seed(0)
        make(made[name], sizes)
        settings = {"tokenizer_class": f"{name}Tokenizer", "model_max_length": MAX_LENGTH}
        (made[name] / "tokenizer_config.json").write_text(json.dumps(settings))
    return made


def _f1(tokenizer: Any, model: Any, layer: int, prediction: str, reference: str) -> float:
    """BERTScore by its definition, token by token, from the whole model."""
    import torch

    def vectors(text: str) -> tuple[Any, list[bool]]:
        ids = tokenizer.encode(" " + text.strip() if text.strip() else "", truncation=True, max_length=MAX_LENGTH)
        with torch.no_grad():
            states = model(torch.tensor([ids]), output_hidden_states=True).hidden_states[layer][0].double()
        outer = (tokenizer.cls_token_id, tokenizer.sep_token_id)
        return [state / state.norm() for state in states], [token not in outer for token in ids]

    (mine, counted), (theirs, counted_theirs) = vectors(prediction), vectors(reference)
    if not any(counted) or not any(counted_theirs):
        return 0.0
    best = [max(float(one @ other) for other in theirs) for one in mine]
    best_theirs = [max(float(one @ other) for one in mine) for other in theirs]
    precision = np.mean([value for value, counts in zip(best, counted, strict=True) if counts])
    recall = np.mean([value for value, counts in zip(best_theirs, counted_theirs, strict=True) if counts])
    return float(2 * precision * recall / (precision + recall))


@pytest.mark.filterwarnings("ignore:.*without a word", "ignore:.*hold no word")
@pytest.mark.parametrize("name", ["Roberta", "Bert"])
@pytest.mark.parametrize("layer", [1, 2, 3])
def test_equals_its_definition(folders: dict[str, Path], name: str, layer: int) -> None:
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folders[name]), AutoModel.from_pretrained(folders[name]).eval()
    expected = [_f1(tokenizer, model, layer, *pair) for pair in PAIRS]
    scorer = BertScorer(folders[name], num_layers=layer, device="cpu")
    predictions, references = [list(side) for side in zip(*PAIRS, strict=True)]
    result = text_scores(
        predictions, references, metrics=["bertscore"], bert_model=scorer, on_empty="score", resamples=0
    )
    assert result["items"]["bertscore"] == pytest.approx(expected, abs=1e-6)
    assert result["scores"]["bertscore"] == pytest.approx(np.mean(expected), abs=1e-6)
    assert f"bert_layer:{layer}" in result["signature"]


_PACKAGE = """
import json, sys
from bert_score import BERTScorer
folder, layer, batch_size, predictions, references = json.load(sys.stdin)
scorer = BERTScorer(folder, num_layers=layer, batch_size=batch_size, device="cpu")
print(json.dumps(scorer.score(predictions, references)[2].tolist()))
"""


@pytest.mark.parametrize("name", ["Roberta", "Bert"])
@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_equals_the_package(folders: dict[str, Path], name: str, batch_size: int) -> None:
    python = os.environ.get("MICROG4M_BERT_SCORE_PYTHON")
    if not python:
        pytest.skip("MICROG4M_BERT_SCORE_PYTHON names no environment with bert-score and transformers 4")
    predictions = [*(prediction for prediction, _ in PAIRS), "a cat"]
    references = [*([reference] for _, reference in PAIRS), ["two dogs", "the cat sits", "a cat"]]
    job = json.dumps([str(folders[name]), 2, batch_size, predictions, references])
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [python, "-c", _PACKAGE], input=job, capture_output=True, text=True, env=environment, timeout=600
    )
    assert done.returncode == 0, done.stderr
    ours = BertScorer(folders[name], num_layers=2, device="cpu").f1(predictions, references)
    assert ours.tolist() == pytest.approx(json.loads(done.stdout.splitlines()[-1]), abs=1e-6)


def test_the_batch_and_the_order_change_nothing(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    predictions, references = [prediction for prediction, _ in PAIRS], [[reference] for _, reference in PAIRS]
    whole = BertScorer(folders["Roberta"], num_layers=2, device="cpu").f1(predictions, references)
    backward = BertScorer(folders["Roberta"], num_layers=2, device="cpu").f1(predictions[::-1], references[::-1])
    monkeypatch.setattr(sentence, "_TOKENS_PER_BATCH", {"cpu": 1, "cuda": 1})
    single = BertScorer(folders["Roberta"], num_layers=2, device="cpu").f1(predictions, references)
    np.testing.assert_allclose(backward[::-1], whole, atol=1e-6)
    np.testing.assert_allclose(single, whole, atol=1e-6)


def test_equal_pairs_are_scored_once(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = BertScorer(folders["Roberta"], num_layers=2, device="cpu")
    embedded: list[str] = []
    embed = scorer._embed
    monkeypatch.setattr(scorer, "_embed", lambda texts: embedded.extend(texts) or embed(texts))
    first = scorer.f1(["a cat", "a cat"], [["two dogs", "a cat"], ["two dogs", "a cat"]])
    assert first.tolist() == pytest.approx([1, 1], abs=1e-6)
    scorer.f1(["a cat", "a mat"], [["two dogs", "a cat"], ["a cat"]])
    assert embedded == ["a cat", "two dogs", "a mat", "a cat"]


def test_a_tokenizer_without_a_length_limit(folders: dict[str, Path]) -> None:
    settings = folders["Roberta"] / "tokenizer_config.json"
    before = settings.read_text()
    settings.write_text(json.dumps({"tokenizer_class": "RobertaTokenizer"}))
    try:
        scorer = BertScorer(folders["Roberta"], num_layers=2, device="cpu")
    finally:
        settings.write_text(before)
    value = scorer.f1(["mat " * 500], [["the mat"]])
    assert value == pytest.approx(
        BertScorer(folders["Roberta"], num_layers=2, device="cpu").f1(["mat " * 500], [["the mat"]])
    )


def test_layers_above_are_not_loaded_and_nothing_is_printed(
    folders: dict[str, Path], capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    scorer = BertScorer(folders["Roberta"], num_layers=1, device="cpu")
    assert len(scorer._model.encoder.layer) == 1
    assert "UNEXPECTED" not in capfd.readouterr().err + caplog.text


def test_a_model_that_cannot_be_used_is_explained(
    folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CheckpointError, match=r"no usual layer is known.*num_layers"):
        BertScorer(folders["Roberta"])
    with pytest.raises(CheckpointError, match=r"num_layers=4, but .* has 3 layers"):
        BertScorer(folders["Roberta"], num_layers=4)
    with pytest.raises(CheckpointError, match=r"no \.safetensors"):
        BertScorer(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="cannot get nobody/nothing from the Hub"):
        BertScorer("nobody/nothing")


def test_without_transformers_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"bertscore needs the package transformers.*microg4m-hf\[text\]"):
        text_scores(["a"], ["a"], metrics=["bertscore"])


def test_known_models_have_their_layer() -> None:
    from types import SimpleNamespace

    from microg4m_hf.metrics.text.bertscore import _check_layer

    large = SimpleNamespace(model_type="roberta", num_hidden_layers=24)
    assert _check_layer(None, "FacebookAI/roberta-large", Path("x"), large) == 17
    assert _check_layer(None, "my-copy", Path("x"), large) == 17
    base = SimpleNamespace(model_type="bert", num_hidden_layers=12)
    assert _check_layer(None, "google-bert/bert-base-uncased", Path("x"), base) == 9
