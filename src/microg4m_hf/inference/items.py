"""What a text prediction run consists of: its settings, its prompts, and the queries about each clip."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..data.turns import QUARTERS, UPRIGHT, Turn, quarter_turns
from ..errors import RecipeError
from ..settings import Settings, setting
from .frames import get_frame_sampling

BASELINES = ("blind", "majority")  # values of ``TextSettings.model`` that need no model
RUNNERS = ("local", "api", "isolated", *BASELINES)


@dataclass(frozen=True)
class Query:
    """One text to generate about a clip: a caption, or the answer to ``question``."""

    id: str
    question: str | None = None


@dataclass(frozen=True)
class ClipQueries:
    """A clip and all queries about it, kept together so that the clip is decoded and encoded once."""

    video: Any  # whatever ``microg4m_hf.data.open_clip`` accepts
    video_id: str
    queries: tuple[Query, ...]
    turn: Turn = UPRIGHT  # how its frames are turned before a model sees them


def group_queries(task: str, rows: Iterable[Mapping[str, Any]]) -> list[ClipQueries]:
    """Group rows of a dataset by clip, sorted by name. A clip with two captions gets one query.

    Example:
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


def item_keys(task: str, clips: Iterable[ClipQueries]) -> list[Any]:
    """Return the keys by which references are joined with the predictions of these queries.

    >>> item_keys("vqa", [ClipQueries(None, "a_001", (Query("a_001_q0", "Who?"),))])
    [('a_001', 'Who?')]
    """
    return [
        clip.video_id if task == "caption" else (clip.video_id, str(query.question))
        for clip in clips
        for query in clip.queries
    ]


def hash_queries(clips: Iterable[ClipQueries]) -> str:
    """Return a short hash of the queries. It does not depend on where the clips are stored.

    >>> hash_queries([ClipQueries(None, "a_001", (Query("a_001"),))])
    '04212d63a06b0334'
    """
    digest = hashlib.sha256()
    for clip in clips:
        digest.update(json.dumps([clip.video_id, [[query.id, query.question] for query in clip.queries]]).encode())
    return digest.hexdigest()[:16]


def select_pending(
    clips: Iterable[ClipQueries], records: Mapping[str, Mapping[str, Any]], retry_failed: bool
) -> list[ClipQueries]:
    """Return the queries without a record. A failed query counts as done unless ``retry_failed`` is set."""

    def is_done(query: Query) -> bool:
        record = records.get(query.id)
        return record is not None and (record["status"] == "ok" or not retry_failed)

    pending = []
    for clip in clips:
        queries = tuple(query for query in clip.queries if not is_done(query))
        if queries:
            pending.append(ClipQueries(clip.video, clip.video_id, queries))
    return pending


def shard(clips: list[ClipQueries], rank: int, world_size: int) -> list[ClipQueries]:
    """Return every ``world_size``-th clip. Adjacent clips have similar lengths, so the shards are balanced.

    >>> [clip.video_id for clip in shard([ClipQueries(None, name, ()) for name in "abc"], 0, 2)]
    ['a', 'c']
    """
    return clips[rank::world_size]


@dataclass(frozen=True)
class PromptSet:
    """A system prompt, the instruction for captions, and a template with ``{question}`` for answers."""

    system: str | None
    caption: str
    question: str

    def user_text(self, query: Query) -> str:
        """Return the text of the user turn.

        >>> PROMPTS["plain"].user_text(Query("a_001_q0", "Who waves?"))
        'Who waves?'
        """
        return self.caption if query.question is None else self.question.format(question=query.question)


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


def prompt_set(name: str) -> PromptSet:
    """Return the prompt set called ``name``.

    Raises:
        RecipeError: There is no such prompt set.

    Example:
        >>> prompt_set("plain").caption
        'Describe this video.'
    """
    if name not in PROMPTS:
        raise RecipeError(f"there is no prompt set {name!r}; choose one of {', '.join(PROMPTS)}")
    return PROMPTS[name]


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


def paper_frames(model: str) -> int | None:
    """Return the number of frames in the published row of a model, or None if it has no row.

    >>> paper_frames("Qwen/Qwen2.5-VL-7B-Instruct")
    9
    """
    return next((frames for part, frames in PAPER_FRAMES.items() if part in model.lower()), None)


_KEYS = {"frame_sampling": "pick", "quantization": "quantisation"}  # keys of settings.json that differ from the field
_OMITTED = ("turns", "turn_choice", "rotation", "mirrored")  # at their default, so that earlier runs can be resumed


