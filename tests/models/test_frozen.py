"""The backbone on many clips: packed on a CPU, or eager with the reason."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import VideoMAEConfig

from microg4m_hf.models import MicroG4MHarForVideoClassification, create, wrap
from microg4m_hf.models.backbones.layers import BatchNorm, convolve
from microg4m_hf.models.backbones.packed import WIDE, PackedConvolution, PackedLinear, pack
from microg4m_hf.models.frozen import TOLERANCE, FrozenNetwork, _difference
from microg4m_hf.models.registry import TINY

CLIPS = torch.randn(3, 3, 2, 8, 8, generator=torch.Generator().manual_seed(0))


class Tiny(nn.Module):
    """A convolution, a norm and a ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 8, (1, 3, 3), bias=False)
        self.bn = BatchNorm(8)
        self.bn.get_buffer("running_mean").uniform_(-1, 1)
        self.bn.get_buffer("running_var").uniform_(0.5, 2)

    def forward(self, clips: Tensor, states: list[Tensor] | None = None) -> list[Tensor]:
        return [convolve(self.conv, self.bn, clips, relu=True)]


@pytest.fixture
def network() -> Tiny:
    torch.manual_seed(0)
    network = Tiny()
    network.eval()
    return network


SMALL_ENCODER = VideoMAEConfig(
    image_size=64, num_frames=4, intermediate_size=48, hidden_size=24, num_hidden_layers=2, num_attention_heads=2
)


def _model(name: str) -> MicroG4MHarForVideoClassification:
    """A model whose batch norms have statistics of their own: those of a new one would hide an error of folding."""
    torch.manual_seed(0)
    model = (wrap(SMALL_ENCODER) if name == "videomae" else create(name)).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm3d):
                module.get_buffer("running_mean").normal_(0, 0.1)
                module.get_buffer("running_var").uniform_(0.5, 1.5)
                module.weight.uniform_(0.5, 1.0)
                module.bias.normal_(0, 0.1)
    return model


