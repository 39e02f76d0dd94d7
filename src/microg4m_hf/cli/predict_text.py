"""``microg4m predict caption|vqa --model …``: runs a vision-language model, or a baseline that needs none."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import RecipeError
from . import predict_local, predict_runners

if TYPE_CHECKING:
    from ..inference.items import Settings
    from ..inference.run import Runner

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
    predict_local.configure(parser)
    predict_runners.configure(parser)


def run(args: argparse.Namespace) -> int:
    from ..data import load_dataset
    from ..inference.items import Settings, clip_work, fingerprint_of, paper_frames
    from ..inference.run import run as run_all
    from ..runtime import rank_and_world

    blind = args.model in BASELINES
    if blind and args.runner != "local":
        raise RecipeError(f"--model {args.model} is a baseline of our own; leave --runner {args.runner} out")
    of_runner = predict_runners.settings_of(args)
    if not blind:
        of_runner |= predict_local.settings_of(args)
    rank, world = rank_and_world()
    where = {"data_dir": args.data_dir, "source": args.source}
    if args.scheme:
        where["scheme"] = args.scheme
    rows = load_dataset(args.what, split=args.split, videos=not blind, **where)
    everything = clip_work(args.what, rows)
    work = everything[: args.limit]
    settings = Settings(
        task=args.what,
        model=args.model,
        runner=args.model if blind else args.runner,
        revision=args.revision,
        prompts=args.prompts,
        frames=args.frames or paper_frames(args.model) or 8,
        pick=args.pick,
        max_new_tokens=args.max_new_tokens,
        temperature=args.temperature,
        seed=args.seed,
        data=fingerprint_of(everything),
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


def _runner(args: argparse.Namespace, settings: Settings, rows: Any, world: int) -> Runner:
    if settings.runner in BASELINES:
        from ..inference.baselines import baseline_runner

        return baseline_runner(settings, rows)
    if settings.runner != "local":
        return predict_runners.make(args, settings, world)
    from ..inference.vlm.local import local_runner

    return local_runner(settings, predict_local.placement_of(args))
