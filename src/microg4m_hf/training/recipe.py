"""The settings of a training run as flat dataclasses: ``Recipe`` for an action model, ``VlmRecipe`` for an adapter.

``recipe_io`` reads both from YAML. The comment beside a field explains its values, and ``setting`` limits them.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from ..errors import RecipeError
from ..settings import Settings, limits, setting


@dataclass(frozen=True)
class Model:
    name: str  # a name from `microg4m models list`, or an encoder of transformers: "videomae", "vjepa2"
    init: str | None = None  # initial weights: a name or a file, see ``build_model``; None: random
    init_partial: bool = False  # keep random weights where keys do not match, as some published runs did
    overrides: dict[str, Any] = field(default_factory=dict)  # any setting of the model or of its network


@dataclass(frozen=True)
class Data(Settings, prefix="data."):
    """Which clips are read, and how they are sampled, scaled and cropped."""

    num_frames: int = field(metadata=limits(at_least=1))
    stride: int = field(metadata=limits(at_least=1))  # distance of the frames in the video
    data_dir: str | None = None  # a folder with the released files; None: the Hub, or the sample with source "sample"
    source: str | None = None
    revision: str | None = None
    scheme: str = setting("official", choices=("official", "source_disjoint"))
    # "released" centers one frame late as published, "exact" on the annotated frame
    key_frame: str = setting("released", choices=("released", "exact"))
    # range of training scales, drawn so that 1/side is uniform
    short_side: tuple[int, int] = setting((256, 320), at_least=1)
    # side of the random square crop; None: the whole frame, if all clips have one shape
    crop: int | None = setting(224, at_least=1, optional=True)
    eval_short_side: int = setting(256, at_least=1)
    validation_crop: bool = True  # published: center crop in validation, whole frame in test
    test_crop: bool = False  # encoders with a fixed input size need the center crop in test as well
    flip: float = setting(0.5, at_least=0, at_most=1)  # probability of a horizontal flip
    # for an unreadable clip: "raise" stops the run, "skip" reports it and continues
    on_error: str = setting("raise", choices=("raise", "skip"))
    cache: str | None = None  # folder for resized uint8 windows, used from the second epoch on
    cache_gb: float = setting(20.0, at_least=0)
    workers: int = setting(2, at_least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.short_side) != 2 or self.short_side[0] > self.short_side[1]:
            raise RecipeError(f"data.short_side is [smallest, largest], given {list(self.short_side)}")
        if self.crop is None and self.short_side[0] != self.short_side[1]:
            raise RecipeError("without data.crop all frames need one size: give data.short_side one value twice")

    def location(self) -> dict[str, Any]:
        """Return where the dataset is, and the split scheme, as ``load_dataset`` takes them."""
        return {name: getattr(self, name) for name in ("data_dir", "source", "revision", "scheme")}


@dataclass(frozen=True)
class Optim(Settings, prefix="optim."):
    name: str = setting("sgd", choices=("sgd", "adamw"))
    lr: float = setting(0.1, above=0)
    momentum: float = setting(0.9, at_least=0, below=1)
    nesterov: bool = True
    betas: tuple[float, float] = setting((0.9, 0.999), at_least=0, below=1)
    eps: float = setting(1e-8, above=0)
    weight_decay: float = setting(1e-7, at_least=0)
    # parameters without decay; one-dimensional ones are norms and biases
    no_decay: str = setting("batchnorm", choices=("batchnorm", "one_dimensional", "none"))
    clip_norm: float | None = setting(None, above=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name == "sgd" and self.nesterov and not self.momentum:
            raise RecipeError("optim.nesterov needs optim.momentum, given 0; set optim.nesterov=false")

    @property
    def undecayed(self) -> str:
        """The former name of ``no_decay``."""
        return self.no_decay


@dataclass(frozen=True)
class Schedule(Settings, prefix="schedule."):
    epochs: int = setting(40, at_least=1)
    steps: tuple[int, ...] = setting((0, 20, 30, 40), at_least=0)  # epochs at which a factor begins
    factors: tuple[float, ...] = setting((1.0, 0.1, 0.01, 0.001), at_least=0)
    warmup_epochs: float = setting(5.0, at_least=0)
    warmup_start: float = setting(1.25e-4, at_least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.steps) != len(self.factors) or self.steps[:1] != (0,):
            raise RecipeError("schedule.steps must begin with 0 and be as long as schedule.factors")
        if list(self.steps) != sorted(set(self.steps)):
            raise RecipeError(f"schedule.steps must increase, given {list(self.steps)}")


@dataclass(frozen=True)
class Loop(Settings, prefix="loop."):
    batch: int = setting(64, at_least=1)  # key frames per step, over all processes
    # key frames per forward pass of a process; None: its whole share
    micro_batch: int | None = setting(None, at_least=1)
    # "per_process" as published, "global" weighs every box the same on any world size
    loss_mean: str = setting("per_process", choices=("per_process", "global"))
    # "train" as published, "frozen" keeps running statistics and affine weights
    batch_norm: str = setting("train", choices=("train", "frozen"))
    # "fp16" needs a GPU; without one a warning says that it is "no"
    mixed_precision: str = setting("fp16", choices=("no", "fp16", "bf16"))
    compile: str | None = "auto"  # torch.compile for the backbone: "auto" on a capable GPU, a backend name, None: never
    channels_last: bool = True
    # decay of an averaged copy, which is evaluated and saved instead of the model
    ema: float | None = setting(None, at_least=0, at_most=1)
    seed: int = setting(0, at_least=0, below=2**31)
    eval_every: int = setting(5, at_least=1)  # epochs
    checkpoint_every: int = setting(0, at_least=0)  # steps; 0: only at the end of each epoch
    # 0: all; 1 keeps two as well, in case the newest one is damaged
    keep_checkpoints: int = setting(2, at_least=0)
    max_steps: int | None = setting(None, at_least=1)
    tracker: str | None = setting(None, choices=("tensorboard", "trackio", "wandb"))  # each a separate package


@dataclass(frozen=True)
class Recipe(Settings):
    """Everything that defines the training of an action model."""

    name: str
    # "paper" reproduces a published row; anything else does not
    variant: str = field(metadata=limits(choices=("paper", "corrected", "own")))
    model: Model
    data: Data
    optim: Optim = field(default_factory=Optim)
    schedule: Schedule = field(default_factory=Schedule)
    loop: Loop = field(default_factory=Loop)
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values only, as they are written to ``config.yaml``."""
        return _plain(dataclasses.asdict(self))


