"""Keep chosen frames of a clip so that they are read again in a fraction of the time, whole or in part.

A record is one structured numpy value, which ``numpy.save`` writes and ``numpy.load`` maps into memory. It has the
frames as the decoder returned them, so that their pixels are exactly those of the clip. If it is ``compact``, luma is
rounded to multiples of 3, which moves it by at most 1, and everything is compressed: less than a fifth of the bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ClipError
from .backends import resolve_backend
from .clip import Clip
from .index import MAX_PIXELS, FrameIndex, read_index
from .mp4 import IDENTITY
from .pyav import Cropper, Part, decode_frames, drop_undecodable_frames, plane_pixels
from .source import as_source

# Measured: video codecs are smaller and take three times as long to read (H.264 a third of the bytes at 47 dB). Without
# rounding, frames take half as many bytes more; rounded chroma saves a tenth and moves pixels twice as far.
_ROUNDED = ((np.arange(256) + 1) // 3 * 3).astype(np.uint8)
_LEVEL = 3  # of zstd
_FORMATS = ("yuv420p", "yuvj420p")
_COLORS = ("colorspace", "color_range")
Planes = tuple[NDArray[np.uint8], ...]  # of a frame: luma, and the two of chroma at half the size
_CURE = "delete the file, and they are kept again"


def keep_frames(
    source: Any, plan: Callable[[int], NDArray[np.int64]], *, compact: bool = False, backend: str = "auto"
) -> NDArray[Any]:
    """Decode frames and return the record of them.

    Args:
        source: As for :func:`open_clip`.
        plan: A function from the number of frames to indices.
        compact: Compress the frames; those of rare color formats are kept as they are.
        backend: As for :func:`open_clip`.

    Raises:
        ClipError: The file is not a valid clip, or a frame is damaged.
    """
    clip_source, name = as_source(source), resolve_backend(backend)
    index = drop_undecodable_frames(read_index(clip_source))
    wanted = plan(len(index.pts)).tolist()
    shown = sorted(set(wanted))
    places = np.array([shown.index(i) for i in wanted], np.int32)
    if name == "pyav" and index.matrix == IDENTITY:
        frames = [frame for _, frame in decode_frames(index, shown)]
        kinds = {(frame.format.name, frame.colorspace, frame.color_range) for frame in frames}
        if all(Cropper.fits(frame) for frame in frames) and len(kinds) == 1:
            return _record_of_planes(index, frames, places, compact)
    rgb = Clip(clip_source, index, name).frames(shown)
    return _record(height=np.int32(rgb.shape[1]), width=np.int32(rgb.shape[2]), places=places, rgb=rgb)


class KeptFrames:
    """The frames of a record.

    Args:
        record: What :func:`keep_frames` returned, or a file with it.

    Raises:
        ClipError: It is no such record.
    """

    def __init__(self, record: NDArray[Any]) -> None:
        try:
            self._record = record
            self.height, self.width = int(self._record["height"]), int(self._record["width"])
            self._places = np.asarray(self._record["places"])
            fields = record.dtype.names or ()
            count, size = int(self._places.max()) + 1, self.height * self.width
            self._kind = next(kind for kind in ("rgb", "planes", "blocks") if kind in fields)
            expected = {"rgb": (count, self.height, self.width, 3), "planes": (count, size * 3 // 2)}
            sound = self._places.min() >= 0 and 0 < size <= MAX_PIXELS
            if self._kind == "blocks":
                self._ends = np.cumsum(self._record["sizes"]).tolist()
                sound &= len(self._ends) == count and self._ends[-1] == self._record["blocks"].size
                sound &= bool((self._record["sizes"] > 0).all())
            else:
                sound &= self._record[self._kind].shape == expected[self._kind]
            if self._kind != "rgb":
                self._format = _FORMATS[int(self._record["format"])]
                self._colors = [int(self._record[name]) for name in _COLORS]
                sound &= not (self.height | self.width) & 1
        except (IndexError, KeyError, StopIteration, TypeError, ValueError) as error:
            raise ClipError(f"these are no kept frames ({error}); {_CURE}") from error
        if not sound:
            raise ClipError(f"these are no kept frames: their number or size is wrong; {_CURE}")

    def stream(self, part: Part | None = None) -> Iterator[NDArray[np.uint8]]:
        """Return an iterator over the frames, or over a part of each: top, left, bottom and right.

        The frames are those of :meth:`Clip.stream`.

        Raises:
            ClipError: The record is damaged.
        """
        top, left, bottom, right = part or (0, 0, self.height, self.width)
        places = self._places.tolist()
        if self._kind == "rgb":
            frames = self._record["rgb"]
            return (frames[place, top:bottom, left:right] for place in places)
        kept = self._decompress() if self._kind == "blocks" else self._record["planes"]
        planes = list(map(self._split, kept))
        return self._converted([planes[place] for place in places], (top, left, bottom, right))

    def _converted(self, frames: list[Planes], part: Part) -> Iterator[NDArray[np.uint8]]:
        from av.video.reformatter import VideoReformatter

        reformatter, cropper = VideoReformatter(), Cropper("kept frames", self._format, part)
        previous: Planes | None = None
        for planes in frames:
            if planes is not previous:
                pixels = cropper.rgb(planes, self._colors[0], self._colors[1], reformatter)
            previous = planes
            yield pixels

    def _split(self, frame: NDArray[np.uint8]) -> Planes:
        """The three planes of a frame."""
        size, half = self.height * self.width, (self.height // 2, self.width // 2)
        chroma = frame[size : size * 5 // 4].reshape(half), frame[size * 5 // 4 :].reshape(half)
        return frame[:size].reshape(self.height, self.width), *chroma

    def _decompress(self) -> list[NDArray[np.uint8]]:
        """All compressed frames."""
        import pyarrow

        codec, blocks = pyarrow.Codec("zstd"), pyarrow.py_buffer(self._record["blocks"])
        size, frames = self.height * self.width * 3 // 2, []
        try:
            for start, end in zip([0, *self._ends], self._ends, strict=False):
                block = codec.decompress(blocks.slice(start, end - start), decompressed_size=size)
                frames.append(np.frombuffer(block, np.uint8))
        except (OSError, ValueError) as error:
            raise ClipError(f"kept frames cannot be read ({error}); {_CURE}") from error
        return frames


def _record_of_planes(index: FrameIndex, frames: list[Any], places: NDArray[np.int32], compact: bool) -> NDArray[Any]:
    fields = {name: np.int32(getattr(frames[0], name)) for name in _COLORS}
    fields |= {"height": np.int32(index.height), "width": np.int32(index.width)}
    form = np.int32(_FORMATS.index(frames[0].format.name))
    planes = np.empty((len(frames), index.height * index.width * 3 // 2), np.uint8)
    for target, frame in zip(planes, frames, strict=True):
        start = 0
        for plane in frame.planes:
            end = start + plane.height * plane.width
            target[start:end].reshape(plane.height, plane.width)[:] = plane_pixels(plane)[:, : plane.width]
            start = end
    if not compact:
        return _record(**fields, format=form, places=places, planes=planes)
    import pyarrow

    codec, luma = pyarrow.Codec("zstd", compression_level=_LEVEL), planes[:, : index.height * index.width]
    luma[:] = _ROUNDED[luma]
    blocks = [np.frombuffer(codec.compress(frame), np.uint8) for frame in planes]
    sizes = np.array([len(block) for block in blocks], np.int32)
    return _record(**fields, format=form, places=places, sizes=sizes, blocks=np.concatenate(blocks))


def _record(**fields: Any) -> NDArray[Any]:
    """One structured value with these fields."""
    arrays = {name: np.asarray(value) for name, value in fields.items()}
    record = np.empty((), [(name, array.dtype, array.shape) for name, array in arrays.items()])
    for name, array in arrays.items():
        record[name] = array
    return record
