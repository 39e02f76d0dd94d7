"""`microg4m curate texts|actions|review|export-review|import-review`: what models propose and people decide."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from .predict_text import add_runner_options, model_settings, runner_options

HOST, PORT = "127.0.0.1", 7860
_RULES = ("unanimous", "majority", "newest")
_TOOLS = ("cvat", "label-studio")


def _add_work(parser: argparse.ArgumentParser) -> Any:
    parser.add_argument("work", metavar="WORK", help="the work folder")
    return parser.add_argument


def _add_rule(parser: argparse.ArgumentParser) -> None:
    text = "how judgments of several reviewers become one (default unanimous)"
    parser.add_argument("--rule", choices=_RULES, default=_RULES[0], help=text)


def _clips(args: argparse.Namespace) -> list[str]:
    """The clips that models are asked about; there must be some."""
    from ..curate.proposals import kept_clips
    from ..curate.work import Work
    from ..errors import SourceError

    found = kept_clips(Work(args.work))
    if not found:
        raise SourceError(f"{args.work} has no clip that is kept; run `microg4m curate run {args.work}` first")
    return found


# ``microg4m curate texts``: captions and questions.


def configure_texts(parser: argparse.ArgumentParser) -> None:
    add = _add_work(parser)
    add("--model", required=True, help="a vision-language model: a Hub id, a folder, or the name of a served model")
    add("--frames", type=int, default=0, help="frames per clip (default: as in the model's published row, else 8)")
    add("--max-new-tokens", type=int, default=1024, help="longest reply, in tokens (default 1024)")
    add("--temperature", type=float, default=0.0, help="sample replies with a temperature above 0 (default 0)")
    add("--seed", type=int, default=0, help="seed of sampled replies")
    add("--revision", help="revision of the model")
    add("--retry-failed", action="store_true", help="ask again what failed before")
    add_runner_options(parser)


def run_texts(args: argparse.Namespace) -> int:
    from ..curate.drafting import draft_texts, text_settings

    names = ("runner", "revision", "frames", "max_new_tokens", "temperature", "seed")
    given = {name: value for name in names if (value := getattr(args, name)) is not None}
    settings = text_settings(args.model, **given, **model_settings(args))
    options = runner_options(args)
    summary = draft_texts(args.work, settings, clips=_clips(args), retry_failed=args.retry_failed, **options)
    print("\n".join(text_lines(summary)))
    return 1 if summary["failed"] else 0


def text_lines(summary: dict[str, Any]) -> list[str]:
    """Return the lines that ``texts`` and ``status`` print about the drafts."""
    now = f" ({summary['done_now']} now)" if "done_now" in summary else ""
    lines = [f"texts: {summary['finished']} done{now}, {summary['failed']} failed, {summary['missing']} missing"]
    lines += [f"  {one['id']}: {one['kind']}: {one['why']}" for one in summary["failures"][:10]]
    dropped = ", ".join(f"{count} because {why}" for why, count in summary["questions_dropped"].items())
    lines.append(f"  {summary['questions_kept']} questions are proposed" + f"; left out: {dropped}" * bool(dropped))
    if summary["clips_with_unreadable_questions"]:
        lines.append(f"  {summary['clips_with_unreadable_questions']} replies hold no questions with answers")
    if summary.get("cost") is not None:
        lines.append(f"  {summary['requests']} requests, cost {summary['cost']:g}")
    return lines


# ``microg4m curate actions``: proposals of an action model.


def configure_actions(parser: argparse.ArgumentParser) -> None:
    add = _add_work(parser)
    add("--model", required=True, help="an action model: a training run, a model folder, or a Hub id")
    add("--retry-failed", action="store_true", help="ask again about clips that failed before")


def run_actions(args: argparse.Namespace) -> int:
    from ..curate.action_proposals import propose_actions

    found = propose_actions(args.work, args.model, clips=_clips(args), retry_failed=args.retry_failed)
    done = f"{found['finished']} clips done ({found['done_now']} now)"
    print(f"actions: {done}, {found['failed']} failed, {found['missing']} missing; reviewers see them, none is ticked")
    for item, why in list(found["failures"].items())[:10]:
        print(f"  {item.partition('@')[0]}: {why}")
    return 1 if found["failed"] else 0


# ``microg4m curate review``: the page.


def configure_review(parser: argparse.ArgumentParser) -> None:
    add = _add_work(parser)
    add("--reviewer", metavar="NAME", help="who reviews (default: the page asks)")
    _add_rule(parser)
    add("--overlap", type=float, default=0.1, help="share of the clips that every reviewer gets (default 0.1)")
    add("--host", default=HOST, help="address to serve on; 0.0.0.0 gives the network access (default: this machine)")
    add("--port", type=int, default=PORT, help="port to serve on; 0 for any free port (default: 7860)")
    add("--no-browser", action="store_true", help="print the address without opening a browser")


def run_review(args: argparse.Namespace) -> int:
    from ..curate import review_work

    review_work(
        args.work,
        reviewer=args.reviewer,
        rule=args.rule,
        overlap=args.overlap,
        host=args.host,
        port=args.port,
        browser=not args.no_browser,
    )
    return 0


# ``microg4m curate export-review`` and ``import-review``: to annotation tools and back.


def configure_export(parser: argparse.ArgumentParser) -> None:
    add = _add_work(parser)
    add("--to", required=True, choices=_TOOLS, help="the annotation tool")
    add("--out", required=True, metavar="FOLDER", help="the folder to write to")
    add("--reviewer", metavar="NAME", help="what this reviewer thinks (default: what all reviews come to)")
    _add_rule(parser)
    add("--videos", default="", metavar="PREFIX", help="for Label Studio, the address of the clips up to their names")


def run_export(args: argparse.Namespace) -> int:
    from ..curate import export_review
    from ..errors import RecipeError

    if args.videos and args.to != "label-studio":
        raise RecipeError("--videos has no effect on CVAT, which is given the clip itself; leave it out")
    files = export_review(args.work, args.out, to=args.to, reviewer=args.reviewer, rule=args.rule, videos=args.videos)
    print(f"{len(files)} files in {args.out}, the last one: {files[-1].name}")
    return 0


def configure_import(parser: argparse.ArgumentParser) -> None:
    add = _add_work(parser)
    add("file", metavar="FILE", help="what the tool exported, or a folder with such files")
    add("--to", required=True, choices=_TOOLS, help="the annotation tool that wrote it")
    add("--reviewer", required=True, metavar="NAME", help="who made the annotations")


def run_import(args: argparse.Namespace) -> int:
    from ..curate import import_review

    counts = import_review(args.work, args.file, to=args.to, reviewer=args.reviewer)
    changed = sum(1 for count in counts.values() if count)
    print(f"{len(counts)} clips read, {changed} changed by {sum(counts.values())} events of {args.reviewer}")
    return 0


def review_lines(work: Any, clips: Sequence[str], rule: str = "unanimous") -> list[str]:
    """Return the lines that ``status`` prints about reviews: how many, what is disputed, how far people agree."""
    import json

    from ..curate.agreement import describe_agreement, measure_agreement
    from ..curate.review_log import ReviewReader
    from ..curate.reviews import reviewed_state
    from ..errors import MissingExtraError

    reader = ReviewReader(work.folder)
    reader.refresh()
    lines = []
    if reader.events:
        state = reviewed_state(work.folder, rule=rule, clips=clips)
        counts = {name: sum(one.status == name for one in state.values()) for name in ("reviewed", "disputed")}
        kept = sum(one.status == "reviewed" and bool(one.keep) for one in state.values())
        lines.append(
            f"reviews: {counts['reviewed']} clips reviewed, {kept} of them kept, {counts['disputed']} disputed, "
            f"{len(state) - sum(counts.values())} open"
        )
        lines += [f"  {dispute}" for one in state.values() for dispute in one.disagreements][:20]
        try:
            lines += describe_agreement(measure_agreement(state))
        except MissingExtraError:
            lines += describe_agreement(measure_agreement(state, sets=False))
    lines += [f"  left out: {fault}" for fault in reader.faults[:10]]
    results = work.folder / "stages" / "texts" / "results.json"
    if results.is_file():
        lines += text_lines(json.loads(results.read_text(encoding="utf-8")))
    return lines


COMMANDS = {
    "texts": (configure_texts, run_texts, "draft captions and questions with a vision-language model"),
    "actions": (configure_actions, run_actions, "propose actions with an action model"),
    "review": (configure_review, run_review, "review clips, people and texts in a web page on this machine"),
    "export-review": (configure_export, run_export, "write people and actions for CVAT or Label Studio"),
    "import-review": (configure_import, run_import, "read what was annotated in CVAT or Label Studio"),
}