@dataclass(frozen=True)
class TextSettings(Settings, prefix="--"):
    """Everything that can change a generated text. Two runs with equal settings give equal predictions."""

    task: str  # "caption" or "vqa"
    model: str  # a Hub id, a folder, the name of a served model, "blind" or "majority"
    runner: str = "local"  # "local", "api" or "isolated"; a baseline has the runner of its name
    revision: str | None = None
    weights: str = ""  # commit of the Hub repository or digest of the folder; see ``resolve_settings``
    prompts: str = "default"
    frames: int = setting(0, at_least=0)  # 0: as in the published row of the model, or 8
    frame_sampling: str = "uniform"
    max_new_tokens: int = setting(256, at_least=1)
    temperature: float = setting(0.0, at_least=0)
    seed: int = setting(0, at_least=0)
    dtype: str = "auto"
    attention: str | None = None
    quantization: str | None = None  # "4bit" or "8bit"
    data: str = ""  # hash of the queries
    as_images: bool = False  # pass frames as images even to a model that takes video
    # resize the longer side of frames for a server; None: the decoded size
    image_side: int | None = setting(None, at_least=1)
    image_detail: str | None = None  # "low", "high" or "auto", for a server
    adapter: str | None = None  # how the isolated runner calls the model
    turns: int = setting(1, choices=QUARTERS)  # ask under so many quarter turns of a clip, and keep one text
    # which text: the one with the highest mean log-probability of its tokens, the most frequent answer, or that of the
    # turn with the highest sum over all texts of the clip
    turn_choice: str = setting("likelihood", choices=("likelihood", "majority", "clip"))
    rotation: int = setting(0, choices=(0, 90, 180, 270))  # show every clip turned, in degrees clockwise
    mirrored: bool = False  # and before that mirrored left to right

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.task not in ("caption", "vqa"):
            raise RecipeError(f"task is {self.task!r}, it can be 'caption' or 'vqa'")
        if self.runner not in RUNNERS:
            raise RecipeError(f"runner is {self.runner!r}, it can be {', '.join(map(repr, RUNNERS))}")
        if self.model in BASELINES:
            if self.runner not in ("local", self.model):
                raise RecipeError(f"--model {self.model} is a built-in baseline; remove --runner {self.runner}")
            object.__setattr__(self, "runner", self.model)
        self._check_turns()
        prompt_set(self.prompts)
        get_frame_sampling(self.frame_sampling)
        if not self.frames:
            object.__setattr__(self, "frames", paper_frames(self.model) or 8)

    def _check_turns(self) -> None:
        if self.model in BASELINES and self.turns > 1:
            raise RecipeError(f"--model {self.model} does not look at the video; remove --turns {self.turns}")
        if self.turn_choice != "likelihood" and self.turns == 1:
            raise RecipeError(f"--turn-choice {self.turn_choice} needs several turns; add --turns 4, or remove it")
        if self.turn_choice == "majority" and self.task == "caption":
            raise RecipeError(
                "--turn-choice majority counts equal texts, and captions are hardly ever equal; use likelihood"
            )
        if self.turn_choice == "clip" and self.task == "caption":
            raise RecipeError("--turn-choice clip adds up the answers of a clip, which has one caption; use likelihood")
        if self.turn_choice != "majority" and self.turns > 1 and self.runner in ("api", "isolated"):
            raise RecipeError(
                f"--turns {self.turns} chooses by the probabilities of tokens, which --runner {self.runner} does not "
                "return; add --turn-choice majority (for answers), or use --runner local"
            )

    @property
    def views(self) -> tuple[Turn, ...]:
        """The turns under which the model sees each clip: that of the settings, and further ones from it."""
        return tuple(Turn((self.rotation + turn.degrees) % 360, self.mirrored) for turn in quarter_turns(self.turns))

    def to_dict(self) -> dict[str, Any]:
        """Return the settings under the keys of ``settings.json``."""
        defaults = {field.name: field.default for field in fields(self) if field.name in _OMITTED}
        return {
            _KEYS.get(name, name): value
            for name, value in asdict(self).items()
            if name not in defaults or value != defaults[name]
        }

    @property
    def fingerprint(self) -> str:
        """A short hash of the settings, part of every record and prediction.

        >>> TextSettings("vqa", "m").fingerprint == TextSettings("vqa", "m").fingerprint
        True
        >>> TextSettings("vqa", "m").fingerprint == TextSettings("vqa", "m", frames=9).fingerprint
        False
        """
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:16]
