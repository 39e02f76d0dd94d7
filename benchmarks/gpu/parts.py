"""The parts of ``benchmarks.gpu.day``: the checks of ``benchmarks.gpu.checks``, and figures.

    python -m benchmarks.gpu.parts NAME [--dry-run]

A finding is one JSON object on standard output. A check has ``ok``; a figure has its numbers.
"""

from __future__ import annotations

import argparse
import functools
import json
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from .checks import (
    BOXES,
    device_of,
    networks,
    precision,
    release,
    report,
    run_training,
    sharded,
    shared_prefix,
    small_release,
    tests,
    write_tiny_recipe,
)


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
    """Time, memory and share of the limit of a training step in bfloat16, by layout and choice of kernels.

    Without cuDNN's own trials (``benchmark``), its heuristics choose the kernels.
    """
    device = device_of(dry_run)
    limit = matmul_limit(device, 256 if dry_run else 8192)
    report(figure="bfloat16 matrix product", tflops=round(limit / 1e12, 1))
    for name in ("tiny_slow",) if dry_run else ("i3d_nln_8x8_r50", "slowfast_8x8_r50"):
        for layout, trials in ((False, False), (True, False), (True, True)):
            time_steps(name, limit, dry_run, channels_last=layout, benchmark=trials)


# networks and backends of torch.compile that are compared with eager steps
COMPILED = (("slowfast_8x8_r50", "inductor"), ("i3d_nln_8x8_r50", "inductor"))


def compiling(dry_run: bool) -> None:
    """Compile what ``compiled`` measures, while the checks run, into a cache that the parts share."""
    cases = (("tiny_slow", "aot_eager"),) if dry_run else COMPILED
    with ProcessPoolExecutor(len(cases), mp_context=multiprocessing.get_context("spawn")) as pool:
        times = pool.map(seconds_to_compile, *zip(*cases, strict=True), [dry_run] * len(cases))
        for (name, backend), seconds in zip(cases, times, strict=True):
            report(figure=f"first step, {name}", compiled=backend, seconds=seconds)


def seconds_to_compile(name: str, backend: str, dry_run: bool) -> float:
    """Build a training step, run it, and return the seconds."""
    began = time.perf_counter()
    step, _ = build_step(name, dry_run, channels_last=True, compiled=backend)
    step()
    return round(time.perf_counter() - began, 1)


def compiled(dry_run: bool) -> None:
    """Training steps and predictions by inductor, also with CUDA graphs, against eager ones."""
    limit = matmul_limit(device_of(dry_run), 256 if dry_run else 8192)
    cases = (("tiny_slow", "aot_eager"),) if dry_run else COMPILED
    for name, backend in cases:
        for way in (None, backend):
            time_steps(name, limit, dry_run, channels_last=True, compiled=way)
    name, backend = cases[0]
    time_predictions(name, dry_run, compiled=True)
    if not dry_run:
        time_steps(name, limit, dry_run, channels_last=True, compiled=f"{backend}, CUDA graphs")


def build_step(
    name: str, dry_run: bool, *, channels_last: bool, compiled: str | None = None
) -> tuple[Callable[[], None], int]:
    """Return a training step of a network on random clips, and the number of clips.

    Args:
        name: The network.
        dry_run: Use the CPU and tiny sizes.
        channels_last: The layout of the network.
        compiled: A backend of ``torch.compile``, and ", CUDA graphs" to use them.
    """
    import torch

    from microg4m_hf import models

    device = device_of(dry_run)
    config, batch = models.config_of(name), 2 if dry_run else 32
    side = 64 if dry_run else 224
    torch.manual_seed(0)
    network = models.create(name, check_inputs=False).train().to(device)
    if channels_last:
        network = network.to(memory_format=torch.channels_last_3d)
    if compiled is not None:
        torch.compiler.reset()
        backend, *graphs = compiled.split(", ")
        network.backbone.compile(backend=backend, mode="reduce-overhead" if graphs else None)
    optimizer = torch.optim.SGD(network.parameters(), 0.01, 0.9, nesterov=True, fused=device == "cuda")
    clips = torch.randn(batch, 3, config.num_frames, side, side, device=device)
    labels = [torch.rand(2, network.config.num_labels).round() for _ in range(batch)]
    return functools.partial(training_step, network, optimizer, clips, labels), batch


