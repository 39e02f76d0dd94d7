"""Read clips as the published runs did: frames that FFmpeg extracts as JPEG, read and resized by OpenCV.

FFmpeg runs once per clip. Its images are kept in the cache as ``frames/<version of FFmpeg>/<clip>-<digest>.zip``, one
file per clip, which is renamed when complete. Of several processes one extracts a clip and the others wait for it.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import io
import math
import os
import re
import shutil
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ClipError, MissingExtraError
from ...extras import require
from ...scratch import exclusive, remove_abandoned, scratch_folder
from ...storage import cache_home
from .index import read_index
from .mp4 import is_mp4
from .source import ClipSource, as_source

RATE = 30  # images per second, whatever the rate of the clip
_MAX_IMAGES = 3000  # a released clip has about 90
_MAX_PIXELS = 4_000_000_000  # of all images together; a released clip has 37 million
_SECONDS = 600  # for one clip
_OTHER_WAY = "download or copy it again, or read it with data.decoder=auto"
_WAIT = 0.02


class ReleasedClip:
    """The images of a clip, as :func:`open_released_clip` returns them.

    Attributes:
        name: The name in messages.
    """

    def __init__(self, source: ClipSource, archive: Path | bytes, limit: int) -> None:
        self.name = source.name
        self._source, self._archive, self._limit = source, archive, limit
        self._names: list[str] = self._use(zipfile.ZipFile.namelist)

    def __len__(self) -> int:
        return len(self._names)

    def frames(self, indices: Iterable[int]) -> np.ndarray:
        """Return pixels (n, height, width, 3), uint8 RGB, as ``cv2.imdecode`` reads them.

        Args:
            indices: The images, counted from 0, in any order and as often as wanted.

        Raises:
            ClipError: An image cannot be read.
        """
        wanted = list(indices)
        images = self._use(lambda archive: {index: archive.read(self._names[index]) for index in set(wanted)})
        return np.stack([self._decode(index, images[index]) for index in wanted])

    def _decode(self, index: int, image: bytes) -> np.ndarray:
        cv2 = load_opencv()
        pixels = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR)
        if pixels is None:
            raise ClipError(
                f"{self.name}: OpenCV cannot read {self._names[index]}, which FFmpeg extracted; {_OTHER_WAY}"
            )
        return pixels[:, :, ::-1]  # OpenCV has BGR

    def _use(self, read: Callable[[zipfile.ZipFile], Any]) -> Any:
        """Read from the archive; extract the clip again if its file is damaged or was removed."""
        try:
            with self._open() as archive:
                return read(archive)
        except (zipfile.BadZipFile, FileNotFoundError):
            if isinstance(self._archive, Path):
                self._archive.unlink(missing_ok=True)
            self._archive = _archive_of(self._source, self._limit)
            with self._open() as archive:
                return read(archive)

    def _open(self) -> zipfile.ZipFile:
        return zipfile.ZipFile(io.BytesIO(self._archive) if isinstance(self._archive, bytes) else self._archive)


def open_released_clip(clip: Any, *, limit_gb: float = 20.0) -> ReleasedClip:
    """Open a clip as the published runs did; FFmpeg extracts its frames unless they are in the cache.

    Args:
        clip: As for :func:`open_clip`.
        limit_gb: The size of the cache. Images that do not fit are extracted each time.

    Raises:
        ClipError: The file is not a valid clip, or FFmpeg cannot read it.
        MissingExtraError: FFmpeg or OpenCV is not installed.
        OSError: The disk is full.
    """
    check_programs()
    source, limit = as_source(clip), int(limit_gb * 1e9)
    return ReleasedClip(source, _archive_of(source, limit), limit)


def resize_as_released(frames: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize uint8 frames (n, height, width, 3) by OpenCV's bilinear interpolation, which rounds to uint8.

    >>> resize_as_released(np.full((1, 8, 8, 3), 7, np.uint8), 4, 4)[0, 0, 0].tolist()  # doctest: +SKIP
    [7, 7, 7]
    """
    cv2 = load_opencv()
    if frames.shape[1:3] == (height, width):
        return frames
    return np.stack([cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR) for frame in frames])


def check_programs() -> str:
    """Return the versions of FFmpeg and OpenCV, such as ``"FFmpeg 5.1.9, OpenCV 5.0.0"``.

    Raises:
        MissingExtraError: One of them is not installed; the message says how to install it.
    """
    return f"FFmpeg {_ffmpeg()[1]}, OpenCV {load_opencv().__version__}"


