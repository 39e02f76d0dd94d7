"""Scale, crop, rotate and flip a clip and its boxes: the geometry as numbers, then pixels and boxes by it.

The geometry follows the released pipeline: resize with one factor, crop, flip, and clip boxes to the border. Boxes
outside the crop collapse onto its border and stay. A rotation, which the released pipeline does not have, is sampled
together with the resize, so pixels are interpolated once. Workers of a loader move the pixels and send only the crop
(:func:`render_packed`, within 1/512 of a gray level); other loops can do it on the device (:func:`render`).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..recipe import Data
from .rotation import Rotation, Samples, crop_positions, frame_samples, rotated_boxes

if TYPE_CHECKING:
    import torch

    AxisSamples = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # left neighbors, right neighbors, weights of these


class Part(NamedTuple):
    """A part of frames that are ``height`` by ``width``."""

    top: int
    left: int
    bottom: int
    right: int
    height: int
    width: int


@dataclass(frozen=True)
class Geometry:
    """Resize to ``(height, width)``, crop ``(crop_height, crop_width)`` at ``(top, left)``, rotate, then flip if asked.

    With a rotation, the crop may reach beyond the frame. ``part`` is what there is of the frames, if not all.
    """

    height: int
    width: int
    top: int
    left: int
    crop_height: int
    crop_width: int
    flip: bool = False
    rotation: Rotation | None = None
    part: Part | None = None


def training_geometry(
    height: int, width: int, data: Data, rng: np.random.Generator, boxes: np.ndarray | None = None
) -> Geometry:
    """Draw a random scale, crop, flip and rotation.

    Args:
        height: Height of the frame.
        width: Width of the frame.
        data: The range of scales (drawn so that 1/side is uniform), the crop, the probability of a flip, the rotation.
        rng: The random generator.
        boxes: Normalized xyxy of the persons, one of whom ``data.rotate_about=person`` rotates about.

    Returns:
        The geometry, for the pixels and the boxes of one clip.
    """
    drawn = _released_geometry(height, width, data, rng)
    if data.rotate == "none" and not data.vertical_flip:
        return drawn
    if data.crop is None and data.rotate != "none":  # a square, so that all rotations have one size
        side = max(drawn.height, drawn.width)
        top, left = (drawn.height - side) // 2, (drawn.width - side) // 2
        drawn = replace(drawn, top=top, left=left, crop_height=side, crop_width=side)
    x, y, degrees = drawn.crop_width / 2, drawn.crop_height / 2, 0.0
    if data.rotate == "quarter":
        degrees = 90.0 * int(rng.integers(4))
    elif data.rotate == "any":
        degrees = float(rng.uniform(0, 360))
    if data.rotate_about == "person" and boxes is not None:
        places = _in_crop(boxes, drawn)
        middles = (places[:, :2] + places[:, 2:]) / 2
        seen = middles[((middles >= 0) & (middles <= [drawn.crop_width, drawn.crop_height])).all(1)]
        if len(seen):
            x, y = seen[rng.integers(len(seen))].tolist()
    return replace(drawn, rotation=Rotation(degrees, x, y, bool(rng.random() < data.vertical_flip)))


def _released_geometry(height: int, width: int, data: Data, rng: np.random.Generator) -> Geometry:
    low, high = data.short_side
    side = round(1.0 / rng.uniform(1.0 / high, 1.0 / low)) if high > low else low
    if data.crop is None:
        new_height, new_width = scaled_size(height, width, side)
        return Geometry(new_height, new_width, 0, 0, new_height, new_width, bool(rng.random() < data.flip))
    new_height, new_width = scaled_size(height, width, max(side, data.crop))
    top = int(rng.integers(0, new_height - data.crop)) if new_height > data.crop else 0
    left = int(rng.integers(0, new_width - data.crop)) if new_width > data.crop else 0
    return Geometry(new_height, new_width, top, left, data.crop, data.crop, bool(rng.random() < data.flip))


def aligned_geometry(geometry: Geometry, side: int, box: np.ndarray, angle: float) -> Geometry:
    """Crop a square around a person instead, and turn it so that a person at this angle has the head up.

    Args:
        geometry: The scale, flip and rotation; the rotation is added.
        side: The side of the square.
        box: Normalized xyxy of the person.
        angle: The clockwise angle of the person, see :mod:`microg4m_hf.data.orientation`.

    Example:
        >>> geometry = aligned_geometry(Geometry(100, 200, 0, 0, 100, 200), 40, np.array([0.5, 0.5, 0.75, 0.625]), 90)
        >>> geometry.left, geometry.top, geometry.rotation
        (105, 36, Rotation(degrees=-90.0, x=20.0, y=20.25, mirror=False))
    """
    x = float(box[0] + box[2]) / 2 * geometry.width
    y = float(box[1] + box[3]) / 2 * geometry.height
    left, top = round(x - side / 2), round(y - side / 2)
    drawn = geometry.rotation or Rotation(0.0, 0.0, 0.0)
    rotation = Rotation(drawn.degrees - angle, x - left, y - top, drawn.mirror)
    return replace(geometry, left=left, top=top, crop_height=side, crop_width=side, rotation=rotation)


def evaluation_geometry(height: int, width: int, short_side: int, center_crop: bool) -> Geometry:
    """Scale the short side to ``short_side``, and crop the center square if asked.

    >>> evaluation_geometry(480, 854, 256, center_crop=False).crop_width
    455
    >>> evaluation_geometry(480, 854, 256, center_crop=True).left
    100
    """
    new_height, new_width = scaled_size(height, width, short_side)
    if not center_crop:
        return Geometry(new_height, new_width, 0, 0, new_height, new_width)
    top, left = math.ceil((new_height - short_side) / 2), math.ceil((new_width - short_side) / 2)
    return Geometry(new_height, new_width, top, left, short_side, short_side)


def scaled_size(height: int, width: int, short_side: int) -> tuple[int, int]:
    """Return height and width with the short side scaled to ``short_side``; the long side is rounded down.

    >>> scaled_size(480, 854, 256)
    (256, 455)
    """
    if min(height, width) == short_side:
        return height, width
    if width < height:
        return math.floor(height / width * short_side), short_side
    return short_side, math.floor(width / height * short_side)


def move_boxes(boxes: np.ndarray, height: int, width: int, geometry: Geometry) -> np.ndarray:
    """Move boxes from the original frame to what the model sees.

    Args:
        boxes: Normalized xyxy.
        height: Height of the original frame.
        width: Width of the original frame.
        geometry: What happens to the pixels.

    Returns:
        Normalized xyxy, float32.

    Example:
        >>> move_boxes(np.array([[0.0, 0.0, 0.5, 0.5]]), 100, 100, Geometry(100, 100, 0, 0, 100, 100)).round(2).tolist()
        [[0.0, 0.0, 0.5, 0.5]]
    """
    if geometry.rotation is not None:
        sides = geometry.crop_height, geometry.crop_width
        moved = rotated_boxes(_in_crop(boxes, geometry), geometry.rotation, geometry.flip, *sides)
        return (moved / [*sides[::-1], *sides[::-1]]).astype(np.float32)
    moved = boxes.astype(np.float64) * [width, height, width, height]
    moved = _clip(moved, height, width)
    moved *= max(geometry.height, geometry.width) / max(height, width)
    moved -= [geometry.left, geometry.top, geometry.left, geometry.top]
    moved = _clip(moved, geometry.crop_height, geometry.crop_width)
    if geometry.flip:
        moved[:, [0, 2]] = geometry.crop_width - 1 - moved[:, [2, 0]]
    moved = _clip(moved, geometry.crop_height, geometry.crop_width)
    size = [geometry.crop_width, geometry.crop_height, geometry.crop_width, geometry.crop_height]
    return (moved / size).astype(np.float32)


def _in_crop(boxes: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Normalized boxes of the frame in pixels of the crop, before a rotation; they may reach beyond it."""
    size = [geometry.width, geometry.height, geometry.width, geometry.height]
    return boxes.astype(np.float64) * size - [geometry.left, geometry.top, geometry.left, geometry.top]


