"""Draw the cabin behind the astronauts: a far wall and nearer handrails, each wider than the frame for panning."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from .drawing import Canvas, Color, Stroke, disc, paint
from .world import ASPECT, FPS, NUM_FRAMES, Scene, StableRandom

# feature of a cabin -> its description in captions and answers
DESCRIPTIONS = {
    "window": "a round window with the Earth behind it",
    "lockers": "a row of blue lockers",
    "bags": "gray storage bags held by straps",
    "screens": "a row of small screens with green curves",
    "hatch": "an open round hatch",
}
_WALLS: dict[str, Color] = {
    "window": (150, 152, 156),
    "lockers": (168, 166, 162),
    "bags": (138, 142, 142),
    "screens": (116, 120, 126),
    "hatch": (156, 152, 148),
}
_SPAN = 0.9  # distance in frame heights at which the feature repeats, so that it is always in view
_MARGIN = 0.45  # how far the camera can pan to either side


class Cabin:
    """The background of one clip; both layers are drawn once."""

    def __init__(self, scene: Scene, height: int) -> None:
        self._pan, self._height = scene.pan, height
        self.width = frame_width(height)
        wide = self.width + int(2 * _MARGIN * height) + 2
        self._far = _draw_wall(scene, height, wide)
        self._near, self._near_cover = _draw_handrails(scene, height, wide)
        covered = np.flatnonzero(self._near_cover.any(axis=(1, 2)))
        runs = np.split(covered, np.flatnonzero(np.diff(covered) > 1) + 1)
        self._rails = [slice(run[0], run[-1] + 1) for run in runs if len(run)]  # no other row is covered

    def at(self, frame: int) -> Canvas:
        """Return a new canvas with the background at a frame (0-based)."""
        canvas = self._view(self._far, 1.0, frame).copy()
        near, cover = (self._view(layer, 2.4, frame) for layer in (self._near, self._near_cover))
        for rows in self._rails:
            canvas[rows] += cover[rows] * (near[rows] - canvas[rows])
        return canvas

    def _view(self, layer: Canvas, speed: float, frame: int) -> Canvas:
        shift = (frame - NUM_FRAMES / 2) / FPS * self._pan * speed
        left = round((_MARGIN + shift) * self._height)
        return layer[:, left : left + self.width]


def frame_width(height: int) -> int:
    """Return the even width of a frame with the proportions of 854×480.

    >>> frame_width(480), frame_width(144)
    (854, 256)
    """
    return round(height * ASPECT / 2) * 2


def _draw_wall(scene: Scene, height: int, wide: int) -> Canvas:
    rng = StableRandom("cabin", scene.source)
    wall = _WALLS[scene.cabin]
    rows = np.linspace(0.82, 1.08, height, dtype=np.float32)
    canvas = np.empty((height, wide, 3), np.float32)
    canvas[:] = (np.array(wall, np.float32) * rows[:, None])[:, None]
    u = float(height)
    seam = _scale_brightness(wall, 0.72)
    offset = rng.uniform(0, 0.4)
    strokes = []
    for k in range(int(wide / u / 0.3) + 2):  # wall plates of differing width and brightness
        x = (k * 0.3 - offset + rng.uniform(-0.05, 0.05)) * u
        for top, bottom in ((0.0, 0.36), (0.36, 0.68), (0.68, 1.0)):
            shade = _scale_brightness(wall, rng.uniform(0.86, 1.1))
            half = 0.14 * u
            strokes.append(Stroke((x, (top + 0.01) * u), (x, (bottom - 0.01) * u), half, shade, True, False))
            if rng.random() < 0.35:
                y = (top + 0.05) * u
                strokes.append(Stroke((x - 0.08 * u, y), (x + 0.05 * u, y), 0.012 * u, seam, True, False))
    start = rng.uniform(0.1, 0.5)
    for k in range(int(wide / u / _SPAN) + 1):
        strokes += _FEATURES[scene.cabin]((start + k * _SPAN) * u, u)
    paint(canvas, strokes)
    return canvas


def _draw_handrails(scene: Scene, height: int, wide: int) -> tuple[Canvas, Canvas]:
    """Return rails nearer to the camera than the wall, and a mask of where they cover it."""
    rng = StableRandom("rails", scene.source)
    color = rng.choice(((84, 90, 104), (186, 182, 170), (90, 90, 96)))
    u = float(height)
    rails = []
    for y in (rng.uniform(0.12, 0.2), rng.uniform(0.8, 0.9)):
        for k in range(int(wide / u / 0.6) + 2):
            x = (k * 0.6 + rng.uniform(0, 0.12)) * u
            rails.append(Stroke((x, y * u), (x + 0.34 * u, y * u), 0.016 * u, color, outline=False))
    canvas = np.zeros((height, wide, 3), np.float32)
    paint(canvas, rails)
    cover = np.zeros((height, wide, 3), np.float32)
    paint(cover, [rail._replace(color=(1, 1, 1)) for rail in rails])
    return canvas, cover


def _window(x: float, u: float) -> list[Stroke]:
    center = (x, 0.45 * u)
    return [
        disc(center, 0.25 * u, (92, 98, 108)),
        disc(center, 0.21 * u, (12, 12, 20)),
        disc((x - 0.03 * u, 0.52 * u), 0.13 * u, (90, 120, 150), outline=False),
        Stroke((x - 0.1 * u, 0.5 * u), (x + 0.03 * u, 0.47 * u), 0.018 * u, (170, 186, 200), outline=False),
        Stroke((x - 0.08 * u, 0.57 * u), (x + 0.02 * u, 0.58 * u), 0.024 * u, (110, 132, 112), outline=False),
    ]


def _lockers(x: float, u: float) -> list[Stroke]:
    found = []
    for dx in (-0.24, 0.0, 0.24):
        handle = x + (dx + 0.05) * u
        found += [
            Stroke((x + dx * u, 0.3 * u), (x + dx * u, 0.66 * u), 0.105 * u, (104, 116, 136), True),
            Stroke((handle, 0.42 * u), (handle, 0.52 * u), 0.012 * u, (200, 204, 210)),
        ]
    return found


def _bags(x: float, u: float) -> list[Stroke]:
    found = []
    for dx, y, half in ((-0.2, 0.4, 0.11), (0.08, 0.36, 0.1), (-0.06, 0.62, 0.12), (0.22, 0.6, 0.09)):
        at = (x + dx * u, y * u)
        found.append(Stroke((at[0] - 0.04 * u, at[1]), (at[0] + 0.04 * u, at[1]), half * u, (190, 188, 180)))
    for dx in (-0.15, 0.15):
        found.append(Stroke((x + dx * u, 0.22 * u), (x + dx * u, 0.76 * u), 0.014 * u, (70, 80, 70), True, False))
    return found


def _screens(x: float, u: float) -> list[Stroke]:
    found = []
    for dx in (-0.25, 0.0, 0.25):
        cx = x + dx * u
        found.append(Stroke((cx - 0.1 * u, 0.42 * u), (cx + 0.1 * u, 0.42 * u), 0.085 * u, (16, 24, 26), True))
        points = [(cx + (k - 2) * 0.042 * u, (0.42 + (0.03 if k % 2 else -0.03)) * u) for k in range(5)]
        found += [Stroke(a, b, 0.007 * u, (120, 176, 128), outline=False) for a, b in pairwise(points)]
    return found


def _hatch(x: float, u: float) -> list[Stroke]:
    return [
        disc((x, 0.5 * u), 0.3 * u, (116, 112, 110)),
        disc((x, 0.5 * u), 0.25 * u, (44, 44, 52)),
        disc((x + 0.02 * u, 0.5 * u), 0.14 * u, (72, 72, 82), outline=False),
    ]


_FEATURES = {"window": _window, "lockers": _lockers, "bags": _bags, "screens": _screens, "hatch": _hatch}


def _scale_brightness(color: Color, factor: float) -> Color:
    red, green, blue = (min(255, int(channel * factor)) for channel in color)
    return red, green, blue
