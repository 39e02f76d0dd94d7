"""``microg4m demo``: everything the library does, step by step, each with what to type to repeat it."""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from ..errors import RecipeError
from . import demo_work
from .demo_steps import Demo, python, say, shell

CONFIGS: tuple[Literal["har", "caption", "vqa"], ...] = ("har", "caption", "vqa")


def make_sample(demo: Demo) -> None:
    """Make the sample"""
    from ..data.sample import ensure_sample

    shell("microg4m data sample")
    say("drawn on first use, which takes some seconds")
    folder = ensure_sample()
    clips = list(folder.glob("videos/*/*/*.mp4"))
    say(f"{len(clips)} clips with labels, boxes, captions and questions in {folder}")
    demo.done.append(f"sample: {folder}")


def load_configs(demo: Demo) -> None:
    """Load the three configs"""
    from .. import load_dataset

    python("import microg4m_hf")
    for config in CONFIGS:
        python(f'{config} = microg4m_hf.load_dataset("{config}", source="sample")')
        loaded = demo.data[config] = load_dataset(config, source="sample")
        assert isinstance(loaded, dict), "without split= every split is loaded"
        say(f"{config}: " + ", ".join(f"{split} {rows.num_rows} rows" for split, rows in loaded.items()))
        first = next(iter(loaded.values()))[0]
        for name, value in first.items():
            say(f"    {name:12}{_brief(name, value)}")
    demo.done.append(f"data sets: {', '.join(CONFIGS)}, one row per clip, caption and question")


def count_actions(demo: Demo) -> None:
    """Count the actions"""
    from ..taxonomy import ACTIONS

    python('[p["actions"] for row in har["train"] for p in row["persons"]]')
    splits = demo.data["har"]
    counts = {split: Counter(_labels(rows.remove_columns("video"))) for split, rows in splits.items()}
    total = sum(counts.values(), Counter())
    say(f"{'action':42}{'group':22}" + "".join(f"{split:>12}" for split in splits))
    for label, _ in total.most_common():
        action = ACTIONS[label]
        numbers = "".join(f"{counts[split][label]:12}" for split in splits)
        say(f"{action.name:42}{action.group:22}{numbers}")
    demo.done.append(f"actions: {total.total()} labels of {len(total)} classes")


def draw_sheet(demo: Demo) -> None:
    """Look at it"""
    from ..data.contact_sheet import contact_sheet, varied

    target = demo.out / "contact_sheet.png"
    python(
        "from microg4m_hf.data.contact_sheet import contact_sheet, varied",
        f'contact_sheet(varied(har["train"], 6), "{target}", captions=caption["test"], questions=vqa["test"])',
    )
    captions, questions = demo.data["caption"]["test"], demo.data["vqa"]["test"]
    rows = varied(demo.data["har"]["train"], 6, prefer=captions["video_id"])
    contact_sheet(rows, target, captions=captions, questions=questions, title="MicroG-4M · the built-in sample")
    say(f"key frames with boxes and actions, captions, questions: {target}")
    demo.done.append(f"picture: {target}")


LOOK: tuple[Callable[[Demo], None], ...] = (make_sample, load_configs, count_actions, draw_sheet)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("demo_output"), metavar="DIR", help="default: %(default)s")
    parser.add_argument("--look-only", action="store_true", help="stop before the training, which needs torch")
    parser.add_argument(
        "--steps", type=int, help="steps of each training, for a quick look at the whole way (default: until they pay)"
    )


def run(args: argparse.Namespace) -> int:
    import datasets

    datasets.disable_progress_bars()  # the sample is small: bars would only break up the lines
    if args.steps is not None and args.steps < 1:
        raise RecipeError(f"--steps is {args.steps}; a training takes at least one")
    demo = Demo(args.out.resolve(), args.steps)
    demo.out.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    steps = LOOK if args.look_only else LOOK + demo_work.WORK
    if not args.look_only:
        demo_work.check(demo)
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
