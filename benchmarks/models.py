"""Measure clips per second and memory of every network family, and compare other implementations of the networks.

    python benchmarks/models.py                          # half an hour, writes benchmarks/results/models.json
    python benchmarks/models.py --only mvitv2 --rounds 5
    python benchmarks/models.py --device cuda --batch 8  # bfloat16, compiled and not; results/models_cuda.json
    python benchmarks/models.py --inference --batch 8    # packed, and bf16; results/models_inference.json
    python benchmarks/models.py --predict x3d_s          # whole `predict har` runs; results/models_predict.json

With ``--inference``, a case compares ways to run one network in one process, turn by turn on the same clips: eager and
packed, both in float32 and in bf16, and the same network of another library; the last column is the largest difference
of a logit from eager float32, as a share of the largest logit. Billions of operations per second say how far a network
is from a large matrix product. ``--predict`` runs the command on 1,091 key frames of 854×480, or on the first
``--limit``: eager, packed, and in bf16. Its seconds include everything.

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
import tempfile
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
    "i3d_nln_8x8_r50",
    "slow_4x16_r50",
    "slow_8x8_r50",
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

    from microg4m_hf.training.prepare import prefers_channels_last

    torch.manual_seed(0)
    network, step, shape = build(case, device)
    clips = torch.randn(batch, *shape, device=device)
    as_trained = "bf16" in case and prefers_channels_last(network, clips.device, "bf16")
    if "channels_last" in case or as_trained:
        network = network.to(memory_format=torch.channels_last_3d)
        clips = clips.to(memory_format=torch.channels_last_3d)
    if "compiled" in case:
        network = torch.compile(network)
    network.train(mode == "train")
    half = torch.autocast(device, torch.bfloat16, enabled=device == "cuda" or "bf16" in case)

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


def compare_inference(name: str, batch: int, rounds: int) -> dict[str, Any]:
    """Return CPU seconds per clip of each way to run a network, and how far logits are from eager ones."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from microg4m_hf.models.frozen import FrozenNetwork

    torch.manual_seed(0)
    model, _, shape = build(name, "cpu")
    _spread_batch_norms(model.eval())
    clips, boxes = torch.randn(batch, *shape), [[[0.1, 0.1, 0.6, 0.9]]] * batch
    ways = {
        "eager": FrozenNetwork(model.backbone.network, "no"),
        "packed": FrozenNetwork(model.backbone.network),
        "eager bf16": FrozenNetwork(model.backbone.network, "no", "bf16"),
        "packed bf16": FrozenNetwork(model.backbone.network, "auto", "bf16"),
    }
    logits: dict[str, Any] = {}

    def once(way: str) -> float:
        start = time.process_time()
        with torch.inference_mode():
            if way == "peer":
                peer_step(peer, clips)
            else:
                with ways[way].installed():
                    logits[way] = model(pixel_values=clips, boxes=boxes).logits
        return time.process_time() - start

    seconds: dict[str, list[float]] = {way: [] for way in ways}
    if name in PEERS:
        peer, peer_step, _ = build(PEERS[name], "cpu")
        peer.eval()
        seconds["peer"] = []
    first = {way: once(way) for way in seconds}
    for _ in range(rounds):
        for way, times in seconds.items():
            times.append(once(way))
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(pixel_values=clips[:1], boxes=boxes[:1])
    found: dict[str, Any] = {}
    for way, times in seconds.items():
        each = statistics.median(times) / batch
        found[way] = {"seconds": round(each, 4), "gflop_per_second": round(counter.get_total_flops() / each / 1e9, 1)}
        found[way]["times_eager"] = round(found["eager"]["seconds"] / each, 3)
        if way != "peer":
            difference = (logits[way] - logits["eager"]).abs().max() / logits["eager"].abs().max()
            found[way] |= {"difference": float(difference), "first_seconds": round(first[way], 2)}
            found[way]["used"] = ways[way].report()["used"]
    return found


def matrix_product() -> dict[str, float]:
    """Return the billions of operations per second of large matrix products on one thread."""
    import torch

    found = {}
    for kind in (torch.float32, torch.bfloat16):
        one, other = (torch.randn(2048, 2048, dtype=kind) for _ in range(2))
        times = []
        for _ in range(6):
            start = time.process_time()
            one @ other
            times.append(time.process_time() - start)
        found[str(kind).removeprefix("torch.")] = round(2 * 2048**3 / statistics.median(times[1:]) / 1e9, 1)
    return found


def _spread_batch_norms(model: Any) -> None:
    """Give batch norms statistics of their own: those of a new network would hide an error of folding them."""
    import torch

    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm3d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
                module.weight.uniform_(0.5, 1.0)


