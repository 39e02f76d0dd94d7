"""Read any film as the pictures that a viewer sees: upright, progressive, standard dynamic range, at a constant rate.

Output picture ``k`` is the last picture of the film that is shown at or before ``k / fps`` seconds. Times are
fractions: floating point picks a wrong picture now and then at 59.94 pictures per second.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from ...data.video.index import MAX_PIXELS, check_frame_size
from ...data.video.mp4 import IDENTITY, Matrix, parse_display_matrix
from ...errors import ClipError

# Files that name other files (playlists, concatenations) are not among them.
FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegts,mpegvideo,flv,asf,ogg,mxf,dv,h264,hevc,m4v,nut,yuv4mpegpipe"
)
_HDR = (16, 18)  # PQ and HLG
_ROUNDING = Fraction(1, 2000)  # Matroska rounds times to milliseconds
_LONGEST_GAP = 60  # seconds; a longer one is a jump of the clock, not a picture that stays
_LONGEST_FILM = 48 * 3600
_CONVERT = "convert it to H.264 with 4:2:0 colors"
# A stored point (x, y) is displayed at (a·x + c·y, b·x + d·y).
_TURNS: dict[Matrix, str] = {
    (1, 0, 0, 1): "",
    (-1, 0, 0, 1): "hflip",
    (1, 0, 0, -1): "vflip",
    (-1, 0, 0, -1): "hflip,vflip",
    (0, 1, -1, 0): "transpose=clock",
    (0, -1, 1, 0): "transpose=cclock",
    (0, 1, 1, 0): "transpose=cclock_flip",
    (0, -1, -1, 0): "transpose=clock_flip",
}


def open_film(path: Path) -> Any:
    """Open a film without letting anything in it open another file.

    Raises:
        ClipError: If it is no film.
    """
    try:
        if not path.is_file():
            raise ClipError(f"{path}: there is no such file; check the path")
        if not path.stat().st_size:
            raise ClipError.damaged(path, "the file is empty")
        options = {"protocol_whitelist": "file", "format_whitelist": FORMATS, "max_pixels": str(MAX_PIXELS)}
        return av.open(f"file:{path}", options=options)
    except av.error.FFmpegError as error:
        raise ClipError.damaged(path, f"cannot be read as a video ({error.strerror or error})") from error


def video_stream(container: Any, path: Path) -> Any:
    """Return the first video stream that is not a cover picture, or raise a ``ClipError``."""
    cover = av.stream.Disposition.attached_pic
    streams = [stream for stream in container.streams.video if not stream.disposition & cover]
    if not streams:
        problem = "holds no video track, only sound" if container.streams.audio else "holds no video track"
        raise ClipError(f"{path}: {problem}; leave it out")
    stream = streams[0]
    if stream.codec_context is None:
        raise ClipError(f"{path}: uses a codec that FFmpeg does not know; convert it to H.264")
    check_frame_size(str(path), stream.codec_context.width, stream.codec_context.height)
    return stream


def check_film(path: Path) -> None:
    """Decode the first picture of a film, or raise a ``ClipError``."""
    with open_film(path) as container:
        if next(decode_film(container, path), None) is None:
            raise ClipError.damaged(path, "shows no pictures")


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ClipError(f"{path}: {error.strerror or error}") from error


def decode_film(container: Any, path: Path) -> Iterator[tuple[Fraction, Fraction, Any]]:
    """Yield start, end and frame of every picture in the order of display, the first at 0 seconds."""
    stream = video_stream(container, path)
    stream.codec_context.thread_type = "AUTO"
    rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
    origin: Fraction | None = None
    last, end = Fraction(-1), Fraction(0)
    damaged = shown = 0
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:  # a damaged packet; the pictures around it remain
            damaged += 1
            continue
        except av.error.FFmpegError as error:
            raise ClipError.damaged(path, f"cannot be decoded ({error.strerror or error})") from error
        for frame in frames:
            if frame.is_corrupt and not shown:
                continue  # a cut without a key frame
            length = frame.duration * frame.time_base if frame.duration else 1 / rate
            stated = None if frame.pts is None else _exact_time(frame.pts, frame.time_base, rate)
            if origin is None:
                origin = stated or Fraction(0)
            time = end if stated is None else stated - origin
            if time <= last or time > end + _LONGEST_GAP:  # the clock of the film jumps
                time = end
                origin = origin if stated is None else stated - end
            last, end, shown = time, time + length, shown + 1
            if end > _LONGEST_FILM:
                raise ClipError(f"{path}: is longer than {_LONGEST_FILM // 3600} hours; cut it into parts")
            yield time, end, frame
    if damaged and not shown:
        raise ClipError.damaged(path, "cannot be decoded, the film is damaged")


def _exact_time(pts: int, base: Fraction, rate: Fraction) -> Fraction:
    """Return the time of a picture that the container rounded: that of the frame rate, else the earliest possible one.

    >>> _exact_time(33, Fraction(1, 1000), Fraction(30000, 1001)) == Fraction(1001, 30000)
    True
    """
    stated = pts * base
    regular = round(stated * rate) / rate
    rounding = min(base / 2, _ROUNDING)
    return regular if abs(regular - stated) <= rounding else stated - rounding


def pictures(container: Any, path: Path, fps: int, height: int | None) -> Iterator[tuple[int, Any]]:
    """Yield the number and the finished frame of every output picture; a repeated one is the same object.

    Frames are yuv420p with square pixels and even sides.

    Args:
        container: What `open_film` returned.
        path: The film, for messages.
        fps: Output pictures per second.
        height: Output height, None to keep that of the film.
    """
    finish = _Finisher(path, height, _sample_aspect(video_stream(container, path)))
    shown: Any = None
    ready: Any = None
    number, end = 0, Fraction(0)
    for start, stop, frame in _deinterlaced(decode_film(container, path)):
        while shown is not None and Fraction(number, fps) < start:
            if ready is None:
                ready = finish(shown)
            yield number, ready
            number += 1
        shown, ready, end = frame, None, stop
    while shown is not None and Fraction(number, fps) < end:
        if ready is None:
            ready = finish(shown)
        yield number, ready
        number += 1


def _deinterlaced(frames: Iterator[tuple[Fraction, Fraction, Any]]) -> Iterator[tuple[Fraction, Fraction, Any]]:
    """Deinterlace from the first interlaced picture on; the filter passes progressive ones as they are."""
    graph: Any = None
    times: list[tuple[Fraction, Fraction] | None] = []
    for start, end, frame in frames:
        if graph is None and not frame.interlaced_frame:
            yield start, end, frame
            continue
        if graph is None or (frame.width, frame.height, frame.format.name) != graph.shape:
            if graph is not None:
                yield from _drain(graph, times)
            graph = _Graph(frame, "bwdif=mode=send_frame:deint=interlaced")
            times.append(None)  # of a first frame, the filter returns the wrong field
            graph.push(frame)
        times.append((start, end))
        graph.push(frame)
        yield from _pull(graph, times)
    if graph is not None:
        yield from _drain(graph, times)


def _pull(graph: _Graph, times: list[tuple[Fraction, Fraction] | None]) -> Iterator[tuple[Fraction, Fraction, Any]]:
    for frame in graph.pull():
        if (time := times.pop(0)) is not None:
            yield *time, frame


def _drain(graph: _Graph, times: list[tuple[Fraction, Fraction] | None]) -> Iterator[tuple[Fraction, Fraction, Any]]:
    graph.push(None)
    yield from _pull(graph, times)
    times.clear()


class _Graph:
    """A filter graph for frames of one shape."""

    def __init__(self, frame: Any, filters: str) -> None:
        self.shape = frame.width, frame.height, frame.format.name
        self._graph = av.filter.Graph()
        self._count = 0
        size = f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base=1/1000"
        size += f":colorspace={int(frame.colorspace)}:range={int(frame.color_range)}"
        last = self._graph.add("buffer", size)
        for word in filter(None, filters.split(",")):
            name, _, options = word.partition("=")
            step = self._graph.add(name, options) if options else self._graph.add(name)
            last.link_to(step)
            last = step
        last.link_to(self._graph.add("buffersink"))
        self._graph.configure()

    def push(self, frame: Any) -> None:
        if frame is not None:
            frame.pts, frame.time_base = self._count, Fraction(1, 1000)
            self._count += 1
        self._graph.push(frame)

    def pull(self) -> Iterator[Any]:
        while True:
            try:
                yield self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return


class _Finisher:
    """Turn, scale and convert frames."""

    def __init__(self, path: Path, height: int | None, aspect: Fraction) -> None:
        self.path, self.height, self.aspect = path, height, aspect
        self._graph: _Graph | None = None
        self._look: tuple[Any, ...] = ()
        self._size: tuple[int, int] | None = None

    def __call__(self, frame: Any) -> Any:
        matrix = _matrix(frame, self.path)
        hdr = frame.color_trc in _HDR
        look = (frame.width, frame.height, frame.format.name, matrix, hdr, frame.color_range, frame.colorspace)
        if self._graph is None or look != self._look:
            self._look = look
            self._graph = _Graph(frame, self._filters(frame, matrix, hdr))
        self._graph.push(frame)
        try:
            finished = list(self._graph.pull())
        except av.error.FFmpegError as error:
            raise ClipError(
                f"{self.path}: its colors cannot be converted ({error.strerror or error}); {_CONVERT}"
            ) from error
        if len(finished) != 1:
            raise ClipError(f"{self.path}: its pictures cannot be converted; {_CONVERT}")
        return finished[0]

    def _filters(self, frame: Any, matrix: Matrix, hdr: bool) -> str:
        width, height = Fraction(frame.width) * self.aspect, Fraction(frame.height)
        if matrix[1]:
            width, height = height, width
        if self._size is None:  # a film that changes its size keeps the first one
            goal = Fraction(self.height or int(height))
            self._size = _even(width * goal / height), _even(goal)
        scale = f"scale=w={self._size[0]}:h={self._size[1]}:flags=bicubic+accurate_rnd+full_chroma_int+bitexact"
        scale += ":out_range=limited"
        if hdr:
            scale += ":out_transfer=bt709:out_primaries=bt709:out_color_matrix=bt709"
        return ",".join(filter(None, (_TURNS[matrix], scale, "format=pix_fmts=yuv420p", "setsar=1")))


def _even(value: Fraction) -> int:
    return max(2, 2 * round(value / 2))


def _matrix(frame: Any, path: Path) -> Matrix:
    import struct

    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return IDENTITY
    a, b, _, c, d = struct.unpack("=5i", bytes(data)[:20])
    try:
        return parse_display_matrix((a, b, c, d), str(path))
    except ClipError:
        return IDENTITY  # turned by other angles: players show the stored picture


def _sample_aspect(stream: Any) -> Fraction:
    aspect = Fraction(stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio or 1)
    return aspect if Fraction(1, 20) < aspect < 20 else Fraction(1)