@pytest.mark.parametrize("name", [*TINY, "videomae"])
def test_packed_networks_give_the_logits_of_eager_ones(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    model = _model(name)
    network = model.backbone.network
    shape = (3, model.config.num_frames, 64, 64)
    clips, boxes = torch.randn(3, *shape), [[[0.1, 0.1, 0.6, 0.9]]] * 3
    with torch.inference_mode():
        eager = model(pixel_values=clips, boxes=boxes).logits
        for precision, tolerance in (("no", 3e-6), ("bf16", 0.05)):
            fast = FrozenNetwork(network, precision=precision)
            with fast.installed():
                logits = model(pixel_values=clips, boxes=boxes).logits
                first = model(pixel_values=clips[:1], boxes=boxes[:1]).logits
            assert fast.report()["used"] == "packed", fast.report()
            difference = (logits - eager).abs().max() / eager.abs().max()
            assert difference <= tolerance, (precision, float(difference))
            assert precision == "no" or difference > 0
            assert torch.allclose(first, logits[:1], atol=1e-6)
        assert torch.equal(model(pixel_values=clips, boxes=boxes).logits, eager)  # nothing is left behind
    modules = list(pack(network).modules())
    kinds = {type(module) for module in modules}
    assert not {nn.Conv3d, BatchNorm} & kinds and {PackedConvolution, PackedLinear} & kinds
    assert all(module.in_features >= WIDE for module in modules if type(module) is nn.Linear)
    assert capsys.readouterr().err == ""


def test_other_shapes_are_computed_with_the_same_weights(network: Tiny) -> None:
    packed = pack(network)
    wide = torch.randn(1, 3, 2, 8, 20)
    linear = PackedLinear(nn.Linear(5, 7), True, torch.float32)
    rows = torch.randn(9, 5)
    with torch.inference_mode():
        for clips in (CLIPS[:1], wide, CLIPS[:1]):
            assert torch.allclose(packed(clips)[0], network(clips)[0], atol=1e-5)
        once = linear(rows)
        assert torch.allclose(linear(rows[:4]), once[:4], atol=1e-5)
        assert torch.allclose(once, F.gelu(F.linear(rows, linear.weight, linear.bias)), atol=1e-5)


def test_new_weights_are_packed_again(network: Tiny) -> None:
    fast = FrozenNetwork(network)
    with fast.installed():
        for factor in (1, 2):
            with torch.no_grad():
                network.conv.weight.mul_(factor)
            with torch.inference_mode():
                found = network(CLIPS)[0]
                assert torch.allclose(found, type(network).forward(network, CLIPS)[0], atol=1e-5)
        network.train()(CLIPS)[0].sum().backward()  # training is never packed
        assert network.conv.weight.grad is not None


def test_a_failure_falls_back_to_eager_with_the_reason(network: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    double = network.double()
    fast = FrozenNetwork(double)
    with fast.installed(), torch.inference_mode():
        found = [double(CLIPS.double())[0] for _ in range(2)]
        assert torch.equal(found[0], type(double).forward(double, CLIPS.double())[0])
    reason = "weights in torch.float64 cannot be packed"
    assert capsys.readouterr().err.splitlines() == [f"predictions are eager, and so slower: {reason}"]
    assert fast.report() == {"compile": "auto", "precision": "no", "used": "eager", "why": reason}


class Misleading(Tiny):
    """The norm is registered behind the convolution, and not used."""

    def forward(self, clips: Tensor, states: list[Tensor] | None = None) -> list[Tensor]:
        return [self.conv(clips)]


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_wrong_features_are_noticed_and_not_used(precision: str) -> None:
    network = Misleading()
    network.eval()
    fast = FrozenNetwork(network, precision=precision)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        expected = network(CLIPS)[0]
        with fast.installed():
            assert torch.equal(network(CLIPS)[0], expected)
    assert "the features of the faster network differ by" in fast.report()["why"]


def test_what_counts_as_a_wrong_result() -> None:
    """In bf16, attention of a non-local block moves single features by more than a tenth of the largest one."""
    expected = torch.randn(1, 8, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    single, wrong, broken = expected.clone(), expected.flip(1), expected.clone()
    single.view(-1)[5] += 0.2 * expected.max()
    broken.view(-1)[5] = torch.nan
    assert _difference([single], [expected]) < TOLERANCE["bf16"]
    assert _difference([expected, wrong], [expected, expected]) > TOLERANCE["bf16"]
    assert _difference([broken], [expected]) > TOLERANCE["bf16"]


def test_compile_no_is_the_network_itself(network: Tiny) -> None:
    fast = FrozenNetwork(network, "no")
    with fast.installed(), torch.inference_mode():
        found = network(CLIPS)[0]
    with torch.inference_mode():
        assert torch.equal(found, network(CLIPS)[0])
    assert fast.report() == {"compile": "no", "precision": "no", "used": "eager"}


def test_a_compiled_network_is_called_as_the_network_is(network: Tiny) -> None:
    fast = FrozenNetwork(network, "yes")
    with torch.compiler.set_stance("force_eager"), torch.inference_mode():  # compiling itself is for GPUs
        assert torch.equal(fast._compiled()(CLIPS)[0], network(CLIPS)[0])


def test_hooks_of_accelerate_stay(network: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    from accelerate.hooks import ModelHook, add_hook_to_module

    class Doubled(ModelHook):
        def post_forward(self, module: nn.Module, output: list[Tensor]) -> list[Tensor]:
            return [2 * output[0]]

    add_hook_to_module(network, Doubled())
    fast = FrozenNetwork(network)
    with torch.inference_mode():
        expected = 2 * type(network).forward(network, CLIPS)[0]
        for _ in range(2):
            with fast.installed():
                assert torch.equal(network(CLIPS)[0], expected)
        assert torch.equal(network(CLIPS)[0], expected)
    assert capsys.readouterr().err.count("another library has replaced the forward pass of the network") == 1
    assert fast.report()["used"] == "eager"
