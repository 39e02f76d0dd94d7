"""``microg4m data stats``: clips, persons, labels, captions, questions, splits and leaks, counted."""

from __future__ import annotations

import argparse
import json
from typing import Any

from .release_options import add_release_options, find_release


def configure(parser: argparse.ArgumentParser) -> None:
    add_release_options(parser)
    parser.add_argument("--scheme", help="report on official or source_disjoint only (default: both)")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(args: argparse.Namespace) -> int:
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
    row("boxes", found["boxes"], "" if found["files"]["boxes"] else "bounding_boxes.csv is not here")
    row("key frames", found["key_frames"], f"{found['clips_with_several_key_frames']} clips have more than one")
    for split, part in found["official"].items():
        rows = found["key_frame_rows"][
            {"train": "ava_train", "validation": "ava_val", "test": "ava_test"}[split] + "_rows"
        ]
        row(f"  official {split}", part["clips"], f"clips, {rows} key-frame rows, {part['key_boxes']} boxes")
    if "captions" in found:
        row("captions", found["captions"], f"of {found['clips_with_caption']} clips")
        sizes = ", ".join(f"{count} of {size}" for size, count in found["questions_per_entry"].items())
        row("questions", found["questions"], f"entries by number of questions: {sizes}")
        row("'Not mentioned'", found["questions_not_mentioned"])
    if found["counts"].get("frame_sizes_from_assumed"):
        row(
            "assumed frame sizes",
            found["counts"]["frame_sizes_from_assumed"],
            "clips: no key frame tells, no clip there",
        )
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
        f"{leak['test_clips_with_neighbour_share']:.0%} have a neighbour there"
    )
    lost = [item["name"] + (" (one source only)" if item["unavoidable"] else "") for item in report["classes_lost"]]
    return [*lines, f"  classes not in both train and test: {'; '.join(lost) or 'none'}"]
