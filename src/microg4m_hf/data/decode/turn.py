"""Quarter turns and mirrors that a file asks for: phones store the sensor's picture and a matrix beside it."""

from __future__ import annotations

from typing import Any

from ...errors import ClipError
from .mp4 import UPRIGHT, Matrix


def turn_of(matrix: Matrix, name: str) -> Matrix:
    """The matrix reduced to signs; a ``ClipError`` for anything but quarter turns and mirrors.

    >>> turn_of((0, 65536, -65536, 0), "clip.mp4")
    (0, 1, -1, 0)
    """
    a, b, c, d = matrix
    straight, crossed = a and d and not b and not c, b and c and not a and not d
    if not straight and not crossed:
        if not any(matrix):
            return UPRIGHT  # some writers leave the field empty
        raise ClipError(f"{name}: asks for more than quarter turns (display matrix {matrix}); re-encode it upright")
    one, two, three, four = ((value > 0) - (value < 0) for value in matrix)
    return (one, two, three, four)


def degrees(turn: Matrix) -> int:
    """Clockwise turn in degrees (0, 90, 180, 270); a mirror counts as the turn that is left without it.

    >>> degrees((0, 1, -1, 0)), degrees((-1, 0, 0, -1)), degrees((0, -1, 1, 0)), degrees((1, 0, 0, -1))
    (90, 180, 270, 0)
    """
    a, b, _, d = turn
    if a or d:
        return 180 if a < 0 and d < 0 else 0
    return 90 if b > 0 else 270


def shown(picture: Any, turn: Matrix) -> Any:
    """The stored picture (height, width, 3) as it is to be seen; a view, nothing is copied.

    A stored point (x, y) is shown at (a·x + c·y, b·x + d·y).
    """
    if turn == UPRIGHT:
        return picture
    a, b, c, d = turn
    if b:
        picture = picture.swapaxes(0, 1)
    across, down = (c, b) if b else (a, d)
    return picture[:: 1 if down > 0 else -1, :: 1 if across > 0 else -1]