def inference(only: str, batch: int, rounds: int) -> dict[str, Any]:
    """Compare the ways to run each family, each in a process of its own."""
    figures = {}
    for name in (name for name in FAMILIES if only in name):
        command = [sys.executable, __file__, "--case", name, "inference", "--batch", str(batch)]
        command += ["--rounds", str(rounds)]
        out = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        figures[name] = json.loads(out.splitlines()[-1])
        for way, figure in figures[name].items():
            speed = f"{figure['gflop_per_second']:9.0f} GFLOP/s{figure['times_eager']:8.2f}×"
            print(f"{name:20}{way:14}{figure['seconds']:9.3f} s{speed}{figure.get('difference', 0):12.1e}", flush=True)
    return figures


def predictions(name: str, limit: int | None) -> dict[str, Any]:
    """Run ``predict har`` with a new network on a release of full size in each way; compare seconds and scores."""
    import numpy as np
    import pyarrow.parquet as pq
    from full_size import link_clips, make_release

    from microg4m_hf import models

    found: dict[str, Any] = {}
    scores: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        root = make_release(folder)
        link_clips(folder, root)
        model = models.create(name)
        _spread_batch_norms(model)
        model.save_pretrained(folder / "model")
        environment = {**os.environ, "MICROG4M_HOME": str(folder / "home"), "TQDM_DISABLE": "1"}
        ways = {"eager": ["--compile", "no"], "packed": [], "packed bf16": ["--mixed-precision", "bf16"]}
        for number, (way, options) in enumerate(ways.items()):
            out = folder / f"run{number}"
            command = [sys.executable, "-m", "microg4m_hf", "predict", "har", "--model", str(folder / "model")]
            command += ["--data-dir", str(root), "--out", str(out), "--workers", "1", *options]
            command += ["--limit", str(limit)] if limit else []
            before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            table = pq.read_table(out / "predictions" / "test.parquet")
            scores[way] = np.array(table["scores"].to_pylist())
            difference = np.abs(scores[way] - scores["eager"]).max() / np.abs(scores["eager"]).max()
            found[way] = {
                "seconds": round(time.perf_counter() - start, 1),
                "cpu_seconds": round(sum(after[:2]) - sum(before[:2]), 1),
                "difference": float(difference),
                "printed": [line for line in done.stdout.splitlines() if line.startswith(("paper", "instance"))],
                "forward_pass": json.loads((out / "environment.json").read_text())["forward_pass"]["test"],
            }
            print(f"{way:24}{found[way]['cpu_seconds']:9.1f} CPU s   {difference:.1e}   {found[way]['printed'][0]}")
    for way in found:
        found[way]["times_eager"] = round(found["eager"]["cpu_seconds"] / found[way]["cpu_seconds"], 3)
    return found


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
        if device == "cpu":
            found.append(f"{name}+bf16")
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
    parser.add_argument("--inference", action="store_true", help="eager and packed, in float32 and bf16, on this CPU")
    parser.add_argument("--predict", metavar="NAME", help="whole runs of `predict har` with this network")
    parser.add_argument("--limit", type=int, help="key frames of --predict (default: all of the test split)")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--case", nargs=2, help=argparse.SUPPRESS)  # a child: name, mode
    args = parser.parse_args()
    if args.case and args.case[1] == "inference":
        print(json.dumps(compare_inference(args.case[0], args.batch, args.rounds)))
        return
    if args.case:
        repeats = 10 if args.device == "cuda" else 1
        print(json.dumps(measure(*args.case, args.device, args.batch, repeats)))
        return
    if args.inference or args.predict:
        kind = "inference" if args.inference else "predict"
        figures = inference(args.only, args.batch, args.rounds) if args.inference else None
        report = _about(args) | {"matrix_product_gflop_per_second": matrix_product()}
        report |= {"figures": figures or predictions(args.predict, args.limit)}
        _write(report, args.output or RESULTS / f"models_{kind}.json")
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
    report = _about(args) | {"ratios": ratios(figures), "figures": figures}
    for name, value in report["ratios"].items():
        print(f"{value:8.3f}×  {name}")
    _write(report, args.output or RESULTS / ("models.json" if args.device == "cpu" else f"models_{args.device}.json"))


def _about(args: argparse.Namespace) -> dict[str, Any]:
    return {
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, one thread",
        "device": args.device,
        "batch": args.batch,
        "rounds": args.rounds,
        "versions": {name: metadata.version(name) for name in ("torch", "torchvision", "transformers")},
    }


def _write(report: dict[str, Any], output: Path) -> None:
    output.parent.mkdir(exist_ok=True)
    output.write_text(json.dumps(report, indent=2) + "\n")
    print(f"written to {output}")


if __name__ == "__main__":
    main()
