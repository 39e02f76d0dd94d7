"""Key frames as training items: one clip, one frame number, every person in it with box and actions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..taxonomy import NUM_ACTIONS


@dataclass(frozen=True)
class KeyFrame:
    """Everything about one item but its pixels."""

    video: Any  # what ``open_clip`` takes
    video_id: str
    frame: int  # as released: numbered from 1
    boxes: np.ndarray  # (persons, 4) normalised xyxy, float32
    labels: np.ndarray  # (persons, 50) 0 or 1, uint8
    person_ids: np.ndarray  # (persons,)
    domain: str | None = None


def key_frames(rows: Iterable[Mapping[str, Any]]) -> list[KeyFrame]:
    """Group the persons of ``har`` rows by clip and key frame; persons without a box have none and are left out.

    >>> row = {"video": None, "video_id": "a_001", "persons": [
    ...     {"person_id": 1, "actions": [0, 3], "key_frame": 52, "key_box": [0, 0, 1, 1]}]}
    >>> key_frames([row])[0].labels[0, :4].tolist()
    [1, 0, 0, 1]
    """
    items = []
    for row in rows:
        by_frame: dict[int, list[Mapping[str, Any]]] = {}
        for person in row["persons"]:
            if person["key_frame"] is not None and len(person["key_box"]):
                by_frame.setdefault(person["key_frame"], []).append(person)
        for frame, persons in sorted(by_frame.items()):
            labels = np.zeros((len(persons), NUM_ACTIONS), np.uint8)
            for place, person in enumerate(persons):
                labels[place, person["actions"]] = 1
            items.append(
                KeyFrame(
                    video=row.get("video"),
                    video_id=row["video_id"],
                    frame=frame,
                    boxes=np.asarray([person["key_box"] for person in persons], np.float32),
                    labels=labels,
                    person_ids=np.asarray([person["person_id"] for person in persons], np.int64),
                    domain=row.get("domain"),
                )
            )
    return items
