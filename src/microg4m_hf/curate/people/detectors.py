"""Detectors of people: models of transformers with a checked license, or any function."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ModelError, RecipeError
from ...runtime import is_out_of_memory, local_device
from ..protocols import PeopleSettings
from .callables import Detections, checked_detections, is_callable_name, load_callable

# Hub ids whose licenses were read: Apache-2.0.
_DFINE = [f"dfine-{size}" for size in ("nano", "small", "medium", "large", "xlarge")]
_RTDETR = ["rtdetr_r18vd", "rtdetr_r34vd", "rtdetr_r50vd", "rtdetr_r101vd"]
LICENSED = frozenset(
    (
        *(f"ustc-community/{name}-{data}" for name in _DFINE for data in ("coco", "obj365", "obj2coco")),
        *(f"PekingU/{name}" for name in _RTDETR),
        *(f"PekingU/{name.replace('_r', '_v2_r')}" for name in _RTDETR),
        *("facebook/detr-resnet-50", "facebook/detr-resnet-101"),
    )
)
_PERSON_NAMES = ("person", "human", "people", "pedestrian", "astronaut")
Detector = Callable[[list[NDArray[np.uint8]]], list[Detections]]


def load_detector(settings: PeopleSettings, *, accept_license: bool = False, batch_size: int = 8) -> Detector:
    """Return a function from RGB frames to boxes and scores of people.

    Args:
        settings: The section ``people``.
        accept_license: Whether the user has accepted the license of a model that is not in ``LICENSED``.
        batch_size: Pictures at a time; it is halved when memory runs out.

    Raises:
        RecipeError: If the license of a model was not checked.
        ModelError: If there is no such model, or it does not know people.
    """
    name = settings.detector
    if is_callable_name(name):
        function = load_callable(name, "people.detector")
        return lambda frames: checked_detections(function(frames), len(frames), name)
    is_local = Path(name).expanduser().is_dir()
    if name not in LICENSED and not is_local and not accept_license:
        raise RecipeError(
            f"people.detector={name}: the license of this model was not checked; read it, then pass "
            f"accept_license=, or use one of {', '.join(sorted(LICENSED)[:3])}, …"
        )
    return _Transformers(str(Path(name).expanduser()) if is_local else name, settings, batch_size)


class _Transformers:
    """A model of ``AutoModelForObjectDetection`` with its image processor."""

    def __init__(self, name: str, settings: PeopleSettings, batch_size: int) -> None:
        from transformers import AutoImageProcessor, AutoModelForObjectDetection

        # Neither code of the repository nor pickles are loaded.
        where = {"revision": settings.revision, "trust_remote_code": False}
        try:
            self.model: Any = AutoModelForObjectDetection.from_pretrained(name, use_safetensors=True, **where)
            self.processor: Any = AutoImageProcessor.from_pretrained(name, **where)
        except (OSError, ValueError) as error:
            first = next(iter(str(error).splitlines()), "")
            raise ModelError(
                f"people.detector={name} cannot be loaded ({first}); check the name, or give a folder"
            ) from error
        labels = {int(key): str(value).lower() for key, value in self.model.config.id2label.items()}
        self.person = [key for key, label in labels.items() if label in _PERSON_NAMES]
        if not self.person:
            known = ", ".join(list(labels.values())[:5])
            raise ModelError(f"people.detector={name} has no class for people, only {known}, …; choose another")
        self.device = local_device()
        self.model.to(self.device).eval()
        self.min_score, self.batch_size = settings.min_score, batch_size

    def __call__(self, frames: list[NDArray[np.uint8]]) -> list[Detections]:
        found: list[Detections] = []
        while len(found) < len(frames):
            batch = frames[len(found) : len(found) + self.batch_size]
            try:
                found += self._detect(batch)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or self.batch_size == 1:
                    raise
                self.batch_size //= 2
                self._free()
        return found

    def _free(self) -> None:
        import torch

        with contextlib.suppress(AttributeError, RuntimeError):
            torch.accelerator.empty_cache()

    def _detect(self, frames: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        import torch

        with torch.inference_mode():
            inputs = self.processor(images=list(frames), return_tensors="pt").to(self.device)
            outputs = self.model(**inputs)
        sizes = [frame.shape[:2] for frame in frames]
        results = self.processor.post_process_object_detection(outputs, threshold=self.min_score, target_sizes=sizes)
        found = []
        for result in results:
            person = torch.isin(result["labels"], torch.tensor(self.person, device=result["labels"].device))
            boxes, scores = result["boxes"][person], result["scores"][person]
            found.append((boxes.double().cpu().numpy(), scores.double().cpu().numpy()))
        return found
