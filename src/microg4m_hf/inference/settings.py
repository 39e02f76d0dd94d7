"""What a run of a vision-language model is: every setting that can change an answer, and its fingerprint."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import RecipeError


@dataclass(frozen=True)
class Settings:
    """Two runs with equal settings give equal predictions; speed and place of the work are not among them."""

    task: str  # "caption" or "vqa"
    model: str  # a Hub id, a folder, the name of a served model, or a baseline
    runner: str = "local"  # "local", "api", "isolated", "blind" or "majority"
    revision: str | None = None
    weights: str = ""  # commit of the Hub repository or digest of the folder: a branch may move, a folder change
    prompts: str = "default"
    frames: int = 8
    pick: str = "uniform"
    max_new_tokens: int = 256
    temperature: float = 0.0
    seed: int = 0
    dtype: str = "auto"
    attention: str | None = None
    quantisation: str | None = None
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
        return asdict(self)

    @property
    def fingerprint(self) -> str:
        """Short name of these settings; every finished item carries it.

        >>> Settings("vqa", "m").fingerprint == Settings("vqa", "m").fingerprint
        True
        >>> Settings("vqa", "m").fingerprint == Settings("vqa", "m", frames=9).fingerprint
        False
        """
        text = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
