"""Read recipes strictly, override values, and compare two recipes."""

from __future__ import annotations

from pathlib import Path

import pytest

from microg4m_hf.errors import RecipeError
from microg4m_hf.training.recipe_io import differences, load_recipe, recipe_from, save_recipe

MINIMAL = {"name": "mine", "variant": "own", "model": {"name": "x3d_s"}, "data": {"num_frames": 13, "stride": 6}}
TEXT = "name: mine\nvariant: own\nmodel: {name: x3d_s}\ndata: {num_frames: 13, stride: 6}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(TEXT)
    return path


def test_round_trip(file: Path, tmp_path: Path) -> None:
    recipe = load_recipe(file)
    assert load_recipe(save_recipe(recipe, tmp_path / "again.yaml")) == recipe


def test_overrides_take_precedence(file: Path) -> None:
    words = ["optim.lr=1e-4", "data.short_side=[128, 160]", "loop.clip=x", "model.init=null"]
    with pytest.raises(RecipeError, match=r"unknown key loop\.clip"):
        load_recipe(file, words)
    recipe = load_recipe(file, [words[0], words[1], words[3], "model.overrides.width_factor=1.0"])
    assert recipe.optim.lr == 1e-4
    assert recipe.data.short_side == (128, 160)
    assert recipe.model.overrides == {"width_factor": 1.0}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"optm": {}}, r"unknown key optm; did you mean optim\?"),
        ({"data": {"num_frames": 8, "stride": 8, "key_frames": "exact"}}, r"did you mean data\.key_frame\?"),
        ({"data": {"num_frames": 8}}, r"data\.stride is missing"),
        ({"data": {"num_frames": "eight", "stride": 8}}, r"data\.num_frames must be int, given 'eight'"),
        ({"data": {"num_frames": True, "stride": 8}}, r"data\.num_frames must be int, given True"),
        ({"data": {"num_frames": 8, "stride": 0}}, r"data\.stride must be at least 1, given 0"),
        ({"data": {"num_frames": 8, "stride": 8, "scheme": "random"}}, r"can be 'official', 'source_disjoint'"),
        ({"data": {"num_frames": 8, "stride": 8, "short_side": [256]}}, r"data\.short_side must be"),
        ({"schedule": {"steps": [0, 20], "factors": [1.0]}}, "give both one length"),
        ({"schedule": {"steps": [5], "factors": [1.0]}}, "begin steps with 0"),
        ({"schedule": {"steps": [0, 30, 20], "factors": [1, 1, 1]}}, "do not increase"),
        ({"model": "x3d_s"}, "model is 'x3d_s'; give a mapping"),
        ({"variant": "best"}, "variant is 'best'"),
    ],
)
def test_errors_name_the_key(change: dict[str, object], says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        recipe_from(MINIMAL | change)


@pytest.mark.parametrize(
    ("text", "says"), [("a: [", "is not valid YAML"), ("- 1", "contains a list"), (None, "there is no recipe")]
)
def test_unreadable_files(tmp_path: Path, text: str | None, says: str) -> None:
    path = tmp_path / "broken.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(RecipeError, match=says):
        load_recipe(path)


def test_old_name_of_no_decay_has_the_same_effect(file: Path, tmp_path: Path) -> None:
    old = tmp_path / "old.yaml"
    old.write_text(TEXT + "optim: {undecayed: none}\n")
    assert load_recipe(old).optim.no_decay == load_recipe(old).optim.undecayed == "none"
    assert load_recipe(old, ["optim.undecayed=one_dimensional"]) == load_recipe(old, ["optim.no_decay=one_dimensional"])
    assert load_recipe(file, ["optim.undecayed=none"]) == load_recipe(file, ["optim.no_decay=none"])
    both = {"no_decay": "none", "undecayed": "none"}
    with pytest.raises(RecipeError, match=r"optim\.undecayed is the old name of optim\.no_decay"):
        recipe_from(MINIMAL | {"optim": both})


@pytest.mark.parametrize("word", ["optim.lr", "=3", "optim..lr=3", "name.first=x"])
def test_invalid_overrides(file: Path, word: str) -> None:
    with pytest.raises(RecipeError):
        load_recipe(file, [word])


def test_unquoted_no_is_text_where_it_is_a_choice(file: Path) -> None:
    assert load_recipe(file, ["loop.mixed_precision=no"]).loop.mixed_precision == "no"


def test_differences_are_listed_by_key() -> None:
    old = recipe_from(MINIMAL).to_dict()
    new = recipe_from(MINIMAL | {"optim": {"lr": 0.5, "name": "adamw"}}).to_dict()
    assert differences(old, new) == ["optim.lr: 0.1 -> 0.5", "optim.name: 'sgd' -> 'adamw'"]
