"""``microg4m demo``: everything the library does, step by step, each with what to type to repeat it."""

from __future__ import annotations

import argparse
import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..errors import MissingExtraError, RecipeError
from ..extras import installed

CONFIGS: tuple[Literal["har", "caption", "vqa"], ...] = ("har", "caption", "vqa")


@dataclass
class Demo:
    """What one step leaves for the next, and for the summary at the end."""

    out: Path
    data: dict[str, Any] = field(default_factory=dict)  # config -> DatasetDict
    done: list[str] = field(default_factory=list)


def make_sample(demo: Demo) -> None:
    """Make the sample"""
    from ..data.sample import ensure_sample

    _shell("microg4m data sample")
    _say("drawn on first use, which takes some seconds")
    folder = ensure_sample()
    clips = list(folder.glob("videos/*/*/*.mp4"))
    _say(f"{len(clips)} clips with labels, boxes, captions and questions in {folder}")
    demo.done.append(f"sample: {folder}")


def load_configs(demo: Demo) -> None:
    """Load the three configs"""
    from .. import load_dataset

    _python("import microg4m_hf")
    for config in CONFIGS:
        _python(f'{config} = microg4m_hf.load_dataset("{config}", source="sample")')
        loaded = demo.data[config] = load_dataset(config, source="sample")
        assert isinstance(loaded, dict), "without split= every split is loaded"
        _say(f"{config}: " + ", ".join(f"{split} {rows.num_rows} rows" for split, rows in loaded.items()))
        first = next(iter(loaded.values()))[0]
        for name, value in first.items():
            _say(f"    {name:12}{_brief(name, value)}")
    demo.done.append(f"data sets: {', '.join(CONFIGS)}, one row per clip, caption and question")


def count_actions(demo: Demo) -> None:
    """Count the actions"""
    from ..taxonomy import ACTIONS

    _python('[p["actions"] for row in har["train"] for p in row["persons"]]')
    splits = demo.data["har"]
    counts = {split: Counter(_labels(rows.remove_columns("video"))) for split, rows in splits.items()}
    total = sum(counts.values(), Counter())
    _say(f"{'action':42}{'group':22}" + "".join(f"{split:>12}" for split in splits))
    for label, _ in total.most_common():
        action = ACTIONS[label]
        numbers = "".join(f"{counts[split][label]:12}" for split in splits)
        _say(f"{action.name:42}{action.group:22}{numbers}")
    demo.done.append(f"actions: {total.total()} labels of {len(total)} classes")


def draw_sheet(demo: Demo) -> None:
    """Look at it"""
    from ..data.contact_sheet import contact_sheet, varied

    target = demo.out / "contact_sheet.png"
    _python(
        "from microg4m_hf.data.contact_sheet import contact_sheet, varied",
        f'contact_sheet(varied(har["train"], 6), "{target}", captions=caption["test"], questions=vqa["test"])',
    )
    captions, questions = demo.data["caption"]["test"], demo.data["vqa"]["test"]
    rows = varied(demo.data["har"]["train"], 6, prefer=captions["video_id"])
    contact_sheet(rows, target, captions=captions, questions=questions, title="MicroG-4M · the built-in sample")
    _say(f"key frames with boxes and actions, captions, questions: {target}")
    demo.done.append(f"picture: {target}")


def train_network(demo: Demo) -> None:
    """Train a tiny network from nothing (about two minutes) and score it on clips it has not seen"""
    run = demo.out / "runs" / "network"
    _command("train", "har", "--config", str(_RECIPE), "--out", str(run))
    _command("score", "har", "--predictions", str(run / "predictions" / "test.parquet"), "--source", "sample")
    demo.done.append(f"trained network with its card, predictions and scores: {run}")


def answer_without_looking(demo: Demo) -> None:
    """Answer every question without a look at the clips: the floor that a model must beat"""
    run = demo.out / "runs" / "blind"
    _command("predict", "vqa", "--model", "blind", "--source", "sample", "--out", str(run))
    _command("score", "vqa", "--predictions", str(run / "predictions.jsonl"), "--source", "sample")
    demo.done.append(f"blind answers: {run}")


def write_report(demo: Demo) -> None:
    """Put both on one page"""
    runs, page = demo.out / "runs", demo.out / "report"
    _command("report", str(runs / "network"), str(runs / "blind"), "--source", "sample", "--out", str(page))
    demo.done.append(f"report: {page / 'report.html'}")


LOOK: tuple[Callable[[Demo], None], ...] = (make_sample, load_configs, count_actions, draw_sheet)
WORK: tuple[Callable[[Demo], None], ...] = (train_network, answer_without_looking, write_report)
_RECIPE = Path("recipes") / "demo.yaml"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("demo_output"), metavar="DIR", help="default: %(default)s")
    parser.add_argument("--look-only", action="store_true", help="stop before the training, which needs torch")


def run(args: argparse.Namespace) -> int:
    import datasets

    datasets.disable_progress_bars()  # the sample is small: bars would only break up the lines
    demo = Demo(args.out.resolve())
    demo.out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    steps = LOOK if args.look_only else LOOK + WORK
    if not args.look_only:
        _check_work()
    for number, step in enumerate(steps, start=1):
        print(f"\n[{number}/{len(steps)}] {step.__doc__}", flush=True)
        step(demo)
    print(f"\nDone in {time.monotonic() - started:.0f} s.")
    for line in demo.done:
        print(f"  {line}")
    return 0


def _labels(rows: Iterable[Mapping[str, Any]]) -> Iterable[int]:
    for row in rows:
        for person in row["persons"]:
            yield from person["actions"]


def _brief(name: str, value: Any) -> str:
    """A value on one line."""
    if name == "video":
        return str(value["path"])
    if name == "persons":
        return ("\n" + " " * 22).join(_person(one) for one in value)
    text = str(value)
    return text if len(text) <= 100 else text[:99] + "…"


def _person(person: Mapping[str, Any]) -> str:
    from ..taxonomy import ACTION_NAMES

    does = " + ".join(ACTION_NAMES[label] for label in person["actions"])
    at = ", ".join(f"{side:.3f}" for side in person["key_box"])
    return f"{person['person_id']}: {does}; key frame {person['key_frame']} at ({at}); {len(person['frames'])} boxes"


def _check_work() -> None:
    """Say at once what the later steps lack, before anything is drawn."""
    if not installed("torch"):
        raise MissingExtraError("training needs torch: pip install 'microg4m-hf[train]', or give --look-only")
    if not _RECIPE.is_file():
        raise RecipeError(f"there is no {_RECIPE} here; run the demo in the project's folder, or give --look-only")


def _command(*words: str) -> None:
    """Show a command and run it here, so that what is printed is what was done."""
    from .main import main

    _shell(shlex.join(["microg4m", *words]))
    code = main(list(words))
    if code:
        raise SystemExit(code)


def _shell(command: str) -> None:
    print(f"  $ {command}", flush=True)


def _python(*lines: str) -> None:
    for line in lines:
        print(f"  >>> {line}", flush=True)


def _say(text: str) -> None:
    print(f"      {text}", flush=True)
