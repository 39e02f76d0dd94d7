"""Compare the shared memory of the loader with that of a ``DataLoader`` that sends whole frames in batches.

    python benchmarks/loader_memory.py               # writes benchmarks/results/loader_memory.json

For every recipe of one process, both amounts follow from the shapes: whole 854×480 frames of two batches per worker,
which PyTorch keeps in files under ``/dev/shm``, against the slots of :mod:`microg4m_hf.training.loading.loader`. Both
are also measured, with batches of eight, while all items that are decoded ahead wait.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from microg4m_hf.data.sample import make_sample
from microg4m_hf.training import Data, KeyFrameWindows, collate, list_recipes, load_recipe, split_items
from microg4m_hf.training.loading.loader import load_batches, plan_slots, slot_bytes

WHOLE = 854 * 480 * 3
MEASURED = ("i3d_8x8_r50", "x3d_s")
BATCH = 8


def computed(data: Data, batch: int) -> tuple[float, float]:
    """Return the gigabytes of whole frames and of slots."""
    _, slots = plan_slots(data.workers, batch)
    after = slots * slot_bytes(KeyFrameWindows([], data, training=True))
    return round(2 * data.workers * batch * data.num_frames * WHOLE / 1e9, 3), round(after / 1e9, 3)


def used_files() -> int:
    status = os.statvfs("/dev/shm")
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def mapped() -> int:
    """The resident bytes of anonymous shared memory of this process and its workers, shared pages counted once."""
    tasks = Path("/proc/self/task").glob("*/children")
    total = 0
    for process in ["self", *(child for task in tasks for child in task.read_text().split())]:
        wanted = False
        for line in Path(f"/proc/{process}/smaps").read_text().splitlines():
            first = line.split()[0]
            if "-" in first and ":" not in first:
                wanted = "/dev/zero" in line
            elif wanted and first == "Pss:":
                total += int(line.split()[1]) << 10
    return total


def settled(measure: Any) -> int:
    """Wait until an amount has not grown for some seconds, and return it."""
    last, since = -1, time.monotonic()
    while time.monotonic() - since < 20:
        if (now := measure()) > last:
            last, since = now, time.monotonic()
        time.sleep(0.5)
    return last


def measured(data: Data, items: list[Any]) -> tuple[float, float]:
    windows = KeyFrameWindows(items, data, training=True)
    places = [[(0, index % len(items)) for index in range(BATCH)] for _ in range(4 * data.workers)]
    before = used_files()
    loader: Any = DataLoader(windows, batch_sampler=places, num_workers=data.workers, collate_fn=collate)  # type: ignore[arg-type]
    whole = iter(loader)
    files = settled(used_files) - before
    del whole
    batches = load_batches(windows, places, workers=data.workers, largest=BATCH)
    for _ in range(3):  # until every slot was used
        next(batches)
    return round(files / 1e9, 3), round(settled(mapped) / 1e9, 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, help="a sample of 480 lines that was made before")
    parser.add_argument("--no-write", action="store_true")
    args = parser.parse_args()
    table: dict[str, Any] = {}
    for name in (listed.name for listed in list_recipes() if listed.variant != "adapter"):
        recipe = load_recipe(name)
        before, after = computed(recipe.data, recipe.loop.batch)
        table[name] = {"batch": recipe.loop.batch, "whole_frames_gb": before, "slots_gb": after}
    with tempfile.TemporaryDirectory() as scratch:
        root = args.clips or Path(scratch) / "clips"
        if args.clips is None:
            make_sample(root, height=480, clips=24, preset="medium")
        for name in MEASURED:
            recipe = load_recipe(name)
            data = dataclasses.replace(recipe.data, data_dir=str(root), source=None)
            expected = computed(data, BATCH)
            found = measured(data, split_items(data, "train"))
            keys = ("whole_frames_gb", "slots_gb")
            table[name]["batch_of_8"] = {
                "computed": dict(zip(keys, expected, strict=True)),
                "measured": dict(zip(keys, found, strict=True)),
            }
    report = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "processes": 1,
        "recipes": table,
    }
    print(json.dumps(report, indent=1))
    if not args.no_write:
        target = Path(__file__).parent / "results" / "loader_memory.json"
        target.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
