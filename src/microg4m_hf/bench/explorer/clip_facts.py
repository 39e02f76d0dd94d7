"""What the player in the browser must know of a clip: when each frame shows, and where each person is in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...data import open_clip
from ...errors import ClipError
from .catalogue import Catalogue

COLOURS = 6  # how many colours the style sheet has for persons


@dataclass(frozen=True)
class ClipFacts:
    """A clip with its file, or with the reason why it cannot be played."""

    video_id: str
    place: int
    row: dict[str, Any]
    file: Path | None
    trouble: str | None
    times: list[float] = field(default_factory=list)  # seconds at which frame 1, 2, … begins
    size: tuple[int, int] | None = None

    @property
    def persons(self) -> list[dict[str, Any]]:
        """The persons as the ``har`` config gives them."""
        return self.row["persons"]

    @property
    def last_frame(self) -> int:
        """Frames are numbered from 1, as in the annotations."""
        said = [frame for one in self.persons for frame in (*one["frames"], one["key_frame"]) if frame is not None]
        return max([len(self.times), *said, 1])

    def for_player(self) -> dict[str, Any]:
        """Numbers alone, ready for JSON."""
        return {
            "times": [round(time, 5) for time in self.times],
            "last": self.last_frame,
            "people": [
                {
                    "id": one["person_id"],
                    "colour": number % COLOURS,
                    "key": one["key_frame"],
                    "keyBox": _rounded(one["key_box"]) if len(one["key_box"]) == 4 else None,
                    "frames": list(one["frames"]),
                    "boxes": [_rounded(box) for box in one["boxes"]],
                }
                for number, one in enumerate(self.persons)
            ],
        }


def clip_facts(catalogue: Catalogue, place: int) -> ClipFacts:
    """Look a clip up; its file is opened to learn when its frames show, and decoded by nobody."""
    video_id = catalogue.ids[place]
    file, times, size = catalogue.clip_file(video_id), [], catalogue.frame_size(place)
    trouble = None if file else "The clip is not at hand"
    if file:
        try:
            with open_clip(file) as clip:
                times, size = clip.times().tolist(), (clip.width, clip.height)
        except ClipError as error:
            trouble, file = f"The clip cannot be played: {' '.join(str(error).split())}", None
    return ClipFacts(video_id, place, catalogue.row(place), file, trouble, times, size)


def _rounded(box: list[float]) -> list[float]:
    return [round(float(value), 5) for value in box]