@dataclass(frozen=True)
class VlmRecipe(Settings):
    """Everything that defines the training of a LoRA adapter."""

    name: str
    model: str  # a Hub id or a folder
    revision: str | None = None
    tasks: tuple[str, ...] = ("caption", "vqa")
    prompts: str = "default"
    frames: int = setting(8, at_least=1)
    source: str | None = None  # "sample", or a Hub dataset
    data_dir: str | None = None
    scheme: str = "source_disjoint"  # with "official", clips of the test films are in the training split
    split: str = "train"
    rank: int = setting(16, at_least=1)
    alpha: int = setting(32, at_least=1)
    dropout: float = setting(0.0, at_least=0, below=1)
    targets: str = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj)"
    lr: float = setting(1e-4, above=0)
    weight_decay: float = setting(0.0, at_least=0)
    warmup_steps: int = setting(20, at_least=0)
    clip_grad: float = setting(1.0, above=0)
    batch: int = setting(16, at_least=1)  # rows per step, over all processes
    epochs: int = setting(1, at_least=1)
    max_steps: int | None = setting(None, at_least=1)
    seed: int = setting(0, at_least=0, below=2**31)
    dtype: str = "bfloat16"
    gradient_checkpointing: bool = False
    checkpoint_every: int = setting(100, at_least=1)  # steps
    note: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.tasks or set(self.tasks) - {"caption", "vqa"}:
            raise RecipeError(f"tasks can be caption and vqa, given {list(self.tasks)}")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values only, as they are written to ``config.yaml``."""
        return _plain(dataclasses.asdict(self))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


# Keys that do not change what is learned: where data and weights are, what is logged, how a step fits into memory.
# A recipe keeps its variant when only these change.
PRACTICAL = frozenset({
    "data.cache", "data.cache_gb", "data.data_dir", "data.on_error", "data.revision", "data.source", "data.workers",
    "loop.channels_last", "loop.checkpoint_every", "loop.compile", "loop.eval_every", "loop.keep_checkpoints",
    "loop.micro_batch", "loop.seed", "loop.tracker", "model.init", "name", "note",
})  # fmt: skip

# Keys that may change when a run is resumed; those without a section belong to a VlmRecipe ("note" to both).
RESUMABLE = frozenset({
    "data.cache_gb", "data.data_dir", "data.workers", "loop.checkpoint_every", "loop.compile", "loop.keep_checkpoints",
    "loop.max_steps", "loop.micro_batch", "loop.tracker", "note", "checkpoint_every", "data_dir", "max_steps",
    "variant",  # follows from the other values
})  # fmt: skip

# Keys that had another name in earlier versions.
RENAMED = {"optim.undecayed": "optim.no_decay"}
