"""``microg4m demo``: run everything the library does, step by step, and show the commands that repeat each step."""

from __future__ import annotations

import argparse
import json
import shlex
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..errors import MissingExtraError, RecipeError
from ..extras import is_installed

CONFIGS: tuple[Literal["har", "caption", "vqa"], ...] = ("har", "caption", "vqa")
# All models answer about the test split, because the tiny model is trained on the training split.
_TEST_SPLIT = ("--source", "sample", "--scheme", "official", "--split", "test")


@dataclass
class Demo:
    """What the steps share. The docstring of a step is its title."""

    out: Path
    steps: int | None = None  # of each training; None for as many as its recipe has
    data: dict[str, Any] = field(default_factory=dict)  # config -> DatasetDict
    summary: list[str] = field(default_factory=list)  # printed at the end

    @property
    def tiny_vlm(self) -> Path:
        """The folder of the tiny vision-language model."""
        return self.out / "tiny_vlm"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("demo_output"), metavar="DIR", help="default: %(default)s")
    parser.add_argument("--look-only", action="store_true", help="stop before the trainings, which need torch")
    parser.add_argument("--steps", type=int, help="steps of each training, for a quick run (default: full trainings)")


def run(args: argparse.Namespace) -> int:
    import datasets

    datasets.disable_progress_bars()  # the sample is small, and bars would interrupt the output
    if args.steps is not None and args.steps < 1:
        raise RecipeError(
            f"--steps is {args.steps}, but a training needs at least 1; give a larger number, or leave it out"
        )
    demo = Demo(args.out.resolve(), args.steps)
    demo.out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    steps = DATA_STEPS if args.look_only else DATA_STEPS + TRAINING_STEPS
    if not args.look_only:
        check_requirements(demo)
    for number, step in enumerate(steps, start=1):
        print(f"\n[{number}/{len(steps)}] {step.__doc__}", flush=True)
        step(demo)
    print(f"\nDone in {time.monotonic() - started:.0f} s.")
    for line in demo.summary:
        print(f"  {line}")
    return 0


def check_requirements(demo: Demo) -> None:
    """Raise an error before the first step if the trainings cannot run."""
    if not is_installed("torch"):
        raise MissingExtraError("training needs torch: pip install 'microg4m-hf[train]', or use --look-only")
    try:
        training = json.loads((demo.tiny_vlm / "training.json").read_text(encoding="utf-8"))
        earlier_steps = training["steps"] if training["practice"] == 0 else None
    except (OSError, ValueError, LookupError, TypeError):
        return  # there is no earlier demo, or the example itself reports what is wrong
    if demo.steps != earlier_steps:
        raise RecipeError(f"{demo.out} contains a demo with other --steps; use another --out, or the same --steps")


def make_sample(demo: Demo) -> None:
    """Make the sample"""
    from ..data.sample import ensure_sample

    _show("microg4m data sample", prompt="$ ")
    _show("created on first use, which takes some seconds")
    folder = ensure_sample()
    clips = list(folder.glob("videos/*/*/*.mp4"))
    _show(f"{len(clips)} clips with labels, boxes, captions and questions in {folder}")
    demo.summary.append(f"sample: {folder}")


def load_configs(demo: Demo) -> None:
    """Load the three configs"""
    from .. import load_dataset

    _show("import microg4m_hf", prompt=">>> ")
    for config in CONFIGS:
        _show(f'{config} = microg4m_hf.load_dataset("{config}", source="sample")', prompt=">>> ")
        loaded = demo.data[config] = load_dataset(config, source="sample")
        assert isinstance(loaded, dict), "without split= every split is loaded"
        _show(f"{config}: " + ", ".join(f"{split} {rows.num_rows} rows" for split, rows in loaded.items()))
        first = next(iter(loaded.values()))[0]
        for name, value in first.items():
            _show(f"    {name:12}{_one_line(name, value)}")
    demo.summary.append(f"datasets: {', '.join(CONFIGS)}, one row per clip, caption and question")


def count_actions(demo: Demo) -> None:
    """Count the actions"""
    from ..taxonomy import ACTIONS

    _show('[p["actions"] for row in har["train"] for p in row["persons"]]', prompt=">>> ")
    splits = demo.data["har"]
    persons = {split: [one for row in rows["persons"] for one in row] for split, rows in splits.items()}
    counts = {split: Counter(label for one in found for label in one["actions"]) for split, found in persons.items()}
    total = sum(counts.values(), Counter())
    _show(f"{'action':42}{'group':22}" + "".join(f"{split:>12}" for split in splits))
    for label, _ in total.most_common():
        action = ACTIONS[label]
        numbers = "".join(f"{counts[split][label]:12}" for split in splits)
        _show(f"{action.name:42}{action.group:22}{numbers}")
    demo.summary.append(f"actions: {total.total()} labels of {len(total)} classes")


def draw_sheet(demo: Demo) -> None:
    """Look at it"""
    from ..data.contact_sheet import contact_sheet, varied

    target = demo.out / "contact_sheet.png"
    _show(
        "from microg4m_hf.data.contact_sheet import contact_sheet, varied",
        f'contact_sheet(varied(har["train"], 6), "{target}", captions=caption["test"], questions=vqa["test"])',
        prompt=">>> ",
    )
    captions, questions = demo.data["caption"]["test"], demo.data["vqa"]["test"]
    rows = varied(demo.data["har"]["train"], 6, prefer=captions["video_id"])
    contact_sheet(rows, target, captions=captions, questions=questions, title="MicroG-4M · the built-in sample")
    _show(f"key frames with boxes and actions, captions, questions: {target}")
    demo.summary.append(f"picture: {target}")


