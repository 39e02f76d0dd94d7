"""The steps of ``microg4m demo`` that train, predict, score and report."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..errors import MissingExtraError, RecipeError
from ..extras import is_installed
from .demo_steps import Demo, command, say, script

_RECIPE = Path("recipes") / "demo.yaml"
_TINY_VLM = Path("examples") / "tiny_vlm.py"
# The same clips for all that answer: the tiny model has learned those of the training split.
_HELD_OUT = ("--source", "sample", "--scheme", "official", "--split", "test")


def train_network(demo: Demo) -> None:
    """Train a tiny network from nothing (about two minutes) and score it on clips it has not seen"""
    run = demo.out / "runs" / "network"
    shorter = [f"loop.max_steps={demo.steps}"] if demo.steps else []
    command("train", "har", "--config", str(_RECIPE), "--out", str(run), *shorter)
    command("score", "har", "--predictions", str(run / "predictions" / "test.parquet"), "--source", "sample")
    demo.done.append(f"trained network with its card, predictions and scores: {run}")


def train_tiny_vlm(demo: Demo) -> None:
    """Train a tiny vision-language model from nothing (about two minutes)"""
    shorter = ["--steps", str(demo.steps), "--practice", "0"] if demo.steps else []
    script(_TINY_VLM, "--out", str(_tiny_vlm(demo)), *shorter)
    demo.done.append(f"tiny vision-language model: {_tiny_vlm(demo)}")


def answer_without_looking(demo: Demo) -> None:
    """Answer the questions about held-out clips without a look at them: the floor that a model must beat"""
    run = demo.out / "runs" / "vqa-blind"
    command("predict", "vqa", "--model", "blind", *_HELD_OUT, "--out", str(run))
    command("score", "vqa", "--predictions", str(run / "predictions.jsonl"), *_HELD_OUT)
    demo.done.append(f"blind answers: {run}")


def ask_tiny_vlm(demo: Demo) -> None:
    """Ask the tiny model the same questions, compare, and have it caption the clips"""
    for task, longest in (("vqa", "24"), ("caption", "96")):
        run = demo.out / "runs" / f"{task}-tiny-vlm"
        model = ("--model", str(_tiny_vlm(demo)), "--frames", "4", "--prompts", "plain", "--max-new-tokens", longest)
        command("predict", task, *model, *_HELD_OUT, "--out", str(run))
        # A model that has learned for a few steps says nothing at times.
        command("score", task, "--predictions", str(run / "predictions.jsonl"), *_HELD_OUT, "--on-empty", "score")
        demo.done.append(f"{task} by the tiny model: {run}")
    names, result = ("vqa-tiny-vlm", "vqa-blind"), demo.out / "runs" / "vqa-tiny-vlm" / "against-blind.json"
    files = [str(demo.out / "runs" / name / "predictions.jsonl") for name in names]
    command("compare", "vqa", *files, *_HELD_OUT, "--on-empty", "score", "--output", str(result))
    verdict = _verdict(json.loads(result.read_text(encoding="utf-8"))["scores"]["exact_match"], *names)
    say(verdict)
    say("a toy: much of an answer is in its question, and cartoons say nothing about real models or real video")
    demo.done.append(verdict)


def _verdict(found: dict[str, Any], own: str, floor: str) -> str:
    """Whether the model beats the floor, in words, from what ``compare`` found.

    >>> _verdict({"a": 0.25, "b": 0.5, "real": False}, "a", "b")
    'right answers on held-out clips: tiny model 25.0 %, blind floor 50.0 %: it does not beat the floor'
    """
    better = found[own] > found[floor]
    sure = "a real difference" if found["real"] else "which chance could explain on so few clips"
    word = f"it beats the floor, {sure}" if better else "it does not beat the floor"
    return (
        f"right answers on held-out clips: tiny model {100 * found[own]:.1f} %, "
        f"blind floor {100 * found[floor]:.1f} %: {word}"
    )


def write_report(demo: Demo) -> None:
    """Put all on one page"""
    runs, page = demo.out / "runs", demo.out / "report"
    names = ("network", "vqa-tiny-vlm", "vqa-blind", "caption-tiny-vlm")
    where = ("--source", "sample", "--scheme", "official", "--out", str(page))
    command("report", *(str(runs / name) for name in names), *where)
    demo.done.append(f"report: {page / 'report.html'}")
    browse = shlex.join(["microg4m", "explore", *(str(runs / name) for name in names), "--source", "sample"])
    demo.done.append(f"to browse the clips with what all of them said: {browse}")


WORK: tuple[Callable[[Demo], None], ...] = (
    train_network,
    train_tiny_vlm,
    answer_without_looking,
    ask_tiny_vlm,
    write_report,
)


def check(demo: Demo) -> None:
    """Say at once what these steps lack or would stumble over, before anything is drawn."""
    if not is_installed("torch"):
        raise MissingExtraError("training needs torch: pip install 'microg4m-hf[train]', or give --look-only")
    for needed in (_RECIPE, _TINY_VLM):
        if not needed.is_file():
            raise RecipeError(f"there is no {needed} here; run the demo in the project's folder, or give --look-only")
    try:
        made = json.loads((_tiny_vlm(demo) / "training.json").read_text(encoding="utf-8"))
        shortened = made["steps"] if made["practice"] == 0 else None
    except (OSError, ValueError, LookupError, TypeError):
        return  # nothing is there yet, or the example itself will say what
    if demo.steps != shortened:
        raise RecipeError(f"{demo.out} holds a demo with other --steps; give --out another folder, or the same --steps")


def _tiny_vlm(demo: Demo) -> Path:
    return demo.out / "tiny_vlm"
