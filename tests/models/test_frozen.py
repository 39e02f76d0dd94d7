"""The backbone on many clips: compiled and frozen, or eager with the reason."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from microg4m_hf.models import frozen
from microg4m_hf.models.backbones.layers import BatchNorm
from microg4m_hf.models.frozen import FrozenNetwork

CLIPS = torch.randn(2, 3, 2, 8, 8, generator=torch.Generator().manual_seed(0))


class Tiny(nn.Module):
    """One convolution, which compiles in seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 8, (1, 3, 3), bias=False)
        self.bn = BatchNorm(8)
        self.bn.get_buffer("running_mean").uniform_(-1, 1)
        self.bn.get_buffer("running_var").uniform_(0.5, 2)

    def forward(self, clips: Tensor, states: list[Tensor] | None = None) -> list[Tensor]:
        return [F.relu(self.bn(self.conv(clips)))]


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Tiny:
    monkeypatch.setenv("MICROG4M_HOME", str(tmp_path))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")  # to be restored after the test, which sets it
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    torch.manual_seed(0)
    network = Tiny()
    network.eval()
    return network


def test_compiled_network_gives_the_same_features(
    network: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fast = FrozenNetwork(network, "yes", clips=100)
    with fast.installed(), torch.inference_mode():
        first, second, rest = network(CLIPS)[0], network(CLIPS)[0], network(CLIPS[:1])[0]
    assert fast.report()["used"] == "compiled", fast.report()
    with torch.inference_mode():
        eager = network(CLIPS)[0]
    assert torch.equal(first, eager)  # the batch that is compiled is answered by the eager network
    assert (second - eager).abs().max() <= 1e-6 * eager.abs().max()
    assert (rest - eager[:1]).abs().max() <= 1e-6 * eager.abs().max()
    assert list((tmp_path / "compiled").rglob("*.so"))
    assert (tmp_path / "compiled").stat().st_mode & 0o077 == 0  # nobody else may place code there
    assert capsys.readouterr().err.count("\n") == 1

    with torch.no_grad():
        network.conv.weight.mul_(2)
    fast.compile = "auto"
    with fast.installed(), torch.inference_mode():
        changed = network(CLIPS)[0]
    with torch.inference_mode():
        assert torch.equal(changed, network(CLIPS)[0])  # old constants are not used for new weights
    assert frozen._known(fast._key(CLIPS))["seconds"] > 0


@pytest.mark.parametrize("kind", ["auto", "yes"])
def test_without_a_compiler_the_network_stays_eager(
    kind: str, network: Tiny, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CXX", "/no/such/compiler")
    fast = FrozenNetwork(network, kind, clips=10**9)
    with fast.installed(), torch.inference_mode():
        found = [network(CLIPS)[0] for _ in range(4)]
    with torch.inference_mode():
        assert all(torch.equal(one, network(CLIPS)[0]) for one in found)
    assert capsys.readouterr().err.splitlines() == [
        "the network is not compiled: there is no C++ compiler /no/such/compiler (Debian: apt install g++)"
    ]
    assert fast.report()["used"] == "eager"


def test_few_clips_do_not_repay_compiling(network: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    fast = FrozenNetwork(network, "auto", clips=10)
    with fast.installed(), torch.inference_mode():
        for _ in range(5):
            network(CLIPS)
    assert "do not repay compiling" in fast.report()["why"]
    assert capsys.readouterr().err == ""


def test_a_compilation_that_takes_too_long_is_given_up(
    network: Tiny, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(frozen, "LONGEST", 0.001)
    fast = FrozenNetwork(network, "yes", clips=100)
    with fast.installed(), torch.inference_mode():
        found = [network(CLIPS)[0] for _ in range(2)]
    with torch.inference_mode():
        assert all(torch.equal(one, network(CLIPS)[0]) for one in found)
    assert "not compiled: it is not finished after" in capsys.readouterr().err


def test_training_and_other_threads_stay_eager(network: Tiny) -> None:
    fast = FrozenNetwork(network, "yes", clips=100)
    with fast.installed():
        network.train()(CLIPS)[0].sum().backward()
        assert network.conv.weight.grad is not None
        network.eval()

        def ask() -> None:
            with torch.inference_mode():
                network(CLIPS)

        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
    assert "main thread" in fast.report()["why"]
