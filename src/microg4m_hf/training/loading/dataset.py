"""The key frames of a split as a torch dataset, and the order in which a training sees them.

Workers decode the frames around a key frame straight from the mp4. The order is a function of seed, epoch and step:
nothing is drawn from a running generator, so a resumed run continues with exactly the batch it would have seen,
whatever the number of workers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...data import open_clip, window
from ...data.orientation import angle_from_box, read_orientations
from ...data.video.kept_frames import KeptFrames, keep_frames
from ...data.video.released_frames import check_programs, open_released_clip, resize_as_released
from ...errors import ClipError, MicroG4MError, RecipeError
from ...runtime import is_main_process
from ...taxonomy import NUM_ACTIONS
from ..recipe import Data
from .transforms import (
    Geometry,
    aligned_geometry,
    evaluation_geometry,
    move_boxes,
    render_packed,
    training_geometry,
    with_part,
)
from .window_cache import WindowCache

_SYSTEM_LIMITS = (errno.EMFILE, errno.ENFILE)  # no fault of the clip that could not be opened
RELEASED_SIZE = (480, 854)  # height and width of the released clips, and of the black frames for an unreadable one


@dataclass(frozen=True)
class KeyFrame:
    """One frame number of a clip with every annotated person in it: everything about an item but its pixels."""

    video: Any  # what `open_clip` takes
    video_id: str
    frame: int  # as released: counted from 1
    boxes: np.ndarray  # (persons, 4) normalized xyxy, float32
    labels: np.ndarray  # (persons, 50) 0 or 1, uint8
    person_ids: np.ndarray  # (persons,)
    domain: str | None = None
    repeats: tuple[Sequence[int], ...] = ()  # per person: labels that the released file lists again
    angles: np.ndarray | None = None  # (persons,) clockwise degrees from upright, if ``data.align`` is a file


@dataclass
class Item:
    """A decoded key frame on its way to the device."""

    index: int
    frames: np.ndarray  # uint8 (T, H, W, 3), only ``geometry.part`` of the frames if it is given; or packed
    geometry: Geometry
    boxes: np.ndarray  # the boxes after `geometry`, as the model sees them
    labels: np.ndarray
    fault: str | None = None  # why the clip is unreadable; its boxes then have no weight


def key_frames(rows: Iterable[Mapping[str, Any]]) -> list[KeyFrame]:
    """Group the persons of ``har`` rows by clip and key frame. Persons without a box are left out.

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
            for number, person in enumerate(persons):
                labels[number, person["actions"]] = 1
            items.append(
                KeyFrame(
                    video=row.get("video"),
                    video_id=row["video_id"],
                    frame=frame,
                    boxes=np.asarray([person["key_box"] for person in persons], np.float32),
                    labels=labels,
                    person_ids=np.asarray([person["person_id"] for person in persons], np.int64),
                    domain=row.get("domain"),
                    repeats=tuple(person.get("repeated_actions") or () for person in persons),
                )
            )
    return items


def align_items(items: Sequence[KeyFrame], data: Data) -> list[KeyFrame]:
    """Return what ``data.align`` crops: the key frames as they are, or one for each person, with the angle of a file.

    Persons that the file does not list are not turned; a line says how many there are.

    Raises:
        RecipeError: If the file cannot be read, or lists none of the persons.
    """
    if data.align == "none":
        return list(items)
    persons = [
        dataclasses.replace(
            item,
            boxes=item.boxes[[number]],
            labels=item.labels[[number]],
            person_ids=item.person_ids[[number]],
            repeats=item.repeats[number : number + 1],
        )
        for item in items
        for number in range(len(item.boxes))
    ]
    if data.align == "box":
        return persons
    try:
        angles = read_orientations(data.align)
    except MicroG4MError as error:
        raise RecipeError(f"data.align: {error}; or set data.align=box or data.align=none") from error
    names = [(person.video_id, person.frame, int(person.person_ids[0])) for person in persons]
    unknown = sum(name not in angles for name in names)
    if unknown == len(names):
        raise RecipeError(
            f"data.align: {data.align} lists no person of these key frames; name them as "
            f"(video_id,frame_id,person_id), the first one as {','.join(map(str, names[0]))}"
        )
    if unknown and is_main_process():
        print(f"{unknown} of {len(names)} persons have no angle in {data.align}; they are not turned", file=sys.stderr)
    return [
        dataclasses.replace(person, angles=np.array([angles.get(name, 0.0)]))
        for person, name in zip(persons, names, strict=True)
    ]


