"""Compare a training epoch on full-size clips with the same loop on extracted JPEG frames.

    python benchmarks/training.py                 # several minutes, writes benchmarks/results/training.json
    python benchmarks/training.py --clips 8 --no-write

Clips are those of the sample at 854×480, encoded like the released ones. The JPEG loader works like the released code:
OpenCV reads eight images of a folder, and the worker resizes, crops, flips and normalizes them in float32. Both loaders
feed a tiny network, so that mainly the data loading is measured. Rounds alternate, and results are medians.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy and torch

import argparse
import dataclasses
import datetime
import json
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from accelerate import Accelerator
from torch.nn.functional import binary_cross_entropy_with_logits as bce
from torch.utils.data import DataLoader

from microg4m_hf.data import open_clip, window
from microg4m_hf.data.sample import make_sample
from microg4m_hf.models import create
from microg4m_hf.training import Data, KeyFrameWindows, RunBatches, collate, move_boxes, render_batch, split_items
from microg4m_hf.training.loading.dataset import Item

BATCH = 4
RECIPE = Data(num_frames=8, stride=8, key_frame="exact", short_side=(256, 320), crop=224)


class JpegFrames(KeyFrameWindows):
    """The same items from a folder of images per clip, preprocessed in the worker."""

    def __init__(self, folder: Path, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.folder = folder

    def __getitem__(self, place: tuple[int, int] | int) -> Item:
        epoch, index = place if isinstance(place, tuple) else (0, place)
        item = self.items[index]
        files = sorted((self.folder / item.video_id).iterdir())
        pictures = []
        for number in window(len(files), item.frame, self.data.num_frames, self.data.stride, one_based=True):
            pictures.append(cv2.imdecode(np.frombuffer(files[number].read_bytes(), np.uint8), cv2.IMREAD_COLOR))
        height, width = pictures[0].shape[:2]
        to = self._geometry(height, width, epoch, index)
        finished = []
        for picture in pictures:
            whole = cv2.resize(picture, (to.width, to.height), interpolation=cv2.INTER_LINEAR).astype(np.float32)
            crop = whole[to.top : to.top + to.crop_height, to.left : to.left + to.crop_width]
            crop = crop[:, ::-1] if to.flip else crop
            finished.append((crop / 255.0 - 0.45) / 0.225)
        frames = np.stack(finished)[..., ::-1]
        return Item(index, frames, to, move_boxes(item.boxes, height, width, to), item.labels)


def extract(root: Path, folder: Path, items: list[Any]) -> None:
    """Write every frame of every clip as a JPEG of quality 95, as the released preparation does."""
    for item in items:
        target = folder / item.video_id
        target.mkdir(parents=True, exist_ok=True)
        with open_clip(item.video) as clip:
            for number, frame in enumerate(clip.frames(range(len(clip))), start=1):
                cv2.imwrite(str(target / f"{item.video_id}_{number:06d}.jpg"), frame[..., ::-1])


def epoch(
    data: KeyFrameWindows, workers: int, number: int = 0, accelerator: Accelerator | None = None
) -> dict[str, float]:
    """Return the seconds of an epoch, and the seconds of it that steps waited for data."""
    accelerator = accelerator or Accelerator(cpu=True)
    model = accelerator.prepare(create("tiny_slow", num_frames=8, check_inputs=False))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    config = accelerator.unwrap_model(model).config
    steps = len(data) // BATCH
    batches = RunBatches(
        count=len(data),
        batch=BATCH,
        seed=0,
        first_step=number * steps,
        end_step=(number + 1) * steps,
        rank=accelerator.process_index,
        world=accelerator.num_processes,
    )
    loader: Any = DataLoader(data, batch_sampler=batches, num_workers=workers, collate_fn=collate)  # type: ignore[arg-type]
    source = iter(loader)
    waited, began, mark = 0.0, time.perf_counter(), time.perf_counter()
    for batch in source:
        waited += time.perf_counter() - mark
        if batch["windows"][0].is_floating_point():
            clips = torch.stack(batch["windows"]).permute(0, 4, 1, 2, 3).contiguous()
        else:
            clips = render_batch(batch["windows"], batch["geometries"], config)
        loss = bce(model(pixel_values=clips, boxes=batch["boxes"]).logits, batch["labels"])
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        mark = time.perf_counter()
    seconds = time.perf_counter() - began
    return {"clips_per_s": steps * BATCH / seconds, "wait_share": waited / seconds, "seconds": seconds}


def processor_ms(data: KeyFrameWindows, rounds: int = 3) -> float:
    """Return the CPU milliseconds that the worker spends on a clip, which depend little on load."""
    data[0, 0]
    began = time.process_time()
    for number in range(rounds):
        for index in range(len(data)):
            data[number, index]
    return round(1000 * (time.process_time() - began) / rounds / len(data), 3)


def compare(sides: dict[str, Callable[[], dict[str, float]]], rounds: int) -> dict[str, dict[str, float]]:
    found: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, run in sides.items():
            found[name].append(run())
    return {
        name: {key: round(statistics.median(one[key] for one in values), 4) for key in values[0]}
        for name, values in found.items()
    }


def ranks(root: Path, count: int, workers: int) -> float:
    """Return the clips per second of ``count`` processes, each with its own loader workers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    started = []
    for rank in range(count):
        ranks = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count), "MASTER_PORT": port}
        words = [sys.executable, __file__, "--rank-of", str(root), "--workers", str(workers)]
        environment = os.environ | ({**ranks, "MASTER_ADDR": "127.0.0.1"} if count > 1 else {})
        started.append(subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True))
    outputs = [process.communicate()[0] for process in started]
    return float(json.loads(outputs[0].splitlines()[-1])["clips_per_s"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--no-write", action="store_true")
    parser.add_argument("--rank-of", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.rank_of:
        data = dataclasses.replace(RECIPE, data_dir=args.rank_of)
        items = split_items(data, "train")
        accelerator = Accelerator(cpu=True)
        print(json.dumps(epoch(KeyFrameWindows(items, data, training=True), args.workers, 0, accelerator)), flush=True)
        os._exit(0)  # gloo can abort in its teardown after all work is done

    with tempfile.TemporaryDirectory() as scratch:
        root, jpegs, cache = (Path(scratch) / name for name in ("clips", "jpegs", "cache"))
        make_sample(root, height=480, clips=args.clips, preset="medium")
        data = dataclasses.replace(RECIPE, data_dir=str(root))
        items = split_items(data, "train")
        began = time.perf_counter()
        extract(root, jpegs, items)
        extracting = time.perf_counter() - began
        decoded = KeyFrameWindows(items, data, training=True)
        with_cache = dataclasses.replace(data, cache=str(cache))
        cached = KeyFrameWindows(items, with_cache, training=True)
        pictures = JpegFrames(jpegs, items, data, training=True)
        epoch(decoded, 0)  # warm-up of memory, kernels and the page cache
        first = epoch(cached, args.workers)
        table = compare(
            {
                "mp4": lambda: epoch(decoded, args.workers, 1),
                "jpeg_opencv": lambda: epoch(pictures, args.workers, 1),
                "cache_epoch_2": lambda: epoch(cached, args.workers, 1),
            },
            args.rounds,
        )
        table["cache_epoch_1"] = {key: round(value, 4) for key, value in first.items()}
        costs = {
            "mp4": processor_ms(decoded),
            "jpeg_opencv": processor_ms(pictures),
            "cache": processor_ms(cached),
        }
        sizes = {
            name: sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
            for name, folder in (("mp4", root / "videos"), ("jpeg", jpegs), ("cache", cache))
        }
        processes = {str(count): round(ranks(root, count, 1), 3) for count in (1, 2)}
    report = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "versions": {
            name: metadata.version(name)
            for name in ("torch", "av", "opencv-python-headless", "numpy")
            if _installed(name)
        },
        "clips": len(items),
        "sampling": "8x8, short side 256-320, crop 224",
        "epochs": table,
        "against_jpeg": round(table["mp4"]["clips_per_s"] / table["jpeg_opencv"]["clips_per_s"], 3),
        "cache_gain": round(table["cache_epoch_2"]["clips_per_s"] / table["mp4"]["clips_per_s"], 3),
        "worker_ms_per_clip": costs,
        "extracting_jpegs_s": round(extracting, 2),
        "bytes": sizes,
        "clips_per_s_by_processes": processes,
    }
    print(json.dumps(report, indent=1))
    if not args.no_write:
        target = Path(__file__).parent / "results" / "training.json"
        target.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


if __name__ == "__main__":
    main()
