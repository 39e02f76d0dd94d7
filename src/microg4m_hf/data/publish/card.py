"""The data set card: the template with its counts filled in, and YAML that lists only the splits that exist."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from ..features import published_features
from ..split_report import leak_report

TEMPLATE = Path(__file__).with_name("card.md")
EVAL_YAML = Path(__file__).with_name("eval.yaml")
_PLACE = re.compile(r"\{\{ (\w+) \}\}")


class PublishedFile(NamedTuple):
    """A Parquet file of the repository: what its content hashes to, its rows, and its size there and in Arrow."""

    sha256: str
    rows: int
    size: int
    arrow_size: int


def config_of_features(config: str) -> str:
    """Which of the library's configs a published config has the columns of.

    >>> config_of_features("har_source_disjoint")
    'har'
    """
    return config.removesuffix("_source_disjoint")


def files_of_splits(files: Mapping[str, PublishedFile]) -> dict[str, dict[str, list[str]]]:
    """Published config -> split -> its files, in the order in which readers go through them."""
    found: dict[str, dict[str, list[str]]] = {}
    for config in _front_matter()[0]["configs"]:
        for entry in config["data_files"]:
            names = sorted(name for name in files if fnmatchcase(name, entry["path"]))
            if names:
                found.setdefault(config["config_name"], {})[entry["split"]] = names
    return found


def render_card(facts: Mapping[str, object], files: Mapping[str, PublishedFile]) -> str:
    """README.md of the repository.

    A split without files is left out, because a pattern that matches nothing is an error for every reader. The
    ``version`` of a config is made of its content: a folder that was downloaded by hand is cached by its YAML alone.
    """
    head, body = _front_matter()
    splits = files_of_splits(files)
    head["configs"] = [
        {
            **config,
            "version": _version([files[name] for names in splits[config["config_name"]].values() for name in names]),
            "data_files": [one for one in config["data_files"] if one["split"] in splits[config["config_name"]]],
        }
        for config in head["configs"]
        if config["config_name"] in splits
    ]
    head["size_categories"] = [_size_category(sum(file.rows for file in files.values()))]
    head["dataset_info"] = [_info(config, by_split, files) for config, by_split in splits.items()]
    text = _PLACE.sub(lambda place: str(facts[place[1]]), body)
    return f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True, width=1000)}---\n{text}"


def _front_matter() -> tuple[dict[str, Any], str]:
    _, head, body = TEMPLATE.read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(head), body


def _size_category(rows: int) -> str:
    """
    >>> _size_category(17_285)
    '10K<n<100K'
    """
    steps = [(1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K")]
    return next((name for limit, name in steps if rows < limit), "100K<n<1M")


def _version(files: list[PublishedFile]) -> str:
    digest = hashlib.sha256("".join(file.sha256 for file in files).encode()).hexdigest()
    return f"1.0.{int(digest[:6], 16)}"


def _info(config: str, by_split: Mapping[str, list[str]], files: Mapping[str, PublishedFile]) -> dict[str, Any]:
    """What ``datasets`` calls ``dataset_info``: versions that cannot read the types in Parquet take them from here."""
    splits = [
        {
            "name": split,
            "num_bytes": sum(files[name].arrow_size for name in names),
            "num_examples": sum(files[name].rows for name in names),
        }
        for split, names in by_split.items()
    ]
    return {
        "config_name": config,
        "features": published_features(config_of_features(config))._to_yaml_list(),
        "splits": splits,
        "download_size": sum(files[name].size for names in by_split.values() for name in names),
        "dataset_size": sum(split["num_bytes"] for split in splits),
    }


# The numbers on the data set card, counted from the rows that are published.


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