@functools.cache
def load_opencv() -> Any:
    """Return the module ``cv2``, set to one thread: a pool of threads does not survive the fork of a worker."""
    cv2: Any = require("cv2", "data.decoder=as_released")
    cv2.setNumThreads(0)
    return cv2


def _ffmpeg() -> tuple[str, str]:
    """Return path and version of the program."""
    path = shutil.which("ffmpeg")
    if path is None:
        raise MissingExtraError(
            "data.decoder=as_released needs the program ffmpeg, which is not on the PATH; install it "
            "(Debian: apt-get install ffmpeg, conda: conda install ffmpeg, macOS: brew install ffmpeg)"
        )
    return path, _version_of(path)


@functools.cache
def _version_of(path: str) -> str:
    command = [path, "-version"]
    try:
        ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MissingExtraError(f"the program {path} does not run ({error}); install FFmpeg again") from error
    found = re.match(rb"ffmpeg version ([\w.+~-]+)", ran.stdout)
    if ran.returncode or found is None:
        raise MissingExtraError(f"the program {path} is not FFmpeg or does not run; install FFmpeg again")
    return found[1].decode()


def _archive_of(source: ClipSource, limit: int) -> Path | bytes:
    """Return the images of a clip: a file in the cache, or its content if it does not fit there."""
    program, version = _ffmpeg()
    with source.open() as file:
        digest = hashlib.sha256(file.read()).hexdigest()[:16]
    stem = re.sub(r"[^A-Za-z0-9_-]", "_", Path(source.name).stem)[:60]
    target = cache_home() / "frames" / version / f"{stem}-{digest}.zip"
    while not target.is_file():
        with exclusive(target.with_suffix(".lock")) as is_ours:
            if is_ours and not target.is_file():
                content = _extract(program, source, target, stem, limit)
                if content is not None:
                    return content
        if not is_ours:
            time.sleep(_WAIT)
    return target


def _extract(program: str, source: ClipSource, target: Path, stem: str, limit: int) -> bytes | None:
    """Extract the images and store them; return them instead if the cache is full."""
    remove_abandoned(target)
    with scratch_folder(target) as folder:
        clip = source.path or folder / "clip"
        if source.data is not None:
            clip.write_bytes(source.data)
        images = folder / "images"
        images.mkdir()
        _run_ffmpeg(program, source, clip, images / f"{stem}_%06d.jpg")
        archive = folder / target.name
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as zipped:
            for image in sorted(images.iterdir()):
                zipped.write(image, image.name)
        used = sum(entry.stat().st_size for entry in os.scandir(target.parent) if entry.name.endswith(".zip"))
        if used + archive.stat().st_size > limit:
            return archive.read_bytes()
        os.replace(archive, target)
    return None


def _run_ffmpeg(program: str, source: ClipSource, clip: Path, images: Path) -> None:
    """Run the command of the published runs, ``ffmpeg -i CLIP -r 30 -qscale 1 CLIP_%06d.jpg``.

    The options before them concern safety: the file cannot make FFmpeg open another one, and damage is an error.
    """
    index = read_index(source)
    count = math.ceil((index.pts[-1] - index.pts[0]) * Fraction(index.time_base) * RATE) + 1
    if count > _MAX_IMAGES or count * index.width * index.height > _MAX_PIXELS:
        raise ClipError(
            f"{source.name}: has {count} images of {index.width}×{index.height} at {RATE} per second, too many to "
            "extract them all; a clip has about 90, read it with data.decoder=auto"
        )
    with source.open() as file:
        container = "mov" if is_mp4(file) else "matroska"
    safe = ["-nostdin", "-hide_banner", "-v", "error", "-xerror", "-err_detect", "explode"]
    safe += ["-protocol_whitelist", "file", "-f", container]
    command = [program, *safe, "-i", f"file:{clip}", "-r", str(RATE), "-qscale:v", "1"]
    command += ["-frames:v", str(_MAX_IMAGES), f"file:{images}"]
    try:
        ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise ClipError(f"{source.name}: FFmpeg did not finish in {_SECONDS} s; {_OTHER_WAY}") from error
    said = ran.stderr.decode("utf-8", "replace").strip()
    if ran.returncode:
        if os.strerror(errno.ENOSPC) in said:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(images.parent))
        reason = said.splitlines()[0][:200] if said else f"exit code {ran.returncode}"
        raise ClipError(f"{source.name}: FFmpeg cannot extract its frames ({reason}); {_OTHER_WAY}")
    if next(images.parent.iterdir(), None) is None:
        raise ClipError(f"{source.name}: FFmpeg extracts no frame from it; {_OTHER_WAY}")
