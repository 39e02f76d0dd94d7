"""The work of a run: clips with what is asked about each, so that a clip is opened and encoded once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Ask:
    """One thing to say about a clip; ``question`` is None for a caption."""

    id: str
    question: str | None = None


@dataclass(frozen=True)
class ClipWork:
    """A clip and everything asked about it."""

    video: Any  # what ``open_clip`` takes
    video_id: str
    asks: tuple[Ask, ...]


def clip_work(task: str, rows: Iterable[Mapping[str, Any]]) -> list[ClipWork]:
    """Group ``caption`` or ``vqa`` rows by clip, sorted by name; a clip with two captions is captioned once.

    >>> rows = [{"video_id": "a_001", "video": None, "question_id": "a_001_q0", "question": "Who?"}]
    >>> clip_work("vqa", rows)[0].asks
    (Ask(id='a_001_q0', question='Who?'),)
    """
    videos: dict[str, Any] = {}
    asks: dict[str, dict[str, Ask]] = {}
    for row in rows:
        name = row["video_id"]
        videos.setdefault(name, row.get("video"))
        ask = Ask(name) if task == "caption" else Ask(row["question_id"], row["question"])
        asks.setdefault(name, {})[ask.id] = ask
    return [ClipWork(videos[name], name, tuple(asks[name].values())) for name in sorted(videos)]


def fingerprint_of(work: Iterable[ClipWork]) -> str:
    """Short name of what is asked about which clips, wherever the clips lie.

    >>> fingerprint_of([ClipWork(None, "a_001", (Ask("a_001"),))])
    '04212d63a06b0334'
    """
    digest = hashlib.sha256()
    for clip in work:
        digest.update(json.dumps([clip.video_id, [[ask.id, ask.question] for ask in clip.asks]]).encode())
    return digest.hexdigest()[:16]


def still_to_do(work: Iterable[ClipWork], done: Mapping[str, Mapping[str, Any]], retry: bool) -> list[ClipWork]:
    """The clips with what is missing about them; failed items count as done unless they are to be retried."""
    left = []
    for clip in work:
        asks = tuple(ask for ask in clip.asks if not _finished(done.get(ask.id), retry))
        if asks:
            left.append(ClipWork(clip.video, clip.video_id, asks))
    return left


def share_of(work: list[ClipWork], rank: int, world: int) -> list[ClipWork]:
    """Every ``world``-th clip: neighbours are alike in length and questions, so shares are balanced.

    >>> [clip.video_id for clip in share_of([ClipWork(None, name, ()) for name in "abc"], 0, 2)]
    ['a', 'c']
    """
    return work[rank::world]


def _finished(record: Mapping[str, Any] | None, retry: bool) -> bool:
    return record is not None and (record["status"] == "ok" or not retry)
