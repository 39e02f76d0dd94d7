"""The folder of one run: what is in it, how it is opened again, and when that is refused."""

from __future__ import annotations

import json
import os
import platform
import shutil
from pathlib import Path
from typing import Any

from .._version import __version__
from ..errors import RecipeError
from ..runtime import package_versions
from ..storage import atomic_folder, write_atomic
from .recipe import Recipe
from .recipe_io import FREE, VlmRecipe, differences, save_recipe

_PACKAGES = ("torch", "torchvision", "transformers", "accelerate", "datasets", "numpy", "av", "decord")

# What may change between two starts of a run: how it is watched, where it reads, how a step is cut to fit memory.
_FREE = {
    "data.cache_gb",
    "data.data_dir",
    "data.workers",
    "loop.checkpoint_every",
    "loop.compile",
    "loop.keep_checkpoints",
    "loop.max_steps",
    "loop.micro_batch",
    "loop.tracker",
    "note",
    "variant",  # follows from the other values
}


class RunFolder:
    """Paths and small files of a run; only the main process writes."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.config = self.path / "config.yaml"
        self.metrics = self.path / "metrics.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.predictions = self.path / "predictions"
        self.results = self.path / "results.json"
        self.environment = self.path / "environment.json"
        self.model = self.path / "model"

    def begin(self, recipe: Recipe) -> None:
        """Make the folder, or check that what it holds was made by the same recipe."""
        import yaml

        if self.config.exists():
            old = yaml.safe_load(self.config.read_text(encoding="utf-8"))
            changed = [line for line in differences(old, recipe.to_dict()) if line.split(":")[0] not in _FREE]
            if changed:
                raise RecipeError(
                    f"{self.path} holds a run of another recipe: {'; '.join(changed)}. "
                    "Give --out another folder, or the old values back"
                )
        elif self.path.exists() and any(self.path.iterdir()):
            raise RecipeError(f"{self.path} is not empty and holds no run; give --out another folder")
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        save_recipe(recipe, self.config)
        write_atomic(self.environment, json.dumps(environment(), indent=1))

    def finished(self, step: int) -> dict[str, Any] | None:
        """The summary of a run that ended at ``step``; None when there is still something to do."""
        try:
            summary: dict[str, Any] = json.loads(self.results.read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return summary if summary.get("steps") == step and (self.model / "README.md").is_file() else None

    def log(self, record: dict[str, Any]) -> None:
        """Append one line to ``metrics.jsonl``, in one write."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def forget_after(self, step: int) -> None:
        """Drop log lines of steps that a resumed run will take again, and a line cut by a kill."""
        if not self.metrics.exists():
            return
        kept = []
        for line in self.metrics.read_text(encoding="utf-8").splitlines():
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                continue
            if record.get("step", 0) <= step:
                kept.append(line + "\n")
        write_atomic(self.metrics, "".join(kept))


def environment() -> dict[str, Any]:
    """Versions and machine, as a run leaves them behind.

    >>> "python" in environment()
    True
    """
    machine = f"{platform.system()} {platform.machine()}"
    own = {"microg4m-hf": __version__, "python": platform.python_version(), "machine": machine}
    return own | package_versions(*_PACKAGES)


# The folder of an adapter's run: checkpoints that are whole or not there, log, adapter, card.


class VlmFolder:
    """Only the main process writes."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.config = self.path / "config.yaml"
        self.adapter = self.path / "adapter"
        self.checkpoints = self.path / "checkpoints"

    def begin(self, recipe: VlmRecipe) -> None:
        """Make the folder, or check that what it holds was made by the same recipe."""
        import yaml

        if self.config.exists():
            old = yaml.safe_load(self.config.read_text(encoding="utf-8"))
            changed = [line for line in differences(old, recipe.to_dict()) if line.split(":")[0] not in FREE]
            if changed:
                raise RecipeError(
                    f"{self.path} holds a run of another recipe: {'; '.join(changed)}; give --out another"
                )
        elif self.path.exists() and any(self.path.iterdir()):
            raise RecipeError(f"{self.path} is not empty and holds no run; give --out another folder")
        write_atomic(self.config, yaml.safe_dump(recipe.to_dict(), sort_keys=False))
        write_atomic(self.path / "environment.json", json.dumps(environment(), indent=1))

    def newest(self) -> Path | None:
        """The newest whole checkpoint."""
        found = sorted(self.checkpoints.glob("step-*"))
        return found[-1] if found else None

    def save(self, step: int, weights: dict[str, Any], optimizer: dict[str, Any]) -> None:
        """Keep a checkpoint, and drop the ones before the last two."""
        import torch
        from safetensors.torch import save_file

        with atomic_folder(self.checkpoints / f"step-{step:08d}", replace=True) as scratch:
            save_file(
                {name: value.contiguous().cpu() for name, value in weights.items()}, scratch / "adapter.safetensors"
            )
            torch.save(optimizer, scratch / "optimizer.pt")
        for old in sorted(self.checkpoints.glob("step-*"))[:-2]:
            shutil.rmtree(old, ignore_errors=True)

    def log(self, record: dict[str, Any]) -> None:
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def forget_after(self, step: int) -> None:
        """Drop log lines of steps that will be taken again."""
        path = self.path / "metrics.jsonl"
        if path.exists():
            lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
            write_atomic(path, "".join(f"{line}\n" for line in lines if json.loads(line)["step"] <= step))


def card(recipe: VlmRecipe, steps: int, loss: float) -> str:
    """The README of an adapter."""
    warning = (
        "\nThe `official` division is by clip: films of the test split are in training, so scores on it say little.\n"
        if recipe.scheme == "official"
        else ""
    )
    return f"""---
base_model: {recipe.model}
library_name: peft
datasets:
- LEI-QI-233/MicroG-4M
tags:
- lora
- microg4m
---

# {recipe.name}

A LoRA adapter (rank {recipe.rank}) for `{recipe.model}`, trained on {" and ".join(recipe.tasks)} of MicroG-4M,
division `{recipe.scheme}`, split `{recipe.split}`: {steps} steps of {recipe.batch} rows, last loss {loss:.4f}.
{warning}
```
microg4m predict vqa --model THIS_REPOSITORY --frames {recipe.frames} --scheme {recipe.scheme} --split test
```
"""
