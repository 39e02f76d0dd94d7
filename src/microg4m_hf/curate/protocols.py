"""The settings of every stage, and two named sets of values: ``paper`` repeats the authors, ``default`` is better.

The file ``curate.yaml`` of a work folder holds all of them. The key of a stage is a hash of its section, so that a
changed value runs that stage again, and the later stages on what it produces.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import RecipeError
from ..safe_yaml import read_yaml
from ..settings import Settings, setting
from ..storage import write_atomic
from ..training.recipe_io import build_settings, override_values

PROTOCOLS = ("default", "paper")
PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
DEFAULT_DETECTOR = "ustc-community/dfine-small-coco"


@dataclass(frozen=True)
class CutSettings(Settings, prefix="cut."):
    """How films become clips."""

    frames: int = setting(90, at_least=2, at_most=32_000)
    fps: int = setting(30, at_least=1, at_most=240)
    height: int | None = setting(480, at_least=16, at_most=4320, optional=True)  # None keeps the size of the film
    crf: int = setting(18, at_least=0, at_most=51)
    preset: str = setting("veryfast", choices=PRESETS)


@dataclass(frozen=True)
class ShotSettings(Settings, prefix="shots."):
    """How cuts inside a clip are found: ``content`` is PySceneDetect's ContentDetector, or ``module:function``."""

    method: str = "content"
    threshold: float = setting(40.0, above=0)


@dataclass(frozen=True)
class PeopleSettings(Settings, prefix="people."):
    """How people are detected: a model of transformers by its Hub id or folder, or ``module:function``."""

    detector: str = DEFAULT_DETECTOR
    revision: str | None = None
    turns: int = setting(4, choices=(1, 4))  # quarter turns whose detections are merged
    every: int = setting(1, at_least=1, at_most=30)  # look at every n-th frame
    min_score: float = setting(0.05, at_least=0, below=1)  # weaker detections are not stored
    overlap: float = setting(0.5, above=0, at_most=1)  # of boxes of two turns that overlap more, the stronger stays


@dataclass(frozen=True)
class TrackSettings(Settings, prefix="tracks."):
    """How detections become people with ids: ``two-stage`` is the tracker of this package, or ``module:function``."""

    method: str = "two-stage"
    high: float = setting(0.5, at_least=0, at_most=1)
    low: float = setting(0.1, at_least=0, at_most=1)
    new: float = setting(0.6, at_least=0, at_most=1)
    match: float = setting(0.8, above=0, at_most=1)
    buffer: int = setting(30, at_least=1, at_most=1000)
    camera_motion: bool = False
    boxes: str = setting("every-frame", choices=("every-frame", "held"))
    gap: int = setting(10, at_least=0, at_most=1000)  # a longer gap between two boxes of a person is not filled
    min_frames: int = setting(10, at_least=1, at_most=1000)  # a person seen in fewer frames is left out
    min_score: float = setting(0.1, at_least=0, at_most=1)
    min_area: float = setting(0.001, at_least=0, at_most=1)  # of the frame


@dataclass(frozen=True)
class FilterSettings(Settings, prefix="filter."):
    """Which clips are kept."""

    person_score: float = setting(0.6, at_least=0, at_most=1)
    person_share: float = setting(0.6, at_least=0, at_most=1)
    max_cuts: int = setting(0, at_least=0)
    duplicate_bits: int | None = setting(6, at_least=0, at_most=192, optional=True)  # None keeps duplicates
    min_brightness: float = setting(8.0, at_least=0, at_most=255)
    min_change: float = setting(0.15, at_least=0, at_most=255)


@dataclass(frozen=True)
class ActionSettings(Settings, prefix="actions."):
    """Which action model proposes actions: a training run, a model folder or a Hub id. None proposes nothing."""

    model: str | None = None


@dataclass(frozen=True)
class DraftSettings(Settings, prefix="texts."):
    """Which vision-language model drafts texts, and where it runs. None drafts nothing."""

    model: str | None = None
    revision: str | None = None
    runner: str = setting("local", choices=("local", "api", "isolated"))
    base_url: str | None = None  # the address of the server, for the runner api
    key_env: str | None = None  # the environment variable with its key; the key itself is never stored
    python: str | None = None  # the interpreter, for the runner isolated
    frames: int = setting(0, at_least=0)  # 0: as in the published row of the model, or 8
    max_new_tokens: int = setting(1024, at_least=1)
    temperature: float = setting(0.0, at_least=0)
    seed: int = setting(0, at_least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, runner in (("base_url", "api"), ("key_env", "api"), ("python", "isolated")):
            if getattr(self, name) is not None and self.runner != runner:
                raise RecipeError(f"texts.{name} has no effect with texts.runner={self.runner}; it needs {runner}")


@dataclass(frozen=True)
class CurateSettings:
    """All settings of a work folder.

    Example:
        >>> CurateSettings.of("paper").people.turns, CurateSettings().people.turns
        (1, 4)
    """

    protocol: str = "default"
    cut: CutSettings = field(default_factory=CutSettings)
    shots: ShotSettings = field(default_factory=ShotSettings)
    people: PeopleSettings = field(default_factory=PeopleSettings)
    tracks: TrackSettings = field(default_factory=TrackSettings)
    filter: FilterSettings = field(default_factory=FilterSettings)
    actions: ActionSettings = field(default_factory=ActionSettings)
    texts: DraftSettings = field(default_factory=DraftSettings)

    @classmethod
    def of(cls, protocol: str, overrides: Iterable[str] = ()) -> CurateSettings:
        """Return the settings of a protocol with ``section.key=value`` words set."""
        if protocol not in PROTOCOLS:
            raise RecipeError(f"protocol is {protocol!r}, it can be {', '.join(PROTOCOLS)}")
        return (PAPER if protocol == "paper" else cls()).override(overrides)

    def override(self, words: Iterable[str]) -> CurateSettings:
        """Return these settings with ``section.key=value`` words set."""
        changed: CurateSettings = build_settings(
            CurateSettings, override_values(dataclasses.asdict(self), words), "", "settings"
        )
        return changed

    def key(self, stage: str) -> str:
        """Return the hash of the settings of a stage."""
        values = {"stage": stage, **dataclasses.asdict(getattr(self, stage))}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all values as YAML."""
        import yaml

        write_atomic(path, yaml.safe_dump(dataclasses.asdict(self), sort_keys=False, allow_unicode=True))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> CurateSettings:
        """Read the settings of a work folder; values that the file leaves out are those of its protocol."""
        values = read_yaml(path)
        if not isinstance(values, dict):
            raise RecipeError(f"{path} contains no settings; write it again with `microg4m curate init`")
        base: dict[str, Any] = dataclasses.asdict(cls.of(str(values.get("protocol", "default"))))
        for name, value in values.items():
            base[name] = base[name] | value if isinstance(value, dict) and isinstance(base.get(name), dict) else value
        loaded: CurateSettings = build_settings(CurateSettings, base, "", Path(path).name)
        return loaded


# What the authors' code did. Films keep their size: theirs were downloaded with 480 lines.
PAPER = CurateSettings(
    protocol="paper",
    cut=CutSettings(height=None, crf=23, preset="medium"),
    people=PeopleSettings(turns=1),
    tracks=TrackSettings(camera_motion=True, boxes="held", gap=0, min_frames=1, min_score=0.55, min_area=0.1),
    filter=FilterSettings(duplicate_bits=None, min_brightness=0.0, min_change=0.0),
)
