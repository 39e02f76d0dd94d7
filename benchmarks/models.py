"""Measure clips per second and memory of every network family, and compare other implementations of the networks.

    python benchmarks/models.py                          # about ten minutes, writes benchmarks/results/models.json
    python benchmarks/models.py --only mvitv2 --rounds 5
    python benchmarks/models.py --device cuda --batch 8  # bfloat16, compiled and not; results/models_cuda.json

Every case runs in its own process, so that its memory can be measured. Rounds go over all cases in turn, so that load
on the machine affects all of them. Results are medians. On the CPU, one thread is used and CPU seconds are measured.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch

import argparse
import datetime
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
FAMILIES = (
    "c2d_8x8_r50",
    "c2d_nln_8x8_r50",
    "i3d_8x8_r50",
    "slow_4x16_r50",
    "slowfast_8x8_r50",
    "x3d_s",
    "mvitv1_b_16x4",
    "mvitv2_s_16x4",
    "videomae_b",
)
# network of this library -> the same network of another library
PEERS = {
    "mvitv1_b_16x4": "torchvision mvit_v1_b",
    "mvitv2_s_16x4": "torchvision mvit_v2_s",
    "videomae_b": "transformers VideoMAE",
}
CHANNELS_LAST = ("slow_4x16_r50", "x3d_s", "mvitv2_s_16x4")


def build(case: str, device: str) -> tuple[Any, Callable[..., Any], tuple[int, ...]]:
    """Return the network, a function that calls it on clips, and the shape of a clip."""
    from transformers import AutoModel, VideoMAEConfig

    from microg4m_hf import models

    name = case.partition("+")[0]
    if name.startswith("torchvision"):
        from torchvision.models import video

        peer = getattr(video, name.split()[1])(num_classes=50)
        return peer.to(device), lambda model, clips: model(clips).sum(), (3, 16, 224, 224)
    if name == PEERS["videomae_b"]:
        peer = AutoModel.from_config(VideoMAEConfig()).to(device)
        return peer, lambda model, clips: model(clips.transpose(1, 2)).last_hidden_state.sum(), (3, 16, 224, 224)
    model = models.wrap(VideoMAEConfig()) if name == "videomae_b" else models.create(name)
    config = model.config
    boxes = [[[0.1, 0.1, 0.6, 0.9]]]

    def step(model: Any, clips: Any) -> Any:
        return model(pixel_values=clips, boxes=boxes * len(clips)).logits.sum()

    return model.to(device), step, (3, config.num_frames, config.train_size, config.train_size)


def measure(case: str, mode: str, device: str, batch: int, rounds: int) -> dict[str, float]:
    """Return seconds per clip and memory beyond the weights of a case in this process."""
    import torch

    torch.manual_seed(0)
    network, step, shape = build(case, device)
    clips = torch.randn(batch, *shape, device=device)
    if "channels_last" in case:
        network = network.to(memory_format=torch.channels_last_3d)
        clips = clips.to(memory_format=torch.channels_last_3d)
    if "compiled" in case:
        network = torch.compile(network)
    network.train(mode == "train")
    half = torch.autocast(device, torch.bfloat16, enabled=device == "cuda")

    def once() -> None:
        if mode == "train":
            network.zero_grad()
            with half:
                loss = step(network, clips)
            loss.backward()
        else:
            with torch.inference_mode(), half:
                step(network, clips)

    before = _memory(device)
    for _ in range(3 if device == "cuda" else 1):
        once()
    seconds = []
    for _ in range(rounds):
        _wait(device)
        start = _clock(device)
        once()
        _wait(device)
        seconds.append(_clock(device) - start)
    return {"seconds": statistics.median(seconds) / batch, "mib": (_peak(device) - before) / 2**20}


def _clock(device: str) -> float:
    return time.perf_counter() if device == "cuda" else time.process_time()


def _wait(device: str) -> None:
    if device == "cuda":
        import torch

        torch.cuda.synchronize()


def _memory(device: str) -> float:
    if device == "cuda":
        import torch

        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _peak(device: str) -> float:
    if device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def cases(only: str, device: str) -> list[str]:
    names = [name for name in FAMILIES if only in name]
    found = []
    for name in names:
        found.append(name)
        if name in PEERS:
            found.append(PEERS[name])
        if name in CHANNELS_LAST:
            found.append(f"{name}+channels_last")
        if device == "cuda":
            found.append(f"{name}+compiled")
    return found


def ratios(figures: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Return the speed relative to the other library, and of each variant relative to the plain model."""
    found = {}
    for ours, peer in PEERS.items():
        for mode in ("forward", "train"):
            if ours in figures and peer in figures:
                times = figures[peer][mode]["seconds"] / figures[ours][mode]["seconds"]
                found[f"{ours} / {peer}, {mode}"] = round(times, 3)
    for case in figures:
        name, _, variant = case.partition("+")
        if variant and name in figures:
            for mode in ("forward", "train"):
                times = figures[name][mode]["seconds"] / figures[case][mode]["seconds"]
                found[f"{name} {variant} / plain, {mode}"] = round(times, 3)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="families whose name contains this")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--case", nargs=2, help=argparse.SUPPRESS)  # a child: name, mode
    args = parser.parse_args()
    if args.case:
        repeats = 10 if args.device == "cuda" else 1
        print(json.dumps(measure(*args.case, args.device, args.batch, repeats)))
        return
    taken: dict[str, dict[str, list[dict[str, float]]]] = {}
    for _ in range(args.rounds):
        for case in cases(args.only, args.device):
            for mode in ("forward", "train"):
                command = [sys.executable, __file__, "--case", case, mode, "--device", args.device]
                command += ["--batch", str(args.batch)]
                out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
                figure = json.loads(out.splitlines()[-1])
                taken.setdefault(case, {}).setdefault(mode, []).append(figure)
                print(f"{case:32}{mode:9}{1 / figure['seconds']:9.3f} clips/s{figure['mib']:9.0f} MiB", flush=True)
    figures = {
        case: {mode: {k: statistics.median(r[k] for r in runs) for k in runs[0]} for mode, runs in modes.items()}
        for case, modes in taken.items()
    }
    for modes in figures.values():
        for figure in modes.values():
            figure["clips_per_second"] = round(1 / figure["seconds"], 4)
    report = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, one thread",
        "device": args.device,
        "batch": args.batch,
        "rounds": args.rounds,
        "versions": {name: metadata.version(name) for name in ("torch", "torchvision", "transformers")},
        "ratios": ratios(figures),
        "figures": figures,
    }
    for name, value in report["ratios"].items():
        print(f"{value:8.3f}×  {name}")
    output = args.output or RESULTS / ("models.json" if args.device == "cpu" else f"models_{args.device}.json")
    output.parent.mkdir(exist_ok=True)
    output.write_text(json.dumps(report, indent=2) + "\n")
    print(f"written to {output}")


if __name__ == "__main__":
    main()
