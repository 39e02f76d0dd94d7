"""``microg4m predict caption|vqa``: options and output for :func:`microg4m_hf.inference.predict_texts`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import RecipeError
from ..inference.items import BASELINES

# Options of a model that is asked with defaults, as fields of `TextSettings`.
ASKED = ("frames", "frame_sampling", "prompts", "max_new_tokens", "turn_choice", "runner")
# Options that only some runners use.
RUNNERS_OF_OPTION = {
    **dict.fromkeys(("dtype", "attention"), ("local", "isolated")),
    **dict.fromkeys(
        ("quantization", "as_images", "device", "device_map", "batch_size", "workers", "no_shared_prefix"), ("local",)
    ),
    **dict.fromkeys(("base_url", "key_env", "concurrency", "max_retries", "retry_timeout"), ("api",)),
    **dict.fromkeys(("price_in", "price_out", "image_side", "image_detail"), ("api",)),
    **dict.fromkeys(("python", "adapter", "trust_remote_code"), ("isolated",)),
    "timeout": ("api", "isolated"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model", required=True, help="a Hub id or a folder; or blind or majority, baselines without a model")
    add("--out", metavar="FOLDER", help="the run folder (default runs/<task>-<model>)")
    add("--temperature", type=float, default=0.0, help="sample answers with a temperature above 0 (default 0)")
    add("--seed", type=int, default=0, help="seed of sampled answers")
    turns = "show each clip under 2 or 4 quarter turns, and keep one text (default 1)"
    add("--turns", type=int, default=1, choices=(1, 2, 4), help=turns)
    add("--revision", help="revision of the model")
    add("--data-dir", help="a folder with the released files")
    add("--source", help="sample, or a Hub dataset")
    add("--scheme", help="split captions and questions like the clips, and use --split")
    add("--split", default="test", help="the split to predict (default test)")
    add("--limit", type=int, metavar="CLIPS", help="use only the first clips, to try something out")
    add("--retry-failed", action="store_true", help="run items again that failed before")
    add_model_options(parser)


def add_model_options(parser: Any) -> None:
    """Add the options that say how a vision-language model is asked, and where it runs."""
    add = parser.add_argument
    add("--frames", type=int, default=0, help="frames per clip (default: as in the model's published row, else 8)")
    samplings = ("uniform", "middles", "every")
    add("--frame-sampling", default="uniform", choices=samplings, help="which frames of a clip (default uniform)")
    _add_old_spelling(parser, "--pick", "frame_sampling", choices=samplings)
    add("--prompts", default="default", help="a named prompt set: default, expert or plain")
    add("--max-new-tokens", type=int, default=256, help="longest answer, in tokens (default 256)")
    choice = "which text of the turns: the most likely, the majority of answers, or that of one turn for each clip"
    choices = ("likelihood", "majority", "clip")
    add("--turn-choice", default="likelihood", choices=choices, help=f"{choice} (default likelihood)")
    add_runner_options(parser)


def add_runner_options(parser: Any) -> None:
    """Add the options that say where a model runs; :func:`model_settings` and :func:`runner_options` read them."""
    add = parser.add_argument
    runners = ("local", "api", "isolated")
    add("--runner", default="local", choices=runners, help="where the model runs (default local)")
    add("--timeout", type=float, metavar="S", help="for api and isolated: seconds per answer (api 120, isolated 600)")
    _add_local_options(parser.add_argument_group("with --runner local: a transformers model in this process"))
    _add_api_options(parser.add_argument_group("with --runner api: an OpenAI-compatible server"))
    _add_isolated_options(parser.add_argument_group("with --runner isolated: a model in another Python environment"))


# Defaults are None here, so that an option that the chosen runner does not use can be refused.


def _add_local_options(group: Any) -> None:
    add = group.add_argument
    dtypes, quantizations = ("auto", "float32", "bfloat16", "float16"), ("4bit", "8bit")
    add("--dtype", choices=dtypes, help="data type of the weights (default auto: as they were saved)")
    add("--attention", metavar="KERNEL", help="sdpa, eager, flash_attention_2, … (default: the model's)")
    add("--quantization", choices=quantizations, help="quantize the weights with bitsandbytes")
    _add_old_spelling(group, "--quantise", "quantization", choices=quantizations)
    add("--as-images", action="store_true", default=None, help="pass frames as images even to video models")
    add("--device", help="cpu, cuda:1, … (default: the accelerator of this process)")
    add("--device-map", help="auto spreads a model over several GPUs")
    add("--batch-size", type=int, help="largest batch; halved after an out-of-memory error")
    add("--workers", type=int, help="threads that decode clips (default 2)")
    add("--no-shared-prefix", action="store_true", default=None, help="encode a clip again for each question")


def _add_api_options(group: Any) -> None:
    add = group.add_argument
    add("--base-url", help="address of the server, such as http://localhost:8000/v1 (default: OpenAI)")
    add("--key-env", metavar="NAME", help="the environment variable with the key (default OPENAI_API_KEY)")
    add("--concurrency", type=int, help="requests at the same time (default 8)")
    add("--max-retries", type=int, metavar="N", help="retries per item after an error of the server (default 5)")
    # --tries also counted the first attempt.
    _add_old_spelling(group, "--tries", "max_retries", type=_retries_of)
    add("--retry-timeout", type=float, metavar="S", help="longest wait for a busy server, in seconds (default 900)")
    _add_old_spelling(group, "--patience", "retry_timeout", type=float)
    add("--price-in", type=float, help="price of 1,000 input tokens; adds the cost to results.json")
    add("--price-out", type=float, help="price of 1,000 output tokens")
    add("--image-side", type=int, metavar="PIXELS", help="resize the longer side of frames to this")
    add("--image-detail", choices=("low", "high", "auto"), help="image detail at OpenAI (default low)")


def _add_isolated_options(group: Any) -> None:
    add = group.add_argument
    add("--python", metavar="FILE", help="the interpreter, such as envs/owl/bin/python")
    add("--adapter", help="how to call the model: internvl, owl3 or a file.py (default: detect it)")
    add("--trust-remote-code", action="store_true", default=None, help="allow the model to run its own code")


def _retries_of(tries: str) -> int:
    """The retries that the old option --tries allowed."""
    return int(tries) - 1


_retries_of.__name__ = "int"  # argparse shows it for a value that is not a number


def _add_old_spelling(parser: Any, option: str, dest: str, **options: Any) -> None:
    """Accept the former spelling of an option without showing it in ``--help``."""
    parser.add_argument(option, dest=dest, default=argparse.SUPPRESS, help=argparse.SUPPRESS, **options)


def run(args: argparse.Namespace) -> int:
    from ..data import load_dataset
    from ..inference import TextSettings, predict_texts, resolve_settings
    from ..inference.vlm.phases import describe_phases
    from ..runtime import rank_and_world_size

    names = ("model", "revision", "temperature", "seed", "turns", *ASKED)
    settings = TextSettings(args.what, **_given(args, *names), **model_settings(args))
    options = runner_options(args)
    settings = resolve_settings(settings, options.get("environment"))
    where = {"data_dir": args.data_dir, "source": args.source} | ({"scheme": args.scheme} if args.scheme else {})
    rows = load_dataset(args.what, split=args.split, videos=args.model not in BASELINES, **where)
    folder = Path(args.out or Path("runs") / f"{args.what}-{args.model.strip('/').replace('/', '--')}")
    summary = predict_texts(settings, rows, folder, limit=args.limit, retry_failed=args.retry_failed, **options)

    rank, world_size = rank_and_world_size()
    if world_size > 1 and summary["missing"]:
        print(f"process {rank} is done; other processes still work on {summary['missing']} items, or they are missing")
        return 0
    kinds = ", ".join(f"{kind} {count}" for kind, count in summary["failed_kinds"].items())
    print(
        f"{summary['finished']} finished ({summary['done_now']} now, {summary['seconds_now']} s), "
        f"{summary['failed']} failed{f' ({kinds})' if kinds else ''}, {summary['missing']} missing; "
        f"predictions are in {summary['predictions']}"
        + ("; run the command with --retry-failed to repeat the failed items" if summary["failed"] else "")
        + (f"; {describe_phases(summary['phases'])}" if "phases" in summary else "")
    )
    # A launcher stops all processes when one exits with an error, and a failed item is not a reason to do so.
    return 1 if summary["failed"] and world_size == 1 else 0


def model_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that only some runners use, and refuse the options that the chosen runner does not use."""
    is_baseline = args.model in BASELINES
    for name, runners in RUNNERS_OF_OPTION.items():
        if getattr(args, name) is not None and args.runner not in runners and not (is_baseline and "local" in runners):
            option = "--" + name.replace("_", "-")
            raise RecipeError(f"{option} has no effect with --runner {args.runner}; it needs {' or '.join(runners)}")
    names = ("dtype", "attention", "quantization", "as_images", "image_side", "image_detail")
    return {} if is_baseline else _given(args, *names)


def _given(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    return {name: getattr(args, name) for name in names if getattr(args, name) is not None}


def runner_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the argument of ``predict_texts`` that configures the chosen runner."""
    from ..inference import Endpoint, IsolatedEnvironment, Placement

    if args.model in BASELINES:
        return {}
    if args.runner == "api":
        connection = _given(args, "base_url", "key_env", "timeout", "concurrency", "max_retries", "retry_timeout")
        return {"endpoint": Endpoint(**connection, **_given(args, "price_in", "price_out"))}
    if args.runner == "isolated":
        options = _given(args, "python", "adapter", "trust_remote_code", "timeout")
        return {"environment": IsolatedEnvironment(**options)} if args.python else {}
    options = _given(args, "device", "device_map", "batch_size", "workers")
    return {"placement": Placement(**options, shared_prefix=not args.no_shared_prefix)}
