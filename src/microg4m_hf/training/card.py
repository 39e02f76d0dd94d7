"""Model cards of action models and adapters, from the templates ``card.md`` and ``adapter_card.md``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .._version import __version__
from ..action_chart import ActionBar, draw_action_bars
from ..citation import CITATION
from ..data.contact_sheet import short_name
from ..data.sources import benchmark_commit
from ..hub import BENCHMARK, HAR_METRICS, eval_results, model_index
from ..storage import write_atomic
from ..taxonomy import ACTIONS
from .recipe import Recipe, VlmRecipe
from .recipe_io import save_recipe

REPOSITORY = "<this repository>"  # in a card on this machine; a push writes the name of the repository
_TEMPLATES = Path(__file__).parent
_PICTURE = "average_precision.svg"
_LEAK = {
    "official": "The official split is by clip, so every test film is also in training: scores on new films are lower.",
    "source_disjoint": "No film of the test split is in training.",
}


def write_model_card(recipe: Recipe, summary: dict[str, Any], folder: Path) -> Path:
    """Write card, picture, ``recipe.yaml`` and ``.eval_results`` beside the weights of an action model."""
    save_recipe(recipe, folder / "recipe.yaml")
    test, data = summary["test"], recipe.data
    percentages = {key: 100 * test["scores"][key] for key in HAR_METRICS}
    commit = benchmark_commit(data_dir=data.data_dir, source=data.source, revision=data.revision)
    entry = folder / ".eval_results" / "microg4m.yaml"
    # The leaderboard compares models on the authors' test split under the published protocol, and nothing else.
    if commit and data.scheme == "official" and "protocol:paper" in test["signature"].split("|"):
        write_atomic(entry, eval_results("har", test, revision=commit))
    else:
        entry.unlink(missing_ok=True)
    classes = _test_classes(test["per_class"])
    write_atomic(folder / _PICTURE, _draw_classes(classes))
    rows = [f"| {ACTIONS[label].name} | {count} | {ap:.2f} |" for label, count, ap in classes]
    present = {label for label, _, _ in classes}
    absent = [action for label, action in enumerate(ACTIONS) if label not in present]
    dataset = _describe_dataset(data.source, data.data_dir)
    front_matter = {
        "license": "cc-by-4.0",
        "library_name": "transformers",
        "pipeline_tag": "video-classification",
        "tags": ["microgravity", "action-recognition", "microg4m"],
        "model_name": f"{recipe.name} ({recipe.variant})",
        "eval_results": model_index(percentages, dataset_type=dataset.type, dataset_name=dataset.name),
    }
    text = {
        "name": recipe.name,
        "variant": recipe.variant,
        "claim": "Trained with the settings of the published row, including its known flaws."
        if recipe.variant == "paper"
        else "**Not a published setting**: do not report its scores as those of the published row.",
        "scores": "\n".join(f"| {name} | {percentages[key]:.2f} |" for key, name in HAR_METRICS.items()),
        "chance": 100 * test["chance_map"],
        "signature": test["signature"],
        "validation": 100 * summary["validation_map"],
        "data": recipe.data,
        "revision": commit or recipe.data.revision or "unknown",
        "picture": _PICTURE,
        "per_class": "\n".join([*rows, *(f"| {action.name} | 0 | not in the split |" for action in absent)]),
        "absent": len(absent),
        "leak": _LEAK[data.scheme],
        **{key: summary[key] for key in ("best_step", "steps", "skipped_clips")},
    }
    return _write(folder, "card.md", text, dataset, front_matter)


def write_adapter_card(recipe: VlmRecipe, steps: int, loss: float, folder: Path) -> Path:
    """Write ``README.md`` beside the weights of an adapter."""
    warning = "\nThe `official` scheme splits by clip: films of the test split are also in training."
    names = {"caption": "captions", "vqa": "questions"}
    text = recipe.to_dict() | {
        "trained_on": " and ".join(names[task] for task in recipe.tasks),
        "steps": steps,
        "loss": loss,
        "warning": warning if recipe.scheme == "official" else "",
    }
    front_matter = {"base_model": recipe.model, "library_name": "peft", "tags": ["lora", "microg4m"]}
    return _write(folder, "adapter_card.md", text, _describe_dataset(recipe.source, recipe.data_dir), front_matter)


class _Dataset(NamedTuple):
    """How a card names the data: its Hub repository if it has one, a type and a name for the scores, and a sentence."""

    repo: str | None
    type: str
    name: str
    text: str


def _describe_dataset(source: str | None, data_dir: str | None) -> _Dataset:
    if data_dir is not None:
        return _Dataset(
            None, "local", "local files in the layout of MicroG-4M", "local files in the layout of MicroG-4M"
        )
    if source == "sample":
        name = "MicroG-4M built-in sample (synthetic clips)"
        return _Dataset(
            None, "microg4m-sample", name, "the built-in sample of synthetic clips (a test of the pipeline)"
        )
    repo = BENCHMARK if source in (None, "hub") else source.split(",")[0].strip()
    name = "MicroG-4M" if repo == BENCHMARK else repo
    return _Dataset(repo, repo, name, f"[{name}](https://huggingface.co/datasets/{repo})")


def _write(folder: Path, template: str, text: dict[str, Any], dataset: _Dataset, front_matter: dict[str, Any]) -> Path:
    from huggingface_hub import ModelCardData

    data = ModelCardData(datasets=[dataset.repo] if dataset.repo else None, **front_matter)
    body = (_TEMPLATES / template).read_text(encoding="utf-8")
    body = body.format(dataset=dataset.text, version=__version__, **text)
    return write_atomic(folder / "README.md", f"---\n{data.to_yaml()}\n---\n\n{body}\n{CITATION}")


def _test_classes(per_class: Mapping[Any, Any]) -> list[tuple[int, int, float]]:
    """Return label, number of test labels and average precision in percent, for the actions of the test split."""
    found = []
    for label, action in enumerate(ACTIONS):
        entry = per_class.get(action.action_id, per_class.get(str(action.action_id), {}))
        ap = entry.get("ap")
        if ap is not None and ap == ap:
            found.append((label, entry["labels"], 100 * ap))
    return sorted(found, key=lambda row: (-row[1], row[0]))


def _draw_classes(classes: Sequence[tuple[int, int, float]]) -> str:
    bars = [
        ActionBar(short_name(label), (ap,), f"{ap:.1f} ({count:,} label{'s' * (count != 1)})")
        for label, count, ap in classes
    ]
    return draw_action_bars("Average precision of each action of the test split", bars, most=100, unit=" %")
