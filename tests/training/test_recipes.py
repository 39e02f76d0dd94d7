"""The files in recipes/: published rows match the logs of the published runs, and every network trains."""

from __future__ import annotations

from pathlib import Path

import pytest

from microg4m_hf.cli.main import main
from microg4m_hf.errors import RecipeError
from microg4m_hf.models import PUBLISHED, VARIANTS
from microg4m_hf.models.weights import WEIGHTS
from microg4m_hf.training.recipe import VlmRecipe
from microg4m_hf.training.recipe_io import differences, load_recipe, load_vlm_recipe
from microg4m_hf.training.recipes import recipe_names

FOLDER = Path(__file__).resolve().parents[2] / "recipes"
ROWS = sorted(name for name in PUBLISHED if not name.endswith("_ava"))

ANY_WAY_UP = ("i3d_nln_8x8_r50", "slowfast_8x8_r50", "mvitv2_s_16x4")
LOSSES = ("balanced", "focal", "logit_adjusted")

FIVE = (0, 20, 30, 40, 50)
SGD_224 = (224, 256, (256, 320), "sgd", 0.1, 1e-7)
# frames, stride; crop, test side, scales, optimizer, rate, decay; epochs, batch; steps. Copied from the logs.
LOGGED = {
    "c2d_8x8_r50": (8, 8, *SGD_224, 40, 63, FIVE),
    "c2d_nln_8x8_r50": (8, 8, *SGD_224, 40, 63, FIVE),
    "i3d_8x8_r50": (8, 8, *SGD_224, 40, 63, FIVE),
    "i3d_nln_8x8_r50": (8, 8, *SGD_224, 40, 64, (0, 20, 30, 40)),
    "slow_4x16_r50": (4, 16, *SGD_224, 45, 63, FIVE),
    "slow_8x8_r50": (8, 8, *SGD_224, 40, 63, (0, 20, 30, 40)),
    "slowfast_4x16_r50": (4, 16, *SGD_224, 40, 63, FIVE),
    "slowfast_8x8_r50": (8, 8, *SGD_224, 60, 63, FIVE),
    "x3d_s": (13, 6, 160, 182, (182, 228), "sgd", 0.1, 1e-7, 40, 63, (0, 20, 30, 40)),
    "x3d_l": (16, 5, 312, 356, (356, 446), "sgd", 0.1, 1e-5, 40, 16, (0, 20, 30, 36)),
    "mvitv1_b_16x4": (16, 4, 224, 224, (256, 320), "adamw", 1e-4, 0.05, 60, 48, FIVE),
    "mvitv2_s_16x4": (16, 4, 224, 224, (256, 320), "adamw", 1e-4, 0.05, 57, 48, FIVE),
}


def test_every_row_has_a_paper_and_a_corrected_recipe() -> None:
    assert sorted(LOGGED) == ROWS
    for name in ROWS:
        assert load_recipe(FOLDER / f"{name}.yaml").variant == "paper"
        assert load_recipe(FOLDER / f"{name}_corrected.yaml").variant == "corrected"


@pytest.mark.parametrize("name", ROWS)
def test_published_rows_match_the_logs(name: str) -> None:
    recipe = load_recipe(FOLDER / f"{name}.yaml")
    data, optim, plan, loop = recipe.data, recipe.optim, recipe.schedule, recipe.loop
    sampling = (data.num_frames, data.stride, data.crop, data.eval_short_side, data.short_side)
    training = (optim.name, optim.lr, optim.weight_decay, plan.epochs, loop.batch, plan.steps)
    assert sampling + training == LOGGED[name]
    assert plan.factors == tuple(pytest.approx(0.1**power) for power in range(len(plan.steps)))
    assert (recipe.model.name, data.scheme, data.key_frame, data.flip) == (name, "official", "released", 0.5)
    assert (data.validation_crop, data.test_crop, recipe.model.overrides) == (True, False, {})
    assert (plan.warmup_epochs, loop.eval_every, loop.seed) == (5.0, 5, 0)
    assert (loop.loss_mean, loop.batch_norm, loop.mixed_precision, loop.ema) == ("per_process", "train", "fp16", None)
    if optim.name == "sgd":
        assert (optim.momentum, optim.nesterov, optim.no_decay, optim.clip_norm) == (0.9, True, "batchnorm", None)
        assert plan.warmup_start == 1.25e-4
    else:
        assert (optim.betas, optim.eps, optim.no_decay, optim.clip_norm) == ((0.9, 0.999), 1e-8, "none", 1.0)
        assert plan.warmup_start == 1e-6
    partly = {"c2d_8x8_r50", "c2d_nln_8x8_r50", "slowfast_4x16_r50", "mvitv1_b_16x4"}
    assert recipe.model.init_partial == (name in partly)
    assert (recipe.model.init == "kinetics") == (WEIGHTS[name].pretrained is not None)


