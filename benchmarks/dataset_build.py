"""Time how long the config ``har`` takes to build from full-size files, compared with reading them with pyarrow.

    python benchmarks/dataset_build.py            # prints a table, writes benchmarks/results/dataset_build.json

Each round is a process. It reads the files of the builder with ``pyarrow.csv``, calls ``load_dataset`` with an empty
cache and again with the cache, and accesses random rows. A small release is loaded and read before, so that imports and
first calls are not counted. The second column includes opening each of the 4,760 clip files.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results" / "dataset_build.json"
LIMITS = {"build / plain reading": 4.0, "peak memory, MiB": 1536, "cached load, s": 1.0, "random row, ms": 0.2}


def full_size_release(folder: Path) -> Path:
    """Write 4,760 clips with 390,000 boxes, as many as in the release, in its layout, with a file per clip."""
    return release_of(folder / "full", sources=70, clips=68, boxes=390_000)


def small_release(folder: Path) -> Path:
    return release_of(folder / "small", sources=3, clips=5, boxes=300)


def release_of(folder: Path, *, sources: int, clips: int, boxes: int) -> Path:
    sys.path.insert(0, str(PROJECT))
    from tests.support.fake_release import full_size_boxes, make_release, put_clips

    release = make_release(folder / "release", sources=sources, clips=clips)
    size_of = full_size_boxes(release.root / "ava_all.csv", release.root / "bounding_boxes.csv", rows=boxes)
    put_clips(release, size_of)
    return release.root


def plain_reading(release: Path) -> float:
    """Return the seconds that pyarrow takes to read every CSV file of the builder."""
    import pyarrow.csv as csv

    from microg4m_hf.data.release.layout import find_layout

    layout = find_layout(release)
    keyed = [layout.ava_all, layout.ava_train, layout.ava_val, layout.ava_test]
    start = time.perf_counter()
    for path in filter(None, [layout.actions, layout.boxes]):
        csv.read_csv(path)
    for path in filter(None, keyed):
        csv.read_csv(path, read_options=csv.ReadOptions(autogenerate_column_names=True))
    return time.perf_counter() - start


def one_round(release: Path, small: Path, scratch: Path, videos: bool) -> dict[str, float]:
    """Read, build, load from the cache and access rows in this process; return seconds and peak memory in MiB."""
    import resource

    import datasets

    import microg4m_hf

    def load(folder: Path, cache: str) -> tuple[datasets.DatasetDict, float]:
        datasets.config.HF_DATASETS_CACHE = scratch / cache
        start = time.perf_counter()
        return microg4m_hf.load_dataset("har", data_dir=folder, videos=videos), time.perf_counter() - start

    datasets.disable_progress_bars()
    load(small, "warm-up")  # so that imports and first calls are not measured
    plain_reading(small)
    imports = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    plain = [plain_reading(release) for _ in range(3)]
    loaded, build = load(release, "cache")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    plain += [plain_reading(release) for _ in range(3)]
    loaded, cached = load(release, "cache")
    train = loaded["train"]
    places = random.Random(0).choices(range(len(train)), k=2000)
    start = time.perf_counter()
    for place in places:
        train[place]
    row = (time.perf_counter() - start) / len(places)
    return {
        "rows": sum(map(len, loaded.values())),
        "boxes": sum(len(who["boxes"]) for split in loaded.values() for row_ in split for who in row_["persons"]),
        "plain reading, s": statistics.median(plain),
        "build, s": build,
        "build / plain reading": build / statistics.median(plain),
        "peak memory, MiB": memory,
        "of that after imports, MiB": imports,
        "cached load, s": cached,
        "random row, ms": 1000 * row,
    }


def measure(release: Path, small: Path, videos: bool, rounds: int) -> dict[str, float]:
    """Return the median of several rounds, each with its own process and cache, and the largest memory."""
    found = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as scratch:
            command = [sys.executable, __file__, "--round", str(release), str(small), scratch] + ["--videos"] * videos
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found.append(json.loads(done.stdout.splitlines()[-1]))
    middle = {what: statistics.median(one[what] for one in found) for what in found[0]}
    return middle | {"peak memory, MiB": max(one["peak memory, MiB"] for one in found)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--round", nargs=3, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--videos", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.round:
        print(json.dumps(one_round(*options.round, options.videos)))
        return
    with tempfile.TemporaryDirectory() as folder:
        release = full_size_release(Path(folder))
        small = small_release(Path(folder))
        measured = {
            "annotations": measure(release, small, False, options.rounds),
            "and clips": measure(release, small, True, options.rounds),
        }
    width = max(map(len, measured["and clips"]))
    print(f"{'':{width}}" + "".join(f"{name:>14}" for name in measured) + f"{'limit':>14}")
    for what in measured["and clips"]:
        limit = f"{LIMITS[what]:>14g}" if what in LIMITS else ""
        print(f"{what:{width}}" + "".join(f"{values[what]:>14.3f}" for values in measured.values()) + limit)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({**surroundings(), "limits": LIMITS, "measured": measured}, indent=2) + "\n")


def surroundings() -> dict[str, object]:
    processor = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), processor)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "hardware": {"processor": processor, "cores": os.cpu_count()},
        "versions": {"python": platform.python_version()}
        | {name: metadata.version(name) for name in ("microg4m-hf", "datasets", "pyarrow", "numpy")},
    }


if __name__ == "__main__":
    main()
