"""The checks of ``benchmarks.gpu.day``: the device against the CPU, and tests of the library on the device.

A finding is one JSON object on standard output, with ``ok``.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

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
    """Return a release that the first part that needs it draws, by all processors."""
    from filelock import FileLock

    from microg4m_hf.data.sample.world import scenes
    from microg4m_hf.data.sample.write import write_annotations

    root = Path(os.environ["MICROG4M_HOME"]) / f"release-{height}-{clips}"
    with FileLock(f"{root}.lock"):
        if not root.is_dir():
            wanted, scratch = scenes()[:clips], root.with_suffix(".part")
            with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
                list(pool.map(draw, wanted, itertools.repeat(scratch), itertools.repeat(height)))
            write_annotations(scratch, wanted, height)
            scratch.rename(root)
    return root


def draw(scene: Any, root: Path, height: int) -> None:
    """Draw a clip that costs as much to decode as a real one."""
    from microg4m_hf.data.sample.render import frames
    from microg4m_hf.data.sample.world import FPS
    from microg4m_hf.data.sample.write import clip_path, write_clip

    write_clip(root / clip_path(scene), frames(scene, height), fps=FPS, preset="medium")


# Like `python -m microg4m_hf`, without fetching a batch while the GPU computes.
ONE_BY_ONE = """import sys
from microg4m_hf.cli.main import main
from microg4m_hf.training.loading.batches import Prefetched
Prefetched.fetch_next = lambda self: None
sys.exit(main())"""


def run_training(
    folder: Path, config: str, *words: str, env: dict[str, str] | None = None, ahead: bool = True
) -> list[dict[str, Any]]:
    """Train by the command line, and return what was logged for every step.

    Args:
        folder: The run folder.
        config: The recipe.
        words: Values of the recipe.
        env: More environment variables.
        ahead: Fetch a batch while the GPU computes.
    """
    command = [sys.executable, *(["-m", "microg4m_hf"] if ahead else ["-c", ONE_BY_ONE])]
    command += ["train", "har", "--config", config, "--out", str(folder), *words]
    subprocess.run(command, check=True, stdout=sys.stderr, env=os.environ | (env or {}))
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if "loss" in line]


def train(folder: Path, *words: str, env: dict[str, str] | None = None, ahead: bool = True) -> list[float]:
    """Train a tiny network, and return the loss of every step."""
    words = (f"data.data_dir={small_release(48, 8)}", *words)
    lines = run_training(folder / "run", str(write_tiny_recipe(folder)), *words, env=env, ahead=ahead)
    return [line["loss"] for line in lines]


def write_tiny_recipe(folder: Path) -> Path:
    """Write the recipe of a tiny network into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.yaml").write_text(RECIPE)
    return folder / "recipe.yaml"


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
        moved = largest_ratio(train(folder / "one by one", ahead=False), plain)
        report(check="batches fetched one by one", largest_difference=f"{moved:.1e}", ok=moved < 1e-3)
        train(folder / "resumed", "loop.max_steps=3")
        resumed = train(folder / "resumed")
        moved = largest_ratio(resumed, plain)
        report(check="resumed after three steps", largest_difference=f"{moved:.1e}", ok=moved < 1e-3)
        ways = {"compiled": "loop.compile=" + ("aot_eager" if dry_run else "inductor")}
        ways |= {"bf16": "loop.mixed_precision=bf16", "fp16": "loop.mixed_precision=fp16"}
        with ThreadPoolExecutor(1 if dry_run else len(ways)) as pool:
            losses = pool.map(lambda name: train(folder / name, ways[name]), ways)
            for name, found in zip(ways, losses, strict=True):
                moved = largest_ratio(found, plain)
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
    if not dry_run:
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=9"]
        launch += ["-m", "microg4m_hf", "train", "har", "--config", "demo"]
        said = subprocess.run(launch, capture_output=True, text=True).stderr
        report(check="fewer GPUs than processes", ok="9 processes were started on a machine with" in said)


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


def release(dry_run: bool) -> None:
    """Draw the clips of the figures, while the checks run."""
    root = small_release(48, 8) if dry_run else small_release(480, 48)
    report(figure="clips drawn", count=len(list((root / "videos").rglob("*.mp4"))))


TESTS = ("tests/models", "tests/training", "tests/inference")
# These need packages that such a machine lacks, or no accelerator.
NO_TESTS = ("tests/inference/test_api.py", "tests/inference/test_api_limits.py", "tests/inference/test_api_served.py")
NO_TESTS += ("tests/models/test_export.py", "tests/models/test_transformers_common.py")
NO_TESTS += ("tests/inference/test_isolated.py", "tests/training/test_sharded.py")
DESELECTED = ("tests/inference/test_turn_choice.py::test_a_server_gets_the_turned_frames",)
DESELECTED += ("tests/training/test_options.py::test_missing_tracker_is_an_error",)


class Failures:
    """A plugin of pytest that reports each failure at once, and ends the tests when their time is over.

    Args:
        seconds: The time.
    """

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds
        self.in_time = True
        self.count = dict.fromkeys(("passed", "skipped", "failed"), 0)
        self.out, self.log = (os.fdopen(os.dup(number), "w", buffering=1) for number in (1, 2))  # not captured

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.when == "call" or not report.passed:
            self.count[report.outcome] += 1
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            text = crash.message if crash is not None else str(report.longrepr)
            finding = {"check": report.nodeid, "message": " ".join(text.split())[:600], "ok": False}
            print("\n" + json.dumps(finding), file=self.out)  # after the dots
            print(str(report.longrepr)[-3000:], file=self.log)
        if time.monotonic() > self.end and self.in_time:
            self.in_time = False
            pytest.exit("no time left", returncode=0)


def tests(dry_run: bool) -> None:
    """Tests of the library that start no processes; they use the device by themselves."""
    words = ["-q", "-p", "no:cacheprovider", "--tb=short"]
    if dry_run:
        words += ["tests/training/test_losses.py"]
    else:
        words += ["-n", str(max(2, (os.cpu_count() or 2) - 2)), "-m", "not processes and not cpu", *TESTS]
        words += [*(f"--ignore={one}" for one in NO_TESTS), *(f"--deselect={one}" for one in DESELECTED)]
    failures = Failures(2000 if dry_run else 125)
    os.environ["MICROG4M_TEST_GPU"] = "" if dry_run else "1"
    pytest.main(words, plugins=[failures])
    report(check="tests", **failures.count, all=failures.in_time, ok=not failures.count["failed"])
