"""``microg4m predict caption|vqa --model …``: runs a vision-language model, or a baseline that needs none."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from . import predict_runners

BASELINES = ("blind", "majority")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, help="a Hub id or a folder; blind and majority need no model (vqa)")
    parser.add_argument("--out", metavar="FOLDER", help="the run folder (default runs/<task>-<model>)")
    parser.add_argument("--frames", type=int, help="frames a clip (default: as in the model's published row, else 8)")
    parser.add_argument("--prompts", default="default", help="a named prompt set: default, expert or plain")
    parser.add_argument("--max-new-tokens", type=int, default=256)
    parser.add_argument("--revision", help="revision of the model")
    parser.add_argument("--data-dir", help="a folder with the released files")
    parser.add_argument("--source", help="sample, or a Hub data set")
    parser.add_argument("--scheme", help="divide captions and questions like the clips, and take --split")
    parser.add_argument("--split", default="test")
    parser.add_argument("--limit", type=int, metavar="CLIPS", help="only the first clips, for a trial")
    parser.add_argument("--retry-failed", action="store_true", help="try again what failed in an earlier start")
    predict_runners.configure(parser)


def run(args: argparse.Namespace) -> int:
    from ..data import load_dataset
    from ..inference.items import clip_work
    from ..inference.prompts import paper_frames
    from ..inference.run import run as run_all
    from ..inference.settings import Settings

    blind = args.model in BASELINES
    of_runner = predict_runners.settings_of(args)
    world = int(os.environ.get("WORLD_SIZE", "1"))
    where = {"data_dir": args.data_dir, "source": args.source}
    if args.scheme:
        where["scheme"] = args.scheme
    rows = load_dataset(args.what, split=args.split, videos=not blind, **where)
    work = clip_work(args.what, rows)[: args.limit]
    settings = Settings(
        task=args.what,
        model=args.model,
        runner=args.model if blind else args.runner,
        revision=args.revision,
        prompts=args.prompts,
        frames=args.frames or paper_frames(args.model) or 8,
        max_new_tokens=args.max_new_tokens,
        data=getattr(rows, "_fingerprint", ""),
        **of_runner,
    )
    folder = Path(args.out or Path("runs") / f"{args.what}-{args.model.strip('/').replace('/', '--')}")
    summary = run_all(
        settings,
        work,
        folder,
        lambda: _runner(args, settings, rows, world),
        retry_failed=args.retry_failed,
        rank=int(os.environ.get("RANK", "0")),
        world=world,
    )
    print(
        f"{summary['finished']} finished ({summary['done_now']} now, {summary['seconds_now']} s), "
        f"{summary['failed']} failed, {summary['missing']} missing; predictions are in {summary['predictions']}"
    )
    return 0 if not summary["failed"] else 1


def _runner(args, settings, rows, world):  # type: ignore[no-untyped-def]
    if settings.runner in BASELINES:
        from ..inference.blind import baseline_runner

        return baseline_runner(settings, rows)
    if settings.runner != "local":
        return predict_runners.make(args, settings, world)
    from ..inference.local import local_runner

    return local_runner(settings)
