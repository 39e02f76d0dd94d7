"""How long the config ``har`` takes to build from files of full size, against reading the same files with pyarrow.

    python benchmarks/dataset_build.py            # prints a table, writes benchmarks/results/dataset_build.json

Everything is measured in one run: plain ``pyarrow.csv`` reading of the files that the builder reads, the first
``load_dataset`` (each time into an empty cache, in a process of its own, for the memory), the cached one, and
random access to rows. Imports are not counted on either side.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results" / "dataset_build.json"
LIMITS = {"build / plain reading": 4.0, "peak memory, MiB": 1536, "cached load, s": 1.0, "random row, ms": 0.2}


def plain_reading(release: Path) -> float:
    """Seconds to read every CSV file that the builder reads, with pyarrow and nothing else."""
    import pyarrow.csv as csv

    from microg4m_hf.data.layout import find_layout

    layout = find_layout(release)
    keyed = [layout.ava_all, layout.ava_train, layout.ava_val, layout.ava_test]
    start = time.perf_counter()
    for path in filter(None, [layout.actions, layout.boxes]):
        csv.read_csv(path)
    for path in filter(None, keyed):
        csv.read_csv(path, read_options=csv.ReadOptions(autogenerate_column_names=True))
    return time.perf_counter() - start


def one_load(release: Path, cache: Path, videos: bool) -> dict[str, float]:
    """Load in this process: seconds, and its peak memory in MiB."""
    import resource

    import datasets

    import microg4m_hf
    from microg4m_hf.data import builder  # noqa: F401  imports are not what is measured

    datasets.disable_progress_bars()
    datasets.config.HF_DATASETS_CACHE = cache
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.perf_counter()
    loaded = microg4m_hf.load_dataset("har", data_dir=release, videos=videos)
    seconds = time.perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    train = loaded["train"]
    places = random.Random(0).choices(range(len(train)), k=2000)
    start = time.perf_counter()
    for place in places:
        train[place]
    row = (time.perf_counter() - start) / len(places)
    boxes = sum(len(person["boxes"]) for split in loaded.values() for row_ in split for person in row_["persons"])
    rows = sum(map(len, loaded.values()))
    return {"seconds": seconds, "memory": memory, "imports": before, "row": row, "rows": rows, "boxes": boxes}


def in_own_process(release: Path, cache: Path, videos: bool) -> dict[str, float]:
    command = [sys.executable, __file__, "--load", str(release), str(cache)] + ["--videos"] * videos
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def measure(release: Path, videos: bool, repeats: int) -> dict[str, float]:
    plain, first, cached = [], [], []
    for _ in range(repeats):  # interleaved, so that a busy moment hits both sides
        plain += [plain_reading(release) for _ in range(3)]
        with tempfile.TemporaryDirectory() as cache:
            first.append(in_own_process(release, Path(cache), videos))
            cached.append(in_own_process(release, Path(cache), videos))
    build = statistics.median(load["seconds"] for load in first)
    return {
        "rows": first[0]["rows"],
        "boxes": first[0]["boxes"],
        "plain reading, s": statistics.median(plain),
        "build, s": build,
        "build / plain reading": build / statistics.median(plain),
        "peak memory, MiB": max(load["memory"] for load in first),
        "of that imports, MiB": max(load["imports"] for load in first),
        "cached load, s": statistics.median(load["seconds"] for load in cached),
        "random row, ms": 1000 * statistics.median(load["row"] for load in cached),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--load", nargs=2, type=Path, metavar=("RELEASE", "CACHE"), help=argparse.SUPPRESS)
    parser.add_argument("--videos", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        print(json.dumps(one_load(*options.load, options.videos)))
        return
    sys.path.insert(0, str(PROJECT))
    from tests.support.fake_release import full_size_release

    with tempfile.TemporaryDirectory() as folder:
        release = full_size_release(Path(folder))
        measured = {
            "videos=False": measure(release, False, options.repeats),
            "videos=True": measure(release, True, options.repeats),
        }
    width = max(len(what) for what in measured["videos=True"])
    print(f"{'':{width}}  " + "".join(f"{name:>14}" for name in measured) + "         limit")
    for what in measured["videos=True"]:
        limit = f"{LIMITS[what]:>14g}" if what in LIMITS else ""
        print(f"{what:{width}}  " + "".join(f"{values[what]:>14.3f}" for values in measured.values()) + limit)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({**surroundings(), "limits": LIMITS, "measured": measured}, indent=2) + "\n")


def surroundings() -> dict[str, object]:
    import os

    processor = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), processor)
    return {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "hardware": {"processor": processor, "cores": os.cpu_count()},
        "versions": {"python": platform.python_version()}
        | {name: metadata.version(name) for name in ("microg4m-hf", "datasets", "pyarrow", "numpy")},
    }


if __name__ == "__main__":
    main()
