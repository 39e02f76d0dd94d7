"""Train a LoRA adapter of a vision-language model on captions and answers, in one Accelerate loop.

    accelerate launch -m microg4m_hf.training.vlm --config qwen2_5_vl_lora

The same command resumes a stopped run exactly: the rows of a step and all its randomness are functions of the seed and
the number of the step, so that adapter and optimizer are the only state.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, cast

from ..errors import CheckpointError, RecipeError, StoppedBySignal
from ..extras import require
from ..inference.frames import read_frames
from ..inference.items import ClipQueries, Query, TextSettings, prompt_set
from ..inference.vlm.generate import collate_prompts, collate_visuals
from ..inference.vlm.inputs import InputPreparer, PromptBuilder
from ..inference.vlm.loading import Placement, load_model
from ..runtime import check_gpus, has_accelerator, is_main_process, progress
from ..storage import atomic_folder
from .card import write_adapter_card
from .checkpoints import load_adapter_checkpoint, save_adapter_checkpoint
from .launch import exit_process, run_folder_of, run_main
from .processes import StopSignals, on_main_process, only_training_in
from .push import push_after_training
from .recipe import VlmRecipe
from .recipe_io import load_vlm_recipe
from .run_folder import RunFolder

IGNORE_INDEX = -100  # label of tokens without loss

Row = Mapping[str, Any]
Encode = Callable[[Row], dict[str, Any]]


def run_vlm_training(
    recipe: VlmRecipe, out: RunFolder | str | os.PathLike[str], *, push_to_hub: str | None = None
) -> float:
    """Load the model and the rows, train an adapter, and push it if asked to.

    A run that was stopped resumes at its newest checkpoint; a finished run is only pushed.

    Args:
        recipe: What to train, from :func:`load_vlm_recipe`.
        out: The run folder; the adapter is in its ``adapter/``.
        push_to_hub: The repository to push to, as ``"org/name"``.

    Returns:
        The loss of the last step.

    Raises:
        RecipeError: If the folder belongs to another recipe or another training uses it, or the batch cannot be divided
            among the processes.
        CheckpointError: If no checkpoint in the folder can be resumed.
        StoppedBySignal: If the run gets SIGTERM, SIGUSR1 or SIGINT; a checkpoint is written before.
        HubError: If the push fails; ``microg4m push`` tries again.
    """
    from ..data import load_dataset

    run = out if isinstance(out, RunFolder) else RunFolder(out)
    rows: list[Row] = []
    for task in recipe.tasks:
        where: dict[str, Any] = {"source": recipe.source, "data_dir": recipe.data_dir}
        rows += load_dataset(cast(Literal["caption", "vqa"], task), split=recipe.split, scheme=recipe.scheme, **where)
    settings = TextSettings(recipe.tasks[0], recipe.model, revision=recipe.revision, dtype=recipe.dtype)
    with StopSignals():
        model, processor = load_model(settings, Placement())
        encoder = ExampleEncoder(processor, prompts=recipe.prompts, frames=recipe.frames)
        loss = train_adapter(recipe, run, model, processor, rows, encoder.encode)
    if is_main_process():
        print(f"last loss {loss:.4f}; the adapter is in {run.adapter}: microg4m predict vqa --model {run.adapter}")
        if push_to_hub is not None:
            push_after_training(run, push_to_hub)
    return loss


def train_adapter(
    recipe: VlmRecipe, run: RunFolder, model: Any, processor: Any, rows: Sequence[Row], encode: Encode
) -> float:
    """Train an adapter for a loaded model, save ``adapter/``, and return the loss of the last step.

    ``encode`` turns a row into inputs of the model, with labels.
    """
    require("peft", "training an adapter")
    from accelerate import Accelerator

    check_gpus()
    with StopSignals() as stop:
        accelerator = Accelerator(cpu=not has_accelerator())
        with only_training_in(accelerator, run), stop.deferred():
            return _train_adapter(accelerator, recipe, run, model, processor, rows, encode, stop)


def _train_adapter(
    accelerator: Any,
    recipe: VlmRecipe,
    run: RunFolder,
    model: Any,
    processor: Any,
    rows: Sequence[Row],
    encode: Encode,
    stop: StopSignals,
) -> float:
    import torch
    from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict

    if recipe.batch % accelerator.num_processes:
        raise RecipeError(
            f"batch is {recipe.batch}, which {accelerator.num_processes} processes cannot share evenly; "
            "give a multiple of the number of processes"
        )
    on_main_process(accelerator, lambda: run.begin(recipe))

    torch.manual_seed(recipe.seed)
    if recipe.gradient_checkpointing:
        model.gradient_checkpointing_enable()
        model.enable_input_require_grads()
    lora = LoraConfig(
        r=recipe.rank, lora_alpha=recipe.alpha, lora_dropout=recipe.dropout, target_modules=recipe.targets
    )
    tuned = get_peft_model(model, lora)
    trainable = [weight for weight in tuned.parameters() if weight.requires_grad]
    optimizer: Any = torch.optim.AdamW(trainable, lr=recipe.lr, weight_decay=recipe.weight_decay)

    step, checkpoint = 0, load_adapter_checkpoint(accelerator, run.checkpoints)
    if checkpoint is not None:
        step, weights, optimizer_state = checkpoint
        wanted = {name: value.shape for name, value in get_peft_model_state_dict(tuned).items()}
        if wanted != {name: value.shape for name, value in weights.items()}:
            raise CheckpointError(
                f"the checkpoint of step {step} in {run.checkpoints} is of an adapter with other weights; "
                "give --out another folder to start a new run"
            )
        set_peft_model_state_dict(tuned, weights)
        optimizer.load_state_dict(optimizer_state)
    if accelerator.is_main_process:
        run.truncate_log(step)
    accelerator.wait_for_everyone()
    wrapped, optimizer = accelerator.prepare(tuned, optimizer)
    wrapped.train()

    steps_per_epoch = max(1, len(rows) // recipe.batch)
    total = min(recipe.max_steps or sys.maxsize, steps_per_epoch * recipe.epochs)
    loss = next((record["loss"] for record in reversed(run.read_log())), float("nan"))
    for number in progress(range(step, total), "fine-tuning", unit="step", initial=step):
        torch.manual_seed(recipe.seed * 1_000_003 + number)
        indices = _indices_of_step(recipe, number, steps_per_epoch, len(rows))
        batch = [encode(rows[index]) for index in indices[accelerator.process_index :: accelerator.num_processes]]
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr * min(1.0, (number + 1) / max(1, recipe.warmup_steps))
        loss = _training_step(accelerator, wrapped, optimizer, batch, recipe.clip_grad)
        stopped_by = stop.requested(accelerator)
        if accelerator.is_main_process:
            run.log({"step": number + 1, "loss": loss})
            if (number + 1) % recipe.checkpoint_every == 0 or number + 1 == total or stopped_by:
                weights = get_peft_model_state_dict(tuned)
                save_adapter_checkpoint(run.checkpoints, number + 1, weights, optimizer.state_dict())
        if stopped_by:
            accelerator.wait_for_everyone()
            raise StoppedBySignal(stopped_by, number + 1)
    if accelerator.is_main_process and (step < total or not (run.adapter / "README.md").is_file()):
        with atomic_folder(run.adapter, replace=True) as scratch:
            tuned.save_pretrained(str(scratch))
            processor.save_pretrained(scratch)
            write_adapter_card(recipe, total, loss, scratch)
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return loss


def _indices_of_step(recipe: VlmRecipe, number: int, steps_per_epoch: int, count: int) -> list[int]:
    import torch

    epoch, place = divmod(number, steps_per_epoch)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(recipe.seed * 7919 + epoch))
    return [int(order[(place * recipe.batch + offset) % count]) for offset in range(recipe.batch)]


def _training_step(
    accelerator: Any, model: Any, optimizer: Any, batch: Sequence[dict[str, Any]], clip_norm: float
) -> float:
    """Take one optimizer step; the loss is the mean over all labeled tokens of the step, on all processes."""
    import torch

    tokens = torch.tensor(sum(int((one["labels"] != IGNORE_INDEX).sum()) for one in batch), device=accelerator.device)
    tokens = accelerator.reduce(tokens, "sum")
    optimizer.zero_grad()
    total = torch.zeros((), device=accelerator.device)
    for one in batch:
        inputs = {name: value.to(accelerator.device) for name, value in one.items()}
        labels = inputs.pop("labels")
        logits = model(**inputs, use_cache=False).logits[:, :-1].float()
        losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), reduction="sum")
        loss = losses / tokens
        accelerator.backward(loss * accelerator.num_processes)
        total += loss.detach()
    accelerator.clip_grad_norm_([weight for group in optimizer.param_groups for weight in group["params"]], clip_norm)
    optimizer.step()
    return float(accelerator.reduce(total, "sum"))


class ExampleEncoder:
    """Encodes rows of ``caption`` and ``vqa`` as inputs of a model, with labels for the answer and its end token.

    Prompts are built as ``microg4m predict`` builds them.
    """

    def __init__(self, processor: Any, *, prompts: str, frames: int) -> None:
        self._preparer = InputPreparer(PromptBuilder(processor, prompt_set(prompts), as_images=False))
        self._tokenizer = processor.tokenizer
        self._frames = frames

    def encode(self, row: Row) -> dict[str, Any]:
        """Return a row as a batch of one."""
        import torch

        query = Query(row["video_id"], row.get("question"))
        frames = read_frames(row["video"], self._frames)
        (prepared,) = self._preparer.prepare(ClipQueries(row["video"], row["video_id"], (query,)), frames)
        text = str(row["answer"] if query.question is not None else row["caption"]).strip()
        answer = self._tokenizer(text, add_special_tokens=False)["input_ids"] + [self._tokenizer.eos_token_id]
        prompt = prepared.input_ids[0]
        prepared = dataclasses.replace(prepared, input_ids=[prompt + answer])
        labels = torch.tensor([[IGNORE_INDEX] * len(prompt) + answer])
        return {**collate_prompts([(prepared, 0)]), **collate_visuals([prepared]), "labels": labels}


def run(args: argparse.Namespace) -> int:
    """Train a LoRA adapter of a vision-language model from a recipe."""
    recipe = load_vlm_recipe(args.config, args.set)
    run_vlm_training(recipe, run_folder_of(args, recipe.name), push_to_hub=args.push_to_hub)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    return run_main("vlm", run, argv)


if __name__ == "__main__":
    exit_process(main())
