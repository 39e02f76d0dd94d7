"""Train a LoRA adapter of a vision-language model on captions and answers: one Accelerate loop, resumed exactly.

A step's rows are a function of the recipe's seed and the step's number, and so is all randomness in it; adapter and
optimiser are all there is to keep.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..errors import RecipeError
from ..extras import require
from ..inference.frames import read_frames
from ..inference.items import ClipQueries, Query, prompt_set
from ..inference.vlm.generate import collate_prompts, collate_visuals
from ..inference.vlm.inputs import ClipInputs, InputPreparer, PromptBuilder
from ..runtime import progress
from .recipe_io import VlmRecipe
from .run_folder import VlmFolder, card

Row = Mapping[str, Any]


def train_adapter(
    recipe: VlmRecipe,
    folder: VlmFolder,
    model: Any,
    processor: Any,
    rows: Sequence[Row],
    example: Callable[[Row], dict[str, Any]],
) -> float:
    """Train and save ``adapter/``; returns the last loss. Started again, it goes on after the newest checkpoint."""
    require("peft", "training an adapter")
    import torch
    from accelerate import Accelerator
    from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict

    accelerator = Accelerator(cpu=not torch.cuda.is_available())
    if recipe.batch % accelerator.num_processes:
        raise RecipeError(f"batch is {recipe.batch}, which {accelerator.num_processes} processes cannot share evenly")
    if accelerator.is_main_process:
        folder.begin(recipe)
    accelerator.wait_for_everyone()

    torch.manual_seed(recipe.seed)
    if recipe.gradient_checkpointing:
        model.gradient_checkpointing_enable()
        model.enable_input_require_grads()
    lora = LoraConfig(
        r=recipe.rank, lora_alpha=recipe.alpha, lora_dropout=recipe.dropout, target_modules=recipe.targets
    )
    tuned = get_peft_model(model, lora)
    learned = [weight for weight in tuned.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=recipe.lr, weight_decay=recipe.weight_decay)

    step, newest = 0, folder.newest()
    if newest is not None:
        from safetensors.torch import load_file

        step = int(newest.name.removeprefix("step-"))
        set_peft_model_state_dict(tuned, load_file(newest / "adapter.safetensors"))
        optimizer.load_state_dict(torch.load(newest / "optimizer.pt", weights_only=True))
    if accelerator.is_main_process:
        folder.forget_after(step)
    wrapped, optimizer = accelerator.prepare(tuned, optimizer)
    wrapped.train()

    per_epoch = max(1, len(rows) // recipe.batch)
    total = min(recipe.max_steps or sys.maxsize, per_epoch * recipe.epochs)
    loss = float("nan")
    for number in progress(range(step, total), "fine-tuning", total=total - step):
        torch.manual_seed(recipe.seed * 1_000_003 + number)
        loss = _step(recipe, accelerator, wrapped, optimizer, learned, number, per_epoch, rows, example)
        if accelerator.is_main_process:
            folder.log({"step": number + 1, "loss": loss})
            if (number + 1) % recipe.checkpoint_every == 0 or number + 1 == total:
                folder.save(number + 1, get_peft_model_state_dict(tuned), optimizer.state_dict())
    if accelerator.is_main_process and (step < total or not folder.adapter.is_dir()):
        tuned.save_pretrained(str(folder.adapter))
        processor.save_pretrained(folder.adapter)
        (folder.adapter / "README.md").write_text(card(recipe, total, loss), encoding="utf-8")
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return loss


def _step(
    recipe: VlmRecipe,
    accelerator: Any,
    model: Any,
    optimizer: Any,
    learned: list[Any],
    number: int,
    per_epoch: int,
    rows: Sequence[Row],
    example: Callable[[Row], dict[str, Any]],
) -> float:
    """One optimiser step; the loss is the mean over all labelled tokens of the step, however they are divided."""
    import torch

    epoch, place = divmod(number, per_epoch)
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(recipe.seed * 7919 + epoch))
    chosen = [int(order[(place * recipe.batch + offset) % len(rows)]) for offset in range(recipe.batch)]
    own = [example(rows[index]) for index in chosen[accelerator.process_index :: accelerator.num_processes]]
    tokens = torch.tensor(sum(int((one["labels"] != -100).sum()) for one in own), device=accelerator.device)
    tokens = accelerator.reduce(tokens, "sum")
    rate = recipe.lr * min(1.0, (number + 1) / max(1, recipe.warmup_steps))
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    whole = torch.zeros((), device=accelerator.device)
    for one in own:
        inputs = {name: value.to(accelerator.device) for name, value in one.items()}
        labels = inputs.pop("labels")
        logits = model(**inputs, use_cache=False).logits[:, :-1].float()
        loss = (
            torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten(), reduction="sum") / tokens
        )
        accelerator.backward(loss * accelerator.num_processes)
        whole += loss.detach()
    accelerator.clip_grad_norm_(learned, recipe.clip_grad)
    optimizer.step()
    return float(accelerator.reduce(whole, "sum"))


# Captions and answers as training examples: the prompt as the runner writes it, then the text to learn.

IGNORED = -100


class Examples:
    """Turns rows of ``caption`` and ``vqa`` into what a model's ``forward`` takes, with labels.

    Only the text to learn and the token that ends it are labelled.
    """

    def __init__(self, processor: Any, *, prompts: str, frames: int, pick: str = "uniform") -> None:
        self._preparer = InputPreparer(PromptBuilder(processor, prompt_set(prompts), as_images=False))
        self._tokenizer = processor.tokenizer
        self._frames, self._pick = frames, pick

    def example(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """One row as a batch of one."""
        query = Query(row["video_id"], row.get("question"))
        shown = read_frames(row["video"], self._frames, self._pick)
        (item,) = self._preparer.prepare(ClipQueries(row["video"], row["video_id"], (query,)), shown)
        text = str(row["answer"] if query.question is not None else row["caption"]).strip()
        said = self._tokenizer(text, add_special_tokens=False)["input_ids"] + [self._tokenizer.eos_token_id]
        return _labelled(item, said)


def _labelled(item: ClipInputs, said: list[int]) -> dict[str, Any]:
    import torch

    prompt = item.input_ids[0]
    whole = ClipInputs(item.clip, item.queries, [prompt + said], item.visual, item.token_fields)
    labels = torch.tensor([[IGNORED] * len(prompt) + said])
    return {**collate_prompts([(whole, 0)]), **collate_visuals([whole]), "labels": labels}
