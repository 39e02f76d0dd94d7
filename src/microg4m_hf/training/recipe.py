"""A recipe: the YAML file that fully says how a HAR model is trained, as flat typed dataclasses."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Model:
    name: str  # a name of `microg4m models list`, or an encoder of transformers: "videomae", "vjepa2"
    init: str | None = None  # checkpoint to start from: a file, a run, a model folder or a Hub id; None: from scratch
    init_partial: bool = False  # whether keys that do not fit may stay at random, as in some published runs
    overrides: dict[str, Any] = field(default_factory=dict)  # any setting of the model or of its network


@dataclass(frozen=True)
class Data:
    num_frames: int
    stride: int
    data_dir: str | None = None  # None: the Hub, or the sample with `source: sample`
    source: str | None = None
    revision: str | None = None
    scheme: str = "official"
    key_frame: str = "released"  # "released" centres one frame late as published, "exact" on the annotated frame
    short_side: tuple[int, int] = (256, 320)  # training scale, drawn so that 1/side is uniform
    crop: int | None = 224  # side of the random square; None: the whole frame, where all clips have one shape
    eval_short_side: int = 256
    validation_crop: bool = True  # published: centre square in validation, whole frame in test
    test_crop: bool = False  # encoders that know one size of frame need the square in the test too
    flip: float = 0.5
    on_error: str = "raise"  # a clip that cannot be read: "raise" stops, "skip" reports and goes on
    cache: str | None = None  # folder for resized uint8 windows, used from the second epoch on
    cache_gb: float = 20.0
    workers: int = 2


@dataclass(frozen=True)
class Optim:
    name: str = "sgd"
    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = True
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 1e-7
    undecayed: str = "batchnorm"  # who has none: "batchnorm", "one_dimensional" (norms, biases), "none"
    clip_norm: float | None = None


@dataclass(frozen=True)
class Schedule:
    epochs: int = 40
    steps: tuple[int, ...] = (0, 20, 30, 40)
    factors: tuple[float, ...] = (1.0, 0.1, 0.01, 0.001)
    warmup_epochs: float = 5.0
    warmup_start: float = 1.25e-4


@dataclass(frozen=True)
class Loop:
    batch: int = 64  # key frames a step, over all processes
    micro_batch: int | None = None  # key frames a process takes at once; None: its whole share
    loss_mean: str = "per_process"  # "per_process" as published, "global" weighs every box alike on any number of ranks
    batch_norm: str = "train"  # "train" as published, "frozen" keeps running statistics and affine weights
    mixed_precision: str = "fp16"  # "no", "bf16", "fp16"; fp16 needs a GPU and says so where it becomes "no"
    compile: str | None = "auto"  # torch.compile below the head: "auto" on a GPU that can, a backend, None for never
    channels_last: bool = True
    ema: float | None = None  # decay of an averaged copy that is evaluated and saved instead
    seed: int = 0
    eval_every: int = 5  # epochs
    checkpoint_every: int = 0  # steps; 0: once an epoch
    keep_checkpoints: int = 2
    max_steps: int | None = None
    tracker: str | None = None  # "tensorboard", "trackio" or "wandb", each a package of its own


@dataclass(frozen=True)
class Recipe:
    name: str
    variant: str  # "paper" reproduces a published row, anything else does not
    model: Model
    data: Data
    optim: Optim = field(default_factory=Optim)
    schedule: Schedule = field(default_factory=Schedule)
    loop: Loop = field(default_factory=Loop)
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values only, as they go into ``config.yaml``."""
        return _plain(dataclasses.asdict(self))


# What says nothing about the mathematics: where data and weights lie, how a run is watched, how a step fits memory.
PRACTICAL = frozenset(
    {
        "data.cache",
        "data.cache_gb",
        "data.data_dir",
        "data.on_error",
        "data.revision",
        "data.source",
        "data.workers",
        "loop.channels_last",
        "loop.checkpoint_every",
        "loop.compile",
        "loop.eval_every",
        "loop.keep_checkpoints",
        "loop.micro_batch",
        "loop.seed",
        "loop.tracker",
        "model.init",
        "name",
        "note",
    }
)

CHOICES: dict[str, tuple[str, ...]] = {
    "variant": ("paper", "corrected", "own"),
    "data.scheme": ("official", "source_disjoint"),
    "data.key_frame": ("released", "exact"),
    "data.on_error": ("raise", "skip"),
    "optim.name": ("sgd", "adamw"),
    "optim.undecayed": ("batchnorm", "one_dimensional", "none"),
    "loop.loss_mean": ("per_process", "global"),
    "loop.batch_norm": ("train", "frozen"),
    "loop.mixed_precision": ("no", "fp16", "bf16"),
    "loop.tracker": ("tensorboard", "trackio", "wandb"),
}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
