"""The parts of ``benchmarks.gpu.day``: four checks of the device against the CPU, a decoder, and three figures.

    python -m benchmarks.gpu.parts NAME [--dry-run]

A finding is one JSON object on standard output. A check has ``ok``; a figure has its numbers.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import itertools
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

NETWORKS = ("c2d_nln_8x8_r50", "i3d_nln_8x8_r50", "slow_4x16_r50", "slowfast_4x16_r50", "x3d_s", "mvitv1_b_16x4")
NETWORKS += ("mvitv2_s_16x4",)
TINY = ("tiny_slow", "tiny_slowfast", "tiny_x3d", "tiny_mvitv2")
BOXES = [[[0.1, 0.1, 0.6, 0.9], [0.4, 0.2, 0.95, 0.8]]]


def report(**finding: Any) -> None:
    """Print a finding, which the parent process keeps."""
    print(json.dumps(finding), flush=True)


def device_of(dry_run: bool) -> str:
    return "cpu" if dry_run else "cuda"


@contextlib.contextmanager
def exact_float32() -> Iterator[None]:
    """Turn off TF32, which has ten bits of mantissa."""
    import torch

    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[1]


def networks(dry_run: bool) -> None:
    """Logits and gradients on the device against those on the CPU, in float32 and under autocast."""
    import torch

    from microg4m_hf import models
    from microg4m_hf.models.frozen import FrozenNetwork

    device = device_of(dry_run)
    for name in TINY if dry_run else NETWORKS:
        torch.manual_seed(0)
        network = models.create(name).eval()
        side = network.config.train_size if not dry_run else 64
        clips = torch.randn(1, 3, network.config.num_frames, side, side)
        with torch.inference_mode():
            expected = network(pixel_values=clips, boxes=BOXES).logits
        network, clips = network.to(device), clips.to(device)
        scale = expected.abs().max().item()
        for dtype, limit in ((torch.float32, 1e-4), (torch.bfloat16, 0.1), (torch.float16, 0.05)):
            enabled = dtype is not torch.float32
            with torch.inference_mode(), exact_float32(), torch.autocast(device, dtype, enabled=enabled):
                found = network(pixel_values=clips, boxes=BOXES).logits.float().cpu()
            moved = (found - expected).abs().max().item() / scale
            report(check=f"{name}, {str(dtype)[6:]}", largest_difference=f"{moved:.1e}", ok=moved < limit)
        loss = network(pixel_values=clips, boxes=BOXES).logits.square().mean()
        loss.backward()
        finite = all(one.grad is None or bool(one.grad.isfinite().all()) for one in network.parameters())
        report(check=f"{name}, gradients are finite", ok=finite)
        if name in ("slow_4x16_r50", "tiny_slow"):
            fast = FrozenNetwork(network.backbone.network, "yes")
            with fast.installed(), torch.inference_mode(), exact_float32():
                found = network(pixel_values=clips, boxes=BOXES).logits.cpu()
            moved = (found - expected).abs().max().item() / scale
            report(check=f"{name}, predictions with compile=yes", ok=moved < 1e-4, **fast.report())


RECIPE = """
name: gpu_day
variant: own
model: {name: tiny_slow}
data: {num_frames: 4, stride: 8, key_frame: exact, short_side: [70, 90], crop: 64, eval_short_side: 64}
optim: {name: sgd, lr: 0.05}
schedule: {epochs: 100, warmup_epochs: 1.0}
loop: {batch: 8, mixed_precision: "no", eval_every: 1000, checkpoint_every: 3, max_steps: 6, compile: null}
"""


def small_release(height: int, clips: int) -> Path:
    """Return a release that the first part that needs it draws."""
    from microg4m_hf.data.sample import make_sample

    root = Path(os.environ["MICROG4M_HOME"]) / f"release-{height}-{clips}"
    if not root.is_dir():
        make_sample(root, height=height, clips=clips)
    return root


def train(folder: Path, *words: str, env: dict[str, str] | None = None) -> list[float]:
    """Train by the command line, and return the loss of every step.

    Args:
        folder: Where the recipe and the run are.
        words: Values of the recipe.
        env: More environment variables.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.yaml").write_text(RECIPE)
    command = [sys.executable, "-m", "microg4m_hf", "train", "har", "--config", str(folder / "recipe.yaml")]
    command += ["--out", str(folder / "run")]
    command += [f"data.data_dir={small_release(48, 8)}", *words]
    subprocess.run(command, check=True, stdout=sys.stderr, env=os.environ | (env or {}))
    lines = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def largest_ratio(found: list[float], expected: list[float]) -> float:
    """Return the largest relative difference of two lists; infinity if their lengths differ."""
    if len(found) != len(expected):
        return float("inf")
    return max(abs(a - b) / abs(b) for a, b in zip(found, expected, strict=True))


