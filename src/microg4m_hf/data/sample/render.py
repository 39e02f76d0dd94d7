"""Render the frames of a scene, and find the boxes of its astronauts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import cos, pi, radians, sin

import numpy as np
from numpy.typing import NDArray

from .cabin import Cabin, frame_width
from .drawing import Stroke, bounds, outline_width, paint, round_to_64th
from .poses import Moment, draw_astronaut, jump_height
from .world import FPS, LETTERBOX, NUM_FRAMES, Astronaut, Scene, StableRandom

Box = tuple[int, int, int, int]
_AXIS = 0.03  # the body rotates around a point just above the hips
_GRADING = ((1.08, 116.0), (1.04, 119.0), (1.0, 126.0))  # gain and gray point of red, green and blue


def frames(scene: Scene, height: int, numbers: Iterable[int] = range(NUM_FRAMES)) -> Iterator[NDArray[np.uint8]]:
    """Yield the 90 frames of a clip, or those with the given numbers (0-based), as uint8 RGB (height, width, 3).

    >>> from .world import scenes
    >>> next(frames(scenes()[0], 72)).shape
    (72, 128, 3)
    """
    cabin = Cabin(scene, height)
    strength = np.float32(2.2 if scene.domain == "movie" else 1.6)
    noise = np.repeat(strength * _camera_noise(scene, height), 3, axis=1)
    gain, gray = (np.tile(np.array(values, np.float32), cabin.width) for values in zip(*_GRADING, strict=True))
    for number in numbers:
        canvas = cabin.at(number)
        paint(canvas, [stroke for one in scene.astronauts for stroke in astronaut_strokes(scene, one, number, height)])
        lines = canvas.reshape(height, -1)  # a view: three values for each pixel
        if scene.domain == "movie":  # warm lights, cold shadows and high contrast
            lines -= np.float32(128)
            lines *= gain
            lines += gray
        top, left = number * 29 % 64, number * 47 % 64 * 3
        lines += noise[top : top + height, left : left + lines.shape[1]]
        if bar := _bar(scene, height):
            canvas[:bar] = canvas[height - bar :] = 16
        np.clip(canvas, 0, 255, out=canvas)
        canvas += np.float32(0.5)
        yield canvas.astype(np.uint8)


def astronaut_strokes(scene: Scene, astronaut: Astronaut, number: int, height: int) -> list[Stroke]:
    """Return the strokes of an astronaut in pixels at a frame (0-based), back to front."""
    time = number / FPS
    x, y = _center(astronaut, time)
    turn = radians(orientation(astronaut, time))
    c, s = cos(turn), sin(turn)
    up = jump_height(astronaut, time) - _AXIS
    unit = astronaut.height * height
    x, y = x * height, y * height

    def place(point: tuple[float, float]) -> tuple[float, float]:
        right, above = point[0], point[1] + up
        return round_to_64th(x + unit * (right * c + above * s)), round_to_64th(y + unit * (right * s - above * c))

    placed = []
    for start, end, half, color, flat, outline, body in draw_astronaut(
        Moment(astronaut, time, _gaze(scene, astronaut, time))
    ):
        a = place(start)
        b = a if end is start else place(end)  # a disc
        placed.append(Stroke(a, b, round_to_64th(half * unit), color, flat, outline, body))
    return placed


def orientation(astronaut: Astronaut, time: float) -> float:
    """Return the orientation in degrees, clockwise from upright.

    >>> from .world import scenes
    >>> orientation(scenes(upright=True)[0].astronauts[0], 2.0)
    0.0
    """
    return astronaut.angle + astronaut.spin * time


def box(scene: Scene, astronaut: Astronaut, number: int, height: int) -> Box:
    """Return the box (xmin, ymin, xmax, ymax) of an astronaut at a frame (0-based), clipped to the visible part."""
    edge, bar = outline_width(height), _bar(scene, height)
    around = [
        bounds(s, edge if s.outline else 0) for s in astronaut_strokes(scene, astronaut, number, height) if s.body
    ]
    left, top = min(b[0] for b in around), min(b[1] for b in around)
    right, bottom = max(b[2] for b in around), max(b[3] for b in around)
    return (
        max(round(left), 0),
        max(round(top), bar),
        min(round(right), frame_width(height)),
        min(round(bottom), height - bar),
    )


def _bar(scene: Scene, height: int) -> int:
    return round(height * LETTERBOX[scene.domain])


def _center(astronaut: Astronaut, time: float) -> tuple[float, float]:
    slow, fast = 2 * pi * (0.21 * time + astronaut.phase), 2 * pi * (0.29 * time + 2 * astronaut.phase)
    return astronaut.x + astronaut.drift[0] * sin(slow), astronaut.y + astronaut.drift[1] * sin(fast)


def _gaze(scene: Scene, astronaut: Astronaut, time: float) -> tuple[float, float]:
    """Return the direction to the head of the watched person, a unit vector in this astronaut's coordinates."""
    if astronaut.watches is None:
        return 0.0, 0.0
    other = next(one for one in scene.astronauts if one.person_id == astronaut.watches)
    (ax, ay), (bx, by) = (_head_position(one, time) for one in (astronaut, other))
    dx, dy = bx - ax, by - ay
    far = (dx * dx + dy * dy) ** 0.5
    turn = radians(orientation(astronaut, time))
    c, s = cos(turn), sin(turn)
    return (dx * c + dy * s) / far, (dx * s - dy * c) / far


def _head_position(astronaut: Astronaut, time: float) -> tuple[float, float]:
    x, y = _center(astronaut, time)
    turn, up = radians(orientation(astronaut, time)), (0.42 - _AXIS + jump_height(astronaut, time)) * astronaut.height
    return x + up * sin(turn), y - up * cos(turn)


def _camera_noise(scene: Scene, height: int) -> NDArray[np.float32]:
    """Return noise with a margin to shift it: a sum of three random bytes, nearly normal, the same on every machine."""
    rows, columns = height + 64, frame_width(height) + 64
    seed = StableRandom("noise", scene.video_id).randrange(2**31)
    words = np.random.PCG64(seed).random_raw(rows * columns).view(np.uint8).reshape(rows, columns, 8)
    total = words[..., 0].astype(np.float32) + words[..., 1] + words[..., 2]
    return (total - np.float32(382.5)) / np.float32(128)
