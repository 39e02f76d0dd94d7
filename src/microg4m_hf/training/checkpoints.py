"""Save, check, find and prune the checkpoints of a run. A checkpoint is either complete or absent.

``files.json`` in a checkpoint lists the size and the hash of every other file, so that a checkpoint that was damaged
later is noticed, and the one before it is used.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import random
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CheckpointError
from ..runtime import is_out_of_memory
from ..scratch import remove_all_abandoned
from ..storage import atomic_folder
from .processes import on_main_process

if TYPE_CHECKING:
    from accelerate import Accelerator

_LIST = "files.json"
_REMOVE = "remove this checkpoint to resume at the one before"
_PROGRESS = "progress.json"
_ADAPTER, _OPTIMIZER = "adapter.safetensors", "optimizer.pt"


@dataclass
class TrainState:
    """The progress of a run. A resumed run needs it, the recipe, and the state that Accelerate saved."""

    step: int = 0  # optimizer steps taken
    best: float = -1.0  # validation mAP
    best_step: int = -1
    skipped_clips: int = 0
    validated: bool = True  # False: the run was stopped before a validation that is due at this step


def save_checkpoint(accelerator: Accelerator, folder: Path, state: TrainState, keep: int) -> Path:
    """Save the state of all processes, and keep the last checkpoints. Every process must call this.

    The folder is renamed when it is complete, so a killed process leaves no partial checkpoint.

    Args:
        accelerator: The accelerator of this process.
        folder: The folder of all checkpoints of the run.
        state: The progress.
        keep: How many to keep, at least two in case the newest is damaged; 0 for all.
    """
    final = folder / f"step-{state.step:08d}"
    with contextlib.ExitStack() as stack:
        scratch = on_main_process(accelerator, lambda: str(stack.enter_context(atomic_folder(final, replace=True))))
        accelerator.save_state(scratch)
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            (Path(scratch) / _PROGRESS).write_text(json.dumps(asdict(state)), encoding="utf-8")
            _write_list(Path(scratch))
    if accelerator.is_main_process and keep:
        _prune(folder, keep)
    accelerator.wait_for_everyone()
    return final


def load_checkpoint(accelerator: Accelerator, checkpoint: Path) -> TrainState:
    """Load a checkpoint into everything that the accelerator prepared. Every process must call this.

    Raises:
        CheckpointError: If it belongs to another model or to a later version, or its random state cannot be restored.
    """
    state = _read_progress(checkpoint)
    try:
        accelerator.load_state(str(checkpoint))
    except Exception as error:  # what libraries raise for damaged or foreign content is not a closed list
        if is_out_of_memory(error):
            raise
        raise CheckpointError(
            f"{checkpoint} does not fit this run ({_first_line(error)}); give --out another folder to start a new run"
        ) from error
    _restore_random_state(accelerator, checkpoint)
    return state


def find_checkpoint(accelerator: Accelerator, folder: Path, required: Sequence[str] = (_PROGRESS,)) -> Path | None:
    """Return the newest checkpoint that is not damaged, or None if there is none. Every process must call this.

    Damaged ones are renamed, with a line on standard error, and scratch of killed processes is removed.

    Raises:
        CheckpointError: If all checkpoints are damaged.
    """

    def find() -> Path | None:
        remove_all_abandoned(folder)
        damaged: list[tuple[str, str]] = []
        for checkpoint in reversed(list_checkpoints(folder)):
            problem = _find_damage(checkpoint, required)
            if problem is None:
                for name, why in damaged:
                    print(
                        f"checkpoint {name} is damaged ({why}); it was renamed to damaged-{name}, and "
                        f"{checkpoint.name} is used",
                        file=sys.stderr,
                    )
                return checkpoint
            damaged.append((checkpoint.name, problem))
            aside = checkpoint.with_name(f"damaged-{checkpoint.name}")
            shutil.rmtree(aside, ignore_errors=True)
            checkpoint.rename(aside)
        if damaged:
            name, problem = damaged[0]
            raise CheckpointError(
                f"all checkpoints in {folder} are damaged (damaged-{name}: {problem}); restore one of them and rename "
                "it back, or start again with another --out"
            )
        return None

    return on_main_process(accelerator, find)


def list_checkpoints(folder: Path) -> list[Path]:
    """Return all checkpoints of a run, oldest first."""
    return sorted(path for path in folder.glob("step-*") if path.name[5:].isdigit() and path.is_dir())


def save_adapter_checkpoint(folder: Path, step: int, weights: dict[str, Any], optimizer: dict[str, Any]) -> None:
    """Save the weights of an adapter and its optimizer, and remove all but the last two checkpoints."""
    import torch
    from safetensors.torch import save_file

    with atomic_folder(folder / f"step-{step:08d}", replace=True) as scratch:
        weights = {name: value.contiguous().cpu() for name, value in weights.items()}
        save_file(weights, scratch / _ADAPTER)
        torch.save(optimizer, scratch / _OPTIMIZER)
        _write_list(scratch)
    _prune(folder, 2)


def load_adapter_checkpoint(
    accelerator: Accelerator, folder: Path
) -> tuple[int, dict[str, Any], dict[str, Any]] | None:
    """Return step, weights and optimizer state of the newest checkpoint of an adapter, or None.

    Every process must call this.

    Raises:
        CheckpointError: If all checkpoints are damaged.
    """
    import torch
    from safetensors.torch import load_file

    checkpoint = find_checkpoint(accelerator, folder, (_ADAPTER, _OPTIMIZER))
    if checkpoint is None:
        return None
    step = int(checkpoint.name.removeprefix("step-"))
    optimizer = torch.load(checkpoint / _OPTIMIZER, weights_only=True)
    return step, load_file(checkpoint / _ADAPTER), optimizer


def _prune(folder: Path, keep: int) -> None:
    for old in list_checkpoints(folder)[: -max(2, keep)]:
        shutil.rmtree(old, ignore_errors=True)


def _write_list(checkpoint: Path) -> None:
    files = {
        path.relative_to(checkpoint).as_posix(): [path.stat().st_size, _hash(path)]
        for path in sorted(checkpoint.rglob("*"))
        if path.is_file()
    }
    (checkpoint / _LIST).write_text(json.dumps(files, indent=1), encoding="utf-8")


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _find_damage(checkpoint: Path, required: Sequence[str]) -> str | None:
    """Return what is wrong with the files of a checkpoint, or None."""
    for name in required:
        if not (checkpoint / name).is_file():
            return f"{name} is missing"
    if not (checkpoint / _LIST).exists():
        return _find_unreadable(checkpoint)
    try:
        listed = json.loads((checkpoint / _LIST).read_text(encoding="utf-8"))
        expected = {str(name): (int(size), str(digest)) for name, (size, digest) in listed.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return f"{_LIST} is not readable"
    found = {path.relative_to(checkpoint).as_posix(): path for path in checkpoint.rglob("*") if path.is_file()}
    for name, (size, digest) in expected.items():
        if name not in found:
            return f"{name} is missing"
        if found[name].stat().st_size != size:
            return f"{name} has {found[name].stat().st_size} bytes instead of {size}"
        try:
            if _hash(found[name]) != digest:
                return f"the content of {name} has changed"
        except OSError as error:
            return f"{name} cannot be read: {error.strerror}"
    return None


def _find_unreadable(checkpoint: Path) -> str | None:
    """Return the first file that cannot be read in a checkpoint of an earlier version, which has no list of files."""
    from accelerate.utils.other import load
    from safetensors import safe_open

    for path in sorted(checkpoint.rglob("*")):
        try:
            if path.suffix == ".safetensors":
                with safe_open(path, framework="pt"):
                    pass
            elif path.suffix in (".bin", ".pkl", ".pt"):
                load(path, map_location="cpu")
            elif path.suffix == ".json":
                json.loads(path.read_text(encoding="utf-8"))
        except Exception as error:
            return f"{path.name} is not readable: {_first_line(error)}"
    return None


def _read_progress(checkpoint: Path) -> TrainState:
    fields = {field.name: field for field in dataclasses.fields(TrainState)}
    path = checkpoint / _PROGRESS
    try:
        values: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not readable ({_first_line(error)}); {_REMOVE}") from None
    if not isinstance(values, dict):
        raise CheckpointError(f"{path} holds a {type(values).__name__} instead of the progress of a run; {_REMOVE}")
    foreign = sorted(set(values) - set(fields))
    if foreign:
        raise CheckpointError(
            f"{path} has fields that this version does not know: {', '.join(foreign)}; a later version of microg4m-hf "
            "wrote it, so resume with that version"
        )
    for name, value in values.items():
        kind = type(fields[name].default)
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise CheckpointError(f"{path}: {name} must be {kind.__name__}, given {value!r}; {_REMOVE}")
    state = TrainState(**values)
    if f"step-{state.step:08d}" != checkpoint.name:
        raise CheckpointError(f"{path} is of step {state.step}, which is not the step of its folder; {_REMOVE}")
    return state


def _restore_random_state(accelerator: Accelerator, checkpoint: Path) -> None:
    """Restore the generators of this process; Accelerate does it as well, but ignores errors."""
    import numpy as np
    import torch
    from accelerate.utils.other import load

    saved = len(list(checkpoint.glob("random_states_*.pkl")))
    if saved and saved != accelerator.num_processes:
        if accelerator.is_main_process:
            print(
                f"{checkpoint.name} was saved by {saved} processes and is resumed by {accelerator.num_processes}: "
                "dropout draws other numbers than in a run that was never stopped",
                file=sys.stderr,
            )
        return
    path = checkpoint / f"random_states_{accelerator.process_index}.pkl"
    try:
        states = load(path, map_location="cpu")
        random.setstate(states["random_state"])
        np.random.set_state(states["numpy_random_seed"])
        torch.set_rng_state(states["torch_manual_seed"])
        if accelerator.device.type == "cuda":
            index, of_gpus = accelerator.device.index or 0, states.get("torch_cuda_manual_seed") or []
            if index < len(of_gpus):
                torch.cuda.set_rng_state(of_gpus[index], index)
            elif accelerator.is_main_process:
                print(
                    f"{checkpoint.name} was saved without a GPU: dropout draws other numbers than in a run that was "
                    "never stopped",
                    file=sys.stderr,
                )
    except Exception as error:
        raise CheckpointError(
            f"the random state in {path} cannot be restored ({type(error).__name__}: {_first_line(error)}); the run "
            f"would go on differently without it; rename {checkpoint.name} to use the checkpoint before it"
        ) from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
