"""BERTScore F1 on transformers, with the published settings: layer 17 of roberta-large, no idf, no rescaling.

With the unit vectors x_i of the prediction's tokens and y_j of the reference's at that layer, P = mean_i max_j x_i·y_j,
R = mean_j max_i x_i·y_j, and F1 = 2PR / (P + R). The maxima range over all tokens; the means leave out the tokens that
open and close a text. A text without any other token scores 0. The corpus score is the mean of the items.

These are the ``lang="en"`` defaults of the package ``bert-score`` (no release since 2023), and its values to 1e-6. One
thing differs: that package also compares with padding, so there a negative best match can depend on the batch.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...errors import CheckpointError
from ...extras import require
from .base import MetricResult
from .sentence import group_by_length

MODEL = "FacebookAI/roberta-large"
REVISION = "722cf37b1afa9454edce342e7895e588b6ff1d59"
_FILES = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"]
# The layers that agree best with human judgment, as measured by the authors of BERTScore.
_LAYERS = {
    "roberta-large": 17, "roberta-base": 10, "distilroberta-base": 5, "distilbert-base-uncased": 5,
    "bert-base-uncased": 9, "bert-large-uncased": 18, "bert-base-multilingual-cased": 9,
    "deberta-large-mnli": 18, "deberta-xlarge-mnli": 40,
}  # fmt: skip


class _TokenVectors(NamedTuple):
    vectors: NDArray[np.float32]  # unit length, one row per token
    counted: NDArray[np.bool_]  # False for the tokens that open and close a text


class BertScorer:
    """BERTScore F1 with a model that is loaded once.

    Args:
        model: A folder, a Hub id or ``id@revision``; roberta-large at a pinned revision by default.
        num_layers: The layer whose vectors are compared; may be left out for well-known models (roberta-large: 17).
        device: Where the model runs; CUDA if there is one by default.

    Raises:
        CheckpointError: If the model cannot be loaded, or if no layer is known for it.
    """

    def __init__(self, model: str | Path | None = None, *, num_layers: int | None = None, device: str | None = None):
        transformers = require("transformers", "bertscore", extra="text")
        self.name, self.revision, folder = _find_model(model)
        config = transformers.AutoConfig.from_pretrained(str(folder))
        self.num_layers = _check_layer(num_layers, self.name, folder, config)
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder))
        self._max_length = _max_length(self._tokenizer, config)
        self._model = _load_layers(folder, config, self.num_layers, device)
        self._known: dict[tuple[str, tuple[str, ...]], float] = {}

    def f1(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> NDArray[np.float64]:
        """Return the F1 of every prediction, the best of several references; equal pairs are scored once."""
        pairs = [(text, tuple(several)) for text, several in zip(predictions, references, strict=True)]
        new = [pair for pair in dict.fromkeys(pairs) if pair not in self._known]
        if new:
            texts = list(dict.fromkeys(one for text, several in new for one in (text, *several)))
            tokens = dict(zip(texts, self._embed(texts), strict=True))
            for text, several in new:
                self._known[text, several] = max(_pair_f1(tokens[text], tokens[one]) for one in several)
        return np.array([self._known[pair] for pair in pairs])

    def _embed(self, texts: list[str]) -> list[_TokenVectors]:
        """Embed every text. Texts of equal length share a batch, so nothing is padded."""
        import torch

        # The leading space makes byte-level tokenizers treat the first word like the others.
        spaced = [text.strip() and f" {text.strip()}" for text in texts]
        token_ids = self._tokenizer(spaced, truncation=True, max_length=self._max_length)["input_ids"]
        boundary_ids = [self._tokenizer.cls_token_id, self._tokenizer.sep_token_id]
        device = self._model.device
        found: list[Any] = [None] * len(texts)
        with torch.inference_mode():
            for batch in group_by_length([len(ids) for ids in token_ids], device.type):
                ids = torch.tensor([token_ids[index] for index in batch], device=device)
                states = self._model(ids, attention_mask=torch.ones_like(ids)).last_hidden_state
                vectors = torch.nn.functional.normalize(states, dim=-1).float().cpu().numpy()
                for index, rows in zip(batch, vectors, strict=True):
                    found[index] = _TokenVectors(rows, ~np.isin(token_ids[index], boundary_ids))
        return found


def compute_bertscore(
    predictions: Sequence[str], references: Sequence[Sequence[str]], *, model: Any = None, device: str | None = None
) -> MetricResult:
    """Return the mean and the items of BERTScore F1."""
    scorer = model if isinstance(model, BertScorer) else _shared_scorer(model, device)
    result = MetricResult(settings={"bert_model": f"{scorer.name}@{scorer.revision}", "bert_layer": scorer.num_layers})
    result.add_mean("bertscore", scorer.f1(predictions, references))
    return result


@functools.lru_cache(maxsize=1)
def _shared_scorer(model: str | Path | None, device: str | None) -> BertScorer:
    return BertScorer(model, device=device)


def _pair_f1(prediction: _TokenVectors, reference: _TokenVectors) -> float:
    if not prediction.counted.any() or not reference.counted.any():
        return 0.0
    cosines = prediction.vectors @ reference.vectors.T
    precision = float(cosines.max(axis=1)[prediction.counted].mean(dtype=np.float64))
    recall = float(cosines.max(axis=0)[reference.counted].mean(dtype=np.float64))
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _find_model(model: str | Path | None) -> tuple[str, str, Path]:
    """Return name, revision and local folder of the model; download only the files that are needed."""
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


def _check_layer(num_layers: int | None, name: str, folder: Path, config: Any) -> int:
    """Return the layer to use; 17 for anything of the shape of roberta-large."""
    layers = config.num_hidden_layers
    if num_layers is None:
        num_layers = _LAYERS.get(name.rpartition("/")[2])
        if num_layers is None and (config.model_type, layers) == ("roberta", 24):
            num_layers = _LAYERS["roberta-large"]
        if num_layers is None:
            raise CheckpointError(
                f"no usual layer is known for {name}; say which one: BertScorer({str(folder)!r}, num_layers=…) "
                f"(the model has {layers})"
            )
    if not 0 <= num_layers <= layers:
        raise CheckpointError(f"num_layers={num_layers}, but {name} has {layers} layers; give a number up to {layers}")
    return num_layers


def _max_length(tokenizer: Any, config: Any) -> int:
    """Return how many tokens fit into the model; a tokenizer without a recorded limit says 1e30."""
    if tokenizer.model_max_length < 1_000_000:
        return int(tokenizer.model_max_length)
    positions = int(getattr(config, "max_position_embeddings", 514))
    return positions - 2 if config.model_type == "roberta" else positions


def _load_layers(folder: Path, config: Any, num_layers: int, device: str | None) -> Any:
    """Load the first ``num_layers`` layers of an encoder; the layers above are never computed."""
    torch, transformers = (require(name, "bertscore", extra="text") for name in ("torch", "transformers"))
    config.num_hidden_layers = num_layers
    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()  # it would list the weights of the layers above as unexpected
    try:
        model = transformers.AutoModel.from_pretrained(str(folder), config=config, use_safetensors=True)
    finally:
        transformers.logging.set_verbosity(verbosity)
    encoder = model.get_encoder() if config.is_encoder_decoder else model
    return encoder.float().eval().to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
