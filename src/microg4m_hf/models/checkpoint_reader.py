"""Read checkpoints of PySlowFast, torch, safetensors and Caffe2 without running any code from them."""

from __future__ import annotations

import io
import os
import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import CheckpointError

# Files of torch.save from before zip archives start with this number as a pickled long; Caffe2 pickles do not.
_AGAIN = "check the path, or download it again"
_LEGACY_TORCH = bytes.fromhex("6cfc9c46f9206aa85019")


def read_checkpoint(source: Mapping[str, Any] | str | os.PathLike[str]) -> dict[str, Tensor]:
    """Return the state dict of a checkpoint.

    Args:
        source: A file (``.pyth``, ``.pt``, ``.pkl`` of Caffe2 or torch, ``.safetensors``) or a dict. The format is
            detected from the content, because the AVA SlowFast R101 ``.pkl`` is a torch file.

    Raises:
        CheckpointError: If it cannot be read or contains anything but tensors and plain values.
    """
    if isinstance(source, Mapping):
        return _state_dict(source, "the state dict")
    if not isinstance(source, (str, os.PathLike)):
        raise CheckpointError(f"cannot read weights from {type(source).__name__}; give a file or a state dict")
    path = Path(source)
    try:
        with open(path, "rb") as file:
            head = file.read(64)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); give a checkpoint file") from error
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return load_file(path)
        except SafetensorError as error:
            raise CheckpointError(f"{path}: damaged or not a safetensors file ({error}); {_AGAIN}") from error
    if head.startswith(b"PK") or _LEGACY_TORCH in head:
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            raise CheckpointError(
                f"{path}: refused because it contains more than tensors and plain values "
                f"({str(error).splitlines()[0]}), and nothing of it was run; give the state dict alone"
            ) from error
        except Exception as error:  # a damaged archive fails in many ways
            problem = f"{path}: damaged or not a torch file ({type(error).__name__}: {error})"
            raise CheckpointError(f"{problem}; {_AGAIN}") from error
        return _state_dict(content, path)
    return _state_dict(read_caffe2(path.read_bytes(), path), path)


def _state_dict(content: Any, where: object) -> dict[str, Tensor]:
    """Return the tensors in ``model_state`` (PySlowFast) or ``state_dict``, or else of the content itself."""
    if isinstance(content, Mapping):
        for key in ("model_state", "state_dict"):
            if isinstance(content.get(key), Mapping):
                content = content[key]
                break
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(f"{where}: no state dict found; give a checkpoint with model_state or a dict of tensors")
    state = {}
    for key, value in content.items():
        if isinstance(value, np.ndarray | np.generic):
            value = torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder("=")))
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise CheckpointError(f"{where}: {str(key)[:80]!r} is {type(value).__name__}; give a state dict of tensors")
        state[key.removeprefix("module.")] = value
    return state


def pyslowfast_key(blob: str) -> str:
    """Return the PySlowFast key of a Caffe2 blob.

    >>> pyslowfast_key("t_res4_5_branch2c_bn_subsample_bn_riv")
    's4_fuse.bn.running_var'
    >>> pyslowfast_key("res2_0_branch2a_bn_s")
    's2.pathway0_res0.branch2.a_bn.weight'
    """
    for pattern, replacement in _KEY_RULES:
        blob = re.sub(pattern, replacement, blob)
    return blob


def read_caffe2(data: bytes, file: object = None) -> dict[str, np.ndarray]:
    """Return the arrays of a Caffe2 checkpoint under PySlowFast keys; raise a ``CheckpointError`` for anything else."""
    try:
        content = _ArraysOnly(io.BytesIO(data), encoding="latin1").load()
    except CheckpointError:
        raise
    except Exception as error:  # a damaged pickle fails in many ways
        problem = f"{file}: not a Caffe2 checkpoint ({type(error).__name__}: {error})"
        raise CheckpointError(f"{problem}; {_AGAIN}") from error
    blobs = content.get("blobs", content) if isinstance(content, dict) else None
    if not isinstance(blobs, dict):
        raise CheckpointError(
            f"{file}: holds a {type(content).__name__}, not a dict of blobs; give a Caffe2 checkpoint"
        )
    state = {}
    for name, blob in blobs.items():
        if not isinstance(name, str) or _IGNORED.search(name):
            continue
        if not isinstance(blob, _Array):
            raise CheckpointError(f"{file}: blob {name!r} is {type(blob).__name__}, not an array; {_AGAIN}")
        state[pyslowfast_key(name)] = blob.value
    return state


