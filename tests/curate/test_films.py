"""Any film becomes pictures at a constant rate: the right ones, upright, with square pixels, bit for bit the same."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from microg4m_hf.curate.clips.cut import encode_clip
from microg4m_hf.curate.clips.films import check_film, open_film, pictures
from microg4m_hf.curate.protocols import CutSettings
from microg4m_hf.errors import ClipError
from tests.support.bit_films import read_number, write_bit_film
from tests.support.videos import rotate

RATES = (Fraction(24000, 1001), 24, 25, Fraction(30000, 1001), 30, 50, Fraction(60000, 1001), 120)


def shown(path: Path, fps: int = 30, height: int | None = None) -> list[int]:
    """Return the number that every output picture shows."""
    with open_film(path) as film:
        return [read_number(frame.to_ndarray(format="gray")) for _, frame in pictures(film, path, fps, height)]


def expected(times: list[Fraction], end: Fraction, fps: int = 30) -> list[int]:
    """Return the last frame at or before each output time."""
    wanted, number = [], 0
    while Fraction(number, fps) < end:
        wanted.append(max(place for place, time in enumerate(times) if time <= Fraction(number, fps)))
        number += 1
    return wanted


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.parametrize("rate", RATES, ids=lambda rate: f"{float(rate):.6g}")
def test_every_picture_is_the_last_one_at_its_time(rate: Fraction | int, suffix: str, tmp_path: Path) -> None:
    times = [place / Fraction(rate) for place in range(int(3 * rate) + 1)]
    path = write_bit_film(tmp_path / f"film.{suffix}", times, rate=rate)
    assert shown(path) == expected(times, times[-1] + 1 / Fraction(rate))


def test_a_variable_rate(tmp_path: Path) -> None:
    steps = [Fraction(n, 1000) for n in (33, 34, 10, 10, 200, 7, 90, 33, 400, 41, 42) * 4]
    times = [sum(steps[:place], Fraction(0)) for place in range(len(steps))]
    path = write_bit_film(tmp_path / "film.mkv", times, rate=1000, time_base=Fraction(1, 1000))
    assert shown(path) == expected(times, times[-1] + Fraction(1, 1000))


@pytest.mark.parametrize("matrix", [(0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0), (-1, 0, 0, 1), (0, 1, 1, 0)])
def test_turned_and_mirrored_films_are_shown_upright(matrix: tuple[int, ...], tmp_path: Path) -> None:
    """The pixels are those that the reader of clips, which is tested on its own, returns."""
    from microg4m_hf.data.video.clip import read_frames

    stored = write_bit_film(tmp_path / "stored.mp4", [Fraction(n, 30) for n in range(5)])
    path = rotate(stored, tmp_path / "turned.mp4", matrix)
    wanted = read_frames(path, range(5))
    with open_film(path) as film:
        found = np.stack([frame.to_ndarray(format="rgb24") for _, frame in pictures(film, path, 30, None)])
    assert found.shape == wanted.shape
    assert np.abs(found.astype(int) - wanted).mean() < 3


def test_fields_are_woven_apart(tmp_path: Path) -> None:
    path = write_bit_film(tmp_path / "film.mp4", [Fraction(n, 25) for n in range(50)], rate=25, interlaced=True)
    with open_film(path) as film:
        found = [
            (number, read_number(frame.to_ndarray(format="gray"))) for number, frame in pictures(film, path, 25, None)
        ]
    assert found == [(number, 2 * number) for number in range(50)]


def test_high_dynamic_range_becomes_standard(tmp_path: Path) -> None:
    pq = {"color_primaries": 9, "color_trc": 16, "colorspace": 9, "color_range": 1}
    path = write_bit_film(tmp_path / "film.mkv", [Fraction(n, 30) for n in range(8)], pix_fmt="yuv420p10le", tags=pq)
    with open_film(path) as film:
        frames = [frame for _, frame in pictures(film, path, 30, None)]
    assert [read_number(frame.to_ndarray(format="gray")) for frame in frames] == list(range(8))
    assert {(frame.format.name, frame.color_primaries, frame.color_trc, frame.colorspace) for frame in frames} == {
        ("yuv420p", 1, 1, 1)
    }


@pytest.mark.parametrize(
    ("aspect", "height", "size"),
    [
        (None, 480, (640, 480)),
        (Fraction(4, 3), 72, (128, 72)),
        (Fraction(8, 9), None, (86, 72)),
        (None, None, (96, 72)),
    ],
)
def test_pixels_become_square(
    aspect: Fraction | None, height: int | None, size: tuple[int, int], tmp_path: Path
) -> None:
    path = write_bit_film(tmp_path / "film.mp4", [Fraction(0)], aspect=aspect)
    with open_film(path) as film:
        _, frame = next(pictures(film, path, 30, height))
    assert (frame.width, frame.height) == size


def test_the_same_bytes_each_time(tmp_path: Path) -> None:
    path = write_bit_film(tmp_path / "film.mp4", [Fraction(n, 30) for n in range(30)])
    written = set()
    for _ in range(10):
        with open_film(path) as film:
            encode_clip(tmp_path / "clip", [frame for _, frame in pictures(film, path, 30, 240)], CutSettings())
        written.add((tmp_path / "clip").read_bytes())
    assert len(written) == 1


def sound_only(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def test_what_is_no_film_is_refused_with_a_reason(tmp_path: Path) -> None:
    sound_only(tmp_path / "sound.mp4")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("not a film")
    secret = write_bit_film(tmp_path / "secret.mp4", [Fraction(0)])
    (tmp_path / "list.mp4").write_text(f"ffconcat version 1.0\nfile '{secret}'\n")
    (tmp_path / "playlist.mp4").write_text(f"#EXTM3U\n#EXTINF:3,\n{secret}\n")
    reasons = {
        "sound.mp4": "holds no video track, only sound",
        "empty.mp4": "the file is empty",
        "text.mp4": "cannot be read as a video",
        "list.mp4": "cannot be read as a video",
        "playlist.mp4": "cannot be read as a video",
        "none.mp4": "there is no such file",
    }
    for name, reason in reasons.items():
        with pytest.raises(ClipError, match=f"{name}: {reason}"):
            check_film(tmp_path / name)
