"""The shape of a network as plain data: one frozen dataclass per family, saved inside the model's config.

Nothing here imports torch, so models can be listed and checked without building them.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from ..errors import ModelError

PerStage = tuple[int, int, int, int]


@dataclass(frozen=True)
class ResNetSpec:
    """C2D, I3D and Slow, with or without non-local blocks: one ResNet with different kernels in time."""

    stage_blocks: PerStage = (3, 4, 6, 3)
    width: int = 64  # channels of the stem; stage s has 4 * width * 2**s
    stem_kernel: int = 1  # length in time of the first convolution
    temporal_kernels: tuple[tuple[int, ...], ...] = ((1,), (1,), (1,), (1,))  # per stage, repeated over its blocks
    temporal_blocks: PerStage = (3, 4, 6, 3)  # blocks beyond this number have kernel 1 in time
    temporal_pool: int = 1  # stride of the max-pool in time after the first stage
    strides: PerStage = (1, 2, 2, 1)
    dilations: PerStage = (1, 1, 1, 2)
    nonlocal_after: tuple[tuple[int, ...], ...] = ((), (), (), ())  # block numbers per stage
    nonlocal_kind: str = "softmax"  # or "dot_product"
    nonlocal_pool: tuple[int, int, int] = (1, 2, 2)


@dataclass(frozen=True)
class SlowFastSpec:
    """Two ResNets, one with few frames and many channels, one with many frames and few channels."""

    stage_blocks: PerStage = (3, 4, 6, 3)
    width: int = 64
    alpha: int = 4  # the slow pathway sees num_frames // alpha frames
    beta_inv: int = 8  # the fast pathway has 1/beta_inv of the channels
    fusion_ratio: int = 2
    fusion_kernel: int = 7
    temporal_blocks: PerStage = (3, 4, 6, 3)
    strides: PerStage = (1, 2, 2, 1)
    dilations: PerStage = (1, 1, 1, 2)
    nonlocal_after: tuple[tuple[int, ...], ...] = ((), (), (), ())  # slow pathway only
    nonlocal_kind: str = "dot_product"
    nonlocal_pool: tuple[int, int, int] = (1, 2, 2)


@dataclass(frozen=True)
class X3DSpec:
    """A narrow ResNet of channel-wise 3x3x3 convolutions, expanded in width, depth and bottleneck."""

    width_factor: float = 2.0
    depth_factor: float = 2.2
    bottleneck_factor: float = 2.25
    stem_dim: int = 12  # before the width factor
    stem_kernel: int = 5
    se_ratio: float = 0.0625
    base_blocks: PerStage = (1, 2, 5, 3)  # before the depth factor


@dataclass(frozen=True)
class MViTSpec:
    """A transformer whose attention pools queries, keys and values over the token grid."""

    depth: int = 16
    embed_dim: int = 96
    num_heads: int = 1
    mlp_ratio: float = 4.0
    patch_kernel: tuple[int, int, int] = (3, 7, 7)
    patch_stride: tuple[int, int, int] = (2, 4, 4)
    input_size: int = 224  # the size that position tables are made for; other sizes interpolate them
    double_at: tuple[int, ...] = (1, 3, 14)  # blocks where channels and heads double and the grid halves
    kv_stride: tuple[int, int, int] = (1, 8, 8)  # of the first block; divided by the query strides on the way
    pool_kernel: tuple[int, int, int] = (3, 3, 3)
    pool_every_query: bool = False  # v2: a query convolution in every block, not only where the grid halves
    absolute_positions: bool = True  # v1: separate tables for space, time and the class token
    relative_positions: bool = False  # v2: added to the attention, decomposed into height, width, time
    residual_pooling: bool = False  # v2: the pooled query is added to the output of the attention
    widen_in_attention: bool = False  # v2: channels double in the attention of a block, v1: in the MLP before it
    drop_path: float = 0.2


@dataclass(frozen=True)
class TransformersSpec:
    """A video encoder of transformers that returns a grid of tokens, described by its own config."""

    config: dict[str, Any] = field(default_factory=dict)


Spec = ResNetSpec | SlowFastSpec | X3DSpec | MViTSpec | TransformersSpec

FAMILIES: dict[str, type[Any]] = {
    "resnet": ResNetSpec,
    "slowfast": SlowFastSpec,
    "x3d": X3DSpec,
    "mvit": MViTSpec,
    "transformers": TransformersSpec,
}


def family_of(spec: Spec) -> str:
    """Return the name of the family that a spec belongs to.

    >>> family_of(X3DSpec())
    'x3d'
    """
    return next(name for name, kind in FAMILIES.items() if isinstance(spec, kind))


def spec_from_dict(family: str, values: dict[str, Any]) -> Spec:
    """Return the spec with these fields, as a config file stores them: JSON lists become tuples.

    >>> spec_from_dict("resnet", {"stage_blocks": [1, 1, 1, 1]}).stage_blocks
    (1, 1, 1, 1)
    """
    if family not in FAMILIES:
        raise ModelError(f"unknown family {family!r}; the families are {sorted(FAMILIES)}")
    known = {f.name for f in dataclasses.fields(FAMILIES[family])}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ModelError(f"unknown settings {unknown} for the family {family}; it has {sorted(known)}")
    return FAMILIES[family](**{name: _tuples(value) for name, value in values.items()})


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list | tuple) else value