class KeyFrameWindows:
    """A dataset of decoded windows, indexed by ``(epoch, index)``; augmentation is a function of seed, epoch and index.

    An item has uint8 frames. The loaders of this package take items from :meth:`packed` instead.

    Args:
        items: The key frames, from :func:`split_items`.
        data: How to sample, scale and crop.
        training: Draw a random scale, crop, flip and rotation; otherwise the whole frame is used.
        center_crop: Without ``training``, crop the center of the frame.
        seed: Seed of the augmentation.
        backend: The video decoder; by default that of ``data``.
        centre_crop: The former name of ``center_crop``.
    """

    def __init__(
        self,
        items: Sequence[KeyFrame],
        data: Data,
        *,
        training: bool = False,
        center_crop: bool = False,
        seed: int = 0,
        backend: str | None = None,
        centre_crop: bool = False,
    ) -> None:
        self.items, self.data, self.training, self.center_crop = items, data, training, center_crop or centre_crop
        self.seed, self.backend, self.epoch = seed, backend or data.decoder, 0
        if data.align != "none" and any(len(item.boxes) != 1 for item in items):
            raise RecipeError("data.align crops around one person at a time; pass the items of `align_items`")
        if self.backend == "as_released":
            check_programs()  # here, and not at the first clip, which would count as unreadable
        # Only training reads the cache: no file in it may change a validation or a test.
        self.cache = WindowCache(data.cache, data.cache_gb) if data.cache and training else None

    def __len__(self) -> int:
        return len(self.items)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of plain indices. Accelerate's loaders and ``transformers.Trainer`` call it."""
        self.epoch = epoch

    def __getitem__(self, place: tuple[int, int] | int) -> Item:
        return self._load(place, lambda frames, _: _stacked(frames))

    def packed(self, place: tuple[int, int] | int, empty: Callable[..., np.ndarray] = np.empty) -> Item:
        """Return an item whose frames are rendered already, see :func:`render_packed`, in less time and memory.

        Args:
            place: ``(epoch, index)``, or an index.
            empty: Makes the array for the pixels from a shape and a data type.
        """

        def render(frames: Iterable[np.ndarray], geometry: Geometry) -> np.ndarray:
            shape = 3, self.data.num_frames, geometry.crop_height, geometry.crop_width
            return render_packed(frames, geometry, empty(shape, np.int16))

        return self._load(place, render)

    def _load(
        self, place: tuple[int, int] | int, finish: Callable[[Iterable[np.ndarray], Geometry], np.ndarray]
    ) -> Item:
        """Return an item with the frames that ``finish`` makes of what is read."""
        epoch, index = place if isinstance(place, tuple) else (self.epoch, place)
        item = self.items[index]

        def geometry_of(height: int, width: int) -> Geometry:
            return self._geometry(height, width, epoch, index)

        def finished(frames: Iterable[np.ndarray], geometry: Geometry) -> Item:
            if geometry.part:
                height, width = geometry.part[4:]
            else:
                assert isinstance(frames, np.ndarray)
                height, width = frames.shape[1:3]
                if self.backend == "as_released":  # the size is then right, and rendering only crops and flips
                    frames = resize_as_released(frames, geometry.height, geometry.width)
            boxes = move_boxes(item.boxes, height, width, geometry)
            return Item(index, finish(frames, geometry), geometry, boxes, item.labels)

        try:
            return finished(*self._read(item, geometry_of))
        except ClipError as error:
            if isinstance(error.__cause__, OSError) and error.__cause__.errno in _SYSTEM_LIMITS:
                raise RecipeError(f"{error}; raise the limit with `ulimit -n 4096`, or lower data.workers") from error
            black = np.zeros((self.data.num_frames, *RELEASED_SIZE, 3), np.uint8)
            return dataclasses.replace(finished(black, geometry_of(*RELEASED_SIZE)), fault=str(error))

    def _geometry(self, height: int, width: int, epoch: int, index: int) -> Geometry:
        """What happens to an item whose frames have this size."""
        item = self.items[index]
        if self.training:
            rng = np.random.Generator(np.random.Philox(key=[self.seed, epoch << 32 | index]))
            geometry = training_geometry(height, width, self.data, rng, item.boxes)
        else:
            geometry = evaluation_geometry(height, width, self.data.eval_short_side, self.center_crop)
        if self.data.align != "none":
            box = item.boxes[0]
            angle = angle_from_box(box, height, width) if item.angles is None else float(item.angles[0])
            side = self.data.crop or min(geometry.height, geometry.width)
            geometry = aligned_geometry(geometry, side if self.training else self.data.eval_short_side, box, angle)
        return geometry

    def _read(
        self, item: KeyFrame, geometry_of: Callable[[int, int], Geometry]
    ) -> tuple[Iterable[np.ndarray], Geometry]:
        """Return frames of the pixels that the geometry needs, and the geometry for the size of the whole frames."""
        if self.backend == "as_released":
            frames = self._frames(item)
            return frames, geometry_of(*frames.shape[1:3])
        if self.cache is not None:
            return self._read_cached(item, geometry_of, self.cache)
        clip = open_clip(item.video, backend=self.backend)
        geometry, part = with_part(clip.height, clip.width, geometry_of)
        return clip.stream(self._window(len(clip), item), part[:4]), geometry

    def _read_cached(
        self, item: KeyFrame, geometry_of: Callable[[int, int], Geometry], cache: WindowCache
    ) -> tuple[Iterable[np.ndarray], Geometry]:
        """The same from the cache. What is not in it is kept first, so that its content never changes pixels."""
        path = item.video.get("path") if isinstance(item.video, dict) else item.video
        with contextlib.suppress(OSError, TypeError, ValueError):  # a clip on the Hub has no such status
            status = os.stat(os.fspath(path))  # type: ignore[arg-type]
            path = f"{path} {status.st_size} {status.st_mtime_ns}"
        frames = f"{item.frame} {self.data.num_frames}x{self.data.stride} {self.data.key_frame}"
        key = f"{path} {self.data.revision} {item.video_id} {frames} {self.data.cache_format}"

        def read(record: np.ndarray) -> tuple[Iterable[np.ndarray], Geometry]:
            kept = KeptFrames(record)
            geometry, part = with_part(kept.height, kept.width, geometry_of)
            return kept.stream(part[:4]), geometry

        record = cache.get(key)
        if record is not None:
            with contextlib.suppress(ClipError):  # a damaged file is written again
                return read(record)
        record = keep_frames(
            item.video,
            lambda count: self._window(count, item),
            compact=self.data.cache_format == "compact",
            backend=self.backend,
        )
        cache.put(key, record)
        return read(record)

    def _frames(self, item: KeyFrame) -> np.ndarray:
        """Return whole frames."""
        if self.backend == "as_released":
            try:
                released = open_released_clip(item.video, limit_gb=self.data.cache_gb)
            except OSError as error:
                where = f"{error.filename}: " if error.filename else ""
                raise RecipeError(
                    f"{where}{error.strerror or error}; free some space, or set MICROG4M_HOME to a larger disk"
                ) from error
            return released.frames(self._window(len(released), item))
        with open_clip(item.video, backend=self.backend) as clip:
            return clip.frames(self._window(len(clip), item))

    def _window(self, count: int, item: KeyFrame) -> np.ndarray:
        one_based = self.data.key_frame == "exact"
        return window(count, item.frame, self.data.num_frames, self.data.stride, one_based=one_based)


