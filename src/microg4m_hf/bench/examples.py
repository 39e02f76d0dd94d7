"""Clips on which a system is best and worst, with the frame that is scored, its boxes, and what was said."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..clip_ids import source_of
from ..data import open_clip
from ..errors import ClipError
from ..taxonomy import ACTIONS
from .box_scores import BoxScores, named_first
from .render.document import Example

_SIDE = 320  # width of a picture on the page


def action_examples(boxes: BoxScores, clips: Mapping[str, Path], count: int = 3) -> tuple[list[Example], list[Example]]:
    """The persons whose true actions are ranked lowest and highest, of different films: ``(worst, best)``."""
    labelled = np.flatnonzero(boxes.truth.any(axis=1))
    quality = np.array([ranking_quality(boxes.scores[row], boxes.truth[row]) for row in labelled])
    several = boxes.truth[labelled].sum(axis=1)
    worst = _of_different_films(boxes.video, labelled[np.lexsort((labelled, quality))], count)
    best = _of_different_films(boxes.video, labelled[np.lexsort((labelled, -several, -quality))], count)
    named = named_first(boxes)
    return tuple([_action_example(boxes, named, row, clips) for row in rows] for rows in (worst, best))  # type: ignore[return-value]


def ranking_quality(scores: np.ndarray, truth: np.ndarray) -> float:
    """Average precision of one person's ranking of actions.

    >>> ranking_quality(np.array([3.0, 2.0, 1.0]), np.array([True, False, True]))
    0.8333333333333333
    """
    hit = truth[np.argsort(-scores, kind="stable")]
    places = np.flatnonzero(hit) + 1
    return float(np.mean(np.arange(1, places.size + 1) / places))


def _of_different_films(videos: list[str], order: np.ndarray, count: int) -> list[int]:
    chosen: list[int] = []
    films: set[str] = set()
    for row in order:
        film = source_of(videos[row])
        if film not in films:
            films.add(film)
            chosen.append(int(row))
        if len(chosen) == count:
            break
    return chosen


def _action_example(boxes: BoxScores, named: np.ndarray, row: int, clips: Mapping[str, Path]) -> Example:
    video, frame = boxes.video[row], int(boxes.frame[row])
    true = [ACTIONS[label].name for label in np.flatnonzero(boxes.truth[row])]
    order = np.argsort(-boxes.scores[row], kind="stable")
    said = [f"{ACTIONS[label].name} ({boxes.chances[row, label]:.2f})" for label in order[: max(3, len(true))]]
    others = [place for place in range(len(boxes.video)) if boxes.video[place] == video and boxes.frame[place] == frame]
    drawn = [boxes.box[place] for place in others if place != row] + [boxes.box[row]]
    hits = int((named[row] & boxes.truth[row]).sum())
    return Example(
        f"{video}, frame {frame}",
        [("true", ", ".join(true)), ("ranked first", ", ".join(said)), ("found", f"{hits} of {len(true)}")],
        picture(clips.get(video), frame - 1, drawn),
        f"Frame {frame} of clip {video} with {len(drawn)} boxes; the thick one marks the person",
    )


def text_examples(
    texts: list[tuple[Any, str, str]], values: list[float], clips: Mapping[str, Path], count: int = 3
) -> tuple[list[Example], list[Example]]:
    """The items with the lowest and the highest value, of different films: ``(worst, best)``."""
    videos = [key[0] if isinstance(key, (tuple, list)) else key for key, _, _ in texts]
    order = np.argsort(np.asarray(values), kind="stable")
    found = []
    for rows in (_of_different_films(videos, order, count), _of_different_films(videos, order[::-1], count)):
        examples = []
        for row in rows:
            key, said, meant = texts[row]
            question = [("question", key[1])] if isinstance(key, (tuple, list)) else []
            lines = [*question, ("said", said or "(nothing)"), ("true", meant), ("ROUGE-L", f"{100 * values[row]:.1f}")]
            image = picture(clips.get(videos[row]), None, [])
            examples.append(Example(videos[row], lines, image, f"Middle frame of clip {videos[row]}"))
        found.append(examples)
    return found[0], found[1]


def picture(path: Path | None, index: int | None, boxes: list[np.ndarray]) -> bytes | None:
    """A frame as a small JPEG with boxes, the last of them thick; None when the clip is not at hand."""
    if path is None or not path.is_file():
        return None
    from PIL import Image, ImageDraw

    try:
        with open_clip(path) as clip:
            place = len(clip) // 2 if index is None else min(max(index, 0), len(clip) - 1)
            image = Image.fromarray(clip.frames([place])[0])
    except ClipError:
        return None
    image = image.resize((_SIDE, round(_SIDE * image.height / image.width)))
    pen = ImageDraw.Draw(image)
    for number, box in enumerate(boxes, start=1):
        corners = (np.asarray(box) * [image.width, image.height, image.width, image.height]).round().tolist()
        corners = [min(corners[0], corners[2]), min(corners[1], corners[3]), *map(max, corners[:2], corners[2:])]
        # A dark edge around a light line shows on every background.
        width = 3 if number == len(boxes) else 1
        pen.rectangle(corners, outline="#000000", width=width + 2)
        pen.rectangle(corners, outline="#ffd400" if number == len(boxes) else "#ffffff", width=width)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()
