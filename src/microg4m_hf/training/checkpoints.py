"""Checkpoints of a run: written beside, renamed when whole, the newest whole one found again."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from accelerate import Accelerator


@dataclass
class Progress:
    """How far a run is; everything else a resume needs is a function of it and the recipe."""

    step: int = 0  # optimiser steps taken
    best: float = -1.0  # validation mAP
    best_step: int = -1
    skipped_clips: int = 0


def save(accelerator: Accelerator, folder: Path, progress: Progress, keep: int) -> Path:
    """Save the state of all processes; a kill at any moment leaves the older checkpoints untouched."""
    final = folder / f"step-{progress.step:08d}"
    scratch = folder / f".step-{progress.step:08d}.part"
    if accelerator.is_main_process:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(scratch))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        (scratch / "progress.json").write_text(json.dumps(asdict(progress)), encoding="utf-8")
        _sync(scratch)
        shutil.rmtree(final, ignore_errors=True)
        scratch.rename(final)
        for old in whole(folder)[:-keep] if keep else []:
            shutil.rmtree(old, ignore_errors=True)
    accelerator.wait_for_everyone()
    return final


def whole(folder: Path) -> list[Path]:
    """All finished checkpoints, oldest first."""
    return sorted(path.parent for path in folder.glob("step-*/progress.json"))


def clean(folder: Path) -> None:
    """Remove what a kill left half-written; call it on one process before anything is saved."""
    for part in folder.glob(".step-*.part"):
        shutil.rmtree(part, ignore_errors=True)


def restore(accelerator: Accelerator, checkpoint: Path) -> Progress:
    """Load a checkpoint into everything the accelerator prepared."""
    accelerator.load_state(str(checkpoint))
    values: dict[str, Any] = json.loads((checkpoint / "progress.json").read_text(encoding="utf-8"))
    return Progress(**values)


def _sync(folder: Path) -> None:
    """Flush the files to disk before the rename makes them count."""
    import os

    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
