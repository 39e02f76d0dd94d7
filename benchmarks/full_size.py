"""Run every command on a release of full size, and measure wall time, processor time and memory of each.

    python benchmarks/full_size.py                         # about half an hour on two cores
    python benchmarks/full_size.py --only check,stats      # some of the steps
    python benchmarks/full_size.py --folder /scratch/full  # keep the release, and use it again

The release has the released numbers: 4,759 clips, 405,317 boxes, 7,528 questions. Annotations are the released ones
where ``MICROG4M_SHARED`` has them, and generated elsewhere; boxes are generated around the key frames. Clips are those
of the sample at 854×480, under many names by hard links. Results are written after each step.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import json
import os
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from microg4m_hf.data.sample import make_sample

CLIPS, BOXES, QUESTIONS = 4759, 405_317, 7528
WIDTH, HEIGHT = 854, 480
SHARED = Path(os.environ.get("MICROG4M_SHARED", "../shared")) / "data"
RESULTS = Path(__file__).parent / "results"
RECIPE = """
name: full_size
variant: own
model: {name: tiny_slow}
data: {num_frames: 8, stride: 8, data_dir: %s, key_frame: exact, workers: 2}
schedule: {epochs: 1}
loop: {batch: 63, mixed_precision: "no", max_steps: 12}
"""


def copy_or_generate_annotations(root: Path) -> None:
    shared = SHARED / "microg4m"
    if shared.is_dir():
        for path in shared.rglob("*"):
            if path.is_file() and path.suffix in (".csv", ".json", ".pbtxt") and path.parent.name != "statistics":
                shutil.copyfile(path, root / path.name)
        return
    draw = random.Random(0)
    actions, key_frames, texts = [], defaultdict(list), []
    for number in range(CLIPS):
        source, piece = divmod(number, 40)
        domain = "m" if source % 2 else "r"
        video_id = f"{'Film' if domain == 'm' else 'Video'}{source:03}_{piece:03}"
        split = ("train",) * 14 + ("val_gt",) * 2 + ("test_gt",) * 4
        name, frame = draw.choice(split), draw.randint(10, 90)
        box = (*(round(draw.uniform(0, 0.4), 3) for _ in "xy"), *(round(draw.uniform(0.5, 1), 3) for _ in "xy"))
        for action in draw.sample([1, 3, 11, 12, 17, 47, 59, 80], 3):
            actions.append((video_id, domain, 1, action))
            key_frames[name].append((video_id, frame, *box, action, 1))
        if domain == "r" and len(texts) < 1238:
            count = min(7 if len(texts) % 12 == 0 else 6, QUESTIONS - sum(len(text["qa_pairs"]) for text in texts))
            pairs = [{"Q": f"What is number {n} in {video_id}?", "A": f"A tool, number {n}."} for n in range(count)]
            texts.append({"video_id": video_id, "caption": f"An astronaut in {video_id}.", "qa_pairs": pairs})
    write_csv(root / "actions.csv", [("video_id", "movie_or_real", "person_id", "action"), *actions])
    for name, rows in key_frames.items():
        write_csv(root / f"ava_{name}.csv", rows)
    write_csv(root / "ava_all.csv", [row for rows in key_frames.values() for row in rows])
    (root / "vqa_and_captioning.json").write_text(json.dumps(texts), encoding="utf-8")


def write_csv(path: Path, rows: list[Any]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def generate_boxes(root: Path) -> None:
    """Write 405,317 boxes: those of a person are the key box, moved by up to four pixels outside the key frame."""
    keys: dict[tuple[str, str], tuple[int, list[float]]] = {}
    with (root / "ava_all.csv").open(encoding="utf-8") as file:
        for video_id, frame, x1, y1, x2, y2, _, person in csv.reader(file):
            keys[video_id, person] = (int(frame), [float(x1), float(y1), float(x2), float(y2)])
    each, more = divmod(BOXES, len(keys))
    rows: list[Any] = [("video_id", "frame_id", "person_id", "xmin", "ymin", "xmax", "ymax")]
    for number, ((video_id, person), (key, box)) in enumerate(sorted(keys.items())):
        count = each + (number < more)
        first = max(1, min(key - count // 2, 91 - count))
        for frame in range(first, first + count):
            shift = (frame - key) % 5 if frame != key else 0
            x1, y1, x2, y2 = box[0] * WIDTH, box[1] * HEIGHT, box[2] * WIDTH, box[3] * HEIGHT
            rows.append((video_id, frame, person, round(x1, 2), round(y1, 2), round(x2 - shift, 2), round(y2, 2)))
    write_csv(root / "bounding_boxes.csv", rows)


def clip_places(root: Path) -> list[str]:
    with (root / "actions.csv").open(encoding="utf-8") as file:
        rows = {(row["movie_or_real"][0], row["video_id"]) for row in csv.DictReader(file)}
    domains = {"m": "movie", "r": "real"}
    return [f"videos/{domains[domain]}/{name.rpartition('_')[0]}/{name}.mp4" for domain, name in sorted(rows)]


def make_release(folder: Path) -> Path:
    """Make the release as it is downloaded: annotations, and the clips in ``videos.zip``."""
    root = folder / "release"
    if (root / "bounding_boxes.csv").is_file():
        return root
    root.mkdir(parents=True, exist_ok=True)
    copy_or_generate_annotations(root)
    if not (folder / "clips").is_dir():
        make_sample(folder / "clips", height=HEIGHT, clips=24, preset="medium")
    clips = sorted((folder / "clips" / "videos").rglob("*.mp4"))
    with zipfile.ZipFile(root / "videos.zip", "w") as archive:
        for number, place in enumerate(clip_places(root)):
            archive.write(clips[number % len(clips)], place)
    generate_boxes(root)
    return root


def link_clips(folder: Path, root: Path) -> None:
    """Put hard links in the place of the unpacked clips and of the archive, which are 1.4 GB each."""
    clips = sorted((folder / "clips" / "videos").rglob("*.mp4"))
    shutil.rmtree(root / "videos", ignore_errors=True)
    for number, place in enumerate(clip_places(root)):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        os.link(clips[number % len(clips)], root / place)
    (root / "videos.zip").unlink(missing_ok=True)


def measure(words: list[str], cwd: Path) -> dict[str, Any]:
    """Run a command; return its time, and the largest sum of memory of its processes, shared pages counted once."""
    began = time.perf_counter()
    with (cwd / "log.txt").open("a") as log:
        print(f"\n$ {' '.join(words)}", file=log, flush=True)
        process = subprocess.Popen(words, cwd=cwd, stdout=log, stderr=subprocess.STDOUT)
        peak, ended = [0], threading.Event()

        def watch() -> None:
            while not ended.wait(0.5):
                peak[0] = max(peak[0], tree_memory(process.pid))

        watcher = threading.Thread(target=watch)
        watcher.start()
        _, status, used = os.wait4(process.pid, 0)
        ended.set()
        watcher.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    return {
        "exit": process.returncode,
        "wall_s": round(time.perf_counter() - began, 1),
        "cpu_s": round(used.ru_utime + used.ru_stime, 1),
        "memory_mb": max(peak[0], used.ru_maxrss << 10) >> 20,
        "load": round(os.getloadavg()[0], 1),
    }


def tree_memory(root: int) -> int:
    children = defaultdict(list)
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            children[int(path.read_text().rpartition(")")[2].split()[1])].append(int(path.parent.name))
        except OSError:
            continue
    total, waiting = 0, [root]
    while waiting:
        process = waiting.pop()
        waiting += children[process]
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))
    return total


def steps(root: Path, folder: Path) -> dict[str, list[str]]:
    python, data = sys.executable, ["--data-dir", str(root)]
    command = [python, "-m", "microg4m_hf"]
    recipe = folder / "full_size.yaml"
    recipe.write_text(RECIPE % root)

    def load(config: str) -> list[str]:
        code = (
            f"import microg4m_hf as m; d = m.load_dataset({config!r}, data_dir={str(root)!r}); print(d); d['test'][0]"
        )
        return [python, "-c", code]

    run, answers = str(folder / "run"), str(folder / "answers")
    released = SHARED / "har_predictions" / "I3D_8x8_R50" / "detections_test.csv"
    detections = str(released.resolve()) if released.is_file() else f"{run}/predictions/test.parquet"
    return {
        "check of the archive": [*command, "data", "check", *data],
        "unpack": [*command, "data", "unpack", *data],
        "check": [*command, "data", "check", *data],
        "stats": [*command, "data", "stats", *data],
        "load har for the first time": load("har"),
        "load har again": load("har"),
        "load caption": load("caption"),
        "load vqa": load("vqa"),
        "export-ava": [*command, "data", "export-ava", *data, "--out", str(folder / "ava")],
        "push --dry-run": [*command, "data", "push", "me/MicroG-4M", *data, "--dry-run"],
        "predict vqa by majority": [*command, "predict", "vqa", "--model", "majority", *data, "--out", answers],
        "score vqa": [*command, "score", "vqa", "--predictions", f"{answers}/predictions.jsonl", *data],
        "train har for 12 steps of 63": [*command, "train", "har", "--config", str(recipe), "--out", run],
        "predict har on test": [*command, "predict", "har", "--model", run, *data, "--out", str(folder / "predicted")],
        "score har": [*command, "score", "har", "--predictions", detections, *data],
        "report": [*command, "report", detections, answers, *data, "--out", str(folder / "report")],
        "check --decode": [*command, "data", "check", *data, "--decode"],
    }


def write(results: dict[str, Any]) -> None:
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    report = {
        "date": datetime.date.today().isoformat(),
        "machine": machine,
        "release": {"clips": CLIPS, "boxes": BOXES, "questions": QUESTIONS},
        "steps": results,
    }
    (RESULTS / "full_size.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    lines = [
        f"# A release of full size: {CLIPS:,} clips, {BOXES:,} boxes, {QUESTIONS:,} questions",
        "",
        f"{report['date']}, {machine}. Other work ran on the machine (the last column has its load), so compare",
        "processor time. Memory is the largest sum over the processes of a command.",
        "",
        "| step | wall, s | processor, s | memory, MB | exit | load |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, row in results.items():
        values = [row[key] for key in ("wall_s", "cpu_s", "memory_mb", "exit", "load")]
        lines.append(f"| {name} | " + " | ".join(f"{value:,}" for value in values) + " |")
    (RESULTS / "full_size.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the release is made and kept (default: a temporary folder)")
    parser.add_argument("--only", help="names of steps, separated by commas; results of the others are kept")
    parser.add_argument("--no-write", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = (args.folder or Path(scratch)).resolve()
        root = make_release(folder)
        os.environ |= {"MICROG4M_HOME": str(folder / "home"), "HF_HOME": str(folder / "hf"), "OMP_NUM_THREADS": "1"}
        only = args.only.split(",") if args.only else None
        file = RESULTS / "full_size.json"
        results = json.loads(file.read_text(encoding="utf-8"))["steps"] if only and file.is_file() else {}
        for name, words in steps(root, folder).items():
            if only and name not in only:
                continue
            results[name] = measure(words, folder)
            print(f"{name:28}{results[name]}", flush=True)
            if name == "unpack":
                link_clips(folder, root)
            if not args.no_write:
                write(results)


if __name__ == "__main__":
    main()