def _clip(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    boxes[:, [0, 2]] = boxes[:, [0, 2]].clip(0.0, width - 1.0)
    boxes[:, [1, 3]] = boxes[:, [1, 3]].clip(0.0, height - 1.0)
    return boxes


# A packed pixel is an int16: the gray level, 0 to 255, in steps of 1/256, moved to the middle of the range.
STEPS, MIDDLE = 256, 32768
# A float of this size has no digits behind the point, so adding it rounds, and the low half of its bits is the int16.
_MAGIC = 1.5 * 2**23 - MIDDLE
_BAND = 56  # rows of a crop that are resized at once


def render(frames: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """Resize, crop and flip a window, uint8 ``(T, H, W, 3)``, to float ``(3, T, crop height, crop width)``, 0 to 255.

    The result is that of a bilinear resize without anti-aliasing (half-pixel centers, repeated border) followed by a
    crop, but only the crop is computed. A window that :func:`render_packed` has rendered, int16, is only unpacked.

    >>> import torch
    >>> render(torch.zeros(2, 8, 8, 3, dtype=torch.uint8), Geometry(4, 4, 0, 0, 4, 4)).shape
    torch.Size([3, 2, 4, 4])
    """
    import torch

    if frames.dtype == torch.int16:
        return frames.float().add_(MIDDLE).div_(STEPS)
    if geometry.rotation is not None:
        pixels = _sample(frames.flatten(1, 2), _rotated_samples(geometry, *frames.shape[1:3]))
        return pixels.unflatten(1, (geometry.crop_height, geometry.crop_width)).permute(3, 0, 1, 2)
    height, width = frames.shape[1:3]
    needed, rows, columns = _crop_samples(height, width, geometry, frames.device)
    clip = frames[:, needed[0], needed[1]].permute(0, 3, 1, 2).float()  # only the pixels that the crop needs
    clip = _lerp(clip, rows, 2)
    clip = _lerp(clip, columns, 3)
    return clip.permute(1, 0, 2, 3)


def render_packed(frames: Iterable[np.ndarray], geometry: Geometry, packed: np.ndarray | None = None) -> np.ndarray:
    """Resize, crop and flip a window as :func:`render` does, one frame at a time, and pack it.

    Args:
        frames: uint8 ``(T, H, W, 3)``, or the frames one by one, as :meth:`Clip.stream` yields them.
        geometry: What happens to the window.
        packed: Where to write the result; by default a new array, for as many frames as there are.

    Returns:
        int16 ``(3, T, crop height, crop width)``, from which :func:`render` makes the same pixels to 1/512 of a gray
        level, in a quarter of the bytes of the frames of a released clip.

    Example:
        >>> render_packed(np.full((2, 8, 8, 3), 128, np.uint8), Geometry(4, 4, 0, 0, 4, 4))[:, 0, 0, 0].tolist()
        [0, 0, 0]
    """
    import torch

    if packed is None:
        frames = list(frames)
        packed = np.empty((3, len(frames), geometry.crop_height, geometry.crop_width), np.int16)
    targets = torch.from_numpy(packed).unbind(1)
    resize: Callable[[np.ndarray, torch.Tensor], None] | None = None
    previous: tuple[np.ndarray, torch.Tensor] | None = None
    for frame, target in zip(frames, targets, strict=True):
        if previous is not None and previous[0] is frame:
            target.copy_(previous[1])
            continue
        resize = resize or (_resizer if geometry.rotation is None else _rotator)(geometry, *frame.shape[:2])
        resize(frame, target)
        previous = frame, target
    return packed


def _resizer(geometry: Geometry, height: int, width: int) -> Callable[[np.ndarray, torch.Tensor], None]:
    """Return a function that resizes, crops and flips a frame, and packs it into ``(3, crop height, crop width)``.

    It works on bands of rows, with buffers that all frames share, so that everything stays in the processor's cache,
    and on rows of single values, one color after the other, which are taken faster than pixels.
    """
    import torch

    needed, (above, below, down), (left, right, across) = _crop_samples(height, width, geometry, torch.device("cpu"))
    width, crop = needed[1].stop - needed[1].start, geometry.crop_width
    colors = torch.arange(3).view(3, 1)
    columns = torch.cat([(3 * place + colors).flatten() for place in (left, right)])
    across, down = across.repeat(3), down.view(-1, 1)
    taken, values = torch.empty(2 * _BAND, 3 * width, dtype=torch.uint8), torch.empty(2 * _BAND, 3 * width)
    sides, middle = torch.empty(_BAND, 6 * crop), torch.tensor(_MAGIC)
    bands = []
    for start in range(0, geometry.crop_height, _BAND):
        band = slice(start, start + _BAND)
        rows = torch.cat([above[band], below[band]])
        count = len(rows) // 2
        first, second = sides[:count].split(3 * crop, 1)
        result = first.view(torch.int32).view(count, 3, crop).transpose(0, 1)
        neighbors = values[: 2 * count].split(count), sides[:count], (first, second), result
        bands.append((rows, down[band], taken[: 2 * count], values[: 2 * count], *neighbors))

    def resize(frame: np.ndarray, target: torch.Tensor) -> None:
        inside = frame[needed]
        if min(inside.strides) < 0 or not inside.flags.writeable:  # a turned frame, or one that is mapped from a file
            inside = inside.copy()
        pixels = torch.from_numpy(inside).flatten(1)
        for band, target_band in zip(bands, target.split(_BAND, 1), strict=True):
            rows, down, taken, values, (upper, lower), sides, (first, second), result = band
            torch.index_select(pixels, 0, rows, out=taken)
            values.copy_(taken)
            torch.lerp(upper, lower, down, out=upper)
            torch.index_select(upper, 1, columns, out=sides)
            torch.lerp(first, second, across, out=first)
            torch.add(middle, first, alpha=STEPS, out=first)
            target_band.copy_(result)

    return resize


def _rotator(geometry: Geometry, height: int, width: int) -> Callable[[np.ndarray, torch.Tensor], None]:
    """Return a function that does the same with a rotation."""
    import torch

    samples = _rotated_samples(geometry, height, width)

    def rotate(frame: np.ndarray, target: torch.Tensor) -> None:
        pixels = _sample(torch.from_numpy(np.ascontiguousarray(frame)).reshape(1, -1, 3), samples)[0]
        pixels = pixels.mul_(STEPS).round_().sub_(MIDDLE)
        target.copy_(pixels.view(geometry.crop_height, geometry.crop_width, 3).permute(2, 0, 1))

    return rotate


def _rotated_samples(geometry: Geometry, height: int, width: int) -> Samples:
    """Where the pixels of a rotated crop are in a frame that is not yet resized."""
    assert geometry.rotation is not None
    x, y = crop_positions(geometry.rotation, geometry.flip, geometry.crop_height, geometry.crop_width)
    x, y = (x + geometry.left) * (width / geometry.width), (y + geometry.top) * (height / geometry.height)
    return frame_samples(x, y, height, width)


def _sample(pixels: torch.Tensor, samples: Samples) -> torch.Tensor:
    """Sample frames whose pixels are in one row, ``(T, H * W, 3)``, as float ``(T, samples, 3)``."""
    import torch

    device = pixels.device
    corners = (torch.from_numpy(places).to(device) for places in samples.corners)
    top_left, bottom_left, top_right, bottom_right = (pixels.index_select(1, places).float() for places in corners)
    down, right = (torch.from_numpy(weights).to(device).view(1, -1, 1) for weights in (samples.down, samples.right))
    left_side = torch.lerp(top_left, bottom_left, down, out=top_left)
    return torch.lerp(left_side, torch.lerp(top_right, bottom_right, down, out=top_right), right, out=left_side)


def with_part(height: int, width: int, geometry_of: Callable[[int, int], Geometry]) -> tuple[Geometry, Part]:
    """Return the geometry for frames of this size, and the part of them that :func:`render` reads.

    >>> with_part(480, 854, lambda height, width: Geometry(256, 455, 16, 100, 224, 224))[1]
    Part(top=30, left=188, bottom=450, right=608, height=480, width=854)
    """
    import torch

    geometry = geometry_of(height, width)
    part = Part(0, 0, height, width, height, width)
    if geometry.rotation is None:
        (rows, columns), *_ = _crop_samples(height, width, geometry, torch.device("cpu"))
        part = Part(rows.start, columns.start, rows.stop, columns.stop, height, width)
    return replace(geometry, part=part), part


def _crop_samples(
    height: int, width: int, geometry: Geometry, device: torch.device
) -> tuple[tuple[slice, slice], AxisSamples, AxisSamples]:
    """The rows and columns of the pixels that a crop needs, and counted from there, samples for rows and for columns.

    The pixels are ``height`` by ``width``, and the part of the frame that ``geometry`` names.
    """
    part = geometry.part or Part(0, 0, height, width, height, width)
    first_row, rows = _samples(geometry.top, geometry.crop_height, geometry.height, part.height, device)
    first_column, columns = _samples(geometry.left, geometry.crop_width, geometry.width, part.width, device)
    top, left = first_row - part.top, first_column - part.left
    needed = slice(top, top + int(rows[1][-1]) + 1), slice(left, left + int(columns[1][-1]) + 1)
    if geometry.flip:
        columns = (columns[0].flip(0), columns[1].flip(0), columns[2].flip(0))
    return needed, rows, columns


@functools.lru_cache(maxsize=4)  # of a crop: its part of the frame is found first, and its pixels later
def _samples(offset: int, count: int, scaled: int, original: int, device: torch.device) -> tuple[int, AxisSamples]:
    """The first pixel needed, and counted from it: left neighbors, right neighbors, and weights of the right ones."""
    import torch

    position = torch.arange(offset, offset + count, dtype=torch.float64)
    position = (position + 0.5) * (original / scaled) - 0.5
    position = position.clamp(0, original - 1)
    left = position.floor().long()
    right = (left + 1).clamp(max=original - 1)
    weight, first = (position - left).float(), int(left[0])
    return first, ((left - first).to(device), (right - first).to(device), weight.to(device))


def _lerp(clip: torch.Tensor, samples: AxisSamples, axis: int) -> torch.Tensor:
    import torch

    left, right, weight = samples
    shape = [1] * clip.ndim
    shape[axis] = -1
    return torch.lerp(clip.index_select(axis, left), clip.index_select(axis, right), weight.view(shape))
