"""``microg4m weights list|fetch|where|verify``: released and pre-trained weights by name."""

from __future__ import annotations

import argparse

_SEVERAL = "several files"


def configure_list(parser: argparse.ArgumentParser) -> None:
    """The command has no options."""


def run_list(args: argparse.Namespace) -> int:
    from ..models.weights import MODELS_REPO, WEIGHTS, ZOO, local_files

    states = ("to fetch", "here", _SEVERAL)
    shown: set[str] = set()
    print(f"{'name':24}{'fine-tuned':15}{'pre-trained':15}files: {MODELS_REPO}, {ZOO}")
    for name, weights in WEIGHTS.items():
        released = states[min(2, len(local_files(name)))] if weights.released else "–"
        pretrained = states[min(2, len(local_files(name, pretrained=True)))] if weights.pretrained else "–"
        files = [f"{weights.released[0]} (epoch {weights.epochs[0]})"] if weights.released else []
        files.append(weights.pretrained or weights.reason)
        print(f"{name:24}{released:15}{pretrained:15}{'; '.join(files)}")
        shown |= {released, pretrained}
    print("\nmicrog4m weights fetch NAME downloads them; microg4m predict har --model released:NAME uses them.")
    if _SEVERAL in shown:
        print(f"{_SEVERAL}: microg4m weights where NAME names them.")
    return 0


def configure_fetch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="+", metavar="NAME", help="a name of `microg4m weights list`, or all")
    parser.add_argument("--pretrained", action="store_true", help="the file the published run began from")
    parser.add_argument("--revision", help="commit, tag or branch of the authors' repository")
    parser.add_argument("--file", help="the file in it, where several belong to a model")


def run_fetch(args: argparse.Namespace) -> int:
    from ..models.weights import WEIGHTS, fetch_pretrained, fetch_released

    names = args.names
    if names == ["all"]:
        names = [name for name, one in WEIGHTS.items() if one.pretrained or not args.pretrained]
    where = {"revision": args.revision, "file": args.file}
    for name in names:
        file = fetch_pretrained(name) if args.pretrained else fetch_released(name, **where)
        print(f"{name}: {file.path} ({file.origin})")
    return 0


def configure_where(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="a name of `microg4m weights list`")
    parser.add_argument("--pretrained", action="store_true", help="the file the published run began from")
    parser.add_argument("--file", help="the fine-tuned file, where several belong to a model")


def run_where(args: argparse.Namespace) -> int:
    from ..errors import CheckpointError
    from ..models.weights import local_file

    path = local_file(args.name, pretrained=args.pretrained, file=args.file)
    if path is None:
        option = " --pretrained" if args.pretrained else f" --file {args.file}" if args.file else ""
        raise CheckpointError(f"{args.name} is not on this machine; run microg4m weights fetch {args.name}{option}")
    print(path)
    return 0


def configure_verify(parser: argparse.ArgumentParser) -> None:
    """The command has no options."""


def run_verify(args: argparse.Namespace) -> int:
    from ..models.download import verify_all

    problems = 0
    for source, path, problem in verify_all():
        print(f"{'ok' if problem is None else problem}: {path} ({source})")
        problems += problem is not None
    return 1 if problems else 0


COMMANDS = {
    "list": (configure_list, run_list, "list the weights by name, and which of them are on this machine"),
    "fetch": (configure_fetch, run_fetch, "download weights into the cache"),
    "where": (configure_where, run_where, "print the path of a file on this machine"),
    "verify": (configure_verify, run_verify, "compare all downloaded files with the digests of their first download"),
}
