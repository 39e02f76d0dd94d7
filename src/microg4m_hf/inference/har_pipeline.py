"""``pipeline("microg4m-har", model=...)``: the named actions of each person in a video."""

from __future__ import annotations

import os
from typing import Any

import torch
from transformers import Pipeline

from ..errors import ModelError
from ..models.frozen import FrozenNetwork
from ..models.processing import MicroG4MHarProcessor
from .video_processor import read_window


class HarPipeline(Pipeline):
    """Recognize the actions of people in a video, given their boxes.

    ``pipe("clip.mp4", boxes=[[0.1, 0.2, 0.4, 0.9]])`` returns one entry per box, with the box and its actions. Pass
    several videos as a list of ``{"video": ..., "boxes": ..., "center": ...}``.

    Args:
        video: A path, or an array of RGB frames of shape (T, H, W, 3).
        boxes: ``[x1, y1, x2, y2]`` per person, divided by width and height.
        center: Index of the key frame; the default is the middle frame.
        top_k: The largest number of actions per person.
        threshold: The smallest probability of an action.
        compile: Given to ``pipeline``: ``"auto"`` runs a faster form of the network on a CPU, ``"yes"`` compiles it on
            a GPU too, ``"no"`` runs the network as it is.
        precision: Given to ``pipeline``: ``"bf16"`` computes the network under autocast; ``"no"`` as the weights are.
    """

    _load_tokenizer = False  # type: ignore[assignment]
    _load_feature_extractor = False  # type: ignore[assignment]
    _load_image_processor = False  # type: ignore[assignment]
    _load_video_processor = False  # type: ignore[assignment]
    _load_processor = False  # type: ignore[assignment]

    def __init__(self, *args: Any, compile: str = "auto", precision: str = "no", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        model: Any = self.model
        self._fast = FrozenNetwork(model.backbone.network, compile, precision)
        if self.processor is None:
            self.processor = _load_processor(self.model)

    def _sanitize_parameters(
        self,
        boxes: Any = None,
        center: int | None = None,
        top_k: int | None = None,
        threshold: float | None = None,
        **unknown: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        if unknown:
            raise TypeError(f"unknown options {sorted(unknown)}; choose from boxes, center, top_k and threshold")
        before = {k: v for k, v in (("boxes", boxes), ("center", center)) if v is not None}
        after = {k: v for k, v in (("top_k", top_k), ("threshold", threshold)) if v is not None}
        return before, {}, after

    def preprocess(  # type: ignore[override]
        self, input_: Any, boxes: Any = None, center: int | None = None
    ) -> dict[str, Any]:
        video = input_
        if isinstance(input_, dict):
            video, boxes, center = input_["video"], input_.get("boxes", boxes), input_.get("center", center)
        if boxes is None:
            raise ModelError("no boxes given: pass boxes=[[x1, y1, x2, y2], ...], divided by width and height")
        processor: Any = self.processor
        if isinstance(video, str | os.PathLike):
            video, center = read_window(video, processor, center), None
        boxes = [[float(v) for v in box] for box in boxes]
        return {"given_boxes": boxes, **processor(video, boxes=boxes, center=center)}

    def _forward(self, input_tensors: dict[str, Any], **_: Any) -> dict[str, Any]:  # type: ignore[override]
        boxes = input_tensors.pop("given_boxes")
        with self._fast.installed():
            return {"given_boxes": boxes, "logits": self.model(**input_tensors).logits}

    def postprocess(  # type: ignore[override]
        self, model_outputs: dict[str, Any], top_k: int = 5, threshold: float = 0.0
    ) -> list[dict[str, Any]]:
        names: Any = self.model.config.id2label
        people = []
        for box, row in zip(model_outputs["given_boxes"], model_outputs["logits"].float().sigmoid(), strict=True):
            scores, order = torch.sort(row, descending=True, stable=True)
            actions = [
                {"label": names[int(i)], "score": float(score)}
                for score, i in zip(scores[:top_k], order[:top_k], strict=True)
                if float(score) >= threshold
            ]
            people.append({"box": box, "actions": actions})
        return people


def _load_processor(model: Any) -> MicroG4MHarProcessor:
    """Load the processor beside the model, or derive it from the config of a model that was never saved."""
    path = model.config.name_or_path
    if path:
        try:
            return MicroG4MHarProcessor.from_pretrained(path)
        except OSError:
            pass
    return MicroG4MHarProcessor.for_model(model.config)
