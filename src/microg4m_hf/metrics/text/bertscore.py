"""BERTScore F1 as published: ``lang="en"`` defaults, that is layer 17 of roberta-large, no idf, no rescaling; the mean.

The work is done by the package bert-score. Around it: the model comes as a folder or as a Hub id at a pinned revision,
equal pairs are scored once, and three faults of bert-score 0.3.13 beside transformers 5 are mended (each marked below;
https://github.com/Tiiiger/bert_score has had no release since).
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import CheckpointError
from ...extras import require
from .base import Part

MODEL = "FacebookAI/roberta-large"
REVISION = "722cf37b1afa9454edce342e7895e588b6ff1d59"
_FILES = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"]


class BertScorer:
    """BERTScore F1 with one loaded model.

    ``model`` is a folder, a Hub id or ``id@revision``. ``num_layers`` says which layer's vectors are compared; it may
    be left out for models that bert-score knows (roberta-large: 17).
    """

    def __init__(self, model: str | Path | None = None, *, num_layers: int | None = None, device: str | None = None):
        package = require("bert_score", "bertscore")
        self.name, self.revision, folder = _folder(model)
        self.num_layers = num_layers or _usual_layer(self.name, folder)
        self._scorer = package.BERTScorer(str(folder), num_layers=self.num_layers, batch_size=64, device=device)
        self._scorer._tokenizer = _tokenizer(folder)
        self._scored: dict[tuple[str, tuple[str, ...]], float] = {}

    def f1(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> NDArray[np.float64]:
        """F1 of every prediction against its reference; of several references, the best."""
        pairs = [(said, tuple(several)) for said, several in zip(predictions, references, strict=True)]
        new = [pair for pair in dict.fromkeys(pairs) if pair not in self._scored]
        if new:
            _, _, values = self._scorer.score([said for said, _ in new], [list(several) for _, several in new])
            self._scored.update(zip(new, values.double().tolist(), strict=True))
        return np.array([self._scored[pair] for pair in pairs])


def bertscore_part(
    predictions: Sequence[str], references: Sequence[Sequence[str]], *, model: Any = None, device: str | None = None
) -> Part:
    """Mean and items of BERTScore F1."""
    scorer = model if isinstance(model, BertScorer) else _shared_scorer(model, device)
    part = Part(settings={"bert_model": f"{scorer.name}@{scorer.revision}", "bert_layer": scorer.num_layers})
    part.add_mean("bertscore", scorer.f1(predictions, references))
    return part


@functools.lru_cache(maxsize=1)
def _shared_scorer(model: str | Path | None, device: str | None) -> BertScorer:
    return BertScorer(model, device=device)


def _folder(model: str | Path | None) -> tuple[str, str, Path]:
    """Name, revision and local folder of the model; from the Hub only the files that are needed."""
    if model is not None and Path(model).is_dir():
        if not list(Path(model).glob("*.safetensors")):
            raise CheckpointError(
                f"{model} holds no .safetensors file; pickled weights are not loaded: convert them with "
                "AutoModel.from_pretrained(…).save_pretrained(folder)"
            )
        return Path(model).resolve().name, "local", Path(model)
    name, _, revision = (f"{MODEL}@{REVISION}" if model is None else str(model)).partition("@")
    if name in ("roberta-large", MODEL) and not revision:
        revision = REVISION
    hub = require("huggingface_hub", "bertscore")
    try:
        folder = hub.snapshot_download(name, revision=revision or None, allow_patterns=_FILES)
    except Exception as error:  # the Hub's own errors, the network's and the cache's have no common base
        raise CheckpointError(
            f"cannot get {name} from the Hub ({type(error).__name__}: {' '.join(str(error).split())[:200]}); "
            "offline, give a folder that holds it: bert_model='/path/to/roberta-large'"
        ) from error
    return name, revision or Path(folder).name, Path(folder)


def _usual_layer(name: str, folder: Path) -> int:
    from bert_score.utils import model2layers

    known = model2layers.get(name) or model2layers.get(name.rpartition("/")[2])
    if known:
        return int(known)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if config.get("model_type") == "roberta" and config.get("num_hidden_layers") == 24:
        return int(model2layers["roberta-large"])
    raise CheckpointError(
        f"no usual layer is known for {name}; say which one: BertScorer({str(folder)!r}, num_layers=…) "
        f"(the model has {config.get('num_hidden_layers')})"
    )


def _tokenizer(folder: Path) -> Any:
    """The tokenizer that bert-score would load, so that it works, and works as it did, beside transformers 5."""
    from transformers import AutoTokenizer

    # Fault 1: bert-score asks for a leading space in every call, which transformers 5 ignores; ask while loading.
    tokenizer = AutoTokenizer.from_pretrained(str(folder), add_prefix_space=True)
    # Fault 2: without a recorded limit it is 1e30, which overflows in truncation.
    if tokenizer.model_max_length > 1_000_000:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        positions = int(config.get("max_position_embeddings", 514))
        tokenizer.model_max_length = positions - 2 if config.get("model_type") == "roberta" else positions
    # Fault 3: an empty text calls a method that transformers 5 removed.
    if not hasattr(tokenizer, "build_inputs_with_special_tokens"):
        empty = tokenizer.encode("", add_special_tokens=True)
        vars(tokenizer)["build_inputs_with_special_tokens"] = lambda *_: empty
    return tokenizer
