"""`microg4m curate`: make a dataset in the released layout from raw footage; `curate_review` has the other commands."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from . import curate_review

# ``microg4m curate init``: find films, give them ids, record where they come from.


def configure_init(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("videos", nargs="+", metavar="VIDEOS", help="films, or folders that are searched for films")
    add("--out", required=True, metavar="WORK", help="the work folder; an existing one gets the films that are new")
    add("--domain", choices=("real", "movie"), help="the domain of films that --sources gives none")
    add("--sources", metavar="FILE", help="a CSV file with path (or source), license, url, attribution and domain")
    _add_settings_options(parser)


def _add_settings_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--protocol", choices=("default", "paper"), help="paper repeats what the authors did (default: default)")
    add("--detector", metavar="NAME", help="a model of transformers by its Hub id or folder, or module:function")
    add("--tracker", metavar="NAME", help="two-stage (default), or module:function")
    add("--shots", metavar="NAME", help="content (default), or module:function")
    add("--set", nargs="+", default=[], metavar="KEY=VALUE", help="any other setting, as in people.turns=1")


def _settings(args: argparse.Namespace, folder: Path) -> Any:
    """Return the settings that the options ask for; None if they change nothing in the folder."""
    from ..curate.protocols import CurateSettings
    from ..curate.work import SETTINGS

    named = {"people.detector": args.detector, "tracks.method": args.tracker, "shots.method": args.shots}
    words = [f"{key}={json.dumps(value)}" for key, value in named.items() if value is not None] + args.set
    if args.protocol is not None:
        return CurateSettings.of(args.protocol, words)
    if not words:
        return None
    path = folder.expanduser() / SETTINGS
    return (CurateSettings.load(path) if path.is_file() else CurateSettings()).override(words)


def run_init(args: argparse.Namespace) -> int:
    from ..curate.footage import init_work

    settings = _settings(args, Path(args.out))
    found = init_work(args.videos, args.out, domain=args.domain, sources=args.sources, settings=settings)
    for line in found.skipped:
        print(f"left out: {line}")
    sources = found.work.sources()
    print(f"{len(found.added)} new films, {len(sources)} in all: {found.work.folder}")
    without = [source.source for source in sources if not source.license]
    if without:
        print(f"{len(without)} films have no license yet, a release needs one: {found.work.folder / 'sources.csv'}")
    return 0


# ``microg4m curate run``: run what is missing.


def configure_run(parser: argparse.ArgumentParser) -> None:
    from ..curate.stages import STAGES

    add = parser.add_argument
    add("work", metavar="WORK", help="the work folder")
    add("--until", default=STAGES[-1], choices=STAGES, help="the last stage to run (default: all)")
    _add_settings_options(parser)
    add("--batch-size", type=int, default=8, help="pictures that the detector gets at a time (default 8)")
    add("--accept-license", action="store_true", help="you have read the license of a detector that is not known here")
    add("--retry-failed", action="store_true", help="try films and clips again that failed before")
    text = "where items run: in this process (default), or on the Ray cluster at RAY_ADDRESS, else a local one"
    add("--executor", choices=("here", "ray"), default="here", help=text)
    add("--workers", type=int, help="with --executor ray: how many items run at once (default: all processors, GPUs)")


def run_run(args: argparse.Namespace) -> int:
    from ..curate.proposals import check_models
    from ..curate.stages import STAGES, Options, run_work
    from ..curate.work import SETTINGS, Work
    from ..runtime import is_main_process, rank_and_world_size

    work = Work(args.work)
    settings = _settings(args, work.folder)
    rank, world_size = rank_and_world_size()
    stages = STAGES[: STAGES.index(args.until) + 1]
    if settings is not None and settings != work.settings:
        work = Work(args.work, settings)
        check_models(work, stages, world_size)  # a model that is not there is not stored
        if is_main_process():
            settings.save(work.folder / SETTINGS)
    executor = None
    if args.executor == "ray":
        from ..curate.ray_executor import ray_executor

        executor = ray_executor(workers=args.workers)
    options = Options(args.batch_size, args.accept_license, args.retry_failed)
    state = run_work(work, until=args.until, options=options, executor=executor, rank=rank, world_size=world_size)
    if is_main_process():
        print("\n".join(_state_lines(state) + _proposal_lines(state, stages)))
    return 0


def _state_lines(state: dict[str, Any]) -> list[str]:
    lines = [f"{state['folder']}: {state['sources']} films, {state['clips']} clips, protocol {state['protocol']}"]
    for stage, counts in state["stages"].items():
        lines += _count_lines(stage, counts)
    lines.append("  filter  " + (", ".join(f"{reason} {count}" for reason, count in state["filter"].items()) or "–"))
    return lines


def _count_lines(stage: str, counts: dict[str, Any]) -> list[str]:
    missing = counts["items"] - counts["done"] - counts["failed"]
    parts = [f"{counts['done']} done"] + [f"{missing} missing"] * bool(missing)
    parts += [f"{counts['failed']} failed"] * bool(counts["failed"])
    return [f"  {stage:8}{', '.join(parts)}"] + [
        f"          {name}: {why}" for name, why in list(counts["why"].items())[:10]
    ]


def _proposal_lines(state: dict[str, Any], stages: Iterable[str]) -> list[str]:
    """Return the lines about the stages in which models propose; a stage without a model says how to name one."""
    lines = []
    for stage, found in state["proposals"].items():
        if stage in stages and found["asked"] is not None:
            counted = _count_lines(stage, found["asked"]) if stage == "actions" else None
            lines += counted or curate_review.text_lines(found["asked"])
        elif stage in stages and found["model"] is None:
            lines.append(f"  {stage:8}skipped: no model; name one with --set {stage}.model=MODEL")
    return lines


# ``microg4m curate status``: what is done, failed and dropped.


def configure_status(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("work", metavar="WORK", help="the work folder")
    parser.add_argument("--clips", action="store_true", help="also list every clip with its verdict")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run_status(args: argparse.Namespace) -> int:
    from dataclasses import asdict

    from ..curate.stages import describe_work
    from ..curate.verdicts import judge_clips
    from ..curate.work import Work

    work = Work(args.work)
    state = describe_work(work)
    verdicts = list(judge_clips(work).values()) if args.clips else []
    if args.json:
        print(json.dumps(state | ({"verdicts": [asdict(one) for one in verdicts]} if args.clips else {}), indent=2))
        return 0
    print("\n".join(_state_lines(state) + _proposal_lines(state, ("actions",))))
    for one in verdicts:
        number = "" if one.value is None else f"  {one.value:g} (limit {one.limit:g})"
        print(f"  {one.video_id}  {'kept' if one.kept else one.reason}{number}{f'  {one.other}' if one.other else ''}")
    for line in curate_review.review_lines(work, [clip.video_id for clip in work.clips()]):
        print(line)
    return 0


# ``microg4m curate release``: write the dataset.


def configure_release(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("work", metavar="WORK", help="the work folder")
    parser.add_argument("--out", metavar="DIR", help="the folder of the release (default: release/ in the work folder)")
    parser.add_argument("--unreviewed", action="store_true", help="also release clips that nobody has reviewed")
    rules = ("unanimous", "majority", "newest")
    parser.add_argument("--rule", choices=rules, default=rules[0], help="how several reviewers decide (unanimous)")


def run_release(args: argparse.Namespace) -> int:
    from ..curate.release_folder import release_work
    from ..curate.work import Work

    work = Work(args.work)
    summary = release_work(work, args.out or work.folder / "release", unreviewed=args.unreviewed, rule=args.rule)
    for name in ("clips", "people", "boxes", "labels", "captions", "questions", "angles", "sources"):
        print(f"  {name:10}{summary[name]:>9,}")
    print("  splits    " + ", ".join(f"{split} {clips}" for split, clips in summary["splits"].items()))
    for note in summary["notes"]:
        print(f"note: {note}")
    print(f"{summary['folder']}: no faults")
    return 0


COMMANDS = {
    "init": (configure_init, run_init, "find films, give them ids, record where they come from"),
    "run": (
        configure_run,
        run_run,
        "run what is missing: cut, shots, people, tracks, filter, actions, texts",
    ),
    **curate_review.COMMANDS,
    "status": (configure_status, run_status, "print what is done, failed and dropped, and why"),
    "release": (configure_release, run_release, "write the dataset in the released layout, and check it"),
}
