"""``microg4m data``: make the sample, check, count, publish and export a release of the dataset."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ..errors import SourceError
from ..storage import atomic_folder
from .options import add_release_options, find_release

# ``microg4m data check``: list all faults of a release; exit code 1 if there are any.

MAX_SHOWN = 50


def configure_check(parser: argparse.ArgumentParser) -> None:
    add_release_options(parser)
    parser.add_argument("--decode", action="store_true", help="also decode every frame of every clip")
    parser.add_argument("--workers", type=int, help="processes that decode (default: one for each processor)")
    parser.add_argument("--json", action="store_true", help="print the whole report as JSON")


def run_check(args: argparse.Namespace) -> int:
    from ..data.check import check

    report = check(find_release(args), decode=args.decode, workers=args.workers)
    if args.json:
        print(json.dumps(report, indent=2, default=str))
    else:
        for problem in report["problems"][:MAX_SHOWN]:
            print(" ".join(problem["text"].split()))
        if report["faults"] > MAX_SHOWN:
            print(f"… and {report['faults'] - MAX_SHOWN} more; --json lists them")
        for note in report["notes"]:
            print(f"note: {note}")
        print(f"{report['root']}: {report['faults'] or 'no'} fault{'' if report['faults'] == 1 else 's'}")
    return 1 if report["faults"] else 0


# ``microg4m data unpack``: unpack the clips of a downloaded release.


def configure_unpack(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir", required=True, metavar="DIR", help="a folder with the released files, videos.zip too"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="another folder for the clips and the annotation files")


def run_unpack(args: argparse.Namespace) -> int:
    from ..data.release.clip_files import list_clips
    from ..data.unpack import unpack_release

    folder = unpack_release(Path(args.data_dir).expanduser(), args.out)
    if folder is None:
        raise SourceError(f"{args.data_dir} contains no videos.zip; name the folder that it was downloaded to")
    sizes = [size for _, size in list_clips(folder)]
    print(f"{len(sizes):,} clips ({sum(sizes) / 1e6:,.1f} MB): {folder}")
    return 0


# ``microg4m data export-ava``: write key frames as AVA-style CSV files.


def configure_export_ava(parser: argparse.ArgumentParser) -> None:
    add_release_options(parser)
    parser.add_argument("--scheme", default="official", help="official (default) or source_disjoint")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder to write the three files to")


def run_export_ava(args: argparse.Namespace) -> int:
    from ..data.export_ava import export_ava

    for name, rows in export_ava(find_release(args, texts=False), args.out, args.scheme).items():
        print(f"{args.out}/{name}: {rows} rows")
    return 0


# ``microg4m data push``: publish the dataset as a Hub repository.


def configure_push(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("repo", help="the repository, e.g. my-name/MicroG-4M; created if it does not exist")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--data-dir", metavar="DIR", help="a folder with annotation files and clips")
    where.add_argument("--source", help="'sample', 'hub' (default) or a Hub repository with the release")
    parser.add_argument("--revision", help="commit, tag or branch of the repository to read from")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.add_argument(
        "--on-error",
        choices=("raise", "skip"),
        default="raise",
        help="stop at the first faulty row (default), or skip faulty rows",
    )
    parser.add_argument("--dry-run", action="store_true", help="read and plan everything, but upload nothing")


def run_push(args: argparse.Namespace) -> int:
    from ..data.publish.push import push_dataset

    report = push_dataset(
        args.repo,
        data_dir=args.data_dir,
        source=args.source,
        revision=args.revision,
        private=args.private,
        on_error=args.on_error,
        dry_run=args.dry_run,
    )
    for config, splits in report.rows.items():
        print(f"  {config:20}" + ", ".join(f"{split} {rows:,}" for split, rows in splits.items()))
    print(f"  {len(report.files)} Parquet files, {report.clip_bytes / 1e6:,.1f} MB of clips, each stored once")
    if report.left_out:
        print(f"  left out: {report.left_out}")
    if args.dry_run:
        print("nothing was uploaded; run the command without --dry-run to push")
        return 0
    if report.removed:
        print(f"  {len(report.removed)} files of an earlier push removed")
    print(f"  loaded back, clips decoded: {', '.join(report.checked_clips)}")
    print(f'load_dataset("{report.repo_id}", "har", revision="{report.commit}")')
    print(report.url)
    return 0


# ``microg4m data sample``: make the built-in sample and print its folder.


def configure_sample(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, metavar="DIR", help="a new folder for the sample (default: the cache)")
    parser.add_argument("--lying", action="store_true", help="people only stand or lie asleep, for `microg4m gap`")
    parser.add_argument("--upright", action="store_true", help="everyone is upright, as on Earth")


def run_sample(args: argparse.Namespace) -> int:
    from ..data.sample import ensure_sample, make_sample

    if args.out is None:
        if args.lying or args.upright:
            raise SourceError(
                "--lying and --upright make another sample than the built-in one; name its folder with --out"
            )
        folder = ensure_sample()
    else:
        folder = args.out
        if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            raise SourceError(f"{folder} already exists and nothing is overwritten; name a new folder with --out")
        with atomic_folder(folder) as scratch:
            make_sample(scratch, lying=args.lying, upright=args.upright)
    clips = list(folder.glob("videos/*/*/*.mp4"))
    size = sum(path.stat().st_size for path in clips)
    print(f"{len(clips)} clips ({size / 1e6:.1f} MB) in the released layout: {folder}")
    return 0


# ``microg4m data stats``: count clips, persons, labels, captions, questions, splits and leaks.


def configure_stats(parser: argparse.ArgumentParser) -> None:
    add_release_options(parser)
    parser.add_argument("--scheme", help="report on the splits of official or source_disjoint only (default: both)")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run_stats(args: argparse.Namespace) -> int:
    from ..data.stats import stats

    found = stats(find_release(args), args.scheme)
    print(json.dumps(found, indent=2) if args.json else "\n".join(_lines(found)))
    return 0


def _lines(found: dict[str, Any]) -> list[str]:
    lines = [found["root"]]

    def row(name: str, value: object, note: str = "") -> None:
        lines.append(f"  {name:24}{value:>9}{'   ' + note if note else ''}")

    def by_domain(name: str) -> str:
        return ", ".join(f"{count} {domain}" for domain, count in sorted(found[name].items(), reverse=True))

    row("clips", found["clips"], by_domain("clips_of_domain"))
    row("sources", found["sources"], by_domain("sources_of_domain"))
    row("label rows", found["label_rows"], by_domain("label_rows_of_domain"))
    row("distinct labels", found["labels"], f"{found['label_repeats']} rows only repeat another")
    row("classes", found["classes"], by_domain("classes_of_domain"))
    row("persons", found["persons"], f"{found['persons_with_box']} have boxes")
    row("labels without a box", found["labels_without_box"], ", ".join(found["persons_without_box"][:6]))
    row("boxes", found["boxes"], "" if found["files"]["boxes"] else "bounding_boxes.csv is missing")
    row("key frames", found["key_frames"], f"{found['clips_with_several_key_frames']} clips have more than one")
    for (split, part), name in zip(found["official"].items(), ("ava_train", "ava_val", "ava_test"), strict=False):
        rows = found["key_frame_rows"][f"{name}_rows"]
        row(f"  official {split}", part["clips"], f"clips, {rows} key-frame rows, {part['key_boxes']} boxes")
    if "captions" in found:
        row("captions", found["captions"], f"of {found['clips_with_caption']} clips")
        sizes = ", ".join(f"{count} of {size}" for size, count in found["questions_per_entry"].items())
        row("questions", found["questions"], f"entries by number of questions: {sizes}")
        row("'Not mentioned'", found["questions_not_mentioned"])
    if assumed := found["counts"].get("frame_sizes_from_assumed"):
        row("assumed frame sizes", assumed, "clips: no key frame to infer it from, no video file")
    if found["clips_without_official_place"]:
        row("in no official file", len(found["clips_without_official_place"]), "clips, counted as train")
    row("faults", found["faults"], "left out; microg4m data check lists them" if found["faults"] else "")
    for report in found["schemes"].values():
        lines += _scheme_lines(report)
    return lines


def _scheme_lines(report: dict[str, Any]) -> list[str]:
    lines = ["", f"scheme {report['scheme']}"]
    if "error" in report:
        return [*lines, f"  {report['error']}"]
    lines.append(f"  {'':12}{'clips':>7}{'share':>8}{'real':>8}{'movie':>8}{'sources':>9}{'classes':>9}")
    for split, part in report["clips"].items():
        real, movie = (report["domains"][domain][split]["share"] for domain in ("real", "movie"))
        lines.append(
            f"  {split:12}{part['clips']:>7}{part['share']:>8.1%}{real:>8.1%}{movie:>8.1%}"
            f"{report['sources'][split]:>9}{report['classes'][split]:>9}"
        )
    leak = report["leak"]
    lines.append(
        f"  leak: {leak['shared_sources']} of {leak['test_sources']} test sources are in train; "
        f"{leak['test_clips_sharing_source_share']:.0%} of the test clips share a source with train, "
        f"{leak['test_clips_with_neighbour_share']:.0%} have a neighbor there"
    )
    lost = [item["name"] + (" (one source only)" if item["unavoidable"] else "") for item in report["classes_lost"]]
    return [*lines, f"  classes not in both train and test: {'; '.join(lost) or 'none'}"]


COMMANDS = {
    "sample": (configure_sample, run_sample, "make the built-in sample and print its folder"),
    "unpack": (configure_unpack, run_unpack, "unpack the videos.zip of a downloaded release"),
    "check": (configure_check, run_check, "list everything that is wrong in a release"),
    "stats": (configure_stats, run_stats, "count clips, persons, labels, captions, questions and leaks"),
    "push": (configure_push, run_push, "publish the dataset as a Hub repository"),
    "export-ava": (configure_export_ava, run_export_ava, "write AVA-style key-frame CSV files"),
}
