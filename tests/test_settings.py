"""Every dataclass of settings refuses values that cannot work, from Python, from a recipe and on the command line."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest

from microg4m_hf.cli.main import main
from microg4m_hf.curate.protocols import (
    ActionSettings,
    CutSettings,
    DraftSettings,
    FilterSettings,
    PeopleSettings,
    ShotSettings,
    TrackSettings,
)
from microg4m_hf.curate.watching import WatchSettings
from microg4m_hf.errors import MicroG4MError, RecipeError
from microg4m_hf.inference.api.client import Endpoint
from microg4m_hf.inference.isolated.runner import IsolatedEnvironment
from microg4m_hf.inference.items import TextSettings
from microg4m_hf.inference.vlm.loading import Placement
from microg4m_hf.metrics.har.result import HarSettings
from microg4m_hf.settings import Settings
from microg4m_hf.training.recipe import Data, Loop, Optim, Schedule, VlmRecipe
from microg4m_hf.training.recipe_io import load_recipe, load_vlm_recipe, recipe_from

RECIPES = Path(__file__).resolve().parents[1] / "recipes"

# what each class needs besides the field that is tried
REQUIRED: dict[type[Any], dict[str, Any]] = {
    Data: {"num_frames": 8, "stride": 8},
    Optim: {},
    Schedule: {},
    Loop: {},
    VlmRecipe: {"name": "mine", "model": "org/model"},
    TextSettings: {"task": "vqa", "model": "org/model"},
    Placement: {},
    Endpoint: {},
    IsolatedEnvironment: {"python": "python"},
    HarSettings: {},
    CutSettings: {},
    ShotSettings: {},
    PeopleSettings: {},
    TrackSettings: {},
    FilterSettings: {},
    ActionSettings: {},
    DraftSettings: {},
    WatchSettings: {},
}


def _numbers(kind: type[Any]) -> list[str]:
    annotations = {field.name: str(field.type) for field in dataclasses.fields(kind)}
    return [
        name for name, text in annotations.items() if text.split(" |")[0].split("[")[0] in ("int", "float", "tuple")
    ]


def _fields() -> list[tuple[type[Any], str]]:
    """All fields with numbers, without texts in a tuple and action ids, which scoring checks with the data."""
    found = [(kind, name) for kind in REQUIRED for name in _numbers(kind)]
    return [one for one in found if one not in ((VlmRecipe, "tasks"), (HarSettings, "classes"))]


@pytest.mark.parametrize(("kind", "name"), _fields(), ids=lambda value: getattr(value, "__name__", value))
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1, -0.5, "many", True])
def test_every_number_has_a_range(kind: type[Any], name: str, value: Any) -> None:
    given = (value, value) if str(kind.__dataclass_fields__[name].type).startswith("tuple") else value
    with pytest.raises(MicroG4MError, match=name.replace("_", "[-_]")):
        kind(**REQUIRED[kind] | {name: given})


def test_no_settings_class_is_forgotten() -> None:
    """Recipe has no number of its own."""
    assert {kind.__name__ for kind in Settings.__subclasses__()} == {kind.__name__ for kind in REQUIRED} | {"Recipe"}


@pytest.mark.parametrize(
    ("kind", "values", "says"),
    [
        (Loop, {"micro_batch": -1}, "loop.micro_batch must be at least 1, given -1"),
        (Loop, {"max_steps": 0}, "loop.max_steps must be at least 1, given 0"),
        (Loop, {"batch": 2.5}, "loop.batch must be a whole number, given 2.5"),
        (Loop, {"eval_every": 0}, "loop.eval_every must be at least 1, given 0"),
        (Loop, {"ema": 1.5}, "loop.ema must be at least 0 and at most 1, given 1.5"),
        (Loop, {"tracker": "mlflow"}, "loop.tracker is 'mlflow', it can be 'tensorboard', 'trackio', 'wandb'"),
        (Data, {"workers": -1}, "data.workers must be at least 0, given -1"),
        (Data, {"short_side": (320, 256)}, r"data.short_side is \[320, 256\]; give \[smallest, largest\]"),
        (Optim, {"lr": math.nan}, "optim.lr must be a finite number, given nan"),
        (Optim, {"lr": 0.0}, "optim.lr must be more than 0, given 0.0"),
        (Optim, {"momentum": 0.0}, "optim.nesterov needs optim.momentum"),
        (Optim, {"betas": (0.9, 1.0)}, r"optim.betas must be at least 0 and less than 1, given \[0.9, 1.0\]"),
        (Schedule, {"factors": (1.0, -0.1, 0.0, 0.0)}, "schedule.factors must be at least 0"),
        (VlmRecipe, {"max_steps": 0}, "max_steps must be at least 1, given 0"),
        (VlmRecipe, {"tasks": ("har",)}, r"tasks are \['har'\]; choose caption, vqa or both"),
        (TextSettings, {"max_new_tokens": 0}, "--max-new-tokens must be at least 1, given 0"),
        (Endpoint, {"timeout": 0}, "--timeout must be more than 0, given 0"),
        (HarSettings, {"iou": 1.5}, "iou must be more than 0 and at most 1, given 1.5"),
    ],
)
def test_messages_name_the_option_and_its_range(kind: type[Any], values: dict[str, Any], says: str) -> None:
    with pytest.raises(MicroG4MError, match=f"^{says}"):
        kind(**REQUIRED[kind] | values)


def test_recipes_and_the_command_line_say_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    says = "loop.micro_batch must be at least 1, given -1"
    values: dict[str, Any] = {"name": "mine", "variant": "own", "model": {"name": "x3d_s"}}
    values |= {"data": {"num_frames": 13, "stride": 6}, "loop": {"micro_batch": -1}}
    with pytest.raises(RecipeError, match=f"^recipe: {says}$"):
        recipe_from(values)
    words = ["--config", str(RECIPES / "demo.yaml"), "--out", str(tmp_path / "run")]
    assert main(["train", "har", *words, "loop.micro_batch=-1"]) == 2
    assert says in capsys.readouterr().err
    for word, said in (("lr=.nan", "lr must be a finite number"), ("dropout=1", "dropout must be at least 0 and less")):
        with pytest.raises(RecipeError, match=said):
            load_vlm_recipe(RECIPES / "qwen2_5_vl_lora.yaml", [word])
    assert not (tmp_path / "run").exists()


def test_every_recipe_keeps_two_checkpoints() -> None:
    recipes = [path for path in RECIPES.glob("*.yaml") if path.stem != "qwen2_5_vl_lora"]
    assert len(recipes) > 20
    assert all(load_recipe(path).loop.keep_checkpoints >= 2 for path in recipes)
