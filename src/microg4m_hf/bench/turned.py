"""Clips turned by quarters and mirrored, boxes with them: what weightlessness does to "up"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ..training.dataset import KeyFrame, KeyFrameWindows
from ..training.recipe import Data


class Turn(NamedTuple):
    """Mirrored left to right or not, then turned clockwise."""

    degrees: int
    mirrored: bool = False

    @property
    def name(self) -> str:
        return f"{self.degrees}°{', mirrored' if self.mirrored else ''}"


TURNS = (Turn(0), Turn(90), Turn(180), Turn(270), Turn(0, mirrored=True))


def turn_frames(frames: np.ndarray, turn: Turn) -> np.ndarray:
    """Frames ``(T, H, W, 3)`` turned; a quarter swaps height and width.

    >>> one = np.arange(4).reshape(1, 2, 2, 1)
    >>> turn_frames(one, Turn(90))[0, :, :, 0].tolist()
    [[2, 0], [3, 1]]
    """
    shown = frames[:, :, ::-1] if turn.mirrored else frames
    return np.rot90(shown, -turn.degrees // 90, axes=(1, 2))


def turn_boxes(boxes: np.ndarray, turn: Turn) -> np.ndarray:
    """Normalised xyxy boxes where the turned picture has them.

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


class TurnedWindows(KeyFrameWindows):
    """The windows of key frames, every one turned alike."""

    def __init__(self, items: Sequence[KeyFrame], data: Data, turn: Turn, **options: Any) -> None:
        moved = [replace(item, boxes=turn_boxes(item.boxes, turn).astype(np.float32)) for item in items]
        super().__init__(moved, data, **options)
        self.turn = turn

    def _frames(self, item: KeyFrame) -> np.ndarray:
        return turn_frames(super()._frames(item), self.turn)
