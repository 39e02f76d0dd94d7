"""Examples for a report: the clips on which a run is best and worst, with their frame and boxes."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..clip_ids import source_of
from ..data import open_clip
from ..errors import ClipError
from ..taxonomy import ACTIONS
from .box_scores import BoxScores, top_actions
from .render.document import ClipExample
from .render.formatting import explorer_link

_WIDTH = 320  # of a picture on the page, in pixels


def action_examples(
    boxes: BoxScores, clips: Mapping[str, Path], count: int = 3
) -> tuple[list[ClipExample], list[ClipExample]]:
    """Return the persons whose true actions are ranked lowest and highest, from different films: ``(worst, best)``.

    Nobody is in both, and nobody whose true actions are all ranked first is among the worst.
    """
    labeled = np.flatnonzero(boxes.labels.any(axis=1))
    quality = np.array([ranking_quality(boxes.scores[row], boxes.labels[row]) for row in labeled])
    several = boxes.labels[labeled].sum(axis=1)
    order = np.lexsort((labeled, quality))
    worst = _of_different_films(boxes.video, labeled[order[quality[order] < 1]], count)
    order = labeled[np.lexsort((labeled, -several, -quality))]
    best = _of_different_films(boxes.video, order[~np.isin(order, worst)], count)
    top = top_actions(boxes)
    return tuple([_action_example(boxes, top, row, clips) for row in rows] for rows in (worst, best))  # type: ignore[return-value]


def ranking_quality(scores: np.ndarray, is_true: np.ndarray) -> float:
    """Return the average precision of one person's ranking of actions.

    >>> ranking_quality(np.array([3.0, 2.0, 1.0]), np.array([True, False, True]))
    0.8333333333333333
    """
    hit = is_true[np.argsort(-scores, kind="stable")]
    places = np.flatnonzero(hit) + 1
    return float(np.mean(np.arange(1, places.size + 1) / places))


def _why(scores: np.ndarray, is_true: np.ndarray) -> str:
    """Say how the true actions of a person are ranked."""
    rank = np.empty(scores.size, dtype=int)
    rank[np.argsort(-scores, kind="stable")] = np.arange(1, scores.size + 1)
    places = rank[is_true]
    if places.max() == is_true.sum():
        return (
            "the true action is ranked first"
            if places.size == 1
            else f"all {places.size} true actions lead the ranking"
        )
    last = np.flatnonzero(is_true)[np.argmax(places)]
    return f"“{ACTIONS[last].name}” is ranked {places.max()} of {scores.size}"


def _of_different_films(videos: list[str], order: Sequence[int] | np.ndarray, count: int) -> list[int]:
    selected: list[int] = []
    films: set[str] = set()
    for row in order:
        film = source_of(videos[row])
        if film not in films:
            films.add(film)
            selected.append(int(row))
        if len(selected) == count:
            break
    return selected


def _action_example(boxes: BoxScores, top: np.ndarray, row: int, clips: Mapping[str, Path]) -> ClipExample:
    video, frame = boxes.video[row], int(boxes.frame[row])
    true = [ACTIONS[label].name for label in np.flatnonzero(boxes.labels[row])]
    order = np.argsort(-boxes.scores[row], kind="stable")
    ranked = [f"{ACTIONS[label].name} ({boxes.probabilities[row, label]:.2f})" for label in order[: max(3, len(true))]]
    others = [place for place in range(len(boxes.video)) if boxes.video[place] == video and boxes.frame[place] == frame]
    drawn = [boxes.box[place] for place in others if place != row] + [boxes.box[row]]
    hits = int((top[row] & boxes.labels[row]).sum())
    return ClipExample(
        f"{video}, frame {frame}",
        [
            ("true", ", ".join(true)),
            ("top-ranked", ", ".join(ranked)),
            ("found", f"{hits} of {len(true)}"),
            ("why", _why(boxes.scores[row], boxes.labels[row])),
        ],
        render_frame(clips.get(video), frame - 1, drawn),
        f"Frame {frame} of clip {video} with {len(drawn)} boxes; the thick one marks the person",
        explorer_link(clip=video),
        video,
    )


def text_examples(
    texts: list[tuple[Any, str, str]], values: list[float], clips: Mapping[str, Path], count: int = 3
) -> tuple[list[ClipExample], list[ClipExample]]:
    """Return the items with the lowest and the highest value, from different films: ``(worst, best)``."""
    videos = [key[0] if isinstance(key, (tuple, list)) else key for key, _, _ in texts]
    order = np.argsort(np.asarray(values), kind="stable")
    lower, upper = order[: order.size // 2], order[order.size // 2 :][::-1]  # no item is in both
    found = []
    for rows in (_of_different_films(videos, lower, count), _of_different_films(videos, upper, count)):
        examples = []
        for row in rows:
            key, predicted, expected = texts[row]
            question = [("question", key[1])] if isinstance(key, (tuple, list)) else []
            lines = [
                *question,
                ("prediction", predicted or "(empty)"),
                ("reference", expected),
                ("ROUGE-L", f"{100 * values[row]:.1f}"),
                ("why", _shared_words(predicted, expected)),
            ]
            image = render_frame(clips.get(videos[row]), None, [])
            examples.append(
                ClipExample(
                    videos[row],
                    lines,
                    image,
                    f"Middle frame of clip {videos[row]}",
                    explorer_link(clip=videos[row]),
                    videos[row],
                )
            )
        found.append(examples)
    return found[0], found[1]


def _shared_words(predicted: str, expected: str) -> str:
    """Say how many words of the reference a text has.

    >>> _shared_words("A crew eats.", "The crew sleeps.")
    '1 of 3 words of the reference, in a text of 3'
    """
    own, other = (
        ["".join(filter(str.isalnum, word)) for word in text.lower().split()] for text in (predicted, expected)
    )
    return f"{sum(word in own for word in other)} of {len(other)} words of the reference, in a text of {len(own)}"


def render_frame(path: Path | None, index: int | None, boxes: list[np.ndarray]) -> bytes | None:
    """Draw boxes, the last one thick, on a frame and return it as JPEG; ``None`` when the clip cannot be read."""
    if path is None or not path.is_file():
        return None
    from PIL import Image, ImageDraw

    try:
        with open_clip(path) as clip:
            place = len(clip) // 2 if index is None else min(max(index, 0), len(clip) - 1)
            image = Image.fromarray(clip.frames([place])[0])
    except ClipError:
        return None
    image = image.resize((_WIDTH, round(_WIDTH * image.height / image.width)))
    pen = ImageDraw.Draw(image)
    for number, box in enumerate(boxes, start=1):
        corners = (np.asarray(box) * [image.width, image.height, image.width, image.height]).round().tolist()
        corners = [min(corners[0], corners[2]), min(corners[1], corners[3]), *map(max, corners[:2], corners[2:])]
        # A light line with a dark edge is visible on every background.
        width = 3 if number == len(boxes) else 1
        pen.rectangle(corners, outline="#000000", width=width + 2)
        pen.rectangle(corners, outline="#ffd400" if number == len(boxes) else "#ffffff", width=width)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()
