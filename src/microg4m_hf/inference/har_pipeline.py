"""``pipeline("microg4m-har", model=...)``: a video file and boxes to named actions per person."""

from __future__ import annotations

import os
from typing import Any

import torch
from transformers import AutoModelForVideoClassification, Pipeline
from transformers.pipelines import PIPELINE_REGISTRY

from ..data import open_clip, window
from ..errors import ModelError
from ..models.processing import MicroG4MHarProcessor


class HarPipeline(Pipeline):
    """What people do in a video.

    ``pipe("clip.mp4", boxes=[[0.1, 0.2, 0.4, 0.9]])`` gives one entry per box: the box, and its ``top_k`` actions
    with a probability of at least ``threshold``. ``center`` is the key frame (from 0; without it the middle).
    Instead of a path an array of RGB frames (T, H, W, 3) works; several videos go in as a list of
    ``{"video": ..., "boxes": ..., "center": ...}``.
    """

    _load_tokenizer = False  # type: ignore[assignment]
    _load_feature_extractor = False  # type: ignore[assignment]
    _load_image_processor = False  # type: ignore[assignment]
    _load_video_processor = False  # type: ignore[assignment]
    _load_processor = False  # type: ignore[assignment]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.processor is None:
            self.processor = _saved_processor(self.model)

    def _sanitize_parameters(
        self,
        boxes: Any = None,
        center: int | None = None,
        top_k: int | None = None,
        threshold: float | None = None,
        **unknown: Any,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        if unknown:
            raise TypeError(f"unknown options {sorted(unknown)}; there are boxes, center, top_k and threshold")
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
            with open_clip(video) as clip:
                middle = len(clip) // 2 if center is None else center
                video = clip.frames(window(len(clip), middle, processor.num_frames, processor.sampling_rate))
            center = None
        given = [[float(v) for v in box] for box in boxes]
        return {"given": given, **processor(video, boxes=given, center=center)}

    def _forward(self, input_tensors: dict[str, Any], **_: Any) -> dict[str, Any]:  # type: ignore[override]
        given = input_tensors.pop("given")
        return {"given": given, "logits": self.model(**input_tensors).logits}

    def postprocess(  # type: ignore[override]
        self, model_outputs: dict[str, Any], top_k: int = 5, threshold: float = 0.0
    ) -> list[dict[str, Any]]:
        names: Any = self.model.config.id2label
        people = []
        for box, row in zip(model_outputs["given"], model_outputs["logits"].float().sigmoid(), strict=True):
            scores, order = torch.sort(row, descending=True, stable=True)
            actions = [
                {"label": names[int(i)], "score": float(score)}
                for score, i in zip(scores[:top_k], order[:top_k], strict=True)
                if float(score) >= threshold
            ]
            people.append({"box": box, "actions": actions})
        return people


def _saved_processor(model: Any) -> MicroG4MHarProcessor:
    """The processor saved beside the model; a model that was never saved says all that is needed itself."""
    where = model.config.name_or_path
    if where:
        try:
            return MicroG4MHarProcessor.from_pretrained(where)
        except OSError:
            pass
    return MicroG4MHarProcessor.for_model(model.config)


PIPELINE_REGISTRY.register_pipeline(
    "microg4m-har", pipeline_class=HarPipeline, pt_model=AutoModelForVideoClassification, type="multimodal"
)
