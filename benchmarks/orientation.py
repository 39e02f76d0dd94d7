"""Measure what helps against the reliance on which way is up: an action model and a tiny vision-language model.

    python benchmarks/orientation.py --work runs/orientation      # about an hour of one core, resumed where it ended
    python benchmarks/orientation.py --only har --seeds 1 --no-write

Both are trained on upright scenes, where standing and lying people differ in the direction of their bodies. Remedies of
the action model are measured on the test clips of that sample, on new scenes, and on scenes in which people float at
any angle; those of the other model on new scenes. Scores are means over seeds, and their errors come from leaving out
one film at a time. Results are in benchmarks/results/orientation.json.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch

import argparse
import datetime
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from microg4m_hf import load_dataset
from microg4m_hf.bench.orientation import open_model
from microg4m_hf.bench.orientation_texts import compare_answers, probe_texts
from microg4m_hf.cli.main import main as microg4m
from microg4m_hf.data.sample import make_sample
from microg4m_hf.data.sample.render import frames
from microg4m_hf.data.sample.texts import caption
from microg4m_hf.data.sample.world import FPS, NUM_FRAMES, Scene, practice_scenes
from microg4m_hf.data.sample.write import clip_path, write_annotations, write_clip
from microg4m_hf.data.turns import TURNS, Turn, quarter_turns, turn_frames
from microg4m_hf.inference import TextSettings
from microg4m_hf.inference.turn_choice import choose_for_clip, choose_record
from microg4m_hf.metrics.har.inputs import read_rows
from microg4m_hf.metrics.har.result import HarResult, HarSettings, score_har
from microg4m_hf.metrics.jackknife import interval, spread_of
from microg4m_hf.metrics.significance import paired_test
from microg4m_hf.storage import atomic_folder
from microg4m_hf.training import KeyFrameWindows, predict_logits, split_items
from microg4m_hf.training.predict import pool_turns, prediction_columns, reference_columns

RESULTS = Path(__file__).parent / "results" / "orientation.json"
NEW_SCENES, VLM_SCENES, VLM_TESTS, VLM_RATE = 40, 640, 60, 2e-3
VLM_STEPS = {"upright": 800, "turned": 6400}  # five passes over the scenes, and ten over their four turns
EIGHT = quarter_turns(4, mirror=True)
# How networks are trained; those with pooled turns begin with the upright network, as each step costs four.
TRAININGS = {
    "upright": [],
    "quarter": ["data.rotate=quarter"],
    "any": ["data.rotate=any"],
    "consistency": ["data.rotate=quarter", "loop.consistency=1"],
    "align": ["data.align=box"],
    "turn-pooling": [
        "model.overrides={turn_pooling: true}",
        "model.init={work}/runs/upright-{seed}",
        "schedule.epochs=6",
        "schedule.steps=[0,4,5]",
    ],
}
# remedy -> the training it needs, the views of a prediction, their pooling
REMEDIES: dict[str, tuple[str, tuple[Turn, ...], str]] = {
    "trained upright": ("upright", EIGHT[:1], "mean"),
    "--turns 4": ("upright", EIGHT[:4], "mean"),
    "--turns 4 --turn-pooling max": ("upright", EIGHT[:4], "max"),
    "--turns 4 --turn-pooling lme": ("upright", EIGHT[:4], "lme"),
    "--turns 4 --mirror": ("upright", EIGHT, "mean"),
    "data.rotate=quarter": ("quarter", EIGHT[:1], "mean"),
    "data.rotate=quarter --turns 4": ("quarter", EIGHT[:4], "mean"),
    "data.rotate=any": ("any", EIGHT[:1], "mean"),
    "data.rotate=quarter loop.consistency=1": ("consistency", EIGHT[:1], "mean"),
    "data.align=box": ("align", EIGHT[:1], "mean"),
    "turn pooling in the model": ("turn-pooling", EIGHT[:1], "mean"),
}
POSTURE, COUNT, WALL = "What are the people doing?", "How many people are there?", "What can be seen on the wall?"
VLM_REMEDIES: dict[str, tuple[str, int]] = {
    "trained upright": ("upright", 1),
    "--turns 4": ("upright", 4),
    "--turns 4 --turn-choice clip": ("upright", 4),
    "--turns 4 --turn-choice majority": ("upright", 4),
    "trained on quarter turns": ("turned", 1),
    "trained on quarter turns, --turns 4": ("turned", 4),
}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/orientation"), help="data, trained models, answers")
    parser.add_argument("--only", choices=("har", "vlm"))
    parser.add_argument("--seeds", type=int, default=3, help="networks per training of the action model (default 3)")
    parser.add_argument("--vlm-seeds", type=int, default=3, help="and of the other model (default 3)")
    parser.add_argument("--no-write", action="store_true", help="print the results only")
    args = parser.parse_args(argv)
    found = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name, measure, seeds in (("har", measure_actions, args.seeds), ("vlm", measure_answers, args.vlm_seeds)):
        if args.only in (None, name):
            remedies = measure(args.work, range(seeds))
            found[name] = {"date": f"{datetime.date.today()}", "seeds": seeds, "remedies": remedies}
    print("\n".join(tables(found)))
    if not args.no_write:
        RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    return 0


def tables(found: dict[str, Any]) -> list[str]:
    """Return the results as Markdown tables, which docs/orientation.md shows."""
    lines = []
    for test, remedies in found.get("har", {}).get("remedies", {}).items():
        head = ["remedy", "mAP", "against trained upright"] + (["gap"] if test != "floating" else [])
        lines += _head(head)
        for remedy, one in remedies.items():
            cells = [_code(remedy), _percent(one["map"], one["interval"])]
            cells += [_signed(one["difference"])] + ([_signed(one["gap"])] if "gap" in one else [])
            lines.append(f"| {' | '.join(cells)} |")
    if "vlm" in found:
        remedies = found["vlm"]["remedies"]
        lines += _head(["remedy", "0°", "against trained upright", "90°", "180°", "270°", "mirrored", "gap"])
        for remedy, one in remedies.items():
            cells = [f"{100 * row['accuracy']:.1f}" for row in one["turns"] if row["turn"] != "blind"]
            cells.insert(1, _signed(one["difference"]))
            lines.append(f"| {' | '.join([_code(remedy), *cells, _signed(one['gap'])])} |")
        kinds = [entry["kind"] for entry in next(iter(remedies.values()))["kinds"]]
        lines += _head(["remedy", *(f"{kind}: {what}" for kind in kinds for what in ("0°", "gap"))])
        for remedy, one in remedies.items():
            pairs = ((f"{100 * entry['accuracy']['0°']:.1f}", _signed(entry)) for entry in one["kinds"])
            lines.append(f"| {' | '.join([_code(remedy), *(cell for pair in pairs for cell in pair)])} |")
        blind = [f"{100 * entry['accuracy']['blind']:.1f}" for entry in next(iter(remedies.values()))["kinds"]]
        lines.append(f"| without the video | {' | | '.join(blind)} | |")
    return lines


def _head(cells: list[str]) -> list[str]:
    return ["", f"| {' | '.join(cells)} |", f"| {' | '.join(['---', *['--:'] * (len(cells) - 1)])} |"]


def _code(remedy: str) -> str:
    return f"`{remedy}`" if remedy.startswith(("-", "data.")) else remedy


def _percent(value: float, bounds: list[float] | None) -> str:
    return f"{100 * value:.1f}" + (f" ({100 * bounds[0]:.1f} to {100 * bounds[1]:.1f})" if bounds else "")


def _signed(tested: dict[str, Any]) -> str:
    text = f"{100 * tested['difference'] + 0.0:+.1f}".replace("-0.0", "+0.0")
    bounds = tested["interval"]
    return text + (f" ({100 * bounds[0]:+.1f} to {100 * bounds[1]:+.1f})" if bounds and bounds[0] != bounds[1] else "")


# ---- actions


def measure_actions(work: Path, seeds: Sequence[int]) -> dict[str, Any]:
    if not (work / "upright").is_dir():
        with atomic_folder(work / "upright") as folder:
            make_sample(folder, lying=True, upright=True)
    for name in ("new", "floating"):
        if not (work / name).is_dir():
            scenes = practice_scenes(NEW_SCENES, lying=True, upright=name == "new")
            write_release(work / name, [replace(scene, split="test") for scene in scenes])
    for name, words in TRAININGS.items():
        for seed in seeds:
            run = work / "runs" / f"{name}-{seed}"
            if not (run / "results.json").is_file():
                own = [word.format(work=work, seed=seed) if "{work}" in word else word for word in words]
                own += [f"data.data_dir={work / 'upright'}", f"loop.seed={seed}", "data.workers=0"]
                assert microg4m(["train", "har", "--config", "orientation", "--out", str(run), *own]) == 0
    tests = {"sample": ("upright", TURNS), "new scenes": ("new", TURNS), "floating": ("floating", TURNS[:1])}
    result: dict[str, Any] = {}
    for test, (folder, shown) in tests.items():
        baseline: dict[str, list[HarResult]] = {}
        result[test] = {}
        for remedy, (training, views, pooling) in REMEDIES.items():
            runs = [work / "runs" / f"{training}-{seed}" for seed in seeds]
            scored = score_runs(runs, work / folder, work / "logits", shown, views, pooling)
            baseline = baseline or scored
            result[test][remedy] = summarize(scored, baseline)
            print(test, remedy, json.dumps(result[test][remedy]), flush=True)
    return result


def score_runs(
    runs: Sequence[Path], data_dir: Path, store: Path, shown: Sequence[Turn], views: Sequence[Turn], pooling: str
) -> dict[str, list[HarResult]]:
    """Return, for every turn in which the clips are shown, the scores of each run from its views of them."""
    scored: dict[str, list[HarResult]] = {turn.name: [] for turn in shown}
    for run in runs:
        items, logits = logits_of(run, data_dir, store / f"{data_dir.name}-{run.name}.npz", len(shown) > 1)
        references = read_rows(reference_columns(items), references=True)
        for turn in shown:
            # A view of a turned clip is another view of the clip: quarter turns make a closed set.
            seen = [
                Turn((view.degrees + (-1) ** view.mirrored * turn.degrees) % 360, turn.mirrored != view.mirrored)
                for view in views
            ]
            own = {index: np.stack([logits[one][index] for one in seen]) for index in range(len(items))}
            predictions = read_rows(prediction_columns(items, pool_turns(own, pooling)))
            scored[turn.name].append(score_har(predictions, references, HarSettings(scores_are="logits")))
    return scored


def logits_of(run: Path, data_dir: Path, file: Path, is_turned: bool) -> tuple[Any, dict[Turn, dict[int, np.ndarray]]]:
    """Return the key frames, and the logits of a run under every turn that its remedies need."""
    from accelerate import Accelerator

    model, data = open_model(str(run))
    data = replace(data, data_dir=str(data_dir), workers=0, scheme="official")
    items = split_items(data, "test")
    training = run.name.rpartition("-")[0]
    turns: Sequence[Turn] = EIGHT
    if all(len(views) == 1 for name, views, _ in REMEDIES.values() if name == training):
        turns = TURNS if is_turned else TURNS[:1]
    if not file.is_file():
        found = predict_logits(Accelerator(cpu=True), model, KeyFrameWindows(items, data), turns=turns)
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(file, **{str(index): logits for index, logits in found.items()})
    stored = np.load(file)
    return items, {
        turn: {index: stored[str(index)][place] for index in range(len(items))} for place, turn in enumerate(turns)
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
        tests = [replace(scene, split="test") for scene in scenes[VLM_SCENES:][:VLM_TESTS]]
        write_release(folder, tests, questions)
    rows = load_dataset("vqa", split="test", data_dir=str(folder))
    items = [dict(row) for row in rows.remove_columns("video")]
    answers: dict[str, dict[str, dict[str, str]]] = {}
    for seed in seeds:
        for training in ("upright", "turned"):
            model = work / "vlm" / f"{training}-{seed}"
            if not model.is_dir():
                train_model(model, scenes[:VLM_SCENES], training, seed)
        for remedy, (training, turns) in VLM_REMEDIES.items():
            out = work / "answers" / f"{training}-{turns}-{seed}"
            model = str(work / "vlm" / f"{training}-{seed}")
            settings = TextSettings("vqa", model, prompts="plain", frames=4, max_new_tokens=12, turns=turns)
            probe_texts(settings, rows, out, encoder=False)
            for name in (*(turn.name for turn in TURNS), "blind"):
                place = out / name.replace("°", "").replace(", ", "-") / "items.rank0.jsonl"
                records = [json.loads(line) for line in place.read_text().splitlines()]
                if turns > 1 and name != "blind":
                    records = choose_texts(records, remedy.rpartition("--turn-choice ")[2])
                given = {f"{seed}/{record['id']}": record["text"] for record in records}
                answers.setdefault(remedy, {}).setdefault(name, {}).update(given)
    repeated = [row | {"question_id": f"{seed}/{row['question_id']}"} for seed in seeds for row in items]
    result = {}
    first = answers["trained upright"]
    for remedy, given in answers.items():
        found = compare_answers(repeated, given, TURNS)
        upright = {"0°": first["0°"], "remedy": given["0°"], "blind": given["blind"]}
        changed = compare_answers(repeated, upright | {"90°": given["0°"]}, TURNS[:2])
        found["difference"] = _minus(changed["gap"])
        found["differences"] = {entry["kind"]: _minus(entry) for entry in changed["kinds"]}
        kept = ("items", "films", "turns", "gap", "kinds", "difference", "differences")
        result[remedy] = {name: found[name] for name in kept}
    return result


def choose_texts(records: list[dict[str, Any]], how: str) -> list[dict[str, Any]]:
    """Return the records of a run with the texts that another ``--turn-choice`` keeps, from the texts of all turns."""
    if how == "clip":
        clips: dict[str, list[dict[str, Any]]] = {}
        for record in records:
            clips.setdefault(record["id"].rpartition("_q")[0], []).append(record)
        return [record for own in clips.values() for record in choose_for_clip(own)]
    if how != "majority":
        return records
    return [record | choose_record(views(record), how) for record in records]


def views(record: dict[str, Any]) -> dict[Turn, dict[str, Any]]:
    """Return the texts of a query by the degrees of their turn."""
    return {Turn(int(one["turn"].split("°")[0])): {"status": "ok", **one} for one in record["turns"]}


def _minus(entry: dict[str, Any]) -> dict[str, Any]:
    """The score of a remedy minus that of the first model, from their gap."""
    turned = None if entry["interval"] is None else [-edge for edge in reversed(entry["interval"])]
    return {"difference": -entry["difference"], "interval": turned}


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


def train_model(folder: Path, scenes: Sequence[Scene], training: str, seed: int) -> None:
    """Train a tiny vision-language model on upright scenes, or on the same scenes in all four turns."""
    from microg4m_hf.inference.frames import SampledFrames, get_frame_sampling
    from microg4m_hf.inference.items import ClipQueries, Query
    from microg4m_hf.training.tiny_vlm.__main__ import train
    from microg4m_hf.training.tiny_vlm.lessons import FRAMES, PICK, Clip

    numbers = get_frame_sampling(PICK)(NUM_FRAMES, FRAMES).tolist()
    about = {"fps": float(FPS), "total_num_frames": NUM_FRAMES, "duration": NUM_FRAMES / FPS, "frames_indices": numbers}
    clips = []
    for scene, turn in ((scene, turn) for scene in scenes for turn in quarter_turns(4 if training == "turned" else 1)):
        pictures = np.ascontiguousarray(turn_frames(np.stack(list(frames(scene, 144, numbers))), turn))
        pairs = questions(scene)
        queries = tuple(Query(f"{scene.video_id}_{place}", pair["Q"]) for place, pair in enumerate(pairs))
        work = ClipQueries(None, scene.video_id, queries)
        clips.append(Clip(work, tuple(pair["A"] for pair in pairs), SampledFrames(pictures, about)))
    model, processor, losses = train(clips, VLM_STEPS[training], seed, VLM_RATE)
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
