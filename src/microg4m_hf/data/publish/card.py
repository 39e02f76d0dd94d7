"""Fill in the dataset card: counts in the text, and YAML that lists only the splits that exist."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from ...citation import CITATION
from ..features import published_features
from ..split_report import leak_report
from .plan import Publication, PublishedFile

TEMPLATE = Path(__file__).with_name("card.md")
EVAL_YAML = Path(__file__).with_name("eval.yaml")
_PLACEHOLDER = re.compile(r"\{\{ (\w+) \}\}")


def render_card(facts: Mapping[str, object], files: Mapping[str, PublishedFile]) -> str:
    """Return README.md of the repository, from the values of :func:`card_facts` and the files.

    A split without files is left out, because a pattern that matches nothing is an error for every reader. The
    ``version`` of a config follows its content: ``datasets`` caches a folder that was downloaded by hand by its YAML.
    """
    _, front_matter, body = TEMPLATE.read_text(encoding="utf-8").split("---\n", 2)
    meta = yaml.safe_load(front_matter)
    splits = _files_of_splits(meta["configs"], files)
    meta["configs"] = [
        {
            **config,
            "version": _version([files[name] for names in splits[config["config_name"]].values() for name in names]),
            "data_files": [entry for entry in config["data_files"] if entry["split"] in splits[config["config_name"]]],
        }
        for config in meta["configs"]
        if config["config_name"] in splits
    ]
    meta["size_categories"] = [_size_category(sum(file.rows for file in files.values()))]
    meta["dataset_info"] = [_dataset_info(config, by_split, files) for config, by_split in splits.items()]
    text = _PLACEHOLDER.sub(lambda match: str(facts[match[1]]), body)
    return f"---\n{yaml.safe_dump(meta, sort_keys=False, allow_unicode=True, width=1000)}---\n{text}"


def card_facts(repo: str, publication: Publication) -> dict[str, str]:
    """Return the values of the placeholders in the template, counted from the rows that are published."""
    har, clip_bytes = publication.har, publication.clip_bytes
    rows = pa.concat_tables(har.values())
    persons = pc.list_flatten(rows["persons"]).combine_chunks()
    domains = rows["domain"].to_pylist()
    official = {video_id: split for split, table in har.items() for video_id in table["video_id"].to_pylist()}
    facts = {
        "repo": repo,
        "citation": CITATION.strip(),
        "clips": f"{len(rows):,}",
        "clips_real": f"{domains.count('real'):,}",
        "clips_movie": f"{domains.count('movie'):,}",
        "sources": f"{len(set(rows['source'].to_pylist())):,}",
        "persons": f"{len(persons):,}",
        "labels": f"{len(pc.list_flatten(pc.struct_field(persons, 'actions'))):,}",
        "boxes": f"{len(pc.list_flatten(pc.struct_field(persons, 'boxes'))):,}",
        "captions": f"{len(publication.caption):,}",
        "questions": f"{len(publication.vqa):,}",
        "size": f"{clip_bytes / 1e9:.1f} GB" if clip_bytes >= 1e9 else f"{clip_bytes / 1e6:.1f} MB",
    }
    for scheme, split_of_clip in (("official", official), ("disjoint", publication.disjoint)):
        leak = leak_report(split_of_clip)
        facts[f"splits_{scheme}"] = _split_sizes(split_of_clip)
        facts[f"leak_{scheme}_sources"] = f"{leak['shared_sources']} of {leak['test_sources']}"
        facts[f"leak_{scheme}_clips"] = _share(leak, "test_clips_sharing_source")
        facts[f"leak_{scheme}_neighbors"] = _share(leak, "test_clips_with_neighbour")
    return facts


def _files_of_splits(
    configs: list[dict[str, Any]], files: Mapping[str, PublishedFile]
) -> dict[str, dict[str, list[str]]]:
    """Return config -> split -> its files, in the order in which they are read."""
    found: dict[str, dict[str, list[str]]] = {}
    for config in configs:
        for entry in config["data_files"]:
            names = sorted(name for name in files if fnmatchcase(name, entry["path"]))
            if names:
                found.setdefault(config["config_name"], {})[entry["split"]] = names
    return found


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


def _dataset_info(config: str, by_split: Mapping[str, list[str]], files: Mapping[str, PublishedFile]) -> dict[str, Any]:
    """Return ``dataset_info``, from which versions of ``datasets`` that cannot read the Parquet types take them."""
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
        "features": published_features(config.removesuffix("_source_disjoint"))._to_yaml_list(),
        "splits": splits,
        "download_size": sum(files[name].size for names in by_split.values() for name in names),
        "dataset_size": sum(split["num_bytes"] for split in splits),
    }


def _share(leak: dict[str, Any], key: str) -> str:
    return f"{leak[key]} of {leak['test_clips']} ({100 * leak[f'{key}_share']:.0f} %)"


def _split_sizes(split_of_clip: Mapping[str, str]) -> str:
    """
    >>> _split_sizes({"a_1": "train", "a_2": "train", "b_1": "test"})
    'train 2, test 1'
    """
    splits = list(split_of_clip.values())
    counts = {split: splits.count(split) for split in ("train", "validation", "test")}
    return ", ".join(f"{split} {count:,}" for split, count in counts.items() if count)
