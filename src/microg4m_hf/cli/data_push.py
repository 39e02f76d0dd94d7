"""``microg4m data push``: publish the data set as a Hub repository."""

from __future__ import annotations

import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("repo", help="the repository, e.g. my-name/MicroG-4M; made if it is not there")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--data-dir", metavar="DIR", help="a folder with annotation files and clips")
    where.add_argument("--source", help="'sample', 'hub' (default) or a Hub repository with the release")
    parser.add_argument("--revision", help="revision of the Hub repository that is read")
    parser.add_argument("--private", action="store_true", help="make the repository private if it is made now")
    parser.add_argument("--on-error", choices=("raise", "skip"), default="raise", help="what to do with wrong rows")
    parser.add_argument("--dry-run", action="store_true", help="read and plan everything, send nothing")


def run(args: argparse.Namespace) -> int:
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
        print("nothing was sent; run it without --dry-run to push")
        return 0
    if report.removed:
        print(f"  {len(report.removed)} files of an earlier push removed")
    print(f"  loaded back, clips decoded: {', '.join(report.checked_clips)}")
    print(f'load_dataset("{report.repo_id}", "har", revision="{report.commit}")')
    print(report.url)
    return 0