@pytest.mark.parametrize("name", ROWS)
def test_corrected_rows(name: str) -> None:
    paper, better = (load_recipe(FOLDER / f"{name}{end}.yaml") for end in ("", "_corrected"))
    variant = VARIANTS[better.model.name]
    assert (better.data.num_frames, better.data.stride) == (variant.num_frames, variant.sampling_rate)
    assert (better.data.key_frame, better.data.validation_crop) == ("exact", False)
    # No published file has the non-local blocks of C2D; they start as identities.
    assert better.model.init_partial == (name == "c2d_nln_8x8_r50")
    if name.startswith("c2d"):  # the published run took the file of a Slow network
        assert better.model.init == "zoo:model_zoo/kinetics400/C2D_NOPOOL_8x8_R50.pkl"
    elif not name.startswith("mvitv1"):  # the zoo has the file of another input only
        assert better.model.init == "kinetics"
    assert (better.optim.no_decay, better.loop.loss_mean) == ("one_dimensional", "global")
    assert (better.optim.lr, better.schedule, better.loop.batch) == (paper.optim.lr, paper.schedule, paper.loop.batch)
    if name.startswith("slowfast"):
        assert better.data.num_frames == 32
    if name.startswith(("x3d", "mvit")):
        assert variant.roi_stride == 32


@pytest.mark.parametrize(
    ("name", "base", "changed"),
    [
        *((f"{name}_anyup", f"{name}_corrected", {"data.rotate", "data.rotate_about"}) for name in ANY_WAY_UP),
        *((f"i3d_nln_8x8_r50_{loss}", "i3d_nln_8x8_r50_corrected", {"loop.loss"}) for loss in LOSSES),
        ("orientation_anyup", "orientation", {"data.rotate"}),
    ],
)
def test_variants_differ_from_their_base_in_what_they_are_named_after(name: str, base: str, changed: set[str]) -> None:
    pair = [load_recipe(FOLDER / f"{one}.yaml").to_dict() for one in (base, name)]
    keys = {line.partition(":")[0] for line in differences(*pair)}
    assert keys - {"name", "variant"} == changed
    assert (pair[1]["name"], pair[1]["variant"]) == (name, "own")


def test_recipes_of_published_rows_rotate_nothing() -> None:
    off = {"rotate": "none", "rotate_about": "clip", "vertical_flip": 0.0}
    for name in ROWS:
        for recipe in (load_recipe(name), load_recipe(f"{name}_corrected")):
            assert {key: getattr(recipe.data, key) for key in off} == off
            assert (recipe.loop.loss, recipe.loop.consistency) == ("bce", 0.0)
            assert "turn_pooling" not in recipe.model.overrides


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_full_size_networks_take_three_steps(name: str) -> None:
    """The network of the recipe in full size, on small frames."""
    from accelerate import Accelerator

    from microg4m_hf.training.build import build_model, split_items
    from microg4m_hf.training.loading.dataset import KeyFrameWindows, collate
    from microg4m_hf.training.optim import build_optimizer
    from microg4m_hf.training.step import accumulate_gradients

    small = ["data.crop=32", "data.short_side=[32,36]", "data.source=sample", "model.init=null"]
    recipe = load_recipe(FOLDER / f"{name}_corrected.yaml", small)
    items = KeyFrameWindows(split_items(recipe.data, "train"), recipe.data, training=True)
    accelerator = Accelerator(cpu=True)
    model = build_model(recipe.model, recipe.data, seed=0).train()
    optimizer = build_optimizer(model, recipe.optim)
    before = next(model.parameters()).detach().clone()
    for step in range(3):
        loss = accumulate_gradients(accelerator, model, collate([items[0, step], items[0, step + 3]]), recipe.loop, 2)
        optimizer.step()
        optimizer.zero_grad()
        assert 0.0 < loss < 2.0
    assert not before.equal(next(model.parameters()))


def test_names_are_recipes_and_paths_still_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    by_name = load_recipe("i3d_nln_8x8_r50")
    assert by_name == load_recipe(FOLDER / "i3d_nln_8x8_r50.yaml") == load_recipe(str(FOLDER / "i3d_nln_8x8_r50.yaml"))
    # What lies in the current folder does not change what a name means.
    Path("demo").write_text("name: mine\nmodel: {name: x3d_s}\nvariant: own\ndata: {num_frames: 13, stride: 6}\n")
    assert load_recipe("demo").name == "demo"
    assert load_recipe("./demo").name == load_recipe(Path("demo")).name == "mine"
    assert recipe_names() == sorted(path.stem for path in FOLDER.glob("*.yaml"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("i3d_8x8", "did you mean i3d_8x8_r50, i3d_nln_8x8_r50?"),
        ("recipes/demo.yaml", "the built-in recipe goes by its name alone: demo"),
        ("mine.yaml", "there is no recipe 'mine.yaml'"),
        ("nothing", "microg4m train list"),
        ("qwen2_5_vl_lora", "microg4m train vlm --config qwen2_5_vl_lora"),
    ],
)
def test_wrong_recipes_are_one_line(
    given: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "har", "--config", given]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    with pytest.raises(RecipeError, match="microg4m train har --config demo"):
        load_vlm_recipe("demo")


def test_train_list_and_show(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["train", "list"]) == 0
    lines = capsys.readouterr().out.partition("\n\n")[0].splitlines()[1:]
    assert [line.split()[0] for line in lines] == recipe_names()
    for name, model, variant, purpose in (line.split(maxsplit=3) for line in lines):
        recipe = load_vlm_recipe(name) if variant == "adapter" else load_recipe(name)
        assert recipe.name == name.removesuffix("_corrected") and len(purpose) > 20
        assert model == (recipe.model if isinstance(recipe, VlmRecipe) else recipe.model.name)
        assert variant == getattr(recipe, "variant", "adapter")
    assert main(["train", "show", "demo"]) == 0
    (tmp_path / "mine.yaml").write_text(capsys.readouterr().out, encoding="utf-8")
    assert load_recipe(tmp_path / "mine.yaml") == load_recipe("demo")
