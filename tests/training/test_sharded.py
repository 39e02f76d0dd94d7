"""FSDP and DeepSpeed on two CPU processes give the losses and weights of plain data parallel training."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.support.train_runs import Trainers, losses, steps_logged, write_recipe

FSDP = {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"}
DEEPSPEED = {"ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "2", "DS_ACCELERATOR": "cpu"}
SHORT = ("loop.max_steps=4", "optim.clip_norm=1.0")

no_deepspeed = pytest.mark.skipif(
    importlib.util.find_spec("deepspeed") is None, reason="DeepSpeed is not installed; pip install deepspeed"
)


@pytest.fixture(scope="module")
def plain(trainers: Trainers, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two processes with the whole model each."""
    folder = tmp_path_factory.mktemp("plain")
    trainers.start(write_recipe(folder), folder / "run", *SHORT, processes=2).finish()
    return folder / "run"


@pytest.mark.parametrize(
    "sharding",
    [
        pytest.param(FSDP, id="fsdp"),
        pytest.param(FSDP | {"FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP"}, id="fsdp-by-stage"),
        pytest.param(DEEPSPEED, id="deepspeed", marks=no_deepspeed),
    ],
)
def test_the_same_losses_and_weights(
    trainers: Trainers, tmp_path: Path, plain: Path, sharding: Mapping[str, str]
) -> None:
    """Stop after two of four steps and resume: gathering, saving and loading lose nothing."""
    out = tmp_path / "run"
    for end in (2, 4):
        words = (*SHORT, f"loop.max_steps={end}")
        trainers.start(write_recipe(tmp_path), out, *words, processes=2, env=sharding).finish()
        assert steps_logged(out) == end
    assert "resuming at step 2" in (tmp_path / "log.txt").read_text()
    assert losses(out) == pytest.approx(losses(plain), rel=1e-5)
    whole, gathered = (load_file(folder / "model" / "model.safetensors") for folder in (plain, out))
    assert whole.keys() == gathered.keys()
    for name, values in whole.items():
        np.testing.assert_allclose(gathered[name], values, rtol=1e-3, atol=1e-5, err_msg=name)


def test_half_precision(trainers: Trainers, tmp_path: Path, plain: Path) -> None:
    """With bf16 under FSDP, weights and BatchNorm stay fp32, and the losses are near those of fp32 but not equal."""
    words = (*SHORT, "loop.mixed_precision=bf16")
    trainers.start(write_recipe(tmp_path), tmp_path / "run", *words, processes=2, env=FSDP).finish()
    assert losses(tmp_path / "run") != losses(plain)
    assert losses(tmp_path / "run") == pytest.approx(losses(plain), rel=1e-2)
    weights = load_file(tmp_path / "run" / "model" / "model.safetensors")
    assert {str(values.dtype) for values in weights.values()} <= {"float32", "int64"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["loop.ema=0.9"], "loop.ema needs the whole model"),
        (["loop.batch=5", "loop.micro_batch=2"], "a loop.batch that 2 divides, or loop.micro_batch=3"),
    ],
    ids=["moving average", "micro batches"],
)
def test_what_a_sharded_model_cannot_do_is_an_error(
    trainers: Trainers, tmp_path: Path, words: list[str], said: str
) -> None:
    training = trainers.start(write_recipe(tmp_path), tmp_path / "run", *words, processes=2, env=FSDP)
    assert training.ended() == [2, 2]
    log = (tmp_path / "log.txt").read_text()
    assert said in log
    assert "Traceback" not in log
