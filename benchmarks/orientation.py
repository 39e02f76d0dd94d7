"""Measure what helps against the reliance on which way is up: an action model and a tiny vision-language model.

    python benchmarks/orientation.py --work runs/orientation      # about an hour of one core, resumed where it ended
    python benchmarks/orientation.py --only har --seeds 1 --no-write

Both are trained on upright scenes, where standing and lying people differ in the direction of their bodies. Each remedy
is measured on the test clips of that sample and on new scenes of 120 further films, with the mean of some seeds. Errors
come from leaving out one film at a time, of the mean over seeds. Results are in benchmarks/results/orientation.json.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch

import argparse
import datetime
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from microg4m_hf import load_dataset
from microg4m_hf.bench.orientation import open_model, predict_turns
from microg4m_hf.bench.orientation_texts import compare_answers, probe_texts
from microg4m_hf.cli.main import main as microg4m
from microg4m_hf.data.sample import make_sample
from microg4m_hf.data.sample.render import frames
from microg4m_hf.data.sample.texts import caption
from microg4m_hf.data.sample.world import FPS, NUM_FRAMES, Scene, practice_scenes
from microg4m_hf.data.sample.write import clip_path, write_annotations, write_clip
from microg4m_hf.data.turns import TURNS, Turn, quarter_turns, turn_frames
from microg4m_hf.inference import TextSettings
from microg4m_hf.metrics.har.inputs import read_rows
from microg4m_hf.metrics.har.result import HarResult, HarSettings, score_har
from microg4m_hf.metrics.jackknife import interval, spread_of
from microg4m_hf.metrics.significance import paired_test
from microg4m_hf.storage import atomic_folder
from microg4m_hf.training import split_items
from microg4m_hf.training.predict import pool_turns, prediction_columns, reference_columns

RESULTS = Path(__file__).parent / "results" / "orientation.json"
NEW_SCENES, VLM_SCENES, VLM_STEPS = 120, 640, 400
# remedy -> the training it needs, and the turns and pooling of its predictions
TRAININGS = {
    "upright": [],
    "rotate=quarter": ["data.rotate=quarter"],
    "rotate=any": ["data.rotate=any"],
    "turn pooling": ["model.overrides.turn_pooling=true"],
}
REMEDIES: dict[str, tuple[str, dict[str, Any]]] = {
    "trained upright": ("upright", {}),
    "--turns 4": ("upright", {"test_turns": 4}),
    "--turns 4 --turn-pooling max": ("upright", {"test_turns": 4, "test_pooling": "max"}),
    "--turns 4 --turn-pooling lme": ("upright", {"test_turns": 4, "test_pooling": "lme"}),
    "--turns 4 --mirror": ("upright", {"test_turns": 4, "test_mirror": True}),
    "data.rotate=quarter": ("rotate=quarter", {}),
    "data.rotate=quarter, --turns 4": ("rotate=quarter", {"test_turns": 4}),
    "data.rotate=any": ("rotate=any", {}),
    "turn pooling in the model": ("turn pooling", {}),
}
POSTURE, COUNT, WALL = "What are the people doing?", "How many people are there?", "What can be seen on the wall?"
VLM_REMEDIES: dict[str, tuple[str, dict[str, Any]]] = {
    "trained upright": ("upright", {}),
    "--turns 4": ("upright", {"turns": 4}),
    "--turns 4 --turn-choice majority": ("upright", {"turns": 4, "turn_choice": "majority"}),
    "trained on quarter turns": ("turned", {}),
    "trained on quarter turns, --turns 4": ("turned", {"turns": 4}),
}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/orientation"), help="data, trained models, answers")
    parser.add_argument("--only", choices=("har", "vlm"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--no-write", action="store_true", help="print the results only")
    args = parser.parse_args(argv)
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name, measure in (("har", measure_actions), ("vlm", measure_answers)):
        if args.only in (None, name):
            found[name] = measure(args.work, range(args.seeds))
            found[name] |= {"date": f"{datetime.date.today()}", "seeds": args.seeds}
    print(json.dumps(found, indent=1))
    if not args.no_write:
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    return 0


# ---- actions


def measure_actions(work: Path, seeds: Sequence[int]) -> dict[str, Any]:
    for name in ("upright", "turned"):
        if not (work / name).is_dir():
            with atomic_folder(work / name) as folder:
                make_sample(folder, lying=True, upright=name == "upright")
    for name in ("new", "floating"):
        if not (work / name).is_dir():
            scenes = practice_scenes(NEW_SCENES, lying=True, upright=name == "new")
            write_release(work / name, [replace(scene, split="test") for scene in scenes])
    for name, words in TRAININGS.items():
        for seed in seeds:
            run = work / "runs" / f"{name.replace(' ', '-')}-{seed}"
            if not (run / "results.json").is_file():
                upright = [f"data.data_dir={work / 'upright'}", f"loop.seed={seed}", "data.workers=0"]
                assert microg4m(["train", "har", "--config", "orientation", "--out", str(run), *upright, *words]) == 0
    tests = {"sample": ("upright", TURNS), "new scenes": ("new", TURNS), "floating": ("floating", TURNS[:1])}
    result: dict[str, Any] = {}
    for test, (folder, turns) in tests.items():
        baseline: dict[str, list[HarResult]] = {}
        table: dict[str, Any] = {}
        for remedy, (training, asked) in REMEDIES.items():
            place = f"{training.replace(' ', '-')}"
            runs = [work / "runs" / f"{place}-{seed}" for seed in seeds]
            scored, seconds = score_runs(runs, work / folder, work / "logits", turns, asked)
            baseline = baseline or scored
            table[remedy] = summarize(scored, baseline) | {"cpu_seconds_per_clip": seconds}
            print(test, remedy, json.dumps(table[remedy]), flush=True)
        result[test] = table
    return result


def score_runs(
    runs: Sequence[Path], data_dir: Path, store: Path, turns: Sequence[Turn], asked: dict[str, Any]
) -> tuple[dict[str, list[HarResult]], float]:
    """Return, for every turn, the scores of each run, and the processor time of a clip under one turn."""
    scored: dict[str, list[HarResult]] = {turn.name: [] for turn in turns}
    seconds = []
    for run in runs:
        model, data = open_model(str(run))
        pooling = asked.get("test_pooling", "mean")
        data = replace(data, data_dir=str(data_dir), workers=0, scheme="official", **asked | {"test_pooling": "mean"})
        items = split_items(data, "test")
        file = store / f"{data_dir.name}-{run.name}-{len(data.views) or 1}.npz"
        if not file.is_file():
            begun = time.process_time()
            logits = _all_turns(model, items, data, turns)
            took = (time.process_time() - begun) / len(items) / len(turns)
            file.parent.mkdir(parents=True, exist_ok=True)
            arrays = {f"{turn.name}|{index}": one for turn, own in logits.items() for index, one in own.items()}
            np.savez(file, seconds=took, **arrays)
        stored = np.load(file)
        seconds.append(float(stored["seconds"]))
        references = read_rows(reference_columns(items), references=True)
        for turn in turns:
            own = {index: stored[f"{turn.name}|{index}"] for index in range(len(items))}
            own = pool_turns(own, pooling) if data.views else own
            predictions = read_rows(prediction_columns(items, own))
            scored[turn.name].append(score_har(predictions, references, HarSettings(scores_are="logits")))
    return scored, float(np.median(seconds))


def _all_turns(model: Any, items: Any, data: Any, turns: Sequence[Turn]) -> dict[Turn, dict[int, np.ndarray]]:
    """The logits of every view of every turn, ``(views, persons, classes)`` where there are several views."""
    from accelerate import Accelerator

    from microg4m_hf.bench.orientation import TurnedWindows
    from microg4m_hf.training import predict_logits

    if not data.views and len(turns) > 1:
        return predict_turns(model, items, data, turns=turns)
    accelerator = Accelerator(cpu=True)
    return {
        turn: predict_logits(accelerator, model, TurnedWindows(items, data, turn), turns=data.views) for turn in turns
    }


def summarize(scored: dict[str, list[HarResult]], baseline: dict[str, list[HarResult]]) -> dict[str, Any]:
    """Return the mean over seeds of upright mAP and gap, and the difference of mAP to the baseline, with intervals."""
    first, *others = scored
    rotated = [name for name in others if "mirrored" not in name]

    def value(results: dict[str, list[HarResult]], name: str) -> np.ndarray:
        return np.array([result.scores["map"] for result in results[name]])

    def without(results: dict[str, list[HarResult]], name: str) -> np.ndarray:
        return np.mean([result.left_out().macro()["map"] for result in results[name]], axis=0)

    upright = value(scored, first)
    found: dict[str, Any] = {
        "map": float(upright.mean()),
        "interval": interval(float(upright.mean()), spread_of(without(scored, first)), limits=(0.0, 1.0)),
        "map_of_seeds": upright.tolist(),
        "difference": paired_test(
            float(upright.mean() - value(baseline, first).mean()), without(scored, first) - without(baseline, first)
        ),
    }
    if rotated:
        gaps = upright - np.mean([value(scored, name) for name in rotated], axis=0)
        left = without(scored, first) - np.mean([without(scored, name) for name in rotated], axis=0)
        found |= {"gap": paired_test(float(gaps.mean()), left), "gap_of_seeds": gaps.tolist()}
        found["map_of_turns"] = {name: float(value(scored, name).mean()) for name in scored}
    return found


# ---- answers


def measure_answers(work: Path, seeds: Sequence[int]) -> dict[str, Any]:
    folder = work / "questions"
    scenes = [scene for scene in practice_scenes(1400, lying=True, upright=True) if is_clear(scene)]
    if not folder.is_dir():
        tests = [replace(scene, split="test") for scene in scenes[VLM_SCENES:][:NEW_SCENES]]
        write_release(folder, tests, questions)
    rows = load_dataset("vqa", split="test", data_dir=str(folder))
    items = [dict(row) for row in rows.remove_columns("video")]
    result: dict[str, Any] = {}
    answers: dict[str, dict[str, dict[str, str]]] = {remedy: {} for remedy in VLM_REMEDIES}
    for seed in seeds:
        for training in ("upright", "turned"):
            model = work / "vlm" / f"{training}-{seed}"
            if not model.is_dir():
                train_model(model, scenes[:VLM_SCENES], training == "turned", seed)
            for remedy, (own, asked) in VLM_REMEDIES.items():
                if own != training:
                    continue
                out = work / "answers" / f"{remedy.replace(' ', '_').replace(',', '')}-{seed}"
                settings = TextSettings("vqa", str(model), prompts="plain", frames=4, max_new_tokens=12, **asked)
                found = probe_texts(settings, rows, out)
                print(seed, remedy, json.dumps(found["gap"]), json.dumps(found["kinds"]), flush=True)
                for name in (*(turn.name for turn in TURNS), "blind"):
                    place = out / name.replace("°", "").replace(", ", "-") / "predictions.jsonl"
                    lines = map(json.loads, place.read_text().splitlines())
                    given = {f"{seed}/{line['question_id']}": line["answer"] for line in lines}
                    answers[remedy].setdefault(name, {}).update(given)
    repeated = [row | {"question_id": f"{seed}/{row['question_id']}"} for seed in seeds for row in items]
    for remedy, given in answers.items():
        found = compare_answers(repeated, given, TURNS)
        result[remedy] = {name: found[name] for name in ("items", "films", "turns", "gap", "kinds")}
    return {"questions": result}


def is_clear(scene: Scene) -> bool:
    """Whether all people of a scene do the same."""
    return len({astronaut.posture for astronaut in scene.astronauts}) == 1


def questions(scene: Scene) -> list[dict[str, str]]:
    """Return a question of posture, of count, and one that needs neither."""
    doing = {"idle": "Standing.", "sleep": "Sleeping."}[scene.astronauts[0].posture]
    counts = ("One.", "Two.", "Three.")
    wall = caption(scene).split(".")[0].partition("in front of ")[2]
    texts = ((POSTURE, doing), (COUNT, counts[len(scene.astronauts) - 1]), (WALL, f"{wall[0].upper()}{wall[1:]}."))
    return [{"Q": question, "A": answer} for question, answer in texts]


def train_model(folder: Path, scenes: Sequence[Scene], turned: bool, seed: int) -> None:
    """Train a tiny vision-language model on upright scenes, or on all quarter turns of the same scenes."""
    from microg4m_hf.inference.frames import SampledFrames, get_frame_sampling
    from microg4m_hf.inference.items import ClipQueries, Query
    from microg4m_hf.training.tiny_vlm.__main__ import train
    from microg4m_hf.training.tiny_vlm.lessons import FRAMES, PICK, Clip

    numbers = get_frame_sampling(PICK)(NUM_FRAMES, FRAMES).tolist()
    about = {"fps": float(FPS), "total_num_frames": NUM_FRAMES, "duration": NUM_FRAMES / FPS, "frames_indices": numbers}
    clips = []
    for number, scene in enumerate(scenes):
        turn = quarter_turns(4)[number % 4] if turned else Turn(0)
        pictures = np.ascontiguousarray(turn_frames(np.stack(list(frames(scene, 144, numbers))), turn))
        pairs = questions(scene)
        queries = tuple(Query(f"{scene.video_id}_{place}", pair["Q"]) for place, pair in enumerate(pairs))
        work = ClipQueries(None, scene.video_id, queries)
        clips.append(Clip(work, tuple(pair["A"] for pair in pairs), SampledFrames(pictures, about)))
    model, processor, losses = train(clips, VLM_STEPS, seed)
    print(folder.name, "losses", [round(loss, 3) for loss in losses], flush=True)
    with atomic_folder(folder) as scratch:
        model.eval().save_pretrained(scratch)
        processor.save_pretrained(scratch)


def write_release(folder: Path, scenes: Sequence[Scene], questions: Any = None) -> None:
    """Write scenes as a release, with other questions if asked."""
    with atomic_folder(folder) as scratch:
        for scene in scenes:
            write_clip(scratch / clip_path(scene), frames(scene, 144), fps=FPS)
        write_annotations(scratch, scenes, 144)
        if questions is not None:
            texts = [
                {"video_id": scene.video_id, "caption": caption(scene), "qa_pairs": questions(scene)}
                for scene in scenes
            ]
            (scratch / "vqa_and_captioning.json").write_text(json.dumps(texts))


if __name__ == "__main__":
    raise SystemExit(main())
