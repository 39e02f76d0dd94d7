"""The models by name: the fourteen published ones, the corrected ones, and tiny ones for tests and demos.

A published name means the published network, quirks included (``settings="paper"``). A ``_corrected`` name means the
network as it was designed and is what new training should use. Reports never mix the two.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from .specs import MViTSpec, ResNetSpec, SlowFastSpec, Spec, X3DSpec


class PublishedScores(NamedTuple):
    """Published test scores in percent (MicroG-4M, HAR table)."""

    map50: float
    f1: float
    recall: float
    auroc: float


@dataclass(frozen=True)
class Variant:
    """One named model: its network, its input and its published results."""

    spec: Spec
    num_frames: int
    sampling_rate: int
    title: str
    train_size: int = 224
    test_size: int = 256
    roi_stride: int = 16
    num_labels: int = 50
    settings: str = "paper"
    parameters: int | None = None  # as logged by the published runs
    published: PublishedScores | None = None
    note: str = ""


# Whole numbers of a variant that go into a model's config.
COUNTS = ("num_frames", "sampling_rate", "train_size", "test_size", "roi_stride", "num_labels")


def for_training(name: str) -> str:
    """Return the name to use for new training: the corrected variant where there is one.

    Args:
        name: A name of ``microg4m models list``.

    Example:
        >>> for_training("x3d_s"), for_training("slow_8x8_r50")
        ('x3d_s_corrected', 'slow_8x8_r50')
    """
    return f"{name}_corrected" if f"{name}_corrected" in CORRECTED else name


def _published(
    spec: Spec, frames: int, rate: int, title: str, parameters: int, scores: tuple[float, ...], **changes: Any
) -> Variant:
    return Variant(spec, frames, rate, title, parameters=parameters, published=PublishedScores(*scores), **changes)


_C2D = ResNetSpec(temporal_pool=2)
_I3D = ResNetSpec(stem_kernel=5, temporal_kernels=((3,), (3, 1), (3, 1), (1, 3)), temporal_pool=2)
_SLOW = ResNetSpec(temporal_kernels=((1,), (1,), (3,), (3,)))
_SLOWFAST = SlowFastSpec()
_R101 = SlowFastSpec(
    stage_blocks=(3, 4, 23, 3), fusion_kernel=5, nonlocal_after=((), (), (6, 13, 20), ()), nonlocal_pool=(2, 2, 2)
)
_MVIT1 = MViTSpec()
_MVIT2 = MViTSpec(
    pool_every_query=True,
    absolute_positions=False,
    relative_positions=True,
    residual_pooling=True,
    widen_in_attention=True,
)
_R50_NONLOCAL: dict[str, Any] = {"nonlocal_after": ((), (1, 3), (1, 3, 5), ())}
_C2D_NLN, _I3D_NLN = replace(_C2D, **_R50_NONLOCAL), replace(_I3D, **_R50_NONLOCAL)

_WRONG_STRIDE: dict[str, Any] = {"note": "regions pooled with stride 16 on a stride-32 map"}
_MVIT: dict[str, Any] = {"test_size": 224, **_WRONG_STRIDE}
_X3D_S: dict[str, Any] = {"train_size": 160, "test_size": 182, **_WRONG_STRIDE}
_X3D_L: dict[str, Any] = {"train_size": 312, "test_size": 356, **_WRONG_STRIDE}
_FEW_8: dict[str, Any] = {"note": "8 frames in all: the slow pathway sees frames 0 and 7"}
_FEW_4: dict[str, Any] = {"note": "4 frames in all: the slow pathway sees frame 0"}
_AVA: dict[str, Any] = {"num_labels": 80}

# Network, frames, sampling rate, title, parameters, (mAP, F1, recall, AUROC).
PUBLISHED: dict[str, Variant] = {
    "c2d_8x8_r50": _published(_C2D, 8, 8, "C2D R50 8×8", 23_610_482, (29.51, 8.09, 6.58, 83.49)),
    "c2d_nln_8x8_r50": _published(_C2D_NLN, 8, 8, "C2D NLN R50 8×8", 30_968_946, (44.64, 28.30, 24.86, 89.40)),
    "i3d_8x8_r50": _published(_I3D, 8, 8, "I3D R50 8×8", 27_326_322, (46.41, 26.37, 22.25, 88.79)),
    "i3d_nln_8x8_r50": _published(_I3D_NLN, 8, 8, "I3D NLN R50 8×8", 34_684_786, (47.12, 28.07, 24.65, 88.52)),
    "slow_8x8_r50": _published(_SLOW, 8, 8, "Slow R50 8×8", 31_736_946, (45.19, 26.13, 22.77, 88.49)),
    "slow_4x16_r50": _published(_SLOW, 4, 16, "Slow R50 4×16", 31_736_946, (46.37, 28.72, 25.38, 88.30)),
    "slowfast_8x8_r50": _published(
        _SLOWFAST, 8, 8, "SlowFast R50 8×8", 33_759_738, (43.02, 22.63, 18.98, 88.51), **_FEW_8
    ),
    "slowfast_4x16_r50": _published(
        _SLOWFAST, 4, 16, "SlowFast R50 4×16", 33_759_738, (42.10, 23.69, 20.18, 87.54), **_FEW_4
    ),
    "mvitv1_b_16x4": _published(_MVIT1, 16, 4, "MViTv1 B 16×4", 36_341_522, (12.86, 5.54, 4.66, 74.63), **_MVIT),
    "mvitv2_s_16x4": _published(_MVIT2, 16, 4, "MViTv2 S 16×4", 34_268_594, (15.14, 8.16, 7.17, 78.61), **_MVIT),
    "x3d_s": _published(
        X3DSpec(depth_factor=2.2), 13, 6, "X3D S 13×6", 2_015_828, (14.07, 5.77, 4.52, 78.23), **_X3D_S
    ),
    "x3d_l": _published(
        X3DSpec(depth_factor=5.0), 16, 5, "X3D L 16×5", 4_374_938, (18.70, 9.15, 7.47, 78.27), **_X3D_L
    ),
    "slow_8x8_r50_ava": _published(
        _SLOW, 8, 8, "Slow R50 8×8, zero-shot from AVA (K400)", 31_798_416, (16.24, 2.67, 1.99, 73.83), **_AVA
    ),
    "slowfast_32x2_r101_ava": _published(
        _R101, 32, 2, "SlowFast R101 32×2, zero-shot from AVA (K600)", 59_342_488, (23.81, 6.32, 6.62, 77.83), **_AVA
    ),
}


def _corrected(name: str, note: str, **changes: Any) -> Variant:
    title = f"{PUBLISHED[name].title}, corrected"
    fresh: dict[str, Any] = {"title": title, "settings": "corrected", "parameters": None, "published": None}
    return replace(PUBLISHED[name], note=note, **fresh, **changes)


_ALL_FRAMES = "32 frames, every second one, as the network was designed"

CORRECTED: dict[str, Variant] = {
    "slowfast_8x8_r50_corrected": _corrected("slowfast_8x8_r50", _ALL_FRAMES, num_frames=32, sampling_rate=2),
    "slowfast_4x16_r50_corrected": _corrected(
        "slowfast_4x16_r50",
        f"{_ALL_FRAMES}; alpha 8 and fusion kernel 5, as its Kinetics checkpoint has them",
        num_frames=32,
        sampling_rate=2,
        spec=SlowFastSpec(alpha=8, fusion_kernel=5),
    ),
    **{
        f"{name}_corrected": _corrected(name, "regions pooled with the true stride of 32", roi_stride=32)
        for name in ("mvitv1_b_16x4", "mvitv2_s_16x4", "x3d_s", "x3d_l")
    },
}


def _tiny(spec: Spec, title: str, num_frames: int = 4, roi_stride: int = 16) -> Variant:
    return Variant(spec, num_frames, 8, f"tiny {title}", 64, 64, roi_stride, settings="tiny")


_SMALL_RESNET: dict[str, Any] = {"stage_blocks": (1, 1, 1, 1), "width": 8}
_SMALL_MVIT: dict[str, Any] = {"depth": 3, "embed_dim": 16, "input_size": 64, "double_at": (1, 2), "drop_path": 0.0}

TINY: dict[str, Variant] = {
    "tiny_c2d": _tiny(replace(_C2D, **_SMALL_RESNET), "C2D"),
    "tiny_c2d_nln": _tiny(replace(_C2D, **_SMALL_RESNET, nonlocal_after=((), (0,), (0,), ())), "C2D NLN"),
    "tiny_i3d": _tiny(replace(_I3D, **_SMALL_RESNET), "I3D"),
    "tiny_slow": _tiny(replace(_SLOW, **_SMALL_RESNET), "Slow"),
    "tiny_slowfast": _tiny(SlowFastSpec(**_SMALL_RESNET, beta_inv=4), "SlowFast", num_frames=8),
    "tiny_x3d": _tiny(X3DSpec(width_factor=1.0, depth_factor=1.0, base_blocks=(1, 2, 2, 1)), "X3D", roi_stride=32),
    "tiny_mvitv1": _tiny(replace(_MVIT1, **_SMALL_MVIT), "MViTv1"),
    "tiny_mvitv2": _tiny(replace(_MVIT2, **_SMALL_MVIT), "MViTv2"),
}

VARIANTS: dict[str, Variant] = {**PUBLISHED, **CORRECTED, **TINY}
