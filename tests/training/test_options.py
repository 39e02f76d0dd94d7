"""Train with each option: encoders of transformers, moving average, compilation, trackers, precision, window cache."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from microg4m_hf.errors import RecipeError
from microg4m_hf.models import create
from microg4m_hf.training.har import run_training
from microg4m_hf.training.predict_run import predict_har, recipe_of
from microg4m_hf.training.prepare import compile_backend, prefers_channels_last
from microg4m_hf.training.recipe_io import load_recipe
from microg4m_hf.training.run_folder import RunFolder
from tests.support.train_runs import Trainers, command, losses, run_command, steps_logged, write_recipe
from tests.support.warm_python import warm_python

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
SHORT = ("loop.max_steps=2", "data.workers=0", "loop.batch=4", "data.num_frames=4", "data.crop=32")
TINY = {
    "videomae_b_16x4": "{image_size: 32, patch_size: 16, num_frames: 4, hidden_size: 8, num_hidden_layers: 1, "
    "num_attention_heads: 2, intermediate_size: 16}",
    "vjepa2_l_16x4": "{crop_size: 32, patch_size: 16, frames_per_clip: 4, hidden_size: 12, num_hidden_layers: 1, "
    "num_attention_heads: 2, mlp_ratio: 2, pred_hidden_size: 12, pred_num_hidden_layers: 1, "
    "pred_num_attention_heads: 2}",
}


@pytest.mark.parametrize("name", sorted(TINY))
def test_encoders_of_transformers(trainers: Trainers, tmp_path: Path, name: str) -> None:
    """The shipped recipe with a tiny encoder of the same kind from scratch."""
    words = (*SHORT, "data.source=sample", "data.short_side=[32,40]", "data.eval_short_side=32", "model.init=null")
    recipe = write_recipe(tmp_path, (RECIPES / f"{name}.yaml").read_text())
    trainers.start(recipe, tmp_path / "run", *words, f"model.overrides={TINY[name]}").finish()
    assert steps_logged(tmp_path / "run") == 2
    config = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert config["network"]["config"]["model_type"] == load_recipe(recipe).model.name
    assert config["image_mean"] == [0.485, 0.456, 0.406]


def test_moving_average_is_saved(trainers: Trainers, tmp_path: Path) -> None:
    """With a decay of 1, the average keeps the weights of the first step."""
    from safetensors.numpy import load_file

    weights = {}
    for steps in (1, 3):
        out = tmp_path / f"run{steps}"
        words = ("loop.ema=1.0", f"loop.max_steps={steps}", "loop.checkpoint_every=0")
        trainers.start(write_recipe(tmp_path), out, *words).finish()
        weights[steps] = load_file(out / "model" / "model.safetensors")["head.projection.weight"].tobytes()
    assert weights[1] == weights[3]
    trainers.start(write_recipe(tmp_path), tmp_path / "run3", "loop.ema=1.0", "loop.max_steps=4").finish()
    assert load_file(tmp_path / "run3/model/model.safetensors")["head.projection.weight"].tobytes() == weights[1]


def test_compiled(trainers: Trainers, tmp_path: Path) -> None:
    words = (*SHORT, "data.short_side=[32,32]")
    trainers.start(write_recipe(tmp_path), tmp_path / "plain", *words).finish()
    trainers.start(write_recipe(tmp_path), tmp_path / "compiled", *words, "loop.compile=aot_eager").finish()
    assert losses(tmp_path / "compiled") == pytest.approx(losses(tmp_path / "plain"), rel=1e-4)
    assert (tmp_path / "compiled" / "model" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("tracker", "left"),
    [("tensorboard", "**/events.out.tfevents*"), ("trackio", "trackio/*.db"), ("wandb", "wandb/offline-run-*")],
)
def test_trackers(trainers: Trainers, tmp_path: Path, tracker: str, left: str) -> None:
    pytest.importorskip(tracker)
    offline = {"WANDB_MODE": "offline", "WANDB_DIR": str(tmp_path), "TRACKIO_DIR": str(tmp_path / "trackio")}
    words = (*SHORT, "data.short_side=[32,32]", f"loop.tracker={tracker}")
    trainers.start(write_recipe(tmp_path), tmp_path / "run", *words, env=offline).finish()
    assert list(tmp_path.glob(left))


def test_missing_tracker_is_an_error(trainers: Trainers, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="'tensorboard', 'trackio', 'wandb'"):
        load_recipe(write_recipe(tmp_path), ["loop.tracker=mlflow"])
    hidden = tmp_path / "hidden" / "wandb"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ImportError('broken on purpose')")
    _, *words = command(write_recipe(tmp_path), tmp_path / "run", "loop.tracker=wandb")
    ended = run_command([warm_python(), *words], env={"PYTHONPATH": str(hidden.parent)})
    assert ended.returncode == 2
    assert "loop.tracker needs the package wandb" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.cpu
def test_half_precision(trainers: Trainers, tmp_path: Path) -> None:
    """On a CPU, bf16 gives losses near those of fp32 and keeps fp32 weights; fp16 becomes fp32 with a message."""
    from safetensors.numpy import load_file

    words = (*SHORT, "data.short_side=[32,32]", "loop.max_steps=3")
    for precision in ("no", "bf16", "fp16"):
        out = tmp_path / precision
        trainers.start(write_recipe(tmp_path), out, *words, f"loop.mixed_precision={precision}").finish()
    found = {precision: losses(tmp_path / precision) for precision in ("no", "bf16", "fp16")}
    assert found["fp16"] == found["no"] != found["bf16"]
    assert found["bf16"] == pytest.approx(found["no"], rel=1e-2)
    assert (tmp_path / "log.txt").read_text().count("fp16 needs a GPU: this run is in fp32") == 1
    weights = load_file(tmp_path / "bf16" / "model" / "model.safetensors")
    assert {str(values.dtype) for values in weights.values()} <= {"float32", "int64"}


@pytest.fixture
def no_accelerator() -> Iterator[None]:
    """Reset Accelerate, which keeps the precision of a process, before and after the test."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


