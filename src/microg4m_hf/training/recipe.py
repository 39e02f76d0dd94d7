"""The settings of a training run as flat dataclasses: ``Recipe`` for an action model, ``VlmRecipe`` for an adapter.

``recipe_io`` reads both from YAML and checks every value. The comment beside a field explains its values.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Model:
    name: str  # a name from `microg4m models list`, or an encoder of transformers: "videomae", "vjepa2"
    init: str | None = None  # initial weights: a checkpoint file, run, model folder or Hub id; None: random
    init_partial: bool = False  # keep random weights where keys do not match, as some published runs did
    overrides: dict[str, Any] = field(default_factory=dict)  # any setting of the model or of its network


@dataclass(frozen=True)
class Data:
    """Which clips are read, and how they are sampled, scaled and cropped."""

    num_frames: int
    stride: int  # distance of the frames in the video
    data_dir: str | None = None  # a folder with the released files; None: the Hub, or the sample with source "sample"
    source: str | None = None
    revision: str | None = None
    scheme: str = "official"
    key_frame: str = "released"  # "released" centers one frame late as published, "exact" on the annotated frame
    short_side: tuple[int, int] = (256, 320)  # range of training scales, drawn so that 1/side is uniform
    crop: int | None = 224  # side of the random square crop; None: the whole frame, if all clips have one shape
    eval_short_side: int = 256
    validation_crop: bool = True  # published: center crop in validation, whole frame in test
    test_crop: bool = False  # encoders with a fixed input size need the center crop in test as well
    flip: float = 0.5  # probability of a horizontal flip
    on_error: str = "raise"  # for an unreadable clip: "raise" stops the run, "skip" reports it and continues
    cache: str | None = None  # folder for resized uint8 windows, used from the second epoch on
    cache_gb: float = 20.0
    workers: int = 2

    def location(self) -> dict[str, Any]:
        """Return where the dataset is, and the split scheme, as ``load_dataset`` takes them."""
        return {name: getattr(self, name) for name in ("data_dir", "source", "revision", "scheme")}


@dataclass(frozen=True)
class Optim:
    name: str = "sgd"
    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = True
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 1e-7
    no_decay: str = "batchnorm"  # parameters without decay: "batchnorm", "one_dimensional" (norms, biases), "none"
    clip_norm: float | None = None

    @property
    def undecayed(self) -> str:
        """The former name of ``no_decay``."""
        return self.no_decay


@dataclass(frozen=True)
class Schedule:
    epochs: int = 40
    steps: tuple[int, ...] = (0, 20, 30, 40)  # epochs at which a factor begins
    factors: tuple[float, ...] = (1.0, 0.1, 0.01, 0.001)
    warmup_epochs: float = 5.0
    warmup_start: float = 1.25e-4


@dataclass(frozen=True)
class Loop:
    batch: int = 64  # key frames per step, over all processes
    micro_batch: int | None = None  # key frames per forward pass of a process; None: its whole share
    loss_mean: str = "per_process"  # "per_process" as published, "global" weighs every box the same on any world size
    batch_norm: str = "train"  # "train" as published, "frozen" keeps running statistics and affine weights
    mixed_precision: str = "fp16"  # "no", "bf16", "fp16"; fp16 needs a GPU, without one a warning says it is "no"
    compile: str | None = "auto"  # torch.compile for the backbone: "auto" on a capable GPU, a backend name, None: never
    channels_last: bool = True
    ema: float | None = None  # decay of an averaged copy, which is evaluated and saved instead of the model
    seed: int = 0
    eval_every: int = 5  # epochs
    checkpoint_every: int = 0  # steps; 0: only at the end of each epoch
    keep_checkpoints: int = 2
    max_steps: int | None = None
    tracker: str | None = None  # "tensorboard", "trackio" or "wandb", each a separate package


@dataclass(frozen=True)
class Recipe:
    """Everything that defines the training of an action model."""

    name: str
    variant: str  # "paper" reproduces a published row; anything else does not
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
class VlmRecipe:
    """Everything that defines the training of a LoRA adapter."""

    name: str
    model: str  # a Hub id or a folder
    revision: str | None = None
    tasks: tuple[str, ...] = ("caption", "vqa")
    prompts: str = "default"
    frames: int = 8
    source: str | None = None  # "sample", or a Hub dataset
    data_dir: str | None = None
    scheme: str = "source_disjoint"  # with "official", clips of the test films are in the training split
    split: str = "train"
    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    targets: str = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj)"
    lr: float = 1e-4
    weight_decay: float = 0.0
    warmup_steps: int = 20
    clip_grad: float = 1.0
    batch: int = 16  # rows per step, over all processes
    epochs: int = 1
    max_steps: int | None = None
    seed: int = 0
    dtype: str = "bfloat16"
    gradient_checkpointing: bool = False
    checkpoint_every: int = 100  # steps
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values only, as they are written to ``config.yaml``."""
        return _plain(dataclasses.asdict(self))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


CHOICES: dict[str, tuple[str, ...]] = {
    "variant": ("paper", "corrected", "own"),
    "data.scheme": ("official", "source_disjoint"),
    "data.key_frame": ("released", "exact"),
    "data.on_error": ("raise", "skip"),
    "optim.name": ("sgd", "adamw"),
    "optim.no_decay": ("batchnorm", "one_dimensional", "none"),
    "loop.loss_mean": ("per_process", "global"),
    "loop.batch_norm": ("train", "frozen"),
    "loop.mixed_precision": ("no", "fp16", "bf16"),
    "loop.tracker": ("tensorboard", "trackio", "wandb"),
}

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