# Applied in turn, as in the published converter; `t_` marks the fast pathway.
_KEY_RULES: tuple[tuple[str, str], ...] = (
    (r"^nonlocal_conv([0-9]+)_([0-9]+)_(theta|phi|g|out)_(w|b)$", r"s\1.pathway0_nonlocal\2.conv_\3_\4"),
    (r"^nonlocal_conv([0-9]+)_([0-9]+)_bn_(.*)$", r"s\1.pathway0_nonlocal\2.bn_\3"),
    (r"^t_pool1_subsample_bn_(.*)$", r"s1_fuse.bn_\1"),
    (r"^t_pool1_subsample_w$", r"s1_fuse.conv_f2s_w"),
    (r"^t_res([0-9]+)_[0-9]+_branch2c_bn_subsample_bn_(.*)$", r"s\1_fuse.bn_\2"),
    (r"^t_res([0-9]+)_[0-9]+_branch2c_bn_subsample_w$", r"s\1_fuse.conv_f2s_w"),
    (r"^res_conv1_bn_(.*)$", r"s1.pathway0_stem.bn_\1"),
    (r"^t_res_conv1_bn_(.*)$", r"s1.pathway1_stem.bn_\1"),
    (r"^conv1_xy_w$", r"s1.pathway0_stem.conv_xy_w"),
    (r"^conv1_w$", r"s1.pathway0_stem.conv_w"),
    (r"^t_conv1_w$", r"s1.pathway1_stem.conv_w"),
    (r"^res([0-9]+)_([0-9]+)_", r"s\1.pathway0_res\2."),
    (r"^t_res([0-9]+)_([0-9]+)_", r"s\1.pathway1_res\2."),
    (r"\.branch2([abc])_bn_(fc[12])_", r".branch2.se.\2_"),
    (r"\.branch2([abc])_bn_", r".branch2.\1_bn_"),
    (r"\.branch2([abc])_", r".branch2.\1_"),
    (r"^pred_", r"head.projection_"),
    (r"^conv_5_bn_", r"head.conv_5_bn_"),
    (r"^conv_5_", r"head.conv_5_"),
    (r"^lin_5_bn_", r"head.lin_5_bn_"),
    (r"^lin_5_", r"head.lin_5_"),
    (r"_riv$", r".running_var"),
    (r"_rm$", r".running_mean"),
    (r"_(s|w)$", r".weight"),
    (r"_b$", r".bias"),
)
# State of the optimizer, not of the network.
_IGNORED = re.compile(r"momentum|^lr$|^model_iter$")


class _Dtype:
    """Replaces ``numpy.dtype`` while unpickling and allows numbers only."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.dtype = np.dtype(str(code))
        if self.dtype.kind not in "fiub":
            raise CheckpointError(f"the file contains an array of {code!r}; give a checkpoint of numbers")

    def __setstate__(self, state: Any) -> None:
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])

    def decode(self, raw: str | bytes) -> np.ndarray:
        return np.frombuffer(raw.encode("latin1") if isinstance(raw, str) else bytes(raw), self.dtype)


class _Array:
    """Replaces ``numpy.ndarray`` while unpickling; ``reshape`` checks the shape against the bytes."""

    def __init__(self, *_: Any) -> None:
        self.value = np.zeros(0)

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, fortran, raw = state
        self.value = dtype.decode(raw).reshape(shape, order="F" if fortran else "C")


_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): lambda text, encoding="latin1": text.encode("latin1"),
}
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):
    _ALLOWED |= {(_module, "_reconstruct"): _Array, (_module, "scalar"): lambda dtype, raw: dtype.decode(raw)[0]}


class _ArraysOnly(pickle.Unpickler):
    """Load nothing but the classes in ``_ALLOWED``."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise CheckpointError(
                f"the file refers to {module}.{name}, and nothing of it was loaded; give a checkpoint of arrays"
            ) from None
