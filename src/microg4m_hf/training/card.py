"""Model cards: what was trained, how, how well it scores, and what its limits are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .._version import __version__
from ..hub import BENCHMARK, eval_results
from ..storage import write_atomic
from ..taxonomy import ACTIONS
from .recipe import Recipe, VlmRecipe
from .recipe_io import save_recipe

_METRICS = {"map": "mAP@0.5", "f1": "macro F1", "recall": "macro recall", "auroc": "macro AUROC"}

_CITATION = r"""@misc{microg4m,
  title        = {MicroG-4M: human actions and scenes in microgravity},
  howpublished = {\url{https://huggingface.co/datasets/LEI-QI-233/MicroG-4M}},
  note         = {CC-BY-4.0}
}"""


def write_model_card(recipe: Recipe, summary: dict[str, Any], folder: Path) -> Path:
    """Write ``README.md``, ``recipe.yaml`` and ``.eval_results`` beside the weights of an action model.

    Args:
        recipe: The recipe of the run.
        summary: The content of its ``results.json``.
        folder: The folder of the model.

    Returns:
        The path of the card.
    """
    from huggingface_hub import EvalResult

    save_recipe(recipe, folder / "recipe.yaml")
    test, on_sample = summary["test"], recipe.data.source == "sample"
    if not on_sample:  # scores on the synthetic sample do not belong on a leaderboard
        results = eval_results("har", test, revision=recipe.data.revision)
        write_atomic(folder / ".eval_results" / "microg4m.yaml", results)
    metrics = [
        EvalResult(
            task_type="video-classification",
            dataset_type="microg4m-sample" if on_sample else BENCHMARK,
            dataset_name="MicroG-4M built-in sample (synthetic clips)" if on_sample else "MicroG-4M",
            dataset_config="har",
            dataset_split="test",
            metric_type=key,
            metric_name=name,
            metric_value=round(100 * test["scores"][key], 2),
        )
        for key, name in _METRICS.items()
    ]
    return _write(
        folder / "README.md",
        _model_text(recipe, summary),
        source=recipe.data.source,
        license="cc-by-4.0",
        library_name="transformers",
        pipeline_tag="video-classification",
        tags=["microgravity", "action-recognition", "microg4m"],
        model_name=f"{recipe.name} ({recipe.variant})",
        eval_results=metrics,
    )


def write_adapter_card(recipe: VlmRecipe, steps: int, loss: float, folder: Path) -> Path:
    """Write ``README.md`` beside the weights of an adapter.

    Args:
        recipe: The recipe of the run.
        steps: How many steps were taken.
        loss: The loss of the last step.
        folder: The folder of the adapter.

    Returns:
        The path of the card.
    """
    return _write(
        folder / "README.md",
        _adapter_text(recipe, steps, loss),
        source=recipe.source,
        base_model=recipe.model,
        library_name="peft",
        tags=["lora", "microg4m"],
    )


def _write(path: Path, text: str, *, source: str | None, **front_matter: Any) -> Path:
    from huggingface_hub import ModelCardData

    data = ModelCardData(datasets=None if source == "sample" else [BENCHMARK], **front_matter)
    return write_atomic(path, f"---\n{data.to_yaml()}\n---\n\n{text}\n## Citation\n\n```bibtex\n{_CITATION}\n```\n")


def _dataset_link(source: str | None) -> str:
    if source == "sample":
        return "the built-in sample of synthetic clips (a test of the pipeline, of no use on real video)"
    return f"[MicroG-4M](https://huggingface.co/datasets/{BENCHMARK})"


def _model_text(recipe: Recipe, summary: dict[str, Any]) -> str:
    test = summary["test"]
    table = "\n".join(f"| {name} | {100 * test['scores'][key]:.2f} |" for key, name in _METRICS.items())
    per_class = "\n".join(f"| {action.name} | {_percent(test['per_class'], action.action_id)} |" for action in ACTIONS)
    claim = (
        "Trained with the settings of the published row, including its known flaws."
        if recipe.variant == "paper"
        else "**Not a published setting**: do not report its scores as those of the published row."
    )
    return f"""# {recipe.name}: human actions in microgravity

A video model that predicts what every person in a three-second clip is doing (50 actions, several at once), fine-tuned
on {_dataset_link(recipe.data.source)} with microg4m-hf {__version__}, recipe `{recipe.name}`,
variant `{recipe.variant}`. {claim}

```python
import microg4m_hf.models  # registers the architecture
from transformers import pipeline

recognize = pipeline("microg4m-har", model="<this repository>")
recognize("clip.mp4", boxes=[[0.3, 0.1, 0.7, 0.9]], center=51)  # center: the key frame, counted from 0
```

## Scores (test split, percent)

| | |
| --- | --- |
{table}

Random scores reach an mAP of {100 * test["chance_map"]:.2f}.
Signature of the scores: `{test["signature"]}`. Best checkpoint by validation mAP
({100 * summary["validation_map"]:.2f}) at step {summary["best_step"]} of {summary["steps"]}.

## Training

Split scheme `{recipe.data.scheme}`, dataset revision `{recipe.data.revision or "as cached"}`,
{recipe.data.num_frames} frames {recipe.data.stride} apart, key frame `{recipe.data.key_frame}`. All settings are in
`recipe.yaml`. {summary["skipped_clips"]} unreadable clips were skipped.

## Limitations

The model needs the boxes of the persons. The official split is by clip, so every test film is also in training: scores
on new films are lower. Class frequencies differ by three orders of magnitude; nine classes do not occur in the test
split.

## Average precision per class

| action | AP@0.5 |
| --- | --- |
{per_class}
"""


def _percent(per_class: dict[Any, Any], action_id: int) -> str:
    entry = per_class.get(action_id, per_class.get(str(action_id), {}))
    value = entry.get("ap") if isinstance(entry, dict) else None
    return "not in the split" if value is None or value != value else f"{100 * value:.2f}"


def _adapter_text(recipe: VlmRecipe, steps: int, loss: float) -> str:
    warning = (
        "\nThe `official` scheme splits by clip: films of the test split are also in training, so test scores are too "
        "high.\n"
        if recipe.scheme == "official"
        else ""
    )
    return f"""# {recipe.name}

A LoRA adapter (rank {recipe.rank}) for `{recipe.model}`, trained on {" and ".join(recipe.tasks)} of
{_dataset_link(recipe.source)} with microg4m-hf {__version__}, scheme `{recipe.scheme}`, split `{recipe.split}`:
{steps} steps of {recipe.batch} rows, last loss {loss:.4f}.
{warning}
```
microg4m predict vqa --model <this repository> --frames {recipe.frames} --scheme {recipe.scheme} --split test
```
"""