DATA_STEPS: tuple[Callable[[Demo], None], ...] = (make_sample, load_configs, count_actions, draw_sheet)


def train_network(demo: Demo) -> None:
    """Train a tiny network from scratch (about two minutes) and score it on clips it has not seen"""
    run = demo.out / "runs" / "network"
    shorter = [f"loop.max_steps={demo.steps}"] if demo.steps else []
    _run_command("train", "har", "--config", "demo", "--out", str(run), *shorter)
    _run_command("score", "har", "--predictions", str(run / "predictions" / "test.parquet"), "--source", "sample")
    demo.summary.append(f"trained network with its card, predictions and scores: {run}")


def train_tiny_vlm(demo: Demo) -> None:
    """Train a tiny vision-language model from scratch (about two minutes)"""
    shorter = ["--steps", str(demo.steps), "--practice", "0"] if demo.steps else []
    words = ["--out", str(demo.tiny_vlm), *shorter]
    _show(shlex.join(["python", "-m", "microg4m_hf.training.tiny_vlm", *words]), prompt="$ ")
    from ..training.tiny_vlm.__main__ import main

    code = main(words)
    if code:
        raise SystemExit(code)
    demo.summary.append(f"tiny vision-language model: {demo.tiny_vlm}")


def answer_blindly(demo: Demo) -> None:
    """Answer the questions about the test clips without looking at them: the baseline for any model"""
    run = demo.out / "runs" / "vqa-blind"
    _run_command("predict", "vqa", "--model", "blind", *_TEST_SPLIT, "--out", str(run))
    _run_command("score", "vqa", "--predictions", str(run / "predictions.jsonl"), *_TEST_SPLIT)
    demo.summary.append(f"answers of the blind baseline: {run}")


def ask_tiny_vlm(demo: Demo) -> None:
    """Ask the tiny model the same questions, compare, and let it caption the clips"""
    for task, length in (("vqa", "24"), ("caption", "96")):
        run = demo.out / "runs" / f"{task}-tiny-vlm"
        model = ("--model", str(demo.tiny_vlm), "--frames", "4", "--prompts", "plain", "--max-new-tokens", length)
        _run_command("predict", task, *model, *_TEST_SPLIT, "--out", str(run))
        # After a training of few steps, the model generates empty texts at times.
        _run_command(
            "score", task, "--predictions", str(run / "predictions.jsonl"), *_TEST_SPLIT, "--on-empty", "score"
        )
        demo.summary.append(f"{task} by the tiny model: {run}")
    names, result = ("vqa-tiny-vlm", "vqa-blind"), demo.out / "runs" / "vqa-tiny-vlm" / "against-blind.json"
    files = [str(demo.out / "runs" / name / "predictions.jsonl") for name in names]
    _run_command("compare", "vqa", *files, *_TEST_SPLIT, "--on-empty", "score", "--output", str(result))
    verdict = _verdict(json.loads(result.read_text(encoding="utf-8"))["scores"]["exact_match"], *names)
    _show(verdict)
    _show("this is a toy: questions hint at their answers, and cartoons do not predict results on real video")
    demo.summary.append(verdict)


def _verdict(comparison: dict[str, Any], model: str, baseline: str) -> str:
    """Describe whether the model is better than the baseline, from the result of ``compare``.

    >>> _verdict({"a": 0.25, "b": 0.5, "real": False}, "a", "b")
    'correct answers on test clips: tiny model 25.0 %, blind baseline 50.0 %: the model is not better'
    """
    significance = "significantly" if comparison["real"] else "but not significantly, on so few clips"
    if comparison["real"] is None:
        significance = f"without a test: {comparison['why_not']}"
    better = comparison[model] > comparison[baseline]
    return (
        f"correct answers on test clips: tiny model {100 * comparison[model]:.1f} %, "
        f"blind baseline {100 * comparison[baseline]:.1f} %: "
        + (f"the model is better, {significance}" if better else "the model is not better")
    )


def write_report(demo: Demo) -> None:
    """Put all results on one page"""
    runs, page = demo.out / "runs", demo.out / "report"
    paths = [str(runs / name) for name in ("network", "vqa-tiny-vlm", "vqa-blind", "caption-tiny-vlm")]
    _run_command("report", *paths, "--source", "sample", "--scheme", "official", "--out", str(page))
    demo.summary.append(f"report: {page / 'report.html'}")
    explore = shlex.join(["microg4m", "explore", *paths, "--source", "sample"])
    demo.summary.append(f"browse the clips with all predictions: {explore}")


TRAINING_STEPS: tuple[Callable[[Demo], None], ...] = (
    train_network,
    train_tiny_vlm,
    answer_blindly,
    ask_tiny_vlm,
    write_report,
)


def _run_command(*words: str) -> None:
    """Show a ``microg4m`` command and run it in this process."""
    from .main import main

    _show(shlex.join(["microg4m", *words]), prompt="$ ")
    code = main(list(words))
    if code:
        raise SystemExit(code)


def _show(*lines: str, prompt: str = "    ") -> None:
    for line in lines:
        print(f"  {prompt}{line}", flush=True)


def _one_line(name: str, value: Any) -> str:
    if name == "video":
        return str(value["path"])
    if name == "persons":
        return ("\n" + " " * 22).join(_describe_person(one) for one in value)
    text = str(value)
    return text if len(text) <= 100 else text[:99] + "…"


def _describe_person(person: Mapping[str, Any]) -> str:
    from ..taxonomy import ACTION_NAMES

    actions = " + ".join(ACTION_NAMES[label] for label in person["actions"])
    box = ", ".join(f"{side:.3f}" for side in person["key_box"])
    frames = len(person["frames"])
    return f"{person['person_id']}: {actions}; key frame {person['key_frame']} at ({box}); {frames} boxes"
