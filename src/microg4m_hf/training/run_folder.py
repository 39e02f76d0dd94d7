"""The folder of a training run: where each file is, when a folder may be used again, and the log of the steps.

Runs of both kinds share the class. An action run leaves ``model/``, ``predictions/`` and ``results.json``; an adapter
run leaves ``adapter/``.
"""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

from .._version import __version__
from ..errors import RecipeError
from ..extras import package_versions
from ..scratch import remove_abandoned
from ..storage import write_atomic
from .recipe import RESUMABLE, Recipe, VlmRecipe
from .recipe_io import differences, save_recipe, with_current_keys, with_defaults

_PACKAGES = ("torch", "torchvision", "transformers", "accelerate", "datasets", "numpy", "av", "decord")


class RunFolder:
    """Paths and small files of a run. Only the main process writes.

    Args:
        path: The folder; it does not have to exist yet.

    Example:
        >>> RunFolder("runs/mine").results.as_posix()
        'runs/mine/results.json'
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.config = self.path / "config.yaml"
        self.environment = self.path / "environment.json"
        self.metrics = self.path / "metrics.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.model = self.path / "model"
        self.predictions = self.path / "predictions"
        self.results = self.path / "results.json"
        self.adapter = self.path / "adapter"
        self.lock = self.path / ".lock"  # exists while a training uses the folder

    def begin(self, recipe: Recipe | VlmRecipe) -> None:
        """Create the folder, or check that it belongs to a run of the same recipe.

        Raises:
            RecipeError: If the folder contains a run of another recipe, or files that are not of a run.
        """
        from ..safe_yaml import read_yaml

        remove_abandoned(self.config)
        if self.config.exists():
            old = read_yaml(self.config)
            if not isinstance(old, dict):
                raise RecipeError(f"{self.config} contains no recipe; give --out another folder")
            old = with_defaults(with_current_keys(old), type(recipe))
            changed = [line for line in differences(old, recipe.to_dict()) if line.split(":")[0] not in RESUMABLE]
            if changed:
                raise RecipeError(
                    f"{self.path} contains a run of another recipe: {'; '.join(changed)}. "
                    "Give --out another folder, or use the old values"
                )
        elif self.path.exists() and any(path != self.lock for path in self.path.iterdir()):
            raise RecipeError(f"{self.path} is not empty and does not contain a run; give --out another folder")
        save_recipe(recipe, self.config)  # first: a folder without it is not resumed
        self.checkpoints.mkdir(exist_ok=True)
        machine = {"python": platform.python_version(), "machine": f"{platform.system()} {platform.machine()}"}
        versions = {"microg4m-hf": __version__} | machine | package_versions(*_PACKAGES)
        passes = self._forward_passes()
        write_atomic(self.environment, json.dumps(versions | ({"forward_pass": passes} if passes else {}), indent=1))

    def note_forward_pass(self, split: str, report: dict[str, Any]) -> None:
        """Record in ``environment.json`` how the network ran on a split: compiled or eager, why, and the seconds."""
        environment = self._environment() | {"forward_pass": self._forward_passes() | {split: report}}
        write_atomic(self.environment, json.dumps(environment, indent=1))

    def _forward_passes(self) -> dict[str, Any]:
        found = self._environment().get("forward_pass")
        return found if isinstance(found, dict) else {}

    def _environment(self) -> dict[str, Any]:
        try:
            found: Any = json.loads(self.environment.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def read_summary(self, step: int) -> dict[str, Any] | None:
        """Return the results of an action run that ended at ``step``, or None if the run is not finished."""
        try:
            summary: Any = json.loads(self.results.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError, RecursionError):
            return None
        has_scores = isinstance(summary, dict) and isinstance(summary.get("test"), dict)
        is_finished = has_scores and summary.get("steps") == step and (self.model / "README.md").is_file()
        return summary if is_finished else None

    def log(self, record: dict[str, Any]) -> None:
        """Append a line to ``metrics.jsonl``, in one write, behind the rest of a line that a kill left incomplete."""
        with self.metrics.open("ab+") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - 1, 0))
            start = b"" if file.read(1) in (b"", b"\n") else b"\n"
            file.write(start + json.dumps(record).encode() + b"\n")

    def read_log(self) -> list[dict[str, Any]]:
        """Return the records of ``metrics.jsonl``, without lines that a kill or something else damaged."""
        records = []
        for line in self.metrics.read_bytes().splitlines() if self.metrics.is_file() else ():
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(record, dict) and isinstance(record.get("step", 0), int | float):
                records.append(record)
        return records

    def truncate_log(self, step: int) -> None:
        """Remove the records of steps after ``step``, which a resumed run takes again."""
        kept = [record for record in self.read_log() if record.get("step", 0) <= step]
        if self.metrics.exists():
            write_atomic(self.metrics, "".join(f"{json.dumps(record)}\n" for record in kept))
