"""Predict the logits of every person in a split, on any number of processes, and score them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.turns import UPRIGHT, Turn, turn_boxes
from ..errors import ClipError, RecipeError, StoppedBySignal
from ..metrics import har_scores
from ..runtime import is_out_of_memory, progress
from ..taxonomy import NUM_AVA_CLASSES
from .loading.batches import ClipMemory
from .loading.dataset import KeyFrame, KeyFrameWindows, report_faults
from .loading.loader import decoding_errors, load_batches
from .prepare import is_sharded
from .processes import StopSignals

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator


def predict_logits(
    accelerator: Accelerator,
    model: torch.nn.Module,
    items: KeyFrameWindows,
    *,
    turns: Sequence[Turn] = (),
    batch: int = 8,
    workers: int = 0,
    what: str = "predicting",
    stop: StopSignals | None = None,
    known: Mapping[int, np.ndarray] | None = None,
    save: Callable[[int, np.ndarray], None] | None = None,
) -> dict[int, np.ndarray]:
    """Predict every key frame. Every process of a launch must call this.

    All processes take the same number of items, as sharded models need it; an item that two processes predict is one
    entry of the result. After an out-of-memory error, key frames are predicted in smaller batches.

    Args:
        accelerator: The accelerator of this process.
        model: A model on its device.
        items: The key frames.
        turns: Predict every key frame under each of these turns, decoded once; see :func:`pool_turns`.
        batch: Key frames per forward pass.
        workers: Processes that decode.
        what: The label of the progress bar.
        stop: Raise :class:`StoppedBySignal` after the batch in which one of the processes gets a signal.
        known: Logits of items that were predicted before, the same on every process. A batch of which one item is not
            known is predicted again.
        save: Called with each item and its logits, on the process that predicts it.

    Returns:
        For each index of an item, logits ``(persons, classes)`` in float32, the same on every process; with ``turns``,
        ``(turns, persons, classes)``. Unreadable clips are absent.

    Raises:
        RecipeError: If not even one key frame fits into memory.
    """
    import torch
    from accelerate.utils import gather_object

    world, known = accelerator.num_processes, dict(known or {})
    shares = [[i % len(items) for i in range(rank, -(-len(items) // world) * world, world)] for rank in range(world)]
    # Batches do not depend on what is known, because logits depend on their batch in the last digit.
    starts = [
        start
        for start in range(0, len(shares[0]), batch)
        if any(index not in known for share in shares for index in share[start : start + batch])
    ]
    batches = [shares[accelerator.process_index][start : start + batch] for start in starts]
    loaded = load_batches(items, batches, workers=workers, largest=batch)
    was_training = model.training
    model.eval()
    predicted: list[tuple[int, np.ndarray]] = []
    predict_batch = _BatchPredictor(accelerator, model, turns or (UPRIGHT,))
    with torch.inference_mode(), decoding_errors():
        for collated in progress(loaded, what, total=len(batches), unit="batch"):
            report_faults(collated["faults"], items.data.on_error)
            finished = predict_batch(collated)
            if not turns:
                finished = [(index, logits[0]) for index, logits in finished]
            predicted += finished
            if save is not None:
                for index, logits in finished:
                    save(index, logits)
            if stop is not None and (number := stop.requested(accelerator)):
                raise StoppedBySignal(number)
    model.train(was_training)
    return known | dict(gather_object(predicted))


_PARTS = ("windows", "geometries", "boxes")


class _BatchPredictor:
    """Predict clips of one size together, under one turn after the other, and fewer of them where memory is short."""

    def __init__(self, accelerator: Accelerator, model: torch.nn.Module, turns: Sequence[Turn]) -> None:
        self.accelerator, self.turns = accelerator, turns
        self.sharded = is_sharded(accelerator)
        # DDP would exchange buffers before each forward pass, and processes may need different numbers of them.
        self.model = model if self.sharded else accelerator.unwrap_model(model)
        self.config = accelerator.unwrap_model(model).config
        self.memory = ClipMemory()
        self.largest: int | None = None  # how many clips fit, once some did not

    def __call__(self, batch: dict[str, Any]) -> list[tuple[int, np.ndarray]]:
        import torch

        counts = [len(boxes) for boxes in batch["boxes"]]
        readable = [bool(weights.all()) for weights in batch["weights"].split(counts)]
        by_size: dict[tuple[int, int], list[int]] = {}
        for place, geometry in enumerate(batch["geometries"]):
            by_size.setdefault((geometry.crop_height, geometry.crop_width), []).append(place)
        groups, predicted = list(by_size.values()), []
        if self.sharded:  # all processes take part in each forward pass, so some repeat their last one
            count = torch.tensor([len(groups)], device=self.accelerator.device)
            most = int(self.accelerator.gather(count).max())
            groups += groups[-1:] * (most - len(groups))
        while groups:
            places = groups.pop(0)
            fitting = min(self.largest or len(places), len(places))
            if fitting < len(places):
                groups.insert(0, places[fitting:])
                places = places[:fitting]
            logits = self._logits(batch, places)
            if logits is None:
                groups.insert(0, places)
                continue
            parts = np.split(logits, np.cumsum([counts[place] for place in places])[:-1], axis=1)
            predicted += [
                (batch["indices"][place], part) for place, part in zip(places, parts, strict=True) if readable[place]
            ]
        return list(dict(predicted).items())

    def _logits(self, batch: dict[str, Any], places: Sequence[int]) -> np.ndarray | None:
        """Return the logits of some clips, or None if they do not fit into memory together."""
        import torch

        try:
            windows, geometries, boxes = ([batch[name][place] for place in places] for name in _PARTS)
            clips = self.memory.render(windows, geometries, self.config, self.accelerator.device)
            return np.stack([_logits_of_turn(self.model, clips, boxes, turn) for turn in self.turns])
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if self.sharded or len(places) == 1:
                count = "1 key frame" if len(places) == 1 else f"{len(places)} key frames"
                raise RecipeError(
                    f"out of memory with {count} at once; use loop.eval_precision=bf16 "
                    "(--mixed-precision bf16), or a device with more memory"
                ) from None
        self.memory, self.largest = ClipMemory(), len(places) // 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        print(f"out of memory with {len(places)} key frames at once: now {self.largest} at once", file=sys.stderr)
        return None


def _logits_of_turn(
    model: torch.nn.Module, clips: torch.Tensor, boxes: Sequence[torch.Tensor], turn: Turn
) -> np.ndarray:
    """Return the logits of all persons of a batch, whose clips and boxes are turned together."""
    import torch

    turned = clips.flip(4) if turn.mirrored else clips
    turned = torch.rot90(turned, -turn.degrees // 90, dims=(3, 4)) if turn.degrees else turned
    moved = [torch.from_numpy(turn_boxes(box.numpy(), turn)).to(clips.device) for box in boxes]
    logits: np.ndarray = model(pixel_values=turned, boxes=moved).logits.float().cpu().numpy()
    return logits


def pool_turns(logits: Mapping[int, np.ndarray], how: str) -> dict[int, np.ndarray]:
    """Pool the logits of the turns of each key frame.

    Args:
        logits: What :func:`predict_logits` returned with ``turns``.
        how: ``"mean"``; ``"max"``; or ``"lme"``, log-mean-exp, which lies between the two.

    Returns:
        For each key frame, logits ``(persons, classes)``.

    Example:
        >>> two = {0: np.log(np.array([[[1.0]], [[3.0]]], np.float32))}
        >>> [round(float(np.exp(pool_turns(two, how)[0][0, 0])), 3) for how in ("mean", "max", "lme")]
        [1.732, 3.0, 2.0]
    """

    def pool(turns: np.ndarray) -> np.ndarray:
        values = turns.astype(np.float64)
        if how == "lme":
            return np.logaddexp.reduce(values, axis=0) - np.log(len(values))
        return values.max(axis=0) if how == "max" else values.mean(axis=0)

    return {index: pool(turns).astype(np.float32) for index, turns in logits.items()}


def prediction_columns(items: Sequence[KeyFrame], logits: dict[int, np.ndarray]) -> dict[str, Any]:
    """Return one entry per person, with the released box and raw scores, as metrics and prediction files take them.

    Args:
        items: The key frames.
        logits: What :func:`predict_logits` returned for them.

    Raises:
        ClipError: If there are none, because no clip could be read.
    """
    if not logits:
        raise ClipError(
            f"none of the {len(items)} key frames could be read; check data.data_dir (--data-dir) with "
            "`microg4m data check`"
        )
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
    """Return the references in the same form as :func:`prediction_columns`, with the packed labels of every person."""
    return {
        "video_id": [item.video_id for item in items for _ in item.boxes],
        "frame": np.repeat([item.frame for item in items], [len(item.boxes) for item in items]),
        "person_id": np.concatenate([item.person_ids for item in items]),
        "boxes": np.concatenate([item.boxes for item in items]),
        "labels": [
            np.r_[np.flatnonzero(labels), np.asarray(again, dtype=np.int64)]
            for item in items
            for labels, again in zip(item.labels, item.repeats or [()] * len(item.labels), strict=True)
        ],
    }


def score_logits(items: Sequence[KeyFrame], logits: dict[int, np.ndarray], **settings: Any) -> dict[str, Any]:
    """Score a split. Key frames without logits (unreadable clips) count as missing predictions.

    Args:
        items: The key frames.
        logits: What :func:`predict_logits` returned for them.
        settings: Options of :func:`microg4m_hf.metrics.har_scores`; ``references`` replaces the labels of the items.

    Returns:
        What ``har_scores`` returns.
    """
    if len(logits) < len(items):
        settings.setdefault("missing", "zero")
    settings.setdefault("domains", {item.video_id: item.domain for item in items if item.domain})
    settings.setdefault("references", reference_columns(items))
    columns = prediction_columns(items, logits)
    if columns["scores"].shape[1] == NUM_AVA_CLASSES:  # a model with AVA's outputs, of which the 50 are scored
        settings.setdefault("classes", NUM_AVA_CLASSES)
    return har_scores(columns, settings.pop("references"), **settings)


def chance_map(items: Sequence[KeyFrame], draws: int = 20) -> float:
    """Return the mAP of random scores, averaged over some draws.

    It is close to the mean frequency of an action, and above it if the split is small.
    """
    references, rng = reference_columns(items), np.random.default_rng(0)
    shape = (len(references["labels"]), items[0].labels.shape[1])
    own = {key: value for key, value in references.items() if key != "labels"}
    drawn = [har_scores(own | {"scores": rng.random(shape)}, references)["scores"]["map"] for _ in range(draws)]
    return float(np.mean(drawn))
