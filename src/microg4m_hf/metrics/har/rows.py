"""``ActionRows``: one row per box and action. Predictions and references of every form are read into it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ...errors import DataError, Origin, PredictionError
from ..results import short_digest

FRAME_LIMIT = 1 << 31


@dataclass(frozen=True)
class ActionRows:
    """Columns of equal length, one row per box and action."""

    video: np.ndarray  # index into `videos`
    videos: tuple[str, ...]
    frame: np.ndarray
    box: np.ndarray  # (rows, 4): x1, y1, x2, y2 as fractions of width and height
    action: np.ndarray  # released ids, 1..80
    score: np.ndarray | None = None
    person: np.ndarray | None = None  # index of a person within the clip, -1 where unknown
    domain: np.ndarray | None = None  # per video, where the input has it
    origin: Origin = Origin("rows")  # noqa: RUF009 (it is frozen)
    first_line: int | None = None  # of the file, where row 0 was read
    columns: int | None = None  # classes per box, where the input was a matrix of scores

    def __len__(self) -> int:
        return len(self.action)

    @property
    def key(self) -> np.ndarray:
        """One number per video and frame."""
        return self.video.astype(np.int64) * FRAME_LIMIT + self.frame

    @cached_property
    def digest(self) -> str:
        """Twelve hex digits that stand for the labels: equal for equal references, whatever they were read from.

        They do not depend on the order of the rows or on how persons are numbered, but on every clip, frame, box (as
        float32, the type of dataset rows), action and repeated label, and on which labels belong to one person.
        """
        persons: dict[tuple[Any, ...], list[int]] = {}
        names = [self.videos[code] for code in self.video.tolist()]
        boxes = np.ascontiguousarray(self.box, dtype="<f4") + np.float32(0)  # -0.0 becomes 0.0
        numbers = [0] * len(self) if self.person is None else self.person.tolist()
        columns = (names, self.frame.tolist(), [box.tobytes() for box in boxes], numbers, self.action.tolist())
        for *person, action in zip(*columns, strict=True):
            persons.setdefault(tuple(person), []).append(action)
        # Without the numbers of persons, so that references without them are equal unless two persons share a box.
        lines = sorted((*person[:3], sorted(actions)) for person, actions in persons.items())
        text = "\n".join(f"{name}\t{frame}\t{box.hex()}\t{actions}" for name, frame, box, actions in lines)
        return short_digest(text)

    def take(self, index: np.ndarray) -> ActionRows:
        """Return the rows at ``index``, in that order."""
        columns = {name: getattr(self, name) for name in ("video", "frame", "box", "action", "score", "person")}
        taken: dict[str, Any] = {name: None if column is None else column[index] for name, column in columns.items()}
        return replace(self, first_line=None, **taken)

    def where(self, row: int) -> str:
        """Describe one row for a message."""
        place = f"row {row}" if self.first_line is None else f"line {row + self.first_line}"
        return f"{self.origin.name}, {place}, clip {self.videos[self.video[row]]!r}, frame {int(self.frame[row])}"

    def error(self, problem: str, hint: str, *, row: int | None = None) -> PredictionError | DataError:
        """Return the error to raise about all rows, or about one."""
        origin = self.origin if row is None else replace(self.origin, name=self.where(row))
        return origin.error(problem, hint)

    def check(self, valid: np.ndarray, problem: str, hint: str) -> None:
        """Raise an error about the first invalid row; ``problem`` may name {box}, {action}, {score} and {count}."""
        if not valid.all():
            row, count = int(valid.argmin()), int((~valid).sum())
            score = None if self.score is None else float(self.score[row])
            box, action = self.box[row].tolist(), int(self.action[row])
            raise self.error(problem.format(box=box, action=action, score=score, count=count), hint, row=row)


def share_videos(predictions: ActionRows, references: ActionRows) -> ActionRows:
    """Give the predictions the video codes of the references; clips that the references lack come after theirs."""
    if predictions.videos == references.videos:
        return predictions
    code_of = {video: code for code, video in enumerate(references.videos)}
    codes = [code_of.setdefault(video, len(code_of)) for video in predictions.videos]
    return replace(predictions, video=np.array(codes, dtype=np.int64)[predictions.video], videos=tuple(code_of))


def encode_keys(*keys: np.ndarray) -> list[np.ndarray]:
    """Replace large integers by small ones, alike in all arrays.

    >>> [codes.tolist() for codes in encode_keys(np.array([9, 9, 4]), np.array([4, 7]))]
    [[2, 2, 0], [0, 1]]
    """
    # Rows of one frame stand together, so runs of equal keys are compared instead of rows.
    begins = [np.flatnonzero(np.r_[True, key[1:] != key[:-1]]) if key.size else np.empty(0, int) for key in keys]
    runs = [key[begin] for key, begin in zip(keys, begins, strict=True)]
    _, code = np.unique(np.concatenate(runs), return_inverse=True)
    parts = np.split(code, np.cumsum([run.size for run in runs])[:-1])
    return [
        np.repeat(part, np.diff(np.r_[begin, key.size])) for part, begin, key in zip(parts, begins, keys, strict=True)
    ]
