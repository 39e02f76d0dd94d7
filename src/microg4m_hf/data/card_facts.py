"""The numbers on the data set card, counted from the rows that are published."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from .leak import leak_report


def card_facts(
    repo: str, har: dict[str, pa.Table], disjoint: dict[str, str], caption: pa.Table, vqa: pa.Table, clip_bytes: int
) -> dict[str, str]:
    """Values for the places of the card's template; ``har`` is divided officially, ``disjoint`` the other way."""
    rows = pa.concat_tables(har.values())
    persons = pc.list_flatten(rows["persons"]).combine_chunks()
    domains = rows["domain"].to_pylist()
    official = {video_id: split for split, table in har.items() for video_id in table["video_id"].to_pylist()}
    facts = {
        "repo": repo,
        "clips": f"{len(rows):,}",
        "clips_real": f"{domains.count('real'):,}",
        "clips_movie": f"{domains.count('movie'):,}",
        "sources": f"{len(set(rows['source'].to_pylist())):,}",
        "persons": f"{len(persons):,}",
        "labels": f"{len(pc.list_flatten(pc.struct_field(persons, 'actions'))):,}",
        "boxes": f"{len(pc.list_flatten(pc.struct_field(persons, 'boxes'))):,}",
        "captions": f"{len(caption):,}",
        "questions": f"{len(vqa):,}",
        "size": f"{clip_bytes / 1e9:.1f} GB" if clip_bytes >= 1e9 else f"{clip_bytes / 1e6:.1f} MB",
        "splits_official": _sizes(official),
        "splits_disjoint": _sizes(disjoint),
    }
    for scheme, split_of_clip in (("official", official), ("disjoint", disjoint)):
        leak = leak_report(split_of_clip)
        facts[f"leak_{scheme}_sources"] = f"{leak['shared_sources']} of {leak['test_sources']}"
        facts[f"leak_{scheme}_clips"] = _share(leak, "test_clips_sharing_source")
        facts[f"leak_{scheme}_neighbours"] = _share(leak, "test_clips_with_neighbour")
    return facts


def _share(leak: dict[str, Any], what: str) -> str:
    return f"{leak[what]} of {leak['test_clips']} ({100 * leak[f'{what}_share']:.0f} %)"


def _sizes(split_of_clip: dict[str, str]) -> str:
    """
    >>> _sizes({"a_1": "train", "a_2": "train", "b_1": "test"})
    'train 2, test 1'
    """
    splits = list(split_of_clip.values())
    counted = {split: splits.count(split) for split in ("train", "validation", "test")}
    return ", ".join(f"{split} {count:,}" for split, count in counted.items() if count)
