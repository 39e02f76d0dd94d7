"""The torch data set of one split: decodes the window of a key frame in the worker, straight from the mp4."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data import open_clip, window
from ..errors import ClipError
from ..taxonomy import NUM_ACTIONS
from .recipe import Data
from .transforms import Geometry, evaluation_geometry, move_boxes, resized, training_geometry
from .window_cache import WindowCache

# Key frames as training items: one clip, one frame number, every person in it with box and actions.


@dataclass(frozen=True)
class KeyFrame:
    """Everything about one item but its pixels."""

    video: Any  # what ``open_clip`` takes
    video_id: str
    frame: int  # as released: numbered from 1
    boxes: np.ndarray  # (persons, 4) normalised xyxy, float32
    labels: np.ndarray  # (persons, 50) 0 or 1, uint8
    person_ids: np.ndarray  # (persons,)
    domain: str | None = None


def key_frames(rows: Iterable[Mapping[str, Any]]) -> list[KeyFrame]:
    """Group the persons of ``har`` rows by clip and key frame; persons without a box have none and are left out.

    >>> row = {"video": None, "video_id": "a_001", "persons": [
    ...     {"person_id": 1, "actions": [0, 3], "key_frame": 52, "key_box": [0, 0, 1, 1]}]}
    >>> key_frames([row])[0].labels[0, :4].tolist()
    [1, 0, 0, 1]
    """
    items = []
    for row in rows:
        by_frame: dict[int, list[Mapping[str, Any]]] = {}
        for person in row["persons"]:
            if person["key_frame"] is not None and len(person["key_box"]):
                by_frame.setdefault(person["key_frame"], []).append(person)
        for frame, persons in sorted(by_frame.items()):
            labels = np.zeros((len(persons), NUM_ACTIONS), np.uint8)
            for place, person in enumerate(persons):
                labels[place, person["actions"]] = 1
            items.append(
                KeyFrame(
                    video=row.get("video"),
                    video_id=row["video_id"],
                    frame=frame,
                    boxes=np.asarray([person["key_box"] for person in persons], np.float32),
                    labels=labels,
                    person_ids=np.asarray([person["person_id"] for person in persons], np.int64),
                    domain=row.get("domain"),
                )
            )
    return items


RELEASED_SIZE = (480, 854)  # height and width of the released clips, for what stands in for an unreadable one


@dataclass
class Item:
    """One key frame on its way to the device."""

    index: int
    frames: np.ndarray  # uint8 (T, H, W, 3)
    geometry: Geometry
    boxes: np.ndarray  # where the persons are in what the network sees
    labels: np.ndarray
    fault: str | None = None  # why the clip could not be read; its boxes then count for nothing


class KeyFrameWindows:
    """Items by ``(epoch, index)``; augmentation is a pure function of seed, epoch and index.

    ``training`` chooses random scale, crop and flip; otherwise the whole frame, or with ``centre_crop`` its middle.
    """

    def __init__(
        self,
        items: Sequence[KeyFrame],
        data: Data,
        *,
        training: bool = False,
        centre_crop: bool = False,
        seed: int = 0,
        backend: str = "auto",
    ) -> None:
        self.items, self.data, self.training, self.centre_crop = items, data, training, centre_crop
        self.seed, self.backend, self.epoch = seed, backend, 0
        self.cache = WindowCache(data.cache, data.cache_gb) if data.cache else None

    def __len__(self) -> int:
        return len(self.items)

    def set_epoch(self, epoch: int) -> None:
        """The epoch that plain indices mean; Accelerate's loaders and the ``Trainer`` call it."""
        self.epoch = epoch

    def __getitem__(self, place: tuple[int, int] | int) -> Item:
        epoch, index = place if isinstance(place, tuple) else (self.epoch, place)
        item = self.items[index]
        fault = None
        try:
            frames = self._frames(item)
        except ClipError as error:
            fault = str(error)
            frames = np.zeros((self.data.num_frames, *RELEASED_SIZE, 3), np.uint8)
        height, width = frames.shape[1:3]
        geometry = self._geometry(height, width, epoch, index)
        return Item(index, frames, geometry, move_boxes(item.boxes, height, width, geometry), item.labels, fault)

    def _geometry(self, height: int, width: int, epoch: int, index: int) -> Geometry:
        if not self.training:
            return evaluation_geometry(height, width, self.data.eval_short_side, self.centre_crop)
        rng = np.random.Generator(np.random.Philox(key=[self.seed, epoch << 32 | index]))
        return training_geometry(height, width, self.data, rng)

    def _frames(self, item: KeyFrame) -> np.ndarray:
        if self.cache is None:
            return self._decode(item)
        path = item.video.get("path") if isinstance(item.video, dict) else item.video
        frames = f"{item.frame} {self.data.num_frames}x{self.data.stride} {self.data.key_frame} {self._side}"
        key = f"{path} {self.data.revision} {item.video_id} {frames}"
        cached = self.cache.get(key)
        if cached is None:
            cached = shrink(self._decode(item), self._side)
            self.cache.put(key, cached)
        return cached

    @property
    def _side(self) -> int:
        """The largest short side this split ever asks for; cached windows need not be larger."""
        return max(*self.data.short_side, self.data.crop or 0) if self.training else self.data.eval_short_side

    def _decode(self, item: KeyFrame) -> np.ndarray:
        with open_clip(item.video, backend=self.backend) as clip:
            indices = window(
                len(clip),
                item.frame,
                self.data.num_frames,
                self.data.stride,
                one_based=self.data.key_frame == "exact",
            )
            return clip.frames(indices)


def shrink(frames: np.ndarray, short_side: int) -> np.ndarray:
    """Frames resized to ``short_side`` and rounded, or as they are when they are not larger."""
    import torch

    from .transforms import render

    height, width = frames.shape[1:3]
    if min(height, width) <= short_side:
        return frames
    new_height, new_width = resized(height, width, short_side)
    pixels = render(torch.from_numpy(frames), Geometry(new_height, new_width, 0, 0, new_height, new_width))
    return pixels.round_().clamp_(0, 255).to(torch.uint8).permute(1, 2, 3, 0).contiguous().numpy()


def left_out(faults: Sequence[str], on_error: str) -> int:
    """Say which clips of a batch could not be read and how many they are, or stop at the first."""
    if faults and on_error == "raise":
        raise ClipError(f"{faults[0]}; mend the file, or set data.on_error=skip to go on without such clips")
    for fault in faults:
        print(f"left out: {fault}", file=sys.stderr)
    return len(faults)


def collate(items: Sequence[Item]) -> dict[str, Any]:
    """A step's items as lists (windows of different films have different sizes) and stacked boxes.

    ``weights`` has one number a box: 0 where the clip could not be read.
    """
    import torch

    return {
        "indices": [item.index for item in items],
        "windows": [torch.from_numpy(np.ascontiguousarray(item.frames)) for item in items],
        "geometries": [item.geometry for item in items],
        "boxes": [torch.from_numpy(item.boxes) for item in items],
        "labels": torch.from_numpy(np.concatenate([item.labels for item in items])).float(),
        "weights": torch.cat([torch.full((len(item.boxes),), float(item.fault is None)) for item in items]),
        "faults": [item.fault for item in items if item.fault is not None],
    }
