"""Run NanoDet, a detector of people with its weights, from the TF.js graph that ``make footage`` downloads."""

from __future__ import annotations

import base64
import functools
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from microg4m_hf.curate.people.quarter_turns import suppress
from tests.support.footage import CACHE

DETECTOR = "tests.support.nanodet:detect"
_SIDE, _STRIDES = 416, (8, 16, 32)
_MEAN, _SPREAD = np.array([103.53, 116.28, 123.675]), np.array([57.375, 57.12, 58.395])


class Graph:
    """The nodes of a TF.js graph model, run by torch; tensors have the layout of TensorFlow."""

    def __init__(self) -> None:
        model = json.loads((CACHE / "nanodet.json").read_text())
        self.nodes = {node["name"]: node for node in model["modelTopology"]["node"]}
        self.weights = _read_weights(model["weightsManifest"][0]["weights"], (CACHE / "nanodet.bin").read_bytes())
        self.order: list[str] = []
        for name in ("Identity", "Identity_1", "Identity_2", "Identity_3", "Identity_4", "Identity_5"):
            self._visit(name)

    def _visit(self, name: str) -> None:
        if name in self.order:
            return
        for other in self.nodes[name].get("input", ()):
            self._visit(other.partition(":")[0].lstrip("^"))
        self.order.append(name)

    def __call__(self, picture: torch.Tensor) -> list[torch.Tensor]:
        values: dict[str, Any] = {}
        for name in self.order:
            node = self.nodes[name]
            if node["op"] == "Placeholder":
                values[name] = [picture]
            elif node["op"] == "Const":
                values[name] = [self.weights[name]]
            else:
                inputs = [values[base][int(at or 0)] for base, _, at in (i.partition(":") for i in node["input"])]
                result = _OPERATIONS[node["op"]](node.get("attr", {}), *inputs)
                values[name] = result if isinstance(result, list) else [result]
        return [values[name][0] for name in self.order if name.startswith("Identity")]


def _read_weights(manifest: list[dict[str, Any]], data: bytes) -> dict[str, torch.Tensor]:
    weights, at = {}, 0
    for entry in manifest:
        stored = np.dtype(entry.get("quantization", entry)["dtype"])
        count = math.prod(entry["shape"])
        array = np.frombuffer(data, stored, count, at).reshape(entry["shape"]).astype(entry["dtype"])
        weights[entry["name"]] = torch.from_numpy(array.copy())
        at += count * stored.itemsize
    return weights


def _text(attributes: dict[str, Any], name: str) -> str:
    return base64.b64decode(attributes[name]["s"]).decode()


def _convolve(attributes: dict[str, Any], x: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    assert _text(attributes, "padding") == "VALID" and _text(attributes, "data_format") == "NHWC"
    strides = [int(value) for value in attributes["strides"]["list"]["i"][1:3]]
    planes, weight = x.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1)
    groups = planes.shape[1] // weight.shape[1]
    return functional.conv2d(planes, weight, stride=strides, groups=groups).permute(0, 2, 3, 1)


def _pad(_: Any, x: torch.Tensor, amounts: torch.Tensor, value: torch.Tensor | None = None) -> torch.Tensor:
    sides = [int(side) for pair in reversed(amounts.tolist()) for side in pair]
    return functional.pad(x, sides, value=0.0 if value is None else float(value))


def _pool(attributes: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
    size, stride = (int(attributes[name]["list"]["i"][1]) for name in ("ksize", "strides"))
    return functional.max_pool2d(x.permute(0, 3, 1, 2), size, stride).permute(0, 2, 3, 1)


def _resize(_: Any, x: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
    planes = functional.interpolate(x.permute(0, 3, 1, 2), size.tolist(), mode="bilinear", align_corners=False)
    return planes.permute(0, 2, 3, 1)


def _scatter(_: Any, where: torch.Tensor, shape: torch.Tensor, values: torch.Tensor, default: Any) -> torch.Tensor:
    dense = torch.full(shape.tolist(), int(default), dtype=torch.int64)
    if where.numel():
        dense[tuple(where.long().T)] = values.long()
    return dense


_OPERATIONS: dict[str, Callable[..., Any]] = {
    "Add": lambda _, x, y: x + y,
    "AddV2": lambda _, x, y: x + y,
    "ConcatV2": lambda _, *parts: torch.cat(parts[:-1], int(parts[-1])),
    "Conv2D": _convolve,
    "Identity": lambda _, x: x,
    "LeakyRelu": lambda attributes, x: functional.leaky_relu(x, attributes["alpha"]["f"]),
    "MaxPool": _pool,
    "Pad": _pad,
    "PadV2": _pad,
    "Reshape": lambda _, x, shape: x.reshape(shape.tolist()),
    "ResizeBilinear": _resize,
    "Sigmoid": lambda _, x: x.sigmoid(),
    "SparseToDense": _scatter,
    "SplitV": lambda _, x, sizes, axis: list(x.split(sizes.tolist(), int(axis))),
    "Transpose": lambda _, x, order: x.permute(order.tolist()),
}


@functools.cache
def _graph() -> Graph:
    return Graph()


def detect(frames: list[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return boxes and scores of the people in each RGB frame."""
    return [_detect(frame) for frame in frames]


def _detect(frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    height, width = frame.shape[:2]
    planes = torch.from_numpy(frame.copy()).permute(2, 0, 1)[None].float()
    small = functional.interpolate(planes, (_SIDE, _SIDE), mode="bilinear", antialias=False)[0].numpy()
    normal = (small[::-1] - _MEAN[:, None, None]) / _SPREAD[:, None, None]
    with torch.inference_mode():
        outputs = [one[0].numpy() for one in _graph()(torch.from_numpy(np.ascontiguousarray(normal, np.float32))[None])]
    boxes, scores = [], []
    for stride in _STRIDES:
        cells = (_SIDE // stride) ** 2
        classes = next(one for one in outputs if one.shape == (cells, 80))
        bins = next(one for one in outputs if one.shape == (cells, 44)).reshape(cells, 4, 11)
        shares = np.exp(bins - bins.max(axis=2, keepdims=True))
        left, top, right, bottom = ((shares / shares.sum(axis=2, keepdims=True)) @ np.arange(11) * stride).T
        rows, columns = np.divmod(np.arange(cells), _SIDE // stride)
        x, y = (columns + 0.5) * stride, (rows + 0.5) * stride
        boxes.append(np.stack([x - left, y - top, x + right, y + bottom], axis=1))
        scores.append(classes[:, 0])
    box, score = np.concatenate(boxes), np.concatenate(scores).astype(np.float64)
    sure = score > 0.05
    box, score = box[sure] * np.array([width, height, width, height]) / _SIDE, score[sure]
    stays = suppress(box, score, 0.6)
    return box[stays], score[stays]
