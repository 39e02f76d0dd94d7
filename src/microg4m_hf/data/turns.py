"""Turns of a clip: rotate frames by quarter turns, mirror them, and move boxes with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..errors import RecipeError

QUARTERS = (1, 2, 4)  # how many turns a model can be asked under: upright, with its half turn, all quarter turns


class Turn(NamedTuple):
    """A rotation in degrees clockwise, after mirroring left to right if asked."""

    degrees: int
    mirrored: bool = False

    @property
    def name(self) -> str:
        return f"{self.degrees}°{', mirrored' if self.mirrored else ''}"


UPRIGHT = Turn(0)
TURNS = (UPRIGHT, Turn(90), Turn(180), Turn(270), Turn(0, mirrored=True))  # of the orientation probe


def quarter_turns(count: int, mirror: bool = False) -> tuple[Turn, ...]:
    """Return the turns under which a model is asked at test time, upright first.

    Args:
        count: 1 for upright only, 2 to add the half turn, 4 for all quarter turns.
        mirror: Add the mirror image of each.

    Raises:
        RecipeError: There are no such turns.

    Example:
        >>> [turn.name for turn in quarter_turns(2, mirror=True)]
        ['0°', '180°', '0°, mirrored', '180°, mirrored']
    """
    if count not in QUARTERS:
        raise RecipeError(f"{count} turns do not divide a circle into quarter turns; give 1, 2 or 4")
    turns = tuple(Turn(360 // count * number) for number in range(count))
    return turns + tuple(Turn(turn.degrees, mirrored=True) for turn in turns) * mirror


def turn_frames(frames: np.ndarray, turn: Turn) -> np.ndarray:
    """Rotate frames ``(T, H, W, 3)``; a quarter turn swaps height and width.

    >>> one = np.arange(4).reshape(1, 2, 2, 1)
    >>> turn_frames(one, Turn(90))[0, :, :, 0].tolist()
    [[2, 0], [3, 1]]
    """
    frames = frames[:, :, ::-1] if turn.mirrored else frames
    return np.rot90(frames, -turn.degrees // 90, axes=(1, 2))


def turn_boxes(boxes: np.ndarray, turn: Turn) -> np.ndarray:
    """Rotate normalized xyxy boxes together with their frames.

    >>> turn_boxes(np.array([[0.0, 0.0, 0.25, 0.5]]), Turn(90)).tolist()
    [[0.5, 0.0, 1.0, 0.25]]
    >>> turn_boxes(np.array([[0.0, 0.0, 0.25, 0.5]]), Turn(0, mirrored=True)).tolist()
    [[0.75, 0.0, 1.0, 0.5]]
    """
    x1, y1, x2, y2 = np.asarray(boxes).reshape(-1, 4).T
    if turn.mirrored:
        x1, x2 = 1 - x2, 1 - x1
    for _ in range(turn.degrees // 90 % 4):
        x1, y1, x2, y2 = 1 - y2, x1, 1 - y1, x2
    return np.stack([x1, y1, x2, y2], axis=1)


def describe_turns(turns: Sequence[Turn]) -> str:
    """Return the names of turns in one phrase.

    >>> describe_turns(quarter_turns(4))
    '0°, 90°, 180° and 270°'
    """
    *most, last = (turn.name.replace(",", "") for turn in turns)
    return " and ".join(part for part in (", ".join(most), last) if part)
