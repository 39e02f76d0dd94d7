"""Train a tiny vision-language model from nothing, and save it as a folder that ``microg4m predict`` loads.

    python examples/tiny_vlm.py --out demo_output/tiny_vlm
    microg4m predict vqa --model demo_output/tiny_vlm --frames 4 --prompts plain --source sample --scheme official

It learns the training clips of the built-in sample and scenes drawn by the same rules, and never sees a test clip.
In two minutes it learns to tell walls of cabins from pixels; counts, colours and rotations stay guesses. A toy for
trying the whole way from frames to scores: its figures say nothing about real models or real video.
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
from tiny_vlm_lessons import FRAMES, PROMPTS, Clip, lesson, loss_of, practice_clips, sample_clips
from tiny_vlm_model import make_model
from transformers.utils import logging

from microg4m_hf.inference.items import prompt_set
from microg4m_hf.inference.vlm.inputs import InputPreparer, PromptBuilder
from microg4m_hf.runtime import progress
from microg4m_hf.storage import atomic_folder

_RATE, _WARM_UP, _CLIPS = 5e-3, 30, 4  # clips are those of one step


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the model")
    parser.add_argument("--steps", type=int, default=400, help=f"of {_CLIPS} clips each (default: %(default)s)")
    parser.add_argument("--practice", type=int, default=600, help="scenes beside the sample's (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    if args.steps < 1 or args.practice < 0:
        parser.error("--steps is at least 1 and --practice at least 0")
    made_by = {"steps": args.steps, "practice": args.practice, "seed": args.seed}
    if args.out.exists():
        return _already(args.out, made_by)
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
    print(f"learning from {what}", flush=True)
    began = time.perf_counter()
    model, processor, losses = train(clips, args.steps, args.seed)
    seconds = time.perf_counter() - began
    with atomic_folder(args.out) as folder:
        model.eval().save_pretrained(folder)
        processor.save_pretrained(folder)
        (folder / "training.json").write_text(json.dumps(made_by | {"losses": losses}), encoding="utf-8")
        (folder / "README.md").write_text(_CARD.format(what=what, **made_by), encoding="utf-8")
    weights = sum(weight.numel() for weight in model.parameters())
    fallen = f"loss {losses[0]:.2f} to {losses[-1]:.2f}"
    print(f"{weights:,} weights, {args.steps} steps in {seconds:.0f} s, {fallen}: {args.out}")
    print("a toy: its figures say nothing about real models or real video")
    return 0


def train(clips: list[Clip], steps: int, seed: int) -> tuple[Any, Any, list[float]]:
    """The model, its processor, and the mean loss of every tenth of the training."""
    torch.manual_seed(seed)
    prompts = prompt_set(PROMPTS)
    asked = [query.question or prompts.caption for clip in clips for query in clip.work.queries]
    model, processor = make_model([*asked, *(answer for clip in clips for answer in clip.answers)])
    preparer = InputPreparer(PromptBuilder(processor, prompts, as_images=False))
    lessons = [lesson(clip, model, preparer) for clip in clips]
    optimizer = torch.optim.AdamW(model.parameters(), lr=_RATE, weight_decay=0.05, betas=(0.9, 0.98))
    dice, waiting, losses = random.Random(seed), [], []
    model.train()
    for step in progress(range(steps), "training the tiny model", total=steps):
        falling = max(0.02, min(1.0, (1 - (step + 1) / steps) / 0.6))  # the last three fifths lead to the small rates
        for group in optimizer.param_groups:
            group["lr"] = _RATE * min(1.0, (step + 1) / _WARM_UP) * falling
        while len(waiting) < _CLIPS:
            waiting += dice.sample(lessons, len(lessons))
        loss = loss_of(model, [waiting.pop() for _ in range(_CLIPS)])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    tenth = max(1, steps // 10)
    means = [sum(losses[at : at + tenth]) / len(losses[at : at + tenth]) for at in range(0, steps, tenth)]
    return model, processor, means


def _already(folder: Path, made_by: dict[str, int]) -> int:
    """A finished model is kept; anything else is not written over."""
    try:
        old = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        old = {}
    changed = [f"{name} is {value}, there {old.get(name)}" for name, value in made_by.items() if old.get(name) != value]
    if changed:
        print(f"{folder} is there already: {'; '.join(changed)}; give --out another folder", file=sys.stderr)
        return 2
    print(f"{folder} holds this model already: nothing to do")
    return 0


_CARD = f"""---
pipeline_tag: video-text-to-text
---

# A tiny vision-language model for MicroG-4M's built-in sample

Trained from nothing in {{steps}} steps (seed {{seed}}) on {{what}}. A toy: its figures say nothing about real models
or real video.

```
microg4m predict vqa --model THIS_FOLDER --frames {FRAMES} --prompts {PROMPTS} --source sample --scheme official
```
"""


if __name__ == "__main__":
    sys.exit(main())
