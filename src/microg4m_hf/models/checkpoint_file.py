"""Reads a checkpoint of any kind PySlowFast users have, without running anything from it."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import CheckpointError
from .caffe2 import read_caffe2

# A file of torch.save before zip archives starts with this number as a pickled long; a Caffe2 pickle does not.
_LEGACY_TORCH = bytes.fromhex("6cfc9c46f9206aa85019")


def read_checkpoint(source: Mapping[str, Any] | str | os.PathLike[str]) -> dict[str, Tensor]:
    """The state dict of a file (``.pyth``, ``.pt``, ``.pkl`` of Caffe2 or torch, ``.safetensors``) or of a dict.

    The content decides, not the name: the AVA SlowFast R101 ``.pkl`` is a torch file.
    """
    if isinstance(source, Mapping):
        return _tensors(source, "the state dict")
    if not isinstance(source, (str, os.PathLike)):
        raise CheckpointError(f"cannot read weights from {type(source).__name__}; give a file or a state dict")
    path = Path(source)
    try:
        with open(path, "rb") as file:
            head = file.read(64)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); give a checkpoint file") from error
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if head.startswith(b"PK") or _LEGACY_TORCH in head:
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise CheckpointError(
                f"{path}: refused, it holds more than tensors and plain values; nothing of it was run "
                f"({str(error).splitlines()[0]})"
            ) from error
        except Exception as error:  # a damaged archive fails in many ways
            raise CheckpointError(f"{path}: damaged or no torch file ({type(error).__name__}: {error})") from error
        return _tensors(content, path)
    return _tensors(read_caffe2(path.read_bytes(), path), path)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: damaged or no safetensors file ({error})") from error


def _tensors(content: Any, where: object) -> dict[str, Tensor]:
    """The tensors of a checkpoint: of its ``model_state`` (PySlowFast) or ``state_dict``, or of itself."""
    if isinstance(content, Mapping):
        for key in ("model_state", "state_dict"):
            if isinstance(content.get(key), Mapping):
                content = content[key]
                break
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(f"{where}: no state dict in it (neither model_state nor a dict of tensors)")
    state = {}
    for key, value in content.items():
        if isinstance(value, np.ndarray | np.generic):
            value = torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder("=")))
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise CheckpointError(f"{where}: {str(key)[:80]!r} is {type(value).__name__}, a state dict holds tensors")
        state[key.removeprefix("module.")] = value
    return state
