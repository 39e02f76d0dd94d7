"""The options of ``microg4m predict caption|vqa`` that belong to one runner, and the runner made from them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import RecipeError

if TYPE_CHECKING:
    from ..inference.items import Settings
    from ..inference.run import Runner

# option -> the runners that it means something to
OF_RUNNERS = {
    "base_url": ("api",),
    "key_env": ("api",),
    "concurrency": ("api",),
    "tries": ("api",),
    "patience": ("api",),
    "price_in": ("api",),
    "price_out": ("api",),
    "image_side": ("api",),
    "image_detail": ("api",),
    "python": ("isolated",),
    "adapter": ("isolated",),
    "trust_remote_code": ("isolated",),
    "timeout": ("api", "isolated"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runner", default="local", choices=("local", "api", "isolated"), help="where the model runs (default local)"
    )
    both = parser.add_argument_group("with --runner api and isolated")
    both.add_argument("--timeout", type=float, metavar="S", help="seconds for one answer (api 120, isolated 600)")
    api = parser.add_argument_group("with --runner api: a server that speaks the OpenAI protocol")
    api.add_argument("--base-url", help="its address, such as http://localhost:8000/v1 (default: OpenAI)")
    api.add_argument("--key-env", metavar="NAME", help="the environment variable with the key (OPENAI_API_KEY)")
    api.add_argument("--concurrency", type=int, help="requests at the same time (8)")
    api.add_argument("--tries", type=int, help="of one item when the server fails (6)")
    api.add_argument("--patience", type=float, metavar="S", help="seconds to wait for a crowded server (900)")
    api.add_argument("--price-in", type=float, help="price of 1,000 tokens sent; the cost is then in results.json")
    api.add_argument("--price-out", type=float, help="price of 1,000 tokens that came back")
    api.add_argument("--image-side", type=int, metavar="PIXELS", help="shrink frames to this longer side")
    api.add_argument("--image-detail", choices=("low", "high", "auto"), help="how closely OpenAI looks (low)")
    isolated = parser.add_argument_group("with --runner isolated: a model that needs another Python environment")
    isolated.add_argument("--python", metavar="FILE", help="the interpreter, such as envs/owl/bin/python")
    isolated.add_argument("--adapter", help="how to talk to the model: internvl, owl3 or a file.py (found by itself)")
    isolated.add_argument("--trust-remote-code", action="store_true", default=None, help="run the model's own code")


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """The fields of ``Settings`` that the options of the runner decide; refuses options of another runner."""
    for name, runners in OF_RUNNERS.items():
        if getattr(args, name) is not None and args.runner not in runners:
            option = "--" + name.replace("_", "-")
            raise RecipeError(f"{option} is of no use with --runner {args.runner}; it goes with {' or '.join(runners)}")
    if args.runner == "api":
        return {"image_side": args.image_side, "image_detail": args.image_detail or "low"}
    if args.runner == "isolated":
        if args.python is None:
            raise RecipeError("--runner isolated needs --python, the interpreter of the environment of the model")
        from ..inference.isolated.runner import adapter_name
        from ..inference.vlm.loading import identity

        own = args.adapter is not None and args.adapter.endswith(".py")  # loads what it likes, from where it likes
        return {
            "adapter": adapter_name(args.adapter),
            "dtype": args.dtype or "auto",
            "attention": args.attention,
            "weights": "" if own and not Path(args.model).is_dir() else identity(args.model, args.revision),
        }
    return {}


def make(args: argparse.Namespace, settings: Settings, world: int) -> Runner:
    """The api or the isolated runner."""
    if args.runner == "isolated":
        from ..inference.isolated.runner import isolated_runner

        return isolated_runner(
            settings,
            args.python,
            adapter=args.adapter,
            trust_remote_code=bool(args.trust_remote_code),
            **_given(args, "timeout"),
        )
    from ..inference.api.client import Endpoint, find_key
    from ..inference.api.runner import api_runner

    url, key = find_key(args.base_url, args.key_env)
    names = ("timeout", "concurrency", "tries", "patience", "price_in", "price_out")
    endpoint = Endpoint(url, key, **_given(args, *names))
    if world > 1:
        raise RecipeError("--runner api needs one process only; raise --concurrency instead")
    return api_runner(settings, endpoint)


def _given(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    return {name: getattr(args, name) for name in names if getattr(args, name) is not None}
