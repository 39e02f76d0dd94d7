"""A scene to frames, and where its figures are in each of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import cos, pi, radians, sin

import numpy as np
from numpy.typing import NDArray

from .cabin import Cabin, frame_width, noise
from .drawing import Canvas, Stroke, bounds, outline_width, paint, snap
from .poses import Moment, lift, strokes
from .world import FPS, LETTERBOX, NUM_FRAMES, Figure, Scene

Box = tuple[int, int, int, int]
_AXIS = 0.03  # the body turns around a point just above the hips
_FILM = ((1.08, 116.0), (1.04, 119.0), (1.0, 126.0))  # gain and grey point of red, green and blue


def frames(scene: Scene, height: int, numbers: Iterable[int] = range(NUM_FRAMES)) -> Iterator[NDArray[np.uint8]]:
    """The 90 frames of a clip, or those with the given numbers (from 0), RGB, (height, width, 3).

    >>> from .world import scenes
    >>> next(frames(scenes()[0], 72)).shape
    (72, 128, 3)
    """
    cabin, grain = Cabin(scene, height), noise(scene, height)
    strength = np.float32(2.2 if scene.domain == "movie" else 1.6)
    for number in numbers:
        canvas = cabin.at(number)
        for figure in scene.figures:
            for stroke in figure_strokes(scene, figure, number, height):
                paint(canvas, stroke)
        if scene.domain == "movie":
            _film_look(canvas)
        top, left = number * 29 % 64, number * 47 % 64
        canvas += strength * grain[top : top + height, left : left + canvas.shape[2]]
        if bar := _bar(scene, height):
            canvas[:, :bar] = canvas[:, height - bar :] = 16
        np.clip(canvas, 0, 255, out=canvas)
        canvas += np.float32(0.5)
        yield np.ascontiguousarray(canvas.astype(np.uint8).transpose(1, 2, 0))


def figure_strokes(scene: Scene, figure: Figure, number: int, height: int) -> list[Stroke]:
    """A figure's strokes in pixels at a frame (0-based), back to front."""
    time = number / FPS
    x, y = _center(figure, time)
    turn = radians(angle(figure, time))
    c, s = cos(turn), sin(turn)
    up = lift(figure, time) - _AXIS
    unit = figure.height * height

    def place(point: tuple[float, float]) -> tuple[float, float]:
        right, above = point[0], point[1] + up
        return snap(x * height + unit * (right * c + above * s)), snap(y * height + unit * (right * s - above * c))

    moment = Moment(figure, time, _gaze(scene, figure, time))
    return [
        stroke._replace(a=place(stroke.a), b=place(stroke.b), half=snap(stroke.half * unit))
        for stroke in strokes(moment)
    ]


def angle(figure: Figure, time: float) -> float:
    """Orientation in degrees, clockwise from upright.

    >>> from .world import scenes
    >>> angle(scenes(upright=True)[0].figures[0], 2.0)
    0.0
    """
    return figure.angle + figure.spin * time


def box(scene: Scene, figure: Figure, number: int, height: int) -> Box:
    """xmin, ymin, xmax, ymax in pixels around the figure at a frame (0-based), cut where the picture ends."""
    edge, bar = outline_width(height), _bar(scene, height)
    around = [bounds(s, edge if s.outline else 0) for s in figure_strokes(scene, figure, number, height) if s.body]
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


def _center(figure: Figure, time: float) -> tuple[float, float]:
    slow, fast = 2 * pi * (0.21 * time + figure.phase), 2 * pi * (0.29 * time + 2 * figure.phase)
    return figure.x + figure.drift[0] * sin(slow), figure.y + figure.drift[1] * sin(fast)


def _gaze(scene: Scene, figure: Figure, time: float) -> tuple[float, float]:
    """Where the watched person's head is, as a unit vector in this figure's own frame."""
    if figure.watches is None:
        return 0.0, 0.0
    other = next(one for one in scene.figures if one.person_id == figure.watches)
    (ax, ay), (bx, by) = (_head(one, time) for one in (figure, other))
    dx, dy = bx - ax, by - ay
    far = (dx * dx + dy * dy) ** 0.5
    turn = radians(angle(figure, time))
    c, s = cos(turn), sin(turn)
    return (dx * c + dy * s) / far, (dx * s - dy * c) / far


def _head(figure: Figure, time: float) -> tuple[float, float]:
    x, y = _center(figure, time)
    turn, up = radians(angle(figure, time)), (0.42 - _AXIS + lift(figure, time)) * figure.height
    return x + up * sin(turn), y - up * cos(turn)


def _film_look(canvas: Canvas) -> None:
    """Warm lights, cold shadows, and the contrast of a film."""
    for plane, (gain, grey) in zip(canvas, _FILM, strict=True):
        plane -= np.float32(128)
        plane *= np.float32(gain)
        plane += np.float32(grey)
