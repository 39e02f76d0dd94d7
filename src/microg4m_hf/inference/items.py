"""The work of a run: clips with what is asked about each, so that a clip is opened and encoded once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import RecipeError


@dataclass(frozen=True)
class Query:
    """One thing to say about a clip; ``question`` is None for a caption."""

    id: str
    question: str | None = None


@dataclass(frozen=True)
class ClipQueries:
    """A clip and everything asked about it."""

    video: Any  # what ``open_clip`` takes
    video_id: str
    queries: tuple[Query, ...]


def group_queries(task: str, rows: Iterable[Mapping[str, Any]]) -> list[ClipQueries]:
    """Group ``caption`` or ``vqa`` rows by clip, sorted by name; a clip with two captions is captioned once.

    >>> rows = [{"video_id": "a_001", "video": None, "question_id": "a_001_q0", "question": "Who?"}]
    >>> group_queries("vqa", rows)[0].queries
    (Query(id='a_001_q0', question='Who?'),)
    """
    videos: dict[str, Any] = {}
    queries: dict[str, dict[str, Query]] = {}
    for row in rows:
        name = row["video_id"]
        videos.setdefault(name, row.get("video"))
        query = Query(name) if task == "caption" else Query(row["question_id"], row["question"])
        queries.setdefault(name, {})[query.id] = query
    return [ClipQueries(videos[name], name, tuple(queries[name].values())) for name in sorted(videos)]


def fingerprint_queries(work: Iterable[ClipQueries]) -> str:
    """Short name of what is asked about which clips, wherever the clips lie.

    >>> fingerprint_queries([ClipQueries(None, "a_001", (Query("a_001"),))])
    '04212d63a06b0334'
    """
    digest = hashlib.sha256()
    for clip in work:
        digest.update(json.dumps([clip.video_id, [[query.id, query.question] for query in clip.queries]]).encode())
    return digest.hexdigest()[:16]


def still_to_do(work: Iterable[ClipQueries], done: Mapping[str, Mapping[str, Any]], retry: bool) -> list[ClipQueries]:
    """The clips with what is missing about them; failed items count as done unless they are to be retried."""
    left = []
    for clip in work:
        queries = tuple(query for query in clip.queries if not _finished(done.get(query.id), retry))
        if queries:
            left.append(ClipQueries(clip.video, clip.video_id, queries))
    return left


def share_of(work: list[ClipQueries], rank: int, world: int) -> list[ClipQueries]:
    """Every ``world``-th clip: neighbours are alike in length and questions, so shares are balanced.

    >>> [clip.video_id for clip in share_of([ClipQueries(None, name, ()) for name in "abc"], 0, 2)]
    ['a', 'c']
    """
    return work[rank::world]


def _finished(record: Mapping[str, Any] | None, retry: bool) -> bool:
    return record is not None and (record["status"] == "ok" or not retry)


# Named prompt sets: what the model is told, part of every run's settings and of its predictions' header.


@dataclass(frozen=True)
class PromptSet:
    """System text, the instruction of a caption, and the frame around a question (``{question}``)."""

    system: str | None
    caption: str
    question: str


PROMPTS: dict[str, PromptSet] = {
    "default": PromptSet(
        system=None,
        caption="Describe in one or two sentences what the people in this video do, and where they are.",
        question="{question}\nAnswer in a few words. If the video does not show it, answer: Not mentioned.",
    ),
    "expert": PromptSet(
        system=(
            "You watch short clips of people in microgravity, from space missions and films. Nothing falls, and "
            "no direction is up. Say only what can be seen."
        ),
        caption="Describe in two or three sentences the people, what they wear, hold and do, and their surroundings.",
        question="{question}\nAnswer in a few words. If the video does not show it, answer: Not mentioned.",
    ),
    "plain": PromptSet(system=None, caption="Describe this video.", question="{question}"),
}

# Frames per clip in the published tables, by a part of the model's name.
PAPER_FRAMES = {
    "video-chatgpt": 3,
    "mplug-owl3": 3,
    "llava-next": 8,
    "video-llava": 8,
    "qwen2.5-vl": 9,
    "internvideo": 90,
    "gpt-4o": 6,
    "gemini-1.5": 16,
}


def prompt_set(name: str) -> PromptSet:
    """A prompt set by name.

    >>> prompt_set("plain").caption
    'Describe this video.'
    """
    if name not in PROMPTS:
        raise RecipeError(f"there is no prompt set {name!r}; there are {', '.join(PROMPTS)}")
    return PROMPTS[name]


def paper_frames(model: str) -> int | None:
    """How many frames the published row of a model used, or None for a model without one.

    >>> paper_frames("Qwen/Qwen2.5-VL-7B-Instruct")
    9
    """
    lowered = model.lower()
    return next((frames for part, frames in PAPER_FRAMES.items() if part in lowered), None)


# What a run of a vision-language model is: every setting that can change an answer, and its fingerprint.


_KEYS = {"frame_sampling": "pick", "quantization": "quantisation"}  # the names that run folders have always used


@dataclass(frozen=True)
class TextSettings:
    """Two runs with equal settings give equal predictions; speed and place of the work are not among them."""

    task: str  # "caption" or "vqa"
    model: str  # a Hub id, a folder, the name of a served model, or a baseline
    runner: str = "local"  # "local", "api", "isolated", "blind" or "majority"
    revision: str | None = None
    weights: str = ""  # commit of the Hub repository or digest of the folder: a branch may move, a folder change
    prompts: str = "default"
    frames: int = 8
    frame_sampling: str = "uniform"
    max_new_tokens: int = 256
    temperature: float = 0.0
    seed: int = 0
    dtype: str = "auto"
    attention: str | None = None
    quantization: str | None = None
    data: str = ""  # fingerprint of the data the items come from
    as_images: bool = False  # frames as single images also for models that take video
    image_side: int | None = None  # the longer side of a frame as it is sent to a server; None: as it was decoded
    image_detail: str | None = None  # what a server is told about the images: "low", "high" or "auto"
    adapter: str | None = None  # how the isolated runner talks to the model

    def __post_init__(self) -> None:
        if self.task not in ("caption", "vqa"):
            raise RecipeError(f"task is {self.task!r}, it can be 'caption' or 'vqa'")
        if self.frames < 1 or self.max_new_tokens < 1:
            raise RecipeError(
                f"frames and max_new_tokens must be at least 1, given {self.frames}, {self.max_new_tokens}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the settings under the keys of ``settings.json``."""
        return {_KEYS.get(name, name): value for name, value in asdict(self).items()}

    @property
    def fingerprint(self) -> str:
        """Short name of these settings; every finished item carries it.

        >>> TextSettings("vqa", "m").fingerprint == TextSettings("vqa", "m").fingerprint
        True
        >>> TextSettings("vqa", "m").fingerprint == TextSettings("vqa", "m", frames=9).fingerprint
        False
        """
        text = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