def test_one_process_trains_in_several_precisions(tmp_path: Path, no_accelerator: None) -> None:
    """As in a notebook; Accelerate by itself wants a new process for each."""
    words = (*SHORT, "data.short_side=[32,32]", "loop.max_steps=1")
    for precision in ("bf16", "no", "bf16"):
        recipe = load_recipe(write_recipe(tmp_path), [*words, f"loop.mixed_precision={precision}"])
        run_training(recipe, RunFolder(tmp_path / precision))
        assert AcceleratorState().mixed_precision == precision
    predict_har(recipe_of(str(tmp_path / "no")), tmp_path / "out", limit=1)
    assert AcceleratorState().mixed_precision == "bf16"  # a prediction leaves it as it is


def test_validation_is_in_fp32(tmp_path: Path, no_accelerator: None) -> None:
    """Outside a training step, a model prepared for bf16 returns exactly the logits of the network itself."""
    from microg4m_hf import models
    from microg4m_hf.training.prepare import prepare

    recipe = load_recipe(write_recipe(tmp_path), ["loop.mixed_precision=bf16", "loop.channels_last=false"])
    network = models.create("tiny_slow", num_frames=4).eval()
    clips, boxes = torch.randn(1, 3, 4, 32, 32), [torch.tensor([[0.1, 0.1, 0.9, 0.9]])]
    with torch.inference_mode():
        expected = network(pixel_values=clips, boxes=boxes).logits
        accelerator = Accelerator(cpu=True, mixed_precision="bf16")
        model, _ = prepare(accelerator, network, recipe, 8)
        assert model(pixel_values=clips, boxes=boxes).logits.equal(expected)
        with accelerator.autocast():
            assert not model(pixel_values=clips, boxes=boxes).logits.equal(expected)