def _stacked(frames: Iterable[np.ndarray]) -> np.ndarray:
    """Frames in one array (T, H, W, 3)."""
    return frames if isinstance(frames, np.ndarray) else np.stack([frame.copy() for frame in frames])


def report_faults(faults: Sequence[str], on_error: str) -> int:
    """Print which clips of a batch are unreadable and return their number; with ``"raise"``, stop at the first."""
    if faults and on_error == "raise":
        raise ClipError(f"{faults[0]}; or set data.on_error=skip to continue without such clips")
    for fault in faults:
        print(f"skipped: {fault}", file=sys.stderr)
    return len(faults)


def collate(items: Sequence[Item]) -> dict[str, Any]:
    """Collate items whose windows and numbers of persons differ: lists, and labels stacked over all boxes.

    Args:
        items: Items of :class:`KeyFrameWindows`.

    Returns:
        Lists of ``indices``, ``windows``, ``geometries``, ``boxes`` and ``faults``, a tensor of ``labels``, and
        ``weights`` with one number per box: 0 where the clip is unreadable.
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


class RunBatches:
    """A batch sampler over the remaining steps of a run, across epochs; yields lists of ``(epoch, index)``.

    One sampler, and so one loader, serves the whole run: workers stay alive and prefetch across the ends of epochs.

    Args:
        count: How many items the dataset has.
        batch: Items per step, over all processes.
        seed: Seed of the order.
        first_step: The first step to yield.
        end_step: The step after the last one.
        rank: The number of this process.
        world: How many processes there are.

    Example:
        >>> [len(batch) for batch in RunBatches(count=5, batch=2, seed=0, first_step=1, end_step=4)]
        [2, 2, 2]
    """

    def __init__(
        self, *, count: int, batch: int, seed: int, first_step: int, end_step: int, rank: int = 0, world: int = 1
    ) -> None:
        self.count, self.batch, self.seed = count, batch, seed
        self.first_step, self.end_step, self.rank, self.world = first_step, end_step, rank, world

    def __len__(self) -> int:
        return max(0, self.end_step - self.first_step)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        steps = steps_in_epoch(self.count, self.batch)
        current_epoch, order = -1, np.empty(0, int)
        for step in range(self.first_step, self.end_step):
            epoch, place = divmod(step, steps)
            if epoch != current_epoch:
                current_epoch, order = epoch, epoch_order(self.count, self.seed, epoch)
            whole = order[place * self.batch : (place + 1) * self.batch]
            share = np.array_split(whole, self.world)[self.rank]  # shares differ by at most one item
            yield [(epoch, int(index)) for index in share]


def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """Return the order of the items in an epoch.

    >>> sorted(epoch_order(4, seed=0, epoch=1).tolist())
    [0, 1, 2, 3]
    """
    return np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(count)


def steps_in_epoch(count: int, batch: int) -> int:
    """Return how many steps an epoch has: the last incomplete batch is dropped as published, but there is one step.

    >>> steps_in_epoch(10, 4), steps_in_epoch(3, 8)
    (2, 1)
    """
    return max(1, count // batch)
