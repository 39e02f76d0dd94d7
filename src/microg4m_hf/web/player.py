"""The player of a clip: the video, the boxes of the frame that is shown, a timeline of tracks, and frame controls."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from ..data import open_clip
from ..errors import ClipError
from .html import clip_address, thumbnail_address

COLORS = 6  # colors for persons in the style sheet
_DEFAULT_SIZE = (16, 9)  # of a clip whose frame size is unknown


@dataclass(frozen=True)
class PlayerTrack:
    """The boxes of one person, as fractions of the frame."""

    person: int
    boxes: Mapping[int, Sequence[float]]  # by frame, from 1
    key_frame: int | None = None
    key_box: Sequence[float] | None = None


def read_times(file: Path) -> tuple[list[float], tuple[int, int] | None, str | None]:
    """Return when each frame of a clip begins and the size of the frames, without decoding any; or what is wrong.

    >>> read_times(Path("missing.mp4"))[:2]
    ([], None)
    """
    try:
        with open_clip(file) as clip:
            return clip.times().tolist(), (clip.width, clip.height), None
    except ClipError as error:
        return [], None, " ".join(str(error).split())


def render_player(
    video_id: str,
    tracks: Sequence[PlayerTrack],
    *,
    times: Sequence[float],
    last_frame: int,
    size: tuple[int, int] | None = None,
    has_video: bool = True,
    below: str = "",
) -> str:
    """Return the player of a clip as HTML, for a ``gradio.HTML`` with the script ``player.js``.

    Args:
        video_id: The name of the clip.
        tracks: The boxes of each person.
        times: The seconds at which frame 1, 2, … begins.
        last_frame: The last frame with a picture or a box.
        size: Width and height of the frames.
        has_video: Whether the clip can be played; if not, boxes are shown on an empty frame.
        below: HTML to show below the controls.

    Returns:
        The HTML.
    """
    data = escape(json.dumps(_facts(tracks, times, last_frame), separators=(",", ":")))
    width, height = size or _DEFAULT_SIZE
    video = ""
    if has_video:
        source, poster = clip_address(video_id), thumbnail_address(video_id)
        video = (
            f'<video controls loop muted playsinline preload="auto" src="{source}" poster="{poster}" '
            f'aria-label="Clip {escape(video_id)}"></video>'
        )
    key = next((track.key_frame for track in tracks if track.key_frame), 1)
    return (
        f'<div class="mg-player" data-clip="{escape(video_id)}" data-facts="{data}">'
        f'<div class="mg-stage" style="aspect-ratio:{width}/{height};--tall:{height / width:.4f}">{video}'
        '<div class="mg-boxes" aria-hidden="true"></div></div>'
        '<div class="mg-tools"><label class="mg-toggle"><input type="checkbox" checked> boxes</label>'
        '<button type="button" data-step="-1" aria-label="Previous frame">‹</button>'
        f'<input type="range" min="1" max="{last_frame}" value="{key}" step="1" aria-label="Frame">'
        '<button type="button" data-step="1" aria-label="Next frame">›</button>'
        f'<span class="mg-frame">frame {key}</span></div>{_timeline(tracks, last_frame)}{below}</div>'
    )


def _timeline(tracks: Sequence[PlayerTrack], last_frame: int) -> str:
    """Return a lane per person: where the person has boxes, and a button at the key frame."""
    lanes = ""
    for number, track in enumerate(tracks):
        name, parts, bars = f"Person {track.person}", _stretches(track.boxes), ""
        for first, last in parts:
            place = f"left:{100 * (first - 1) / last_frame:.2f}%;width:{100 * (last - first + 1) / last_frame:.2f}%"
            bars += f'<i style="{place}"></i>'
        if track.key_frame:
            key = f"key frame {track.key_frame}"
            place = f"left:{100 * (track.key_frame - 0.5) / last_frame:.2f}%"
            bars += f'<button type="button" data-frame="{track.key_frame}" style="{place}" title="{key}" '
            bars += f'aria-label="{name}, {key}"></button>'
        spoken = ", ".join(f"{first}" if first == last else f"{first} to {last}" for first, last in parts) or "none"
        lanes += (
            f'<li class="mg-color-{number % COLORS}"><span class="mg-mark" aria-hidden="true">{track.person}</span>'
            f'<span class="mg-hidden">{name}, frames with boxes: {spoken}</span>'
            f'<span class="mg-rail">{bars}</span></li>'
        )
    return f'<ol class="mg-timeline" aria-label="Tracks and key frames">{lanes}</ol>' if lanes else ""


def _stretches(frames: Iterable[int]) -> list[tuple[int, int]]:
    """Return the first and the last frame of every unbroken part of a track.

    >>> _stretches([4, 5, 6, 9])
    [(4, 6), (9, 9)]
    """
    found: list[tuple[int, int]] = []
    for frame in sorted(frames):
        if found and frame == found[-1][1] + 1:
            found[-1] = (found[-1][0], frame)
        else:
            found.append((frame, frame))
    return found


def _facts(tracks: Sequence[PlayerTrack], times: Sequence[float], last_frame: int) -> dict[str, Any]:
    """What the script needs to draw the boxes of a frame."""

    def rounded(box: Sequence[float]) -> list[float]:
        return [round(float(value), 5) for value in box]

    return {
        "times": [round(time, 5) for time in times],
        "last": last_frame,
        "people": [
            {
                "id": track.person,
                "color": number % COLORS,
                "key": track.key_frame,
                "keyBox": rounded(track.key_box) if track.key_box is not None else None,
                "frames": list(track.boxes),
                "boxes": [rounded(box) for box in track.boxes.values()],
            }
            for number, track in enumerate(tracks)
        ],
    }
