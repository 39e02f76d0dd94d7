"""Compare the decoding speed of clips with decord, PyAV and torchcodec, with one thread each.

    python benchmarks/decoding.py                    # about three minutes, writes benchmarks/results/decoding.json
    python benchmarks/decoding.py --clips 2 --rounds 3 --opens 0

The script makes its own clips: 854×480, 3 s, 30 fps, H.264 crf 23 with B-frames, with texture and motion. In every
round, all readers read every clip in turn, so that load on the machine affects all of them. Results are medians.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy and torch

import argparse
import datetime
import gc
import json
import logging
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import av
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from microg4m_hf.data import every, open_clip, read_frames, uniform, window
from tests.support.videos import write_video

HEIGHT, WIDTH, FRAMES = 480, 854, 90
PLANS = {"uniform 8 of 90": uniform(90, 8), "window 64, stride 8": window(90, 45, 8, 8), "all 90": every(90)}
TARGETS = {"uniform 8 of 90": 1.2, "window 64, stride 8": 1.2, "all 90": 1.0}
Reader = Callable[[str, np.ndarray], np.ndarray]


def scene(seed: int) -> np.ndarray:
    """Return ninety frames with moving texture of several scales, moving objects and sensor noise."""
    rng = np.random.default_rng(seed)
    tall, wide = HEIGHT + 80, WIDTH + 200
    field = np.zeros((tall, wide, 3))
    for size in (64, 24, 8, 3):
        coarse = rng.standard_normal((tall // size + 2, wide // size + 2, 3))
        field += np.kron(coarse, np.ones((size, size, 1)))[:tall, :wide] * size**0.6
    field = (field - field.min()) / np.ptp(field) * 235
    out = np.empty((FRAMES, HEIGHT, WIDTH, 3), np.uint8)
    for i in range(FRAMES):
        top = int(20 + 18 * np.sin(i / 9))
        picture = field[top : top + HEIGHT, i : i + WIDTH].copy()
        for k in range(3):
            y = int((HEIGHT - 140) * (0.5 + 0.5 * np.sin(i / 11 + k)))
            x = int((WIDTH - 100) * (0.5 + 0.5 * np.cos(i / 13 + 2 * k)))
            picture[y : y + 140, x : x + 100] = field[10 * k : 10 * k + 140, 30 * k + i % 7 : 30 * k + i % 7 + 100]
        out[i] = np.clip(picture + rng.normal(0, 4, (HEIGHT, WIDTH, 1)), 0, 255)
    return out


def ours(path: str, indices: np.ndarray) -> np.ndarray:
    return read_frames(path, indices)


def pyav_directly(path: str, indices: np.ndarray) -> np.ndarray:
    """Decode in order, convert only the requested frames, and stop after the last one."""
    wanted, kept = set(indices.tolist()), {}
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for i, frame in enumerate(container.decode(stream)):
            if i in wanted:
                kept[i] = frame.to_ndarray(format="rgb24", threads=1)
                if len(kept) == len(wanted):
                    break
    return np.stack([kept[i] for i in indices.tolist()])


def decord_directly(path: str, indices: np.ndarray) -> np.ndarray:
    import decord

    return decord.VideoReader(path, num_threads=1).get_batch(indices.tolist()).asnumpy()


def torchcodec_directly(path: str, indices: np.ndarray) -> np.ndarray:
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(path, num_ffmpeg_threads=1, dimension_order="NHWC", seek_mode="exact")
    return decoder.get_frames_at(indices.tolist()).data.numpy()


def usable_peers(path: str) -> dict[str, Reader]:
    peers: dict[str, Reader] = {"PyAV": pyav_directly}
    for name, reader in (("decord", decord_directly), ("torchcodec", torchcodec_directly)):
        try:
            reader(path, np.array([0]))
            peers[name] = reader
        except (ImportError, RuntimeError, OSError) as error:
            print(f"skipped: {name} ({str(error).strip().splitlines()[0]})")
    return peers


def compare(paths: list[str], rounds: int) -> dict[str, dict[str, object]]:
    readers: dict[str, Reader] = {"microg4m_hf": ours, **usable_peers(paths[0])}
    results: dict[str, dict[str, object]] = {}
    for plan, indices in PLANS.items():
        took: dict[str, list[float]] = {name: [] for name in readers}
        equal = True
        for round_ in range(rounds + 1):
            for path in paths:
                first = None
                for name, reader in readers.items():
                    started = time.perf_counter()
                    frames = reader(path, indices)
                    seconds = time.perf_counter() - started
                    if round_:  # the first round is for warm-up and compares pixels
                        took[name].append(seconds)
                    else:
                        first = frames if first is None else first
                        equal &= bool((frames == first).all())
                    del frames
        medians = {name: round(1000 * statistics.median(times), 1) for name, times in took.items()}
        best = min((name for name in medians if name != "microg4m_hf"), key=medians.__getitem__)
        ratio = round(medians[best] / medians["microg4m_hf"], 2)
        results[plan] = {
            "ms per clip": medians,
            "best peer": best,
            "times as fast": ratio,
            "target": TARGETS[plan],
            "reached": ratio >= TARGETS[plan],
            "bits equal": equal,
        }
        print(f"{plan:22} {medians}  {ratio} × {best} (target {TARGETS[plan]}), bits equal: {equal}")
    return results


def many_opens(path: str, count: int) -> dict[str, int]:
    """Return the resident memory after a tenth of the opens and after all of them, in kilobytes."""

    def resident() -> int:
        gc.collect()
        status = Path("/proc/self/statm")
        if status.is_file():
            return int(status.read_text().split()[1]) * resource.getpagesize() // 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def opens(times: int) -> None:
        for i in range(times):
            with open_clip(path) as clip:
                clip.frames([i % len(clip)])

    opens(count // 10)
    before = resident()
    opens(count - count // 10)
    grown = resident() - before
    print(f"{count} opens: memory grew by {grown} kB from {before} kB")
    return {"opens": count, "resident kB before": before, "grown kB": grown}


def machine() -> dict[str, object]:
    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    packages = ("av", "decord", "torchcodec", "torch", "numpy")
    versions = {}
    for name in packages:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "processor": model,
        "cores": os.cpu_count(),
        "load before": load,
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "versions": versions,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=5, help="clips to make and read")
    parser.add_argument("--rounds", type=int, default=7, help="timed rounds over all clips")
    parser.add_argument("--opens", type=int, default=5000, help="opens of one small clip for the memory check")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "decoding.json")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    report: dict[str, object] = machine()
    with tempfile.TemporaryDirectory() as folder:
        print(f"making {args.clips} clips")
        paths = [
            str(write_video(Path(folder) / f"{seed}.mp4", scene(seed), extra={"preset": "medium"}))
            for seed in range(args.clips)
        ]
        report["clips"] = f"{args.clips} of {FRAMES} frames {WIDTH}×{HEIGHT}, 30 fps, H.264 crf 23, 3 B-frames, GOP 250"
        report["bytes per clip"] = int(statistics.mean(os.path.getsize(path) for path in paths))
        report["results"] = results = compare(paths, args.rounds)
        if args.opens:
            report["memory"] = many_opens(str(write_video(Path(folder) / "small.mp4", count=8)), args.opens)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"written: {args.out}")
    return 0 if all(result["bits equal"] for result in results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