def time_steps(
    name: str,
    limit: float,
    dry_run: bool,
    *,
    channels_last: bool,
    benchmark: bool = False,
    compiled: str | None = None,
) -> None:
    """Report the time of a training step of a network."""
    import torch

    from microg4m_hf import models
    from microg4m_hf.models.build import count_parameters_and_gflops

    device = device_of(dry_run)
    torch.backends.cudnn.benchmark = benchmark
    step, batch = build_step(name, dry_run, channels_last=channels_last, compiled=compiled)
    began = time.perf_counter()
    step()
    first = time.perf_counter() - began
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    seconds = median_seconds(step, 2 if dry_run else 8, device)
    # Forward and twice as much backward; a GFLOP is a multiplication and an addition.
    gflops = count_parameters_and_gflops(models.config_of(name), 64 if dry_run else 224)[1]
    memory = {} if dry_run else {"memory_gib": round(torch.cuda.max_memory_allocated() / 2**30, 1)}
    report(
        figure=f"step, {name}",
        batch=batch,
        channels_last=channels_last,
        benchmark=benchmark,
        compiled=compiled,
        seconds=seconds,
        clips_per_second=round(batch / seconds, 1),
        share_of_limit=round(3 * 2e9 * gflops * batch / seconds / limit, 3),
        first_step_s=round(first, 1),
        **memory,
        **({} if dry_run else profiled(step)),
    )


