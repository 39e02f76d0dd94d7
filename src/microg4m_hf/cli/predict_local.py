"""The options of ``microg4m predict caption|vqa`` for a model that runs in this process."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..errors import RecipeError

if TYPE_CHECKING:
    from ..inference.vlm.loading import Placement

_DTYPES = ("auto", "float32", "bfloat16", "float16")
# Options that no other runner understands; what they are when they are not given is up to the runner.
# (--dtype and --attention mean something to the isolated runner, too.)
_ONLY_LOCAL = (
    "dtype", "attention", "quantise", "as_images", "device", "device_map", "batch_size", "workers", "no_shared_prefix"
)  # fmt: skip


def configure(parser: argparse.ArgumentParser) -> None:
    local = parser.add_argument_group("with --runner local: a model of transformers in this process")
    local.add_argument("--dtype", choices=_DTYPES, help="number type of the weights (auto: as they were saved)")
    local.add_argument("--attention", metavar="KERNEL", help="sdpa, eager, flash_attention_2, … (default: the model's)")
    local.add_argument("--quantise", choices=("4bit", "8bit"), help="store weights smaller, with bitsandbytes")
    local.add_argument("--as-images", action="store_true", default=None, help="frames as images, even for video models")
    local.add_argument("--device", help="cpu, cuda:1, … (default: the accelerator of this process)")
    local.add_argument("--device-map", help="auto spreads a model that is too big for one GPU")
    local.add_argument("--batch-size", type=int, help="rows at once at most; halved when memory runs out")
    local.add_argument("--workers", type=int, help="threads that read clips ahead (2)")
    local.add_argument(
        "--no-shared-prefix", action="store_true", default=None, help="encode a clip for each question anew"
    )


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """The fields of ``Settings`` that these options decide; refuses them with another runner."""
    if args.runner != "local":
        too = ("dtype", "attention") if args.runner == "isolated" else ()
        given = [name for name in _ONLY_LOCAL if getattr(args, name) is not None and name not in too]
        if given:
            option = "--" + given[0].replace("_", "-")
            raise RecipeError(f"{option} is of no use with --runner {args.runner}; it goes with local")
        return {}
    from ..inference.vlm.loading import identity

    return {
        "dtype": args.dtype or "auto",
        "attention": args.attention,
        "quantisation": args.quantise,
        "as_images": bool(args.as_images),
        "weights": identity(args.model, args.revision),
    }


def placement_of(args: argparse.Namespace) -> Placement:
    """How fast and where; see :class:`microg4m_hf.inference.vlm.loading.Placement`."""
    from ..inference.vlm.loading import Placement

    for name in ("batch_size", "workers"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise RecipeError(f"--{name.replace('_', '-')} must be at least 1, given {getattr(args, name)}")
    return Placement(
        device=args.device,
        device_map=args.device_map,
        batch=args.batch_size,
        workers=args.workers or 2,
        shared_prefix=not args.no_shared_prefix,
    )