def precision(dry_run: bool) -> None:
    """Training in each precision, compiled, and resumed, against plain float32."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        plain = train(folder / "plain")
        report(check="float32 trains", losses=[round(loss, 4) for loss in plain], ok=len(plain) == 6)
        train(folder / "resumed", "loop.max_steps=3")
        resumed = train(folder / "resumed")
        moved = largest_ratio(resumed, plain)
        report(check="resumed after three steps", largest_difference=f"{moved:.1e}", ok=moved < 1e-3)
        ways = {"bf16": ["loop.mixed_precision=bf16"], "fp16": ["loop.mixed_precision=fp16"]}
        ways["compiled"] = ["loop.compile=" + ("aot_eager" if dry_run else "inductor")]
        for name, words in ways.items():
            moved = largest_ratio(train(folder / name, *words), plain)
            report(check=f"{name} against float32", largest_difference=f"{moved:.1e}", ok=moved < 0.05)


def sharded(dry_run: bool) -> None:
    """FSDP 2 on one process against plain training."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
    env |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    with tempfile.TemporaryDirectory() as place:
        plain = train(Path(place) / "plain", "loop.max_steps=4")
        moved = largest_ratio(train(Path(place) / "sharded", "loop.max_steps=4", env=env), plain)
    report(check="FSDP on one process", largest_difference=f"{moved:.1e}", ok=moved < 1e-3)


def shared_prefix(dry_run: bool) -> None:
    """Answers from the prefix cache against answers to single prompts, by tiny models of four families in float32."""
    from microg4m_hf.inference.items import ClipQueries, Query, TextSettings
    from microg4m_hf.inference.vlm.loading import Placement
    from microg4m_hf.inference.vlm.local import local_runner
    from tests.support.tiny_vlm import FAMILIES, tiny_vlm
    from tests.support.videos import pictures, write_video

    with tempfile.TemporaryDirectory() as place, exact_float32():
        clips = [write_video(Path(place) / f"clip_{i:03}.mp4", pictures(30, 120, 160, seed=i)) for i in range(3)]
        questions = ("Who floats?", "How many people are there?", "What do they hold?")
        work = [
            ClipQueries(str(path), path.stem, tuple(Query(f"{path.stem}_q{i}", q) for i, q in enumerate(questions)))
            for path in clips
        ]
        for family in itertools.islice(FAMILIES, 1 if dry_run else 4):
            model = tiny_vlm(family, Path(place) / family)
            texts = []
            for shared in (True, False):
                settings = TextSettings("vqa", str(model), frames=4, max_new_tokens=8, dtype="float32", prompts="plain")
                placed = Placement(device=device_of(dry_run), batch_size=3, workers=1, shared_prefix=shared)
                texts.append({query.id: record["text"] for query, record in local_runner(settings, placed)(work)})
            same = sum(texts[0][item] == text for item, text in texts[1].items())
            report(check=f"{family}, prefix cache", same_answers=f"{same} of {len(texts[1])}", ok=texts[0] == texts[1])


def decoding(dry_run: bool) -> None:
    """Frames of a clip by the decoder of the card, if there is one, against the CPU."""
    import numpy as np
    import torch

    from microg4m_hf.data import open_clip, uniform
    from tests.support.videos import pictures, write_video

    device = device_of(dry_run)
    try:
        from torchcodec.decoders import VideoDecoder
    except Exception as error:
        report(figure="NVDEC", not_available=f"torchcodec: {type(error).__name__}: {str(error).splitlines()[0][:200]}")
        return
    with tempfile.TemporaryDirectory() as place:
        path = write_video(Path(place) / "clip_000.mp4", pictures(90, *((120, 160) if dry_run else (480, 854)), seed=0))
        wanted = uniform(90, 8)

        def on_the_card() -> Any:
            return (
                VideoDecoder(str(path), device=device, seek_mode="exact").get_frames_at([int(i) for i in wanted]).data
            )

        def on_the_cpu() -> Any:
            with open_clip(str(path)) as clip:
                return clip.frames(wanted)

        try:
            frames = on_the_card()
        except Exception as error:
            report(figure="NVDEC", not_available=f"{type(error).__name__}: {str(error).splitlines()[0][:200]}")
            return
        expected = torch.from_numpy(np.ascontiguousarray(on_the_cpu()))
        moved = (frames.permute(0, 2, 3, 1).cpu().float() - expected.float()).abs()
        mean = moved.mean().item()
        report(check="same frames", mean_difference=round(mean, 3), largest=moved.max().item(), ok=mean < 2)
        seconds = {name: median_seconds(way, 2 if dry_run else 20, device) for name, way in
                   (("card", on_the_card), ("cpu", on_the_cpu))}  # fmt: skip
        report(figure="8 of 90 frames", seconds=seconds, ratio=round(seconds["cpu"] / seconds["card"], 2))


def median_seconds(way: Callable[[], Any], rounds: int, device: str) -> float:
    import torch

    times = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        way()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return round(statistics.median(times[1:]), 6)


def matmul_limit(device: str, size: int) -> float:
    """Return FLOP/s of a bfloat16 matrix product, the limit that the steps are compared with."""
    import torch

    left, right = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * size**3 / median_seconds(lambda: left @ right, 5, device)


