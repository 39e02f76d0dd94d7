"""Logits for every person of a split, on any number of processes, each key frame exactly once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..metrics import har_scores
from ..runtime import is_main_process
from ..taxonomy import NUM_AVA_CLASSES
from .dataset import KeyFrame, KeyFrameWindows, collate, left_out
from .transforms import render_batch

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator


def predict_logits(
    accelerator: Accelerator,
    model: torch.nn.Module,
    items: KeyFrameWindows,
    *,
    batch: int = 8,
    workers: int = 0,
    what: str = "predicting",
) -> dict[int, np.ndarray]:
    """Item index to logits ``(persons, classes)``, float32, the same on every process.

    Every process takes the same number of items, the last ones twice if need be, so that sharded models stay in
    step; what came twice is one entry of the mapping. Clips that cannot be read are missing from it.
    """
    import torch
    from accelerate.utils import gather_object
    from torch.utils.data import DataLoader, Subset
    from tqdm import tqdm

    world, count = accelerator.num_processes, len(items)
    own = [place % count for place in range(accelerator.process_index, -(-count // world) * world, world)]
    loader: Any = DataLoader(
        Subset(items, own),  # type: ignore[arg-type]
        batch_size=batch,
        num_workers=workers,
        collate_fn=collate,
        generator=torch.Generator().manual_seed(0),  # or the loader would draw from the model's RNG
    )
    was_training = model.training
    model.eval()
    found: list[tuple[int, np.ndarray]] = []
    with torch.inference_mode():
        for part in tqdm(loader, desc=what, disable=not is_main_process(), leave=False):
            left_out(part["faults"], items.data.on_error)
            found += _logits(accelerator, model, part)
    model.train(was_training)
    return dict(gather_object(found))


def _logits(accelerator: Accelerator, model: torch.nn.Module, part: dict[str, Any]) -> list[tuple[int, np.ndarray]]:
    """Run the clips of a batch that have one size together."""
    device, config = accelerator.device, accelerator.unwrap_model(model).config
    by_size: dict[tuple[int, int], list[int]] = {}
    for place, geometry in enumerate(part["geometries"]):
        by_size.setdefault((geometry.crop_height, geometry.crop_width), []).append(place)
    readable, start = set(), 0
    for place, boxes in enumerate(part["boxes"]):
        if part["weights"][start : start + len(boxes)].all():
            readable.add(place)
        start += len(boxes)
    found = []
    for places in by_size.values():
        clips = render_batch(
            [part["windows"][place].to(device) for place in places],
            [part["geometries"][place] for place in places],
            config,
        )
        boxes = [part["boxes"][place].to(device) for place in places]
        logits = model(pixel_values=clips, boxes=boxes).logits.float().cpu()
        pieces = logits.split([len(box) for box in boxes])
        found += [
            (part["indices"][place], piece.numpy())
            for place, piece in zip(places, pieces, strict=True)
            if place in readable
        ]
    return found


def prediction_columns(items: Sequence[KeyFrame], logits: dict[int, np.ndarray]) -> dict[str, Any]:
    """One entry a person with the released box and all raw scores, as metrics and prediction files take them."""
    kept = sorted(logits)
    persons = [len(items[index].boxes) for index in kept]
    return {
        "video_id": [items[index].video_id for index, count in zip(kept, persons, strict=True) for _ in range(count)],
        "frame": np.repeat([items[index].frame for index in kept], persons),
        "person_id": np.concatenate([items[index].person_ids for index in kept]),
        "boxes": np.concatenate([items[index].boxes for index in kept]),
        "scores": np.concatenate([logits[index] for index in kept]),
    }


def reference_columns(items: Sequence[KeyFrame]) -> dict[str, Any]:
    """The truth in the same form, with the packed labels of every person."""
    return {
        "video_id": [item.video_id for item in items for _ in item.boxes],
        "frame": np.repeat([item.frame for item in items], [len(item.boxes) for item in items]),
        "person_id": np.concatenate([item.person_ids for item in items]),
        "boxes": np.concatenate([item.boxes for item in items]),
        "labels": [np.flatnonzero(labels) for item in items for labels in item.labels],
    }


# Scores of a split from its logits, by the library's own metrics.


def score_logits(items: Sequence[KeyFrame], logits: dict[int, np.ndarray], **settings: Any) -> dict[str, Any]:
    """``har_scores`` of a split; key frames without logits (unreadable clips) count as missing predictions."""
    if len(logits) < len(items):
        settings.setdefault("missing", "zero")
    settings.setdefault("domains", {item.video_id: item.domain for item in items if item.domain})
    settings.setdefault("references", reference_columns(items))
    columns = prediction_columns(items, logits)
    if columns["scores"].shape[1] == NUM_AVA_CLASSES:  # a model with AVA's outputs: to the 50 by their ids
        settings.setdefault("classes", NUM_AVA_CLASSES)
    return har_scores(columns, settings.pop("references"), **settings)


def chance_map(items: Sequence[KeyFrame], draws: int = 20) -> float:
    """The mAP that random scores reach on these items: the mean of some draws, scored like any prediction.

    It is near the mean share of people who do a thing, and above it where a split is small.
    """
    references, rng = reference_columns(items), np.random.default_rng(0)
    shape = (len(references["labels"]), items[0].labels.shape[1])
    own = {key: value for key, value in references.items() if key != "labels"}
    drawn = [har_scores(own | {"scores": rng.random(shape)}, references)["scores"]["map"] for _ in range(draws)]
    return float(np.mean(drawn))
