"""Compare the training loader with the same loop on extracted JPEG frames, and say where its time goes.

    python benchmarks/training.py                 # about ten minutes, writes benchmarks/results/training.json
    python benchmarks/training.py --clips 8 --scenes 4 --rounds 1 --no-write
    python benchmarks/training.py --frames 32 --stride 2 --no-write

Clips are those of the sample at 854×480, encoded like the released ones; an epoch has ``--clips`` of their key frames.
The JPEG loop works like the released code: FFmpeg has extracted all frames (``-r 30 -qscale 1``), OpenCV reads those of
the window, and the worker resizes, crops, flips and normalizes them in float32. All loaders run alone, up to the
normalized batch, and before a training step of a tiny network. Rounds alternate, and results are medians; the
milliseconds of a part are those of the processor.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy and torch

import argparse
import dataclasses
import datetime
import json
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
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
from microg4m_hf.data.video import pyav
from microg4m_hf.models import create
from microg4m_hf.training import Data, KeyFrameWindows, RunBatches, collate, move_boxes, split_items
from microg4m_hf.training.loading.batches import ClipMemory
from microg4m_hf.training.loading.dataset import Item, KeyFrame
from microg4m_hf.training.loading.loader import load_batches, plan_slots, slot_bytes
from microg4m_hf.training.loading.transforms import Geometry, render, render_packed

BATCH = 4


class JpegFrames(KeyFrameWindows):
    """The same items from a folder of images per clip, preprocessed in the worker."""

    def __init__(self, folder: Path, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.folder = folder

    def _read(self, item: KeyFrame, geometry_of: Callable[[int, int], Geometry]) -> tuple[np.ndarray, Geometry]:
        cv2.setNumThreads(0)  # as many processes as there are cores already decode
        pictures = self.pictures(item)
        to = geometry_of(*pictures[0].shape[:2])
        return self.finished(pictures, to), dataclasses.replace(to, part=None)

    def pictures(self, item: KeyFrame) -> list[np.ndarray]:
        files = sorted((self.folder / item.video_id).iterdir())
        places = window(len(files), item.frame, self.data.num_frames, self.data.stride, one_based=True)
        return [cv2.imdecode(np.frombuffer(files[n].read_bytes(), np.uint8), cv2.IMREAD_COLOR) for n in places]

    def finished(self, pictures: list[np.ndarray], to: Geometry) -> np.ndarray:
        done = []
        for picture in pictures:
            whole = cv2.resize(picture, (to.width, to.height), interpolation=cv2.INTER_LINEAR).astype(np.float32)
            crop = whole[to.top : to.top + to.crop_height, to.left : to.left + to.crop_width]
            crop = crop[:, ::-1] if to.flip else crop
            done.append((crop / 255.0 - 0.45) / 0.225)
        return np.stack(done)[..., ::-1]

    def __getitem__(self, place: tuple[int, int] | int) -> Item:
        epoch, index = place if isinstance(place, tuple) else (0, place)
        item = self.items[index]
        sizes: list[tuple[int, int]] = []

        def geometry_of(height: int, width: int) -> Geometry:
            sizes.append((height, width))
            return self._geometry(height, width, epoch, index)

        frames, to = self._read(item, geometry_of)
        return Item(index, frames, to, move_boxes(item.boxes, *sizes[0], to), item.labels)


def extract(folder: Path, items: list[KeyFrame]) -> None:
    """Write every frame of every clip as the released preparation does."""
    program = shutil.which("ffmpeg")
    if program is None:
        raise SystemExit("the program ffmpeg extracts the frames of the JPEG loop; install it")
    for name, path in {item.video_id: item.video["path"] for item in items}.items():
        (folder / name).mkdir(parents=True)
        target = folder / name / f"{name}_%06d.jpg"
        options = ["-nostdin", "-v", "error", "-i", str(path), "-r", "30", "-qscale:v", "1"]
        subprocess.run([program, *options, str(target)], check=True)


def stacked(items: list[Item]) -> dict[str, Any]:
    """Collate in the worker, as the released code does: one float tensor per batch."""
    batch = collate(items)
    return batch | {"windows": torch.stack(batch["windows"])}


def batches_of(data: KeyFrameWindows, places: Any, workers: int, config: Any) -> Iterator[tuple[torch.Tensor, Any]]:
    """Yield normalized clips (batch, 3, T, height, width) and the rest of each batch."""
    if isinstance(data, JpegFrames):
        loader: Any = DataLoader(data, batch_sampler=places, num_workers=workers, collate_fn=stacked)  # type: ignore[arg-type]
        for batch in loader:
            yield batch["windows"].permute(0, 4, 1, 2, 3).contiguous(), batch
    else:
        memory = ClipMemory()
        for batch in load_batches(data, places, workers=workers, largest=BATCH):
            yield memory.render(batch["windows"], batch["geometries"], config, "cpu"), batch


def epoch(
    data: KeyFrameWindows,
    workers: int,
    number: int = 0,
    *,
    network: bool,
    count: int = 1,
    accelerator: Accelerator | None = None,
) -> dict[str, float]:
    """Return the clips per second of ``count`` epochs of a run, and the share of them that waited for data.

    As in their trainings, the JPEG loop starts its workers in each epoch, and the loader of the library once.
    """
    accelerator = accelerator or Accelerator(cpu=True)
    model = create("tiny_slow", num_frames=data.data.num_frames, check_inputs=False)
    config = model.config
    model = accelerator.prepare(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    steps, last = len(data) // BATCH, number + count
    spans = [(one, one + 1) for one in range(number, last)] if isinstance(data, JpegFrames) else [(number, last)]
    waited, began = 0.0, time.perf_counter()
    mark = began
    for first, end in spans:
        places = RunBatches(
            count=len(data),
            batch=BATCH,
            seed=0,
            first_step=first * steps,
            end_step=end * steps,
            rank=accelerator.process_index,
            world=accelerator.num_processes,
        )
        for clips, batch in batches_of(data, places, workers, config):
            waited += time.perf_counter() - mark
            if network:
                loss = bce(model(pixel_values=clips, boxes=batch["boxes"]).logits, batch["labels"])
                accelerator.backward(loss)
                optimizer.step()
                optimizer.zero_grad()
            mark = time.perf_counter()
    seconds = time.perf_counter() - began
    return {"clips_per_s": count * steps * BATCH / seconds, "wait_share": waited / seconds, "seconds": seconds}


def timed(parts: dict[str, list[float]], name: str, work: Callable[[], Any]) -> Any:
    began = time.process_time()
    result = work()
    parts.setdefault(name, []).append(1000 * (time.process_time() - began))
    return result


def read(windows: KeyFrameWindows, index: int) -> None:
    """Read the frames of an item as a worker does, without resizing them."""
    item = windows.items[index]
    for _ in windows._read(item, lambda height, width: windows._geometry(height, width, 1, index))[0]:
        pass


def ms_by_part(decoded: KeyFrameWindows, cached: dict[str, KeyFrameWindows], jpegs: JpegFrames) -> dict[str, Any]:
    """Return the processor milliseconds per clip of each part of the work of a worker, and of a batch after it."""
    from av.video.reformatter import VideoReformatter

    found: dict[str, dict[str, list[float]]] = {}
    memory = ClipMemory()
    data, config = decoded.data, create("tiny_slow", num_frames=decoded.data.num_frames).config
    for index, item in enumerate(decoded.items):
        parts = found.setdefault("mp4", {})
        clip = timed(parts, "open", lambda item=item: open_clip(item.video))
        places = window(len(clip), item.frame, data.num_frames, data.stride, one_based=True)
        wanted = sorted(set(places.tolist()))
        stream = clip._open_index()
        frames = timed(parts, "decode", lambda s=stream, w=wanted: [frame for _, frame in pyav.decode_frames(s, w)])
        one = decoded[1, index]
        part = one.geometry.part
        assert part is not None
        cropper, reformatter = pyav.Cropper("clip", frames[0].format.name, part[:4]), VideoReformatter()

        def convert(frames=frames, cropper=cropper, reformatter=reformatter) -> None:  # type: ignore[no-untyped-def]
            for frame in frames:
                planes = [pyav.plane_pixels(plane) for plane in frame.planes]
                cropper.rgb(planes, frame.colorspace, frame.color_range, reformatter)

        timed(parts, "convert", convert)
        packed = render_packed(one.frames, one.geometry)  # the array that workers inherit
        timed(parts, "resize", lambda one=one, packed=packed: render_packed(one.frames, one.geometry, packed))
        ready = [torch.from_numpy(packed)]
        timed(parts, "normalize", lambda r=ready, g=one.geometry, m=memory: m.render(r, [g], config, "cpu"))
        for name, windows in cached.items():
            own = found.setdefault(name, {})
            timed(own, "read", lambda w=windows, i=index: read(w, i))
            timed(own, "both", lambda w=windows, i=index, p=packed: w.packed((1, i), lambda *_: p))
            own["resize"] = [both - reading for both, reading in zip(own["both"], own["read"], strict=True)]
            own["normalize"] = parts["normalize"]
        parts = found.setdefault("jpeg", {})
        pictures = timed(parts, "decode", lambda item=item: jpegs.pictures(item))
        geometry = dataclasses.replace(one.geometry, part=None)
        pixels = timed(parts, "resize", lambda p=pictures, g=geometry: jpegs.finished(p, g))
        sent = timed(parts, "send", lambda p=pixels: torch.stack([torch.from_numpy(np.ascontiguousarray(p))]))
        timed(parts, "normalize", lambda s=sent: s.permute(0, 4, 1, 2, 3).contiguous())
    table = {
        side: {name: round(statistics.median(values), 2) for name, values in parts.items() if name != "both"}
        for side, parts in found.items()
    }
    return {side: parts | {"sum": round(sum(parts.values()), 2)} for side, parts in table.items()}


def fidelity(decoded: KeyFrameWindows, cached: dict[str, KeyFrameWindows], count: int) -> dict[str, Any]:
    """Compare final pixels and logits with those of whole frames that are decoded and resized in float32."""
    model = create("tiny_slow", num_frames=decoded.data.num_frames, check_inputs=False).eval()
    sides = {"mp4": decoded, **cached}
    squares: dict[str, list[float]] = {name: [] for name in sides}
    largest = dict.fromkeys(sides, 0.0)
    logits: dict[str, list[np.ndarray]] = {name: [] for name in ("whole", *sides)}

    def ask(pixels: torch.Tensor, item: Item, name: str) -> None:
        clip = (pixels[None] / 255 - 0.45) / 0.225
        with torch.inference_mode():
            logits[name].append(model(pixel_values=clip, boxes=[torch.from_numpy(item.boxes)]).logits.numpy())

    for index, key_frame in enumerate(decoded.items[:count]):
        with open_clip(key_frame.video) as clip:
            frames = clip.frames(decoded._window(len(clip), key_frame))
        item = decoded[1, index]
        expected = render(torch.from_numpy(frames), dataclasses.replace(item.geometry, part=None))
        ask(expected, item, "whole")
        for name, windows in sides.items():
            one = windows[1, index]
            pixels = render(torch.from_numpy(render_packed(one.frames, one.geometry)), one.geometry)
            difference = pixels - expected
            squares[name].append(float((difference**2).mean()))
            largest[name] = max(largest[name], float(difference.abs().max()))
            ask(pixels, one, name)
    whole = np.concatenate(logits["whole"])
    spread = float(whole.std(axis=0).mean())
    return {
        name: {
            "largest_difference_gray_levels": round(largest[name], 4),
            "psnr_db": round(float(10 * np.log10(255**2 / max(np.mean(squares[name]), 1e-12))), 1),
            "logits_moved_of_their_spread": round(
                float(np.abs(np.concatenate(logits[name]) - whole).mean()) / spread, 6
            ),
        }
        for name in sides
    }


def memory_between_processes(items: KeyFrameWindows, workers: int) -> dict[str, float]:
    """Return megabytes per clip on its way to the training process, and of all clips on their way."""
    _, slots = plan_slots(workers, BATCH)
    size, data = slot_bytes(items), items.data
    floats = data.num_frames * (data.crop or 0) ** 2 * 3 * 4
    return {
        "slot_mb": round(size / 1e6, 2),
        "slots_mb": round(slots * size / 1e6, 1),
        "jpeg_clip_mb": round(floats / 1e6, 2),
        "jpeg_mb": round(2 * workers * BATCH * floats / 1e6, 1),
        "whole_frames_mb": round(2 * workers * BATCH * data.num_frames * 480 * 854 * 3 / 1e6, 1),
    }


def compare(sides: dict[str, Callable[[], dict[str, float]]], rounds: int) -> dict[str, dict[str, float]]:
    found: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, run in sides.items():
            found[name].append(run())
    return {
        name: {key: round(statistics.median(one[key] for one in values), 4) for key in values[0]}
        for name, values in found.items()
    }


def ranks(root: Path, count: int, words: list[str]) -> float:
    """Return the clips per second of ``count`` processes, each with a loader worker."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    started = []
    for rank in range(count):
        ranks = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count), "MASTER_PORT": port}
        command = [sys.executable, __file__, "--rank-of", str(root), *words]
        environment = os.environ | ({**ranks, "MASTER_ADDR": "127.0.0.1"} if count > 1 else {})
        started.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
    outputs = [process.communicate()[0] for process in started]
    return float(json.loads(outputs[0].splitlines()[-1])["clips_per_s"])


