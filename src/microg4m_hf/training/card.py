"""Model cards of action models and adapters, from the templates ``card.md`` and ``adapter_card.md``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .._version import __version__
from ..citation import CITATION
from ..hub import BENCHMARK, eval_results
from ..storage import write_atomic
from ..taxonomy import ACTIONS
from .recipe import Recipe, VlmRecipe
from .recipe_io import save_recipe

_TEMPLATES = Path(__file__).parent
_METRICS = {"map": "mAP@0.5", "f1": "macro F1", "recall": "macro recall", "auroc": "macro AUROC"}


def write_model_card(recipe: Recipe, summary: dict[str, Any], folder: Path) -> Path:
    """Write ``README.md``, ``recipe.yaml`` and ``.eval_results`` beside the weights of an action model."""
    from huggingface_hub import EvalResult

    save_recipe(recipe, folder / "recipe.yaml")
    test, on_sample = summary["test"], recipe.data.source == "sample"
    percentages = {key: 100 * test["scores"][key] for key in _METRICS}
    if not on_sample:  # scores on the synthetic sample do not belong on a leaderboard
        results = eval_results("har", test, revision=recipe.data.revision)
        write_atomic(folder / ".eval_results" / "microg4m.yaml", results)
    front_matter = {
        "license": "cc-by-4.0",
        "library_name": "transformers",
        "pipeline_tag": "video-classification",
        "tags": ["microgravity", "action-recognition", "microg4m"],
        "model_name": f"{recipe.name} ({recipe.variant})",
        "eval_results": [
            EvalResult(
                task_type="video-classification",
                dataset_type="microg4m-sample" if on_sample else BENCHMARK,
                dataset_name="MicroG-4M built-in sample (synthetic clips)" if on_sample else "MicroG-4M",
                dataset_config="har",
                dataset_split="test",
                metric_type=key,
                metric_name=name,
                metric_value=round(percentages[key], 2),
            )
            for key, name in _METRICS.items()
        ],
    }
    text = {
        "name": recipe.name,
        "variant": recipe.variant,
        "claim": "Trained with the settings of the published row, including its known flaws."
        if recipe.variant == "paper"
        else "**Not a published setting**: do not report its scores as those of the published row.",
        "scores": "\n".join(f"| {name} | {percentages[key]:.2f} |" for key, name in _METRICS.items()),
        "chance": 100 * test["chance_map"],
        "signature": test["signature"],
        "validation": 100 * summary["validation_map"],
        "data": recipe.data,
        "revision": recipe.data.revision or "as cached",
        "per_class": "\n".join(f"| {row.name} | {_percent(test['per_class'], row.action_id)} |" for row in ACTIONS),
        **{key: summary[key] for key in ("best_step", "steps", "skipped_clips")},
    }
    return _write(folder, "card.md", text, recipe.data.source, front_matter)


def write_adapter_card(recipe: VlmRecipe, steps: int, loss: float, folder: Path) -> Path:
    """Write ``README.md`` beside the weights of an adapter."""
    warning = "\nThe `official` scheme splits by clip: films of the test split are also in training.\n"
    text = recipe.to_dict() | {
        "trained_on": " and ".join(recipe.tasks),
        "steps": steps,
        "loss": loss,
        "warning": warning if recipe.scheme == "official" else "",
    }
    front_matter = {"base_model": recipe.model, "library_name": "peft", "tags": ["lora", "microg4m"]}
    return _write(folder, "adapter_card.md", text, recipe.source, front_matter)


def _write(folder: Path, template: str, text: dict[str, Any], source: str | None, front_matter: dict[str, Any]) -> Path:
    from huggingface_hub import ModelCardData

    on_sample = source == "sample"
    data = ModelCardData(datasets=None if on_sample else [BENCHMARK], **front_matter)
    link = f"[MicroG-4M](https://huggingface.co/datasets/{BENCHMARK})"
    dataset = "the built-in sample of synthetic clips (a test of the pipeline)" if on_sample else link
    body = (_TEMPLATES / template).read_text(encoding="utf-8")
    body = body.format(dataset=dataset, version=__version__, **text)
    return write_atomic(folder / "README.md", f"---\n{data.to_yaml()}\n---\n\n{body}\n{CITATION}")


def _percent(per_class: dict[Any, Any], action_id: int) -> str:
    entry = per_class.get(action_id, per_class.get(str(action_id), {}))
    value = entry.get("ap") if isinstance(entry, dict) else None
    return "not in the split" if value is None or value != value else f"{100 * value:.2f}"
