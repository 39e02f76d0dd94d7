"""``microg4m predict caption|vqa --model …``: runs a vision-language model, or a baseline that needs none."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import RecipeError

if TYPE_CHECKING:
    from ..inference.items import TextSettings
    from ..inference.run import Runner
    from ..inference.vlm.loading import Placement

# The options of ``microg4m predict caption|vqa`` for a model that runs in this process.

_DTYPES = ("auto", "float32", "bfloat16", "float16")
# Options that no other runner understands; what they are when they are not given is up to the runner.
# (--dtype and --attention mean something to the isolated runner, too.)
_ONLY_LOCAL = (
    "dtype", "attention", "quantise", "as_images", "device", "device_map", "batch_size", "workers", "no_shared_prefix"
)  # fmt: skip


def configure_local(parser: argparse.ArgumentParser) -> None:
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


def local_settings(args: argparse.Namespace) -> dict[str, Any]:
    """The fields of ``TextSettings`` that these options decide; refuses them with another runner."""
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
        "quantization": args.quantise,
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
        batch_size=args.batch_size,
        workers=args.workers or 2,
        shared_prefix=not args.no_shared_prefix,
    )


# The options of ``microg4m predict caption|vqa`` that belong to one runner, and the runner made from them.

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


def configure_runners(parser: argparse.ArgumentParser) -> None:
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


def runner_settings(args: argparse.Namespace) -> dict[str, Any]:
    """The fields of ``TextSettings`` that the options of the runner decide; refuses options of another runner."""
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


def make(args: argparse.Namespace, settings: TextSettings, world: int) -> Runner:
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


BASELINES = ("blind", "majority")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, help="a Hub id or a folder; blind and majority need no model (vqa)")
    parser.add_argument("--out", metavar="FOLDER", help="the run folder (default runs/<task>-<model>)")
    parser.add_argument("--frames", type=int, help="frames a clip (default: as in the model's published row, else 8)")
    parser.add_argument(
        "--pick", default="uniform", choices=("uniform", "middles", "every"), help="which frames of a clip"
    )
    parser.add_argument("--prompts", default="default", help="a named prompt set: default, expert or plain")
    parser.add_argument("--max-new-tokens", type=int, default=256)
    parser.add_argument("--temperature", type=float, default=0.0, help="above 0, answers are sampled (default 0)")
    parser.add_argument("--seed", type=int, default=0, help="of sampled answers")
    parser.add_argument("--revision", help="revision of the model")
    parser.add_argument("--data-dir", help="a folder with the released files")
    parser.add_argument("--source", help="sample, or a Hub data set")
    parser.add_argument("--scheme", help="divide captions and questions like the clips, and take --split")
    parser.add_argument("--split", default="test")
    parser.add_argument("--limit", type=int, metavar="CLIPS", help="only the first clips, for a trial")
    parser.add_argument("--retry-failed", action="store_true", help="try again what failed in an earlier start")
    configure_local(parser)
    configure_runners(parser)


def run(args: argparse.Namespace) -> int:
    from ..data import load_dataset
    from ..inference.items import TextSettings, fingerprint_queries, group_queries, paper_frames
    from ..inference.run import run as run_all
    from ..runtime import rank_and_world_size

    blind = args.model in BASELINES
    if blind and args.runner != "local":
        raise RecipeError(f"--model {args.model} is a baseline of our own; leave --runner {args.runner} out")
    of_runner = runner_settings(args)
    if not blind:
        of_runner |= local_settings(args)
    rank, world = rank_and_world_size()
    where = {"data_dir": args.data_dir, "source": args.source}
    if args.scheme:
        where["scheme"] = args.scheme
    rows = load_dataset(args.what, split=args.split, videos=not blind, **where)
    everything = group_queries(args.what, rows)
    work = everything[: args.limit]
    settings = TextSettings(
        task=args.what,
        model=args.model,
        runner=args.model if blind else args.runner,
        revision=args.revision,
        prompts=args.prompts,
        frames=args.frames or paper_frames(args.model) or 8,
        frame_sampling=args.pick,
        max_new_tokens=args.max_new_tokens,
        temperature=args.temperature,
        seed=args.seed,
        data=fingerprint_queries(everything),
        **of_runner,
    )
    folder = Path(args.out or Path("runs") / f"{args.what}-{args.model.strip('/').replace('/', '--')}")
    summary = run_all(
        settings,
        work,
        folder,
        lambda: _runner(args, settings, rows, world),
        retry_failed=args.retry_failed,
        rank=rank,
        world=world,
    )
    if world > 1 and summary["missing"]:
        print(f"process {rank} has done its share; {summary['missing']} are still in work or missing")
        return 0
    kinds = ", ".join(f"{kind} {count}" for kind, count in summary["failed_kinds"].items())
    failed = f"{summary['failed']} failed ({kinds})" if kinds else "0 failed"
    print(
        f"{summary['finished']} finished ({summary['done_now']} now, {summary['seconds_now']} s), "
        f"{failed}, {summary['missing']} missing; predictions are in {summary['predictions']}"
    )
    # A launcher stops all processes when one ends with an error, and one failed item is none.
    return 1 if summary["failed"] and world == 1 else 0


def _runner(args: argparse.Namespace, settings: TextSettings, rows: Any, world: int) -> Runner:
    if settings.runner in BASELINES:
        from ..inference.baselines import baseline_runner

        return baseline_runner(settings, rows)
    if settings.runner != "local":
        return make(args, settings, world)
    from ..inference.vlm.local import local_runner

    return local_runner(settings, placement_of(args))
