"""Train a tiny vision-language model from scratch, and save it as a folder that ``microg4m predict`` loads.

    python -m microg4m_hf.training.tiny_vlm --out demo_output/tiny_vlm
    microg4m predict vqa --model demo_output/tiny_vlm --frames 4 --prompts plain --source sample --scheme official

It trains on the training clips of the built-in sample and on scenes drawn by the same rules, never on a test clip.
Within two minutes it learns to recognize the walls of cabins; counts, colors and rotations remain guesses. It is a toy
to try everything from frames to scores: its scores say nothing about real models or real video.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import datasets
import torch
from transformers.utils import logging

from ...inference.items import prompt_set
from ...inference.vlm.inputs import InputPreparer, PromptBuilder
from ...runtime import progress
from ...storage import atomic_folder
from .lessons import FRAMES, PROMPTS, Clip, lesson, loss_of, practice_clips, sample_clips
from .model import make_model

_LEARNING_RATE, _WARMUP_STEPS, _CLIPS_PER_STEP = 5e-3, 30, 4


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m microg4m_hf.training.tiny_vlm",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True, help="the folder of the model")
    parser.add_argument(
        "--steps", type=int, default=400, help=f"steps with {_CLIPS_PER_STEP} clips each (default: %(default)s)"
    )
    parser.add_argument("--practice", type=int, default=600, help="additional scenes (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    if args.steps < 1 or args.practice < 0:
        parser.error("the numbers are too small; use --steps of at least 1 and --practice of at least 0")
    arguments = {"steps": args.steps, "practice": args.practice, "seed": args.seed}
    if args.out.exists():
        return _check_existing(args.out, arguments)
    logging.disable_progress_bar()
    datasets.disable_progress_bars()
    clips = sample_clips("train")
    own = len(clips)
    clips += practice_clips(args.practice)
    captions = sum(query.question is None for clip in clips for query in clip.work.queries)
    what = (
        f"{own} training clips of the sample and {args.practice} practice scenes of other sources, {captions} "
        f"captions and {sum(len(clip.answers) for clip in clips) - captions} questions, no validation or test clip"
    )
    print(f"training on {what}", flush=True)
    start = time.perf_counter()
    model, processor, losses = train(clips, args.steps, args.seed)
    seconds = time.perf_counter() - start
    with atomic_folder(args.out) as folder:
        model.eval().save_pretrained(folder)
        processor.save_pretrained(folder)
        (folder / "training.json").write_text(json.dumps(arguments | {"losses": losses}), encoding="utf-8")
        (folder / "README.md").write_text(_CARD.format(what=what, **arguments), encoding="utf-8")
    weights = sum(weight.numel() for weight in model.parameters())
    change = f"loss {losses[0]:.2f} to {losses[-1]:.2f}"
    print(f"{weights:,} weights, {args.steps} steps in {seconds:.0f} s, {change}: {args.out}")
    print("this is a toy: its scores say nothing about real models or real video")
    return 0


def train(
    clips: list[Clip], steps: int, seed: int, learning_rate: float = _LEARNING_RATE
) -> tuple[Any, Any, list[float]]:
    """Return the model, its processor, and the mean loss of each tenth of the training."""
    torch.manual_seed(seed)
    prompts = prompt_set(PROMPTS)
    texts = [query.question or prompts.caption for clip in clips for query in clip.work.queries]
    model, processor = make_model([*texts, *(answer for clip in clips for answer in clip.answers)])
    preparer = InputPreparer(PromptBuilder(processor, prompts, as_images=False))
    lessons = [lesson(clip, model, preparer) for clip in clips]
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.05, betas=(0.9, 0.98))
    rng = random.Random(seed)
    waiting: list[dict[str, torch.Tensor]] = []
    losses: list[float] = []
    model.train()
    for step in progress(range(steps), "training the tiny model", total=steps):
        decay = max(0.02, min(1.0, (1 - (step + 1) / steps) / 0.6))  # over the last three fifths
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / _WARMUP_STEPS) * decay
        while len(waiting) < _CLIPS_PER_STEP:
            waiting += rng.sample(lessons, len(lessons))
        loss = loss_of(model, [waiting.pop() for _ in range(_CLIPS_PER_STEP)])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    tenth = max(1, steps // 10)
    means = [sum(losses[at : at + tenth]) / len(losses[at : at + tenth]) for at in range(0, steps, tenth)]
    return model, processor, means


def _check_existing(folder: Path, arguments: dict[str, int]) -> int:
    """Keep an existing model of the same arguments, and never overwrite anything else."""
    try:
        old = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        old = {}
    changed = [
        f"{name} is {value}, but {old.get(name)} in the folder"
        for name, value in arguments.items()
        if old.get(name) != value
    ]
    if changed:
        print(f"{folder} already exists: {'; '.join(changed)}; choose another folder with --out", file=sys.stderr)
        return 2
    print(f"{folder} already holds this model: nothing to do")
    return 0


_CARD = f"""---
pipeline_tag: video-text-to-text
---

# A tiny vision-language model for MicroG-4M's built-in sample

Trained from scratch in {{steps}} steps (seed {{seed}}) on {{what}}. It is a toy: its scores say nothing about real
models or real video.

```
microg4m predict vqa --model THIS_FOLDER --frames {FRAMES} --prompts {PROMPTS} --source sample --scheme official
```
"""


if __name__ == "__main__":
    sys.exit(main())