def test_what_automatic_compiling_needs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A fake GPU reaches every branch. Training with inductor was tested by hand."""
    gpu = torch.device("cuda", 0)
    assert compile_backend(None, gpu, 10**6, "resnet") is None
    assert compile_backend("eager", gpu, 8, "resnet") == "eager"
    assert compile_backend("auto", torch.device("cpu"), 10**6, "resnet") is None
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (6, 1))
    assert compile_backend("auto", gpu, 10**6, "resnet") is None
    assert "compute capability 7.0, this one has 6.1" in capsys.readouterr().err
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    found = {"triton": None}
    monkeypatch.setattr("importlib.util.find_spec", lambda name: found[name])
    assert compile_backend("auto", gpu, 10**6, "resnet") is None
    assert "triton is not installed" in capsys.readouterr().err
    found["triton"] = object()  # type: ignore[assignment]
    monkeypatch.setenv("CC", "cc")
    assert compile_backend("auto", gpu, 10**6, "resnet") == "inductor"
    assert compile_backend("auto", gpu, 1280, "resnet") is None
    assert "a run of 1,280 key frames on each GPU" in capsys.readouterr().err
    # Sixty epochs of the benchmark on one GPU: a compiled step saves I3D four minutes, and SlowFast one.
    assert compile_backend("auto", gpu, 60 * 3835, "resnet") == "inductor"
    assert compile_backend("auto", gpu, 60 * 3835, "slowfast") is None
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC")
    assert compile_backend("auto", gpu, 10**6, "resnet") is None
    assert "C compiler" in capsys.readouterr().err


def test_cached_windows_give_the_same_losses_when_nothing_is_shrunk(trainers: Trainers, tmp_path: Path) -> None:
    """Frames of the sample are no larger than what is asked for: cached and decoded windows are one."""
    words = ("data.short_side=[144,160]", "data.crop=32", "loop.max_steps=8")
    trainers.start(write_recipe(tmp_path), tmp_path / "decoded", *words).finish()
    cache = f"data.cache={tmp_path / 'windows'}"
    (tmp_path / "windows").mkdir()
    (tmp_path / "windows" / "torn.part").write_bytes(b"left by a kill")
    trainers.start(write_recipe(tmp_path), tmp_path / "cached", *words, cache, processes=2).finish()
    kept = list((tmp_path / "windows").iterdir())
    assert len(kept) > 30
    assert all(path.suffix == ".npy" for path in kept)
    trainers.start(write_recipe(tmp_path), tmp_path / "again", *words, cache).finish()
    assert losses(tmp_path / "again") == losses(tmp_path / "decoded")


def test_the_cache_stays_within_its_bound(tmp_path: Path) -> None:
    import numpy as np

    from microg4m_hf.training.loading.window_cache import WindowCache

    writers = [WindowCache(tmp_path, limit_gb=1e-3) for _ in range(3)]
    for number in range(300):
        writers[number % 3].put(str(number), np.zeros((1, 64, 64, 3), np.uint8))
    assert 0.7e6 < sum(path.stat().st_size for path in tmp_path.iterdir()) <= 1.03e6
    assert writers[0].get("0") is not None


def test_the_cache_is_measured_while_others_write(tmp_path: Path) -> None:
    import threading

    import numpy as np

    from microg4m_hf.training.loading.window_cache import WindowCache

    done, window = threading.Event(), np.zeros((1, 2, 2, 3), np.uint8)

    def write_and_rename() -> None:
        while not done.is_set():
            for number in range(300):
                (tmp_path / f"{number}.part").touch()
                (tmp_path / f"{number}.part").rename(tmp_path / f"{number}.npy")

    other = threading.Thread(target=write_and_rename)
    other.start()
    try:
        for number in range(150):
            WindowCache(tmp_path, limit_gb=1).put(str(number), window)
    finally:
        done.set()
        other.join()
    assert WindowCache(tmp_path, limit_gb=1).get("149") is not None


def test_a_full_cache_says_so_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import numpy as np

    from microg4m_hf.training.loading.window_cache import WindowCache

    writers = [WindowCache(tmp_path, limit_gb=1e-4) for _ in range(2)]
    for number in range(40):
        writers[number % 2].put(str(number), np.zeros((1, 64, 64, 3), np.uint8))
    assert capsys.readouterr().err.count("data.cache is full") == 1
    writers[0].clean()
    WindowCache(tmp_path, limit_gb=1e-4).put("more", np.zeros((1, 64, 64, 3), np.uint8))
    assert "raise data.cache_gb" in capsys.readouterr().err, "the next run says it again"


def test_a_file_that_is_no_window_is_absent_from_the_cache(tmp_path: Path) -> None:
    import numpy as np

    from microg4m_hf.training.loading.window_cache import WindowCache

    cache, window = WindowCache(tmp_path, limit_gb=1), np.arange(6000, dtype=np.uint8).reshape(1, 50, 40, 3)
    cache.put("a", window)
    assert np.array_equal(cache.get("a"), window)
    (path,) = tmp_path.glob("*.npy")
    whole = path.read_bytes()
    for damaged in (b"", whole[:5], whole[:60], whole[:-1], b"\0" * 200, whole.replace(b"(1, 50", b"(9, 50")):
        path.write_bytes(damaged)
        assert cache.get("a") is None
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    assert cache.get("a") is None


def _spoil(folder: Path) -> None:
    """Write wrong pixels into every file of a cache."""
    import numpy as np

    for path in folder.glob("*.npy"):
        record = np.load(path)
        record["planes"] = 128
        np.save(path, record)


def test_the_exact_cache_keeps_pixels_and_the_compact_one_keeps_them_nearly(tmp_path: Path) -> None:
    """The first reading is that of all others, and a damaged file is written again."""
    import numpy as np

    from microg4m_hf.training import Data, KeyFrameWindows, split_items

    data = Data(num_frames=8, stride=4, source="sample", key_frame="exact", short_side=(70, 90), crop=64)
    items = split_items(data, "train")[:3]
    decoded = KeyFrameWindows(items, data, training=True)
    sizes = {}
    for form in ("exact", "compact"):
        folder = tmp_path / form
        kept = dataclasses.replace(data, cache=str(folder), cache_format=form)
        cached = KeyFrameWindows(items, kept, training=True)
        for epoch in range(2):
            for index in range(len(items)):
                expected, first, again = decoded[epoch, index], cached[epoch, index], cached[epoch, index]
                assert first.geometry == again.geometry == expected.geometry
                assert np.array_equal(first.frames, again.frames)
                if form == "exact":
                    assert np.array_equal(first.frames, expected.frames)
                difference = first.frames.astype(float) - expected.frames
                assert (difference**2).mean() < 255**2 / 10**4.7, "47 dB"
                assert np.abs(difference).max() <= 2
        sizes[form] = sum(path.stat().st_size for path in folder.iterdir())
        before = cached[0, 0].frames
        for path in folder.iterdir():
            record = np.load(path)
            record["places"] = 99
            np.save(path, record)
        assert np.array_equal(cached[0, 0].frames, before)
        for path in folder.iterdir():
            path.write_bytes(path.read_bytes()[:-100])
        assert np.array_equal(cached[0, 0].frames, before)
    assert sizes["compact"] < sizes["exact"] / 3


def test_no_content_of_the_cache_changes_an_evaluation(tmp_path: Path) -> None:
    """A cache that is full of wrong pixels: training reads them, validation and test do not, nor another clip."""
    import numpy as np

    from microg4m_hf.training import KeyFrameWindows, load_recipe, split_items

    recipe = load_recipe(write_recipe(tmp_path), [f"data.cache={tmp_path / 'windows'}"])
    items = split_items(recipe.data, "test")[:1]
    training, evaluation = (KeyFrameWindows(items, recipe.data, training=training) for training in (True, False))
    expected = training[0].frames
    _spoil(tmp_path / "windows")
    assert len(np.unique(training[0].frames)) == 1
    assert len(np.unique(evaluation[0].frames)) > 100
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(Path(items[0].video["path"]).read_bytes())
    moved = [dataclasses.replace(items[0], video=str(clip))]
    assert np.array_equal(KeyFrameWindows(moved, recipe.data, training=True)[0].frames, expected)
    _spoil(tmp_path / "windows")
    clip.touch()  # the clip was written again under its old name
    os.utime(clip, ns=(1, 1))
    assert np.array_equal(KeyFrameWindows(moved, recipe.data, training=True)[0].frames, expected)


def test_layout_of_convolutions() -> None:
    cases = list(itertools.product(("tiny_slow", "tiny_x3d"), ("cpu", "cuda"), ("no", "bf16")))
    preferred = [case for case in cases if prefers_channels_last(create(case[0]), torch.device(case[1]), case[2])]
    assert preferred == [("tiny_slow", "cpu", "bf16"), ("tiny_slow", "cuda", "no"), ("tiny_slow", "cuda", "bf16")]
