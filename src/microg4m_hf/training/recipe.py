"""The settings of a training run as flat dataclasses: ``Recipe`` for an action model, ``VlmRecipe`` for an adapter.

``recipe_io`` reads both from YAML. The string below a field explains it, for ``--help`` and the documentation
(``recipe_keys``), and ``setting`` limits its values.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from ..data.turns import QUARTERS, Turn, quarter_turns
from ..errors import RecipeError
from ..settings import Settings, limits, setting

POOLINGS = ("mean", "max", "lme")  # of the logits of several turns of a clip; lme is log-mean-exp


@dataclass(frozen=True)
class Model:
    name: str
    """A name from `microg4m models list`, or an encoder of transformers: "videomae", "vjepa2"."""
    init: str | None = None
    """Initial weights: "kinetics", "zoo:PATH", "released:NAME", a file, run, model folder or Hub id; null: random."""
    init_partial: bool = False
    """Keep random weights where keys do not match, as some published runs did."""
    overrides: dict[str, Any] = field(default_factory=dict)
    """Any setting of the model or of its network, such as {dropout_rate: 0.2}."""


@dataclass(frozen=True)
class Data(Settings, prefix="data."):
    """Which clips are read, and how they are sampled, scaled and cropped."""

    num_frames: int = field(metadata=limits(at_least=1))
    """Frames per clip that the model gets."""
    stride: int = field(metadata=limits(at_least=1))
    """Distance of these frames in the video."""
    data_dir: str | None = None
    """A folder with the released files; null: the Hub, or the sample with source "sample"."""
    source: str | None = None
    """"sample", "hub" or a Hub repository."""
    revision: str | None = None
    """Commit, tag or branch of the Hub repository."""
    scheme: str = setting("official", choices=("official", "source_disjoint"))
    """The split: as released, or with each film in one split."""
    key_frame: str = setting("released", choices=("released", "exact"))
    """"released" centers one frame late as published, "exact" on the annotated frame."""
    short_side: tuple[int, int] = setting((256, 320), at_least=1)
    """Range of training scales, drawn so that 1/side is uniform."""
    crop: int | None = setting(224, at_least=1, optional=True)
    """Side of the random square crop; null: the whole frame, if all clips have one shape."""
    eval_short_side: int = setting(256, at_least=1)
    """Length of the shorter side in validation and test."""
    decoder: str = setting("auto", choices=("auto", "pyav", "decord", "torchcodec", "as_released"))
    """"as_released" reads JPEGs of FFmpeg with OpenCV as the published runs did; all others return the same pixels."""
    validation_crop: bool = True
    """Center crop in validation, as published; false: the whole frame."""
    test_crop: bool = False
    """Center crop in test as well, for encoders with a fixed input size."""
    flip: float = setting(0.5, at_least=0, at_most=1)
    """Probability of a horizontal flip."""
    vertical_flip: float = setting(0.0, at_least=0, at_most=1)
    """Probability of a mirror image top to bottom, in training."""
    rotate: str = setting("none", choices=("none", "quarter", "any"))
    """Random rotation of training clips, by quarter turns or by any angle."""
    rotate_about: str = setting("clip", choices=("clip", "person"))
    """The point that keeps its place: the middle of the crop, or of a random person in it."""
    align: str = "none"
    """A crop for each person, turned so that the head is up: "box" stands wide boxes upright; or a file with angles."""
    test_turns: int = setting(1, choices=QUARTERS)
    """Ask the model under this many quarter turns of each clip in a test, and pool its logits."""
    test_mirror: bool = False
    """Ask it about the mirror image of each turn as well."""
    test_pooling: str = setting("mean", choices=(*POOLINGS, "auto"))
    """How these logits are pooled: "lme" is log-mean-exp, "auto" the best of the three on the validation split."""
    on_error: str = setting("raise", choices=("raise", "skip"))
    """For an unreadable clip: "raise" stops the run, "skip" reports it and continues."""
    cache: str | None = None
    """Folder for decoded windows, used from the second epoch on."""
    cache_format: str = setting("exact", choices=("exact", "compact"))
    """"exact" keeps the decoded pixels, "compact" rounds and compresses them: a sixth of the bytes, slower to read."""
    cache_gb: float = setting(20.0, at_least=0)
    """Largest size of this folder, or of the images that decoder "as_released" keeps."""
    workers: int = setting(2, at_least=0)
    """Processes that decode clips; 0 decodes in the main process."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.short_side) != 2 or self.short_side[0] > self.short_side[1]:
            raise RecipeError(f"data.short_side is {list(self.short_side)}; give [smallest, largest]")
        if self.cache is not None and self.decoder == "as_released":
            raise RecipeError("data.decoder=as_released has a cache of its own; leave data.cache out")
        if self.crop is None and self.short_side[0] != self.short_side[1]:
            raise RecipeError("without data.crop all frames need one size: give data.short_side one value twice")
        if self.rotate_about == "person" and self.rotate == "none":
            raise RecipeError("data.rotate_about=person rotates nothing; set data.rotate=quarter or data.rotate=any")
        if self.test_pooling != "mean" and not self.views:
            raise RecipeError(
                f"data.test_pooling is {self.test_pooling}, but a model that is asked once has nothing to pool; "
                "set data.test_turns=4 (predict har --turns 4), or leave it out"
            )

    @property
    def views(self) -> tuple[Turn, ...]:
        """The turns of a clip under which a prediction asks the model; empty: as the clip is."""
        turns = quarter_turns(self.test_turns, self.test_mirror)
        return turns if len(turns) > 1 else ()

    def location(self) -> dict[str, Any]:
        """Return where the dataset is, and the split scheme, as ``load_dataset`` takes them."""
        return {name: getattr(self, name) for name in ("data_dir", "source", "revision", "scheme")}