def chosen_items(data: Data, count: int) -> list[KeyFrame]:
    """``count`` key frames of all splits, the same ones again where there are fewer."""
    whole = [item for split in ("train", "validation", "test") for item in split_items(data, split)]
    return (whole * -(-count // len(whole)))[:count]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=200, help="key frames of an epoch")
    parser.add_argument("--scenes", type=int, default=24, help="clips that are made for them")
    parser.add_argument("--sample", type=Path, help="a sample of 480 lines that was made before")
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--stride", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--no-write", action="store_true")
    parser.add_argument("--rank-of", help=argparse.SUPPRESS)
    args = parser.parse_args()
    recipe = Data(num_frames=args.frames, stride=args.stride, key_frame="exact", short_side=(256, 320), crop=224)
    if args.rank_of:
        data = dataclasses.replace(recipe, data_dir=args.rank_of)
        windows = KeyFrameWindows(chosen_items(data, args.clips), data, training=True)
        print(json.dumps(epoch(windows, 1, network=True, accelerator=Accelerator(cpu=True))), flush=True)
        os._exit(0)  # gloo can abort in its teardown after all work is done

    with tempfile.TemporaryDirectory() as scratch:
        jpegs, caches = Path(scratch) / "jpegs", Path(scratch) / "caches"
        root = args.sample or Path(scratch) / "clips"
        if args.sample is None:
            make_sample(root, height=480, clips=args.scenes, preset="medium")
        data = dataclasses.replace(recipe, data_dir=str(root))
        items = chosen_items(data, args.clips)
        extract(jpegs, items)
        decoded, pictures = KeyFrameWindows(items, data, training=True), JpegFrames(jpegs, items, data, training=True)
        cached = {}
        for form in ("exact", "compact"):
            own = dataclasses.replace(data, cache=str(caches / form), cache_format=form)
            cached[f"cache_{form}"] = KeyFrameWindows(items, own, training=True)
        first = {name: epoch(windows, args.workers, network=False) for name, windows in cached.items()}
        sides = {"mp4": decoded, "jpeg": pictures, **cached}
        loops = {
            name: compare(
                {
                    side: lambda w=windows, n=network: epoch(w, args.workers, 1, network=n, count=1 if n else 3)
                    for side, windows in sides.items()
                },
                args.rounds,
            )
            for name, network in (("loader_alone", False), ("with_a_tiny_network", True))
        }
        different = list({item.video_id + str(item.frame): item for item in items}.values())
        few = [type(w)(*([jpegs] if w is pictures else []), different, w.data, training=True) for w in sides.values()]
        few_sides = dict(zip(sides, few, strict=True))
        parts = ms_by_part(few_sides["mp4"], {name: few_sides[name] for name in cached}, few_sides["jpeg"])  # type: ignore[arg-type]
        exact = fidelity(few_sides["mp4"], {name: few_sides[name] for name in cached}, 16)
        folders = {"mp4": root / "videos", "jpeg": jpegs, **{name: caches / name[6:] for name in cached}}
        clips = {item.video_id for item in items}
        sizes = {
            name: sum(f.stat().st_size for f in folder.rglob("*") if f.is_file() and (name != "mp4" or f.stem in clips))
            // len(different if name in cached else clips)
            for name, folder in folders.items()
        }
        words = ["--clips", str(args.clips), "--frames", str(args.frames), "--stride", str(args.stride)]
        processes = {str(count): round(ranks(root, count, words), 3) for count in (1, 2)}
    report = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "versions": {
            name: metadata.version(name)
            for name in ("torch", "av", "opencv-python-headless", "numpy")
            if _installed(name)
        },
        "clips": len(items),
        "different_key_frames": len(different),
        "sampling": f"{args.frames}x{args.stride}, short side 256-320, crop 224",
        "workers": args.workers,
        "epochs": loops,
        "cache_epoch_1": {name: round(one["clips_per_s"], 3) for name, one in first.items()},
        "against_jpeg": {
            loop: {side: round(one["clips_per_s"] / table["jpeg"]["clips_per_s"], 3) for side, one in table.items()}
            for loop, table in loops.items()
        },
        "worker_ms_per_clip": {
            side.replace("cache_exact", "cache"): round(
                sum(ms for name, ms in own.items() if name not in ("normalize", "sum")), 3
            )
            for side, own in parts.items()
        },
        "ms_per_clip_by_part": parts,
        "pixels_and_logits": exact,
        "memory_between_processes": memory_between_processes(decoded, args.workers),
        "bytes_per_clip": sizes,
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