def steps(dry_run: bool) -> None:
    """Time, memory and share of the limit of a training step in bfloat16, by layout and compilation."""
    import torch

    from microg4m_hf import models
    from microg4m_hf.models.build import count_parameters_and_gflops

    device = device_of(dry_run)
    limit = matmul_limit(device, 256 if dry_run else 8192)
    report(figure="bfloat16 matrix product", tflops=round(limit / 1e12, 1))
    plain: dict[str, float] = {}
    # Compiled ones last: they take longest, and what came before is kept.
    for layout, compiled in ((False, False), (True, False), (True, True)):
        for name, batch in (("tiny_slow", 2),) if dry_run else (("i3d_nln_8x8_r50", 32), ("slowfast_8x8_r50", 32)):
            config = models.config_of(name)
            side = 64 if dry_run else 224
            torch.manual_seed(0)
            network = models.create(name, check_inputs=False).train().to(device)
            if layout:
                network = network.to(memory_format=torch.channels_last_3d)
            if compiled:
                network.backbone.compile(backend="aot_eager" if dry_run else "inductor")
            optimizer = torch.optim.SGD(network.parameters(), 0.01, 0.9, nesterov=True, fused=device == "cuda")
            clips = torch.randn(batch, 3, config.num_frames, side, side, device=device)
            labels = [torch.rand(2, network.config.num_labels).round() for _ in range(batch)]
            step = functools.partial(training_step, network, optimizer, clips, labels)
            began = time.perf_counter()
            step()
            first = time.perf_counter() - began
            if device == "cuda":
                torch.cuda.reset_peak_memory_stats()
            seconds = median_seconds(step, 2 if dry_run else 8, device)
            plain.setdefault(name, seconds)
            # Forward and twice as much backward; a GFLOP is a multiplication and an addition.
            flops = 3 * 2e9 * count_parameters_and_gflops(config, side)[1] * batch / seconds
            memory = {} if dry_run else {"memory_gib": round(torch.cuda.max_memory_allocated() / 2**30, 1)}
            report(
                figure=name,
                batch=batch,
                channels_last=layout,
                compiled=compiled,
                seconds=seconds,
                clips_per_second=round(batch / seconds, 1),
                speed_up=round(plain[name] / seconds, 2),
                share_of_limit=round(flops / limit, 3),
                first_step_s=round(first, 1),
                **memory,
            )
            del network, optimizer, step
            if device == "cuda":
                torch.cuda.empty_cache()


def training_step(network: Any, optimizer: Any, clips: Any, labels: list[Any]) -> None:
    """One step in bfloat16."""
    import torch

    optimizer.zero_grad()
    with torch.autocast(clips.device.type, torch.bfloat16):
        loss = network(pixel_values=clips, boxes=[torch.tensor(BOXES[0])] * len(clips), labels=labels).loss
    loss.backward()
    optimizer.step()


def loading(dry_run: bool) -> None:
    """The share of a training step that waits for clips, with the loader of the library on the sample."""
    root = small_release(48, 8) if dry_run else small_release(240, 16)
    words = [f"data.data_dir={root}", "model.name=" + ("tiny_slow" if dry_run else "i3d_8x8_r50")]
    with tempfile.TemporaryDirectory() as place:
        if not dry_run:
            words += ["data.num_frames=8", "data.short_side=[256,320]", "data.crop=224", "data.eval_short_side=256"]
            words += ["loop.batch=8", "loop.mixed_precision=bf16"]
        for workers in (0, 1) if dry_run else (2, 8, 14):
            folder = Path(place) / f"workers_{workers}"
            count = 4 if dry_run else 16
            train(folder, *words, f"data.workers={workers}", f"loop.max_steps={count}", "loop.checkpoint_every=0")
            lines = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text().splitlines()]
            later = [line for line in lines if "step_s" in line][2:]
            wait, spent = (sum(line[key] for line in later) for key in ("wait_s", "step_s"))
            report(figure="loading", workers=workers, wait_share=round(wait / (wait + spent), 3),
                   step_s=round(spent / len(later), 4))  # fmt: skip


def answers(dry_run: bool) -> None:
    """Questions per second from the prefix cache against ``generate``, with a random Qwen2.5-VL of middle size."""
    with tempfile.TemporaryDirectory() as place:
        output = Path(place) / "vlm.json"
        words = ["--device", device_of(dry_run), "--output", str(output), "--clips", "1" if dry_run else "2"]
        words += ["--size", "tiny", "--tokens", "4"] if dry_run else ["--size", "medium"]
        subprocess.run([sys.executable, "benchmarks/vlm.py", *words], check=True, stdout=sys.stderr)
        (found,) = json.loads(output.read_text()).values()
    for key in ("machine", "versions", "date", "command"):
        found.pop(key, None)
    report(figure="answers", **found)


PARTS = {part.__name__: part for part in
         (networks, precision, sharded, shared_prefix, decoding, steps, loading, answers)}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--dry-run", action="store_true")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    PARTS[args.part](args.dry_run)


if __name__ == "__main__":
    main()
