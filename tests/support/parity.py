"""The shared parity references: a network with known weights, a known input, and the logits it must return."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

# model name -> reference file
REFERENCES = {
    "c2d_8x8_r50": "C2D_8x8_R50",
    "c2d_nln_8x8_r50": "C2D_NLN_8x8_R50",
    "i3d_8x8_r50": "I3D_8x8_R50",
    "slow_4x16_r50": "SLOWONLY_4x16_R50",
    "slowfast_4x16_r50": "SLOWFAST_4x16_R50",
    "x3d_s": "X3D_S",
    "mvitv1_b_16x4": "MVIT_B_16x4",
}


def read(folder: Path, file: str) -> dict[str, Any]:
    return json.loads((folder / f"{file}.json").read_text())


def fill(key: str, shape: list[int], kind: str) -> torch.Tensor:
    """Return a weight computed from its name by the rule in the references."""
    draw = np.random.RandomState(zlib.crc32(key.encode()) & 0x7FFFFFFF)
    if kind == "count":
        return torch.zeros(shape, dtype=torch.int64)
    if kind == "bn_var":
        values = draw.uniform(0.5, 1.5, shape)
    elif kind == "bn_mean":
        values = 0.1 * draw.standard_normal(shape)
    elif kind == "norm_w":
        values = 1 + 0.1 * draw.standard_normal(shape)
    elif kind == "bias":
        values = 0.01 * draw.standard_normal(shape)
    elif kind in {"weight", "weight_nl"}:
        values = draw.standard_normal(shape) * np.sqrt(1 / np.prod(shape[1:]))
        values *= 0.15 if kind == "weight_nl" else 1.0
    else:
        values = 0.02 * draw.standard_normal(shape)
    return torch.from_numpy(np.asarray(values).astype(np.float32))


def state_dict(reference: dict[str, Any]) -> dict[str, torch.Tensor]:
    return {e["key"]: fill(e["key"], e["shape"], e["kind"]) for e in reference["state_dict"]}


def clip(shape: list[int]) -> torch.Tensor:
    values = np.random.RandomState(20250609).standard_normal(shape).astype(np.float32) * 0.5
    return torch.from_numpy(values)


def boxes(rows: list[list[float]], height: int, width: int) -> list[torch.Tensor]:
    """Convert rows (clip, x1, y1, x2, y2) in pixels to one list of normalized boxes."""
    table = torch.tensor(rows)
    return [table[:, 1:] / torch.tensor([width, height, width, height])]