def profiled(step: Callable[[], Any]) -> dict[str, Any]:
    """Return the share of the time in which the GPU computes, which CUDA graphs could fill, and its largest kernels."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        began = time.perf_counter()
        for _ in range(3):
            step()
        torch.cuda.synchronize()
        elapsed = time.perf_counter() - began
    times = {event.key: event.self_device_time_total / 1e6 for event in seen.key_averages()}
    largest = sorted(times.items(), key=lambda one: -one[1])[:10]
    shares = {name[:90]: round(seconds / elapsed, 3) for name, seconds in largest}
    return {"busy": round(sum(times.values()) / elapsed, 3), "kernels": shares}


def training_step(network: Any, optimizer: Any, clips: Any, labels: list[Any]) -> None:
    """One step in bfloat16."""
    import torch

    optimizer.zero_grad()
    with torch.autocast(clips.device.type, torch.bfloat16):
        loss = network(pixel_values=clips, boxes=[torch.tensor(BOXES[0])] * len(clips), labels=labels).loss
    loss.backward()
    optimizer.step()


def copies(dry_run: bool) -> None:
    """Seconds to bring a batch of decoded clips to the device: from locked slots, from others, and by a pinned copy."""
    import numpy as np
    import torch

    from microg4m_hf import models
    from microg4m_hf.training import Geometry, render_batch
    from microg4m_hf.training.loading.loader import Slots

    device = device_of(dry_run)
    config = models.config_of("tiny_slow" if dry_run else "slowfast_8x8_r50")
    side, batch, frames = (64, 2, 4) if dry_run else (224, 32, 32)
    torch.zeros(1, device=device)
    shape, seconds, clips = (3, frames, side, side), {}, {}
    geometries = [Geometry(side, side, 0, 0, side, side)] * batch
    pixels = np.random.default_rng(0).integers(-32768, 32767, shape, np.int16)
    for name in ("pinned copy", "slots", "locked slots"):
        slots = Slots(count=batch, size=2 * int(np.prod(shape)), workers=1)
        if name == "locked slots":
            slots.lock()
            slots.lock()  # refused, and no later kernel must report it
        arrays = [slots.pixels(number, shape) for number in range(batch)]
        for number, array in enumerate(arrays):
            array[:] = pixels + number
        windows = [torch.from_numpy(array) for array in arrays]
        if name == "locked slots":
            report(check="slots are locked", ok=dry_run or windows[0].is_pinned())

        def bring(windows: list[torch.Tensor] = windows, copied: bool = name == "pinned copy") -> torch.Tensor:
            if not copied:
                return render_batch(windows, geometries, config, device)
            stacked = torch.stack(windows)
            stacked = stacked if dry_run else stacked.pin_memory()
            return render_batch(list(stacked.to(device, non_blocking=True)), geometries, config, device)

        clips[name] = bring()
        for array in arrays:
            array[:] = 0  # a worker would use the slot again
        found = clips[name].cpu()
        report(check=f"{name}: written again after the copy", ok=bool((found == clips["pinned copy"].cpu()).all()))
        seconds[name] = median_seconds(bring, 2 if dry_run else 8, device)
        del windows, arrays, slots, bring
    report(figure=f"{batch} clips to the device", mb=round(batch * 2 * np.prod(shape) / 1e6), seconds=seconds)


def predictions(dry_run: bool) -> None:
    """Clips per second in evaluation mode, by precision and layout, and how far the logits move."""
    for name in ("tiny_slow",) if dry_run else ("i3d_nln_8x8_r50", "slowfast_8x8_r50", "x3d_s", "mvitv2_s_16x4"):
        time_predictions(name, dry_run)


def time_predictions(name: str, dry_run: bool, *, compiled: bool = False) -> None:
    """Report the time of predictions of a network."""
    import torch

    from microg4m_hf import models
    from microg4m_hf.models.frozen import FrozenNetwork

    device = device_of(dry_run)
    config, batch = models.config_of(name), 2 if dry_run else 16
    side = 64 if dry_run else config.train_size if "mvit" in name else 256
    torch.manual_seed(0)
    network = models.create(name, check_inputs=False).eval().to(device)
    clips = torch.randn(batch, 3, config.num_frames, side, side, device=device)
    expected = torch.zeros(())
    ways = [("no", "no", False), ("no", "no", True), ("no", "bf16", False), ("no", "bf16", True)]
    for how, dtype, layout in [*ways[1::2], ("yes", "no", True), ("yes", "bf16", True)] if compiled else ways:
        network.to(memory_format=torch.channels_last_3d if layout else torch.contiguous_format)
        fast = FrozenNetwork(network.backbone.network, how, dtype)
        with fast.installed(), torch.inference_mode():
            predict = functools.partial(network, pixel_values=clips, boxes=BOXES * batch)
            began = time.perf_counter()
            logits = predict().logits.float().cpu()
            first = time.perf_counter() - began
            seconds = median_seconds(predict, 2 if dry_run else 6, device)
        expected = expected if expected.ndim else logits
        report(
            figure=f"predictions, {name}",
            compile=how,
            used=fast.report()["used"],
            precision=dtype,
            channels_last=layout,
            clips_per_second=round(batch / seconds, 1),
            moved=f"{((logits - expected).abs().max() / expected.abs().max()).item():.1e}",
            first_s=round(first, 1),
        )


def loading(dry_run: bool) -> None:
    """The share of training steps that waits for clips, by the command line.

    From the cache and from mp4 files.
    """
    root = small_release(48, 8) if dry_run else small_release(480, 48)
    cases = [("i3d_nln_8x8_r50", True), ("i3d_nln_8x8_r50", False), ("slowfast_8x8_r50", True)]
    with tempfile.TemporaryDirectory() as place:
        for name, cached in [("tiny", False), ("tiny", True)] if dry_run else cases:
            folder = Path(place) / f"{name}-{cached}"
            skipped, count = (2, 4) if dry_run else (8, 28)
            words = [f"loop.max_steps={count}", "loop.checkpoint_every=0", "loop.eval_every=1000"]
            words += [f"data.cache={place}/cache-{name}"] if cached else []
            if dry_run:
                config = str(write_tiny_recipe(folder))
                words += [f"data.data_dir={root}", "data.workers=1"]
            else:
                config = f"{name}_corrected"
                words += [f"data.data_dir={root}", "model.init=null", "loop.batch=32", "loop.compile=null"]
                words += ["schedule.epochs=1000", "data.workers=14"]
            began = time.perf_counter()
            lines = run_training(folder / "run", config, *words)
            whole = time.perf_counter() - began
            later = lines[skipped:]
            wait, spent = (sum(line[key] for line in later) for key in ("wait_s", "step_s"))
            report(figure=f"loading, {name}", cached=cached, wait_share=round(wait / (wait + spent), 3),
                   whole_s=round(whole, 1), first_wait_s=lines[0]["wait_s"], first_step_s=lines[0]["step_s"],
                   step_s=round(statistics.median(line["step_s"] for line in later), 4),
                   clips_per_second=round((8 if dry_run else 32) * len(later) / (wait + spent), 1))  # fmt: skip


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
         (networks, precision, sharded, shared_prefix, tests, release, compiling,
          decoding, copies, steps, loading, predictions, answers, compiled)}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--dry-run", action="store_true")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    PARTS[args.part](args.dry_run)


if __name__ == "__main__":
    main()
