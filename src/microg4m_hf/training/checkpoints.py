"""Save, find and prune the checkpoints of a run. A checkpoint is either complete or absent."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..storage import atomic_folder

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass
class TrainState:
    """The progress of a run. A resumed run needs it, the recipe, and the state that Accelerate saved."""

    step: int = 0  # optimizer steps taken
    best: float = -1.0  # validation mAP
    best_step: int = -1
    skipped_clips: int = 0


def save_checkpoint(accelerator: Accelerator, folder: Path, state: TrainState, keep: int) -> Path:
    """Save the state of all processes, and keep the last ``keep`` checkpoints (0: all). Every process must call this.

    The folder is renamed when it is complete, so a killed process leaves no partial checkpoint.
    """
    final = folder / f"step-{state.step:08d}"
    scratch = folder / f".step-{state.step:08d}.part"
    if accelerator.is_main_process:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(scratch))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        (scratch / "progress.json").write_text(json.dumps(asdict(state)), encoding="utf-8")
        for path in scratch.rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    os.fsync(file.fileno())  # before the rename, so that a folder with the final name is complete
        shutil.rmtree(final, ignore_errors=True)
        scratch.rename(final)
        for old in list_checkpoints(folder)[:-keep] if keep else []:
            shutil.rmtree(old, ignore_errors=True)
    accelerator.wait_for_everyone()
    return final


def load_checkpoint(accelerator: Accelerator, checkpoint: Path) -> TrainState:
    """Load a checkpoint into everything that the accelerator prepared."""
    accelerator.load_state(str(checkpoint))
    values: dict[str, Any] = json.loads((checkpoint / "progress.json").read_text(encoding="utf-8"))
    return TrainState(**values)


def list_checkpoints(folder: Path) -> list[Path]:
    """Return all complete checkpoints of an action run, oldest first."""
    return sorted(path.parent for path in folder.glob("step-*/progress.json"))


def remove_partial(folder: Path) -> None:
    """Remove checkpoints that a kill left incomplete. Call it on one process, before anything is saved."""
    for part in folder.glob(".step-*.part"):
        shutil.rmtree(part, ignore_errors=True)


def save_adapter_checkpoint(folder: Path, step: int, weights: dict[str, Any], optimizer: dict[str, Any]) -> None:
    """Save the weights of an adapter and its optimizer, and remove all but the last two checkpoints."""
    import torch
    from safetensors.torch import save_file

    with atomic_folder(folder / f"step-{step:08d}", replace=True) as scratch:
        weights = {name: value.contiguous().cpu() for name, value in weights.items()}
        save_file(weights, scratch / "adapter.safetensors")
        torch.save(optimizer, scratch / "optimizer.pt")
    for old in sorted(folder.glob("step-*"))[:-2]:
        shutil.rmtree(old, ignore_errors=True)


def load_adapter_checkpoint(folder: Path) -> tuple[int, dict[str, Any], dict[str, Any]] | None:
    """Return step, weights and optimizer state of the newest checkpoint of an adapter, or None."""
    import torch
    from safetensors.torch import load_file

    checkpoints = sorted(folder.glob("step-*"))
    if not checkpoints:
        return None
    step = int(checkpoints[-1].name.removeprefix("step-"))
    optimizer = torch.load(checkpoints[-1] / "optimizer.pt", weights_only=True)
    return step, load_file(checkpoints[-1] / "adapter.safetensors"), optimizer
