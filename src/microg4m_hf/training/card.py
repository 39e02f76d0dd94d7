"""The model card of a run: what it is, how it was made, how good it is, what it cannot do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .._version import __version__
from ..storage import write_atomic
from ..taxonomy import ACTIONS
from .recipe import Recipe
from .recipe_io import save_recipe

DATASET = "LEI-QI-233/MicroG-4M"
_SHOWN = {"map": "mAP@0.5", "f1": "macro F1", "recall": "macro recall", "auroc": "macro AUROC"}

CITATION = r"""@misc{microg4m,
  title        = {MicroG-4M: human actions and scenes in microgravity},
  howpublished = {\url{https://huggingface.co/datasets/LEI-QI-233/MicroG-4M}},
  note         = {CC-BY-4.0}
}"""


def write_card(recipe: Recipe, summary: dict[str, Any], folder: Path) -> Path:
    """Write ``README.md``, the recipe and ``.eval_results`` beside the weights."""
    save_recipe(recipe, folder / "recipe.yaml")
    if recipe.data.source != "sample":  # scores on drawn clips have no place on a leaderboard
        write_atomic(folder / ".eval_results" / "microg4m.yaml", eval_results(recipe, summary))
    return write_atomic(folder / "README.md", card_text(recipe, summary))


def eval_results(recipe: Recipe, summary: dict[str, Any]) -> str:
    """The Hub's leaderboard entry of a run."""
    import yaml
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    entry = EvalResultEntry(
        dataset_id=DATASET,
        task_id="har-map50",
        value=round(100 * summary["test"]["scores"]["map"], 2),
        dataset_revision=recipe.data.revision,
        notes=summary["test"]["signature"],
    )
    return yaml.safe_dump(eval_result_entries_to_yaml([entry]), sort_keys=False)


def card_text(recipe: Recipe, summary: dict[str, Any]) -> str:
    """The card with its YAML head (``model-index`` included)."""
    from huggingface_hub import EvalResult, ModelCardData

    scores = summary["test"]["scores"]
    on_sample = recipe.data.source == "sample"
    head = ModelCardData(
        license="cc-by-4.0",
        library_name="transformers",
        pipeline_tag="video-classification",
        tags=["microgravity", "action-recognition", "microg4m"],
        datasets=None if on_sample else [DATASET],
        model_name=f"{recipe.name} ({recipe.variant})",
        eval_results=[
            EvalResult(
                task_type="video-classification",
                dataset_type="microg4m-sample" if on_sample else DATASET,
                dataset_name="MicroG-4M built-in sample (drawn clips)" if on_sample else "MicroG-4M",
                dataset_config="har",
                dataset_split="test",
                metric_type=key,
                metric_name=name,
                metric_value=round(100 * scores[key], 2),
            )
            for key, name in _SHOWN.items()
        ],
    )
    return f"---\n{head.to_yaml()}\n---\n\n{_body(recipe, summary)}"


def _body(recipe: Recipe, summary: dict[str, Any]) -> str:
    scores, test = summary["test"]["scores"], summary["test"]
    table = "\n".join(f"| {name} | {100 * scores[key]:.2f} |" for key, name in _SHOWN.items())
    per_class = "\n".join(f"| {action.name} | {_percent(test['per_class'], action.action_id)} |" for action in ACTIONS)
    claim = (
        "Trained with the settings of the published row, quirks included."
        if recipe.variant == "paper"
        else "**Not a published setting**: its scores stand beside the published ones, not in their place."
    )
    trained_on = f"[MicroG-4M](https://huggingface.co/datasets/{DATASET})"
    if recipe.data.source == "sample":
        trained_on = "the built-in sample of drawn clips (a trial, of no use on real video)"
    return f"""# {recipe.name}: actions of people in microgravity

A video network that says what every person in a three-second clip does (50 actions, several at once), fine-tuned on
{trained_on} with microg4m-hf {__version__}, recipe `{recipe.name}`, variant `{recipe.variant}`. {claim}

```python
import microg4m_hf.models  # makes the architecture known
from transformers import pipeline

who = pipeline("microg4m-har", model="<this repository>")
who("clip.mp4", boxes=[[0.3, 0.1, 0.7, 0.9]], center=51)  # center: the key frame, counted from 0
```

## Scores (test split, percent)

| | |
| --- | --- |
{table}

Random scores reach an mAP of {100 * test["chance_map"]:.2f}.
Recipe of the scores: `{test["signature"]}`. Best checkpoint by validation mAP
({100 * summary["validation_map"]:.2f}) at step {summary["best_step"]} of {summary["steps"]}.

## Training

Split scheme `{recipe.data.scheme}`, data revision `{recipe.data.revision or "as cached"}`,
{recipe.data.num_frames} frames {recipe.data.stride} apart, key frame `{recipe.data.key_frame}`. All settings are in
`recipe.yaml`. {summary["skipped_clips"]} unreadable clips were left out.

## Limits

Boxes of the persons must be given. The official split is by clip, so that every test film is also in training: scores
on new films are lower. Classes differ in frequency by three orders of magnitude; nine do not occur in the test split.

## Average precision per class

| action | AP@0.5 |
| --- | --- |
{per_class}

## Citation

```bibtex
{CITATION}
```
"""


def _percent(per_class: dict[Any, Any], action_id: int) -> str:
    entry = per_class.get(action_id, per_class.get(str(action_id), {}))
    value = entry.get("ap") if isinstance(entry, dict) else None
    return "not in the split" if value is None or value != value else f"{100 * value:.2f}"