@dataclass(frozen=True)
class Optim(Settings, prefix="optim."):
    name: str = setting("sgd", choices=("sgd", "adamw"))
    """The optimizer."""
    lr: float = setting(0.1, above=0)
    """Base learning rate, which `schedule.factors` multiply."""
    momentum: float = setting(0.9, at_least=0, below=1)
    """Momentum of SGD."""
    nesterov: bool = True
    """Nesterov momentum of SGD."""
    betas: tuple[float, float] = setting((0.9, 0.999), at_least=0, below=1)
    """Decay rates of AdamW's averages."""
    eps: float = setting(1e-8, above=0)
    """Added to AdamW's denominator."""
    weight_decay: float = setting(1e-7, at_least=0)
    """Weight decay of the parameters that `no_decay` does not name."""
    no_decay: str = setting("batchnorm", choices=("batchnorm", "one_dimensional", "none"))
    """Parameters without decay; one-dimensional ones are norms and biases."""
    clip_norm: float | None = setting(None, above=0)
    """Largest norm of the gradient; null: no clipping."""

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
    """Passes over the training split."""
    steps: tuple[int, ...] = setting((0, 20, 30, 40), at_least=0)
    """Epochs at which a factor begins; the first is 0."""
    factors: tuple[float, ...] = setting((1.0, 0.1, 0.01, 0.001), at_least=0)
    """Factors of the learning rate, one for each step."""
    warmup_epochs: float = setting(5.0, at_least=0)
    """Epochs in which the learning rate rises linearly to its value."""
    warmup_start: float = setting(1.25e-4, at_least=0)
    """Learning rate at the beginning of the warm-up."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.steps) != len(self.factors) or self.steps[:1] != (0,):
            raise RecipeError(
                "schedule.steps and schedule.factors do not fit; give both one length, and begin steps with 0"
            )
        if list(self.steps) != sorted(set(self.steps)):
            raise RecipeError(f"schedule.steps do not increase: {list(self.steps)}; give them in order, each once")


@dataclass(frozen=True)
class Loop(Settings, prefix="loop."):
    batch: int = setting(64, at_least=1)
    """Key frames per step, over all processes."""
    micro_batch: int | None = setting(None, at_least=1)
    """Key frames per forward pass of a process; null: its whole share."""
    loss_mean: str = setting("per_process", choices=("per_process", "global"))
    """"per_process" as published, "global" weighs every box the same on any world size."""
    loss: str = setting("bce", choices=("bce", "balanced", "focal", "logit_adjusted"))
    """Binary cross-entropy as published, or a variant for rare actions."""
    balance_beta: float = setting(0.999, at_least=0, below=1)
    """With loss "balanced": 0 weighs all actions the same, 1 would weigh by the inverse number of persons."""
    focal_gamma: float = setting(2.0, at_least=0)
    """With loss "focal": how much less a person counts whose label is predicted well; 0: not at all."""
    adjust_tau: float = setting(1.0, at_least=0)
    """With loss "logit_adjusted": how much of the log-odds of an action is added to its logit in training."""
    consistency: float = setting(0.0, at_least=0)
    """Weight of the difference between the predictions for a clip and for its copy turned by 90°, 180° or 270°."""
    batch_norm: str = setting("train", choices=("train", "frozen"))
    """"train" as published, "frozen" keeps running statistics and affine weights."""
    mixed_precision: str = setting("fp16", choices=("no", "fp16", "bf16"))
    """"fp16" needs a GPU; without one a warning says that it is "no"."""
    compile: str | None = "auto"
    """torch.compile for the backbone: "auto" on a capable GPU in long runs, a backend name, null: never."""
    channels_last: bool = True
    """Memory layout of convolutions that mix channels, on a GPU, and in bf16 on a CPU."""
    ema: float | None = setting(None, at_least=0, at_most=1)
    """Decay of an averaged copy, which is evaluated and saved instead of the model; null: none."""
    seed: int = setting(0, at_least=0, below=2**31)
    """Seed of weights, order, crops and dropout."""
    eval_compile: str = setting("auto", choices=("auto", "yes", "no"))
    """Run a faster form of the network in validation, test and `predict har`: "auto" on a CPU, "yes" also on a GPU."""
    eval_precision: str = setting("no", choices=("no", "bf16"))
    """"bf16" computes the network under autocast in validation, test and `predict har`; "no" as the weights are."""
    eval_every: int = setting(5, at_least=1)
    """Epochs between validations."""
    checkpoint_every: int = setting(0, at_least=0)
    """Steps between checkpoints; 0: only at the end of each epoch."""
    keep_checkpoints: int = setting(2, at_least=0)
    """Checkpoints to keep; 0: all. 1 keeps two as well, in case the newest one is damaged."""
    max_steps: int | None = setting(None, at_least=1)
    """Stop after this many steps; null: after `schedule.epochs`."""
    tracker: str | None = setting(None, choices=("tensorboard", "trackio", "wandb"))
    """Where losses are logged besides `metrics.jsonl`; each is a separate package."""


@dataclass(frozen=True)
class Recipe(Settings):
    """Everything that defines the training of an action model."""

    name: str
    """Name of the recipe; the default run folder is runs/NAME-VARIANT."""
    variant: str = field(metadata=limits(choices=("paper", "corrected", "own")))
    """"paper" reproduces a published row; anything else does not."""
    model: Model
    data: Data
    optim: Optim = field(default_factory=Optim)
    schedule: Schedule = field(default_factory=Schedule)
    loop: Loop = field(default_factory=Loop)
    note: str = ""
    """Free text for readers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        square = self.data.crop is not None or self.data.rotate != "none" or self.data.align != "none"
        if self.loop.consistency and not square:
            raise RecipeError(
                "loop.consistency turns training clips by quarters, so they must be squares; "
                "set data.crop or data.rotate"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values only, as they are written to ``config.yaml``."""
        return _plain(dataclasses.asdict(self))


@dataclass(frozen=True)
class VlmRecipe(Settings):
    """Everything that defines the training of a LoRA adapter."""

    name: str
    """Name of the recipe; the default run folder is runs/NAME."""
    model: str
    """A Hub id or a folder with a vision-language model."""
    revision: str | None = None
    """Commit, tag or branch of the model."""
    tasks: tuple[str, ...] = ("caption", "vqa")
    """What to learn: captions, answers, or both."""
    prompts: str = "default"
    """The prompt set, as in `microg4m predict --prompts`."""
    frames: int = setting(8, at_least=1)
    """Frames per clip."""
    source: str | None = None
    """"sample", "hub" or a Hub repository."""
    data_dir: str | None = None
    """A folder with the released files."""
    scheme: str = "source_disjoint"
    """The split; with "official", clips of the test films are in the training split."""
    split: str = "train"
    """The split to train on."""
    rank: int = setting(16, at_least=1)
    """Rank of the adapter's matrices."""
    alpha: int = setting(32, at_least=1)
    """Scale of the adapter: its output is multiplied by alpha / rank."""
    dropout: float = setting(0.0, at_least=0, below=1)
    """Dropout before the adapter."""
    targets: str = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj)"
    """Regular expression for the names of the layers that get an adapter."""
    lr: float = setting(1e-4, above=0)
    """Peak learning rate of AdamW."""
    weight_decay: float = setting(0.0, at_least=0)
    """Weight decay of AdamW."""
    warmup_steps: int = setting(20, at_least=0)
    """Steps in which the learning rate rises linearly."""
    clip_grad: float = setting(1.0, above=0)
    """Largest norm of the gradient."""
    batch: int = setting(16, at_least=1)
    """Rows per step, over all processes."""
    epochs: int = setting(1, at_least=1)
    """Passes over the training rows."""
    max_steps: int | None = setting(None, at_least=1)
    """Stop after this many steps; null: after `epochs`."""
    seed: int = setting(0, at_least=0, below=2**31)
    """Seed of adapter weights, order and dropout."""
    dtype: str = "bfloat16"
    """Data type of the frozen weights, such as bfloat16 or float32."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, more time."""
    checkpoint_every: int = setting(100, at_least=1)
    """Steps between checkpoints."""
    note: str = ""
    """Free text for readers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.tasks or set(self.tasks) - {"caption", "vqa"}:
            raise RecipeError(f"tasks are {list(self.tasks)}; choose caption, vqa or both")

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
    "data.cache", "data.cache_gb", "data.data_dir", "data.decoder", "data.on_error", "data.revision", "data.source",
    "data.workers", "loop.channels_last", "loop.checkpoint_every", "loop.compile", "loop.eval_compile",
    "loop.eval_every",
    "loop.keep_checkpoints", "loop.micro_batch", "loop.seed", "loop.tracker", "model.init", "name", "note",
})  # fmt: skip

# Keys that may change when a run is resumed; those without a section belong to a VlmRecipe ("note" to both).
RESUMABLE = frozenset({
    "data.cache_gb", "data.data_dir", "data.workers", "loop.checkpoint_every", "loop.compile", "loop.eval_compile",
    "loop.keep_checkpoints",
    "loop.max_steps", "loop.micro_batch", "loop.tracker", "note", "checkpoint_every", "data_dir", "max_steps",
    "variant",  # follows from the other values
})  # fmt: skip

# Keys that had another name in earlier versions.
RENAMED = {"optim.undecayed": "optim.no_decay"}
