"""The page of the published models, ``docs/model_zoo.md``, made from the registry.

``python -m tests.zoo_page`` says whether the page is right, ``--write`` updates it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from microg4m_hf.bench.published import ALSO_PRINTED, HAR_SCORES
from microg4m_hf.models.build import config_of, count_parameters_and_gflops
from microg4m_hf.models.registry import PUBLISHED
from microg4m_hf.models.weights import MODELS_REPO, WEIGHTS, ZOO
from microg4m_hf.training.recipes import list_recipes

PAGE = Path(__file__).resolve().parent.parent / "docs" / "model_zoo.md"
_HEAD = f"""# Model zoo

<!-- Made by `python -m tests.zoo_page --write` from models/registry.py, models/weights.py and the recipes. -->

The fourteen published models. Scores are those of the paper, in percent, on the test split of MicroG-4M under the
protocol `paper`. GFLOPs are billions of multiply-adds for one clip at the training size. Fine-tuned weights are in
[{MODELS_REPO}](https://huggingface.co/{MODELS_REPO}),
where a file is found by its name and the tested epoch. The files that the published runs began from are in the
[PySlowFast zoo](https://github.com/facebookresearch/SlowFast). `microg4m weights fetch NAME` downloads the first,
with `--pretrained` the second. See [Models](models.md) for loading them and for corrected networks.

"""
_COLUMNS = {
    "name": "---", "network": "---", "parameters": "---:", "GFLOPs": "---:", "mAP": "---:", "F1": "---:",
    "recall": "---:", "AUROC": "---:", "fine-tuned file": "---", "pre-trained file": "---", "recipes": "---",
    "commands": "---",
}  # fmt: skip
_TAIL = """
The commands, in order: reproduce the published row, fine-tune the model as published, convert its weights (after
`microg4m weights fetch`) to a folder of `transformers`, and push that to the Hub with a card. `microg4m` is a folder
with the released dataset, `FILE` a checkpoint of your own. For new training, take the recipe that ends in `_corrected`.
"""


def commands(name: str) -> list[str]:
    """Return what to type to reproduce, fine-tune, convert and push a model."""
    found = [
        f"microg4m reproduce har {name} --data-dir microg4m",
        f"microg4m train har --config {name} data.data_dir=microg4m",
        f'microg4m models convert "$(microg4m weights where {name})" {name} --name {name}',
        f"microg4m models push-released my-name --only {name}",
    ]
    if not WEIGHTS[name].released:
        del found[1]  # the row is zero-shot
    elif WEIGHTS[name].pretrained is None:
        found[1] += " model.init=FILE"
    return found


def page() -> str:
    """Return the page as it should be."""
    rows = [_COLUMNS, _COLUMNS.values(), *(_cells(name) for name in PUBLISHED)]
    return _HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows) + _TAIL


def _cells(name: str) -> list[str]:
    variant, weights = PUBLISHED[name], WEIGHTS[name]
    parameters, gflops = count_parameters_and_gflops(config_of(name))
    scores = {key: f"{value:.2f}" for key, value in zip(HAR_SCORES, variant.published or (), strict=True)}
    for key, value in ALSO_PRINTED.get(name, {}).items():
        scores[key] += f" ({value:.2f} in BENCHMARK.md)"
    released = f"`{weights.released[0]}`, epoch {weights.epochs[0]}" if weights.released else "none: zero-shot"
    pretrained = f"[`{weights.pretrained}`]({ZOO}{weights.pretrained})" if weights.pretrained else weights.reason
    names = [recipe.name for recipe in list_recipes() if recipe.model in (name, f"{name}_corrected")]
    recipes = [one for one in names if one in (name, f"{name}_corrected") or one.startswith("zero_shot")]
    title = variant.title + (f" ({variant.note})" if variant.note else "")
    return [
        f"`{name}`",
        title,
        f"{parameters:,}",
        f"{gflops:.1f}",
        *scores.values(),
        released,
        pretrained,
        "<br>".join(f"`{one}`" for one in recipes),
        "<br>".join(f"`{one}`" for one in commands(name)),
    ]


def main() -> None:
    text = page()
    if "--write" in sys.argv:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.is_file() or PAGE.read_text(encoding="utf-8") != text:
        sys.exit(f"{PAGE} is not what the registry says; run python -m tests.zoo_page --write")


if __name__ == "__main__":
    main()
