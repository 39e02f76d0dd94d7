"""Fill in the dataset card: counts, pictures and origin in the text, and YAML that lists only the splits that exist."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from ...action_chart import ActionBar, draw_action_bars
from ...citation import CITATION
from ...errors import DataError, MicroG4MError
from ...hub import BENCHMARK
from ...safe_yaml import parse_yaml
from ...taxonomy import ACTION_NAMES, NUM_ACTIONS
from ..contact_sheet import contact_sheet, short_name, varied
from ..features import published_features
from ..release.layout import CURATED
from ..sources import SPLITS_REPO
from ..split_report import leak_report
from ..video.clip import open_clip
from .plan import Publication, PublishedFile

TEMPLATE = Path(__file__).with_name("card.md")
EVAL_YAML = Path(__file__).with_name("eval.yaml")
CLIPS_PICTURE, ACTIONS_PICTURE = "assets/clips.jpg", "assets/actions.svg"
_PICTURES = {  # placeholder -> file in the repository, and its line in the card
    "clips_picture": (
        CLIPS_PICTURE,
        f"![Clips with boxes and actions at the key frame, caption and a question]({CLIPS_PICTURE})\n\n",
    ),
    "actions_picture": (
        ACTIONS_PICTURE,
        f"![Labels of each action in the official splits, most frequent first]({ACTIONS_PICTURE})\n\n",
    ),
}
_CLIPS_SHOWN = 6
_PLACEHOLDER = re.compile(r"\{\{ (\w+) \}\}")


def render_card(facts: Mapping[str, object], files: Mapping[str, PublishedFile], pictures: Collection[str] = ()) -> str:
    """Return README.md of the repository, from the values of :func:`card_facts`, the files and the drawn pictures.

    A split without files is left out, because a pattern that matches nothing is an error for every reader. The
    ``version`` of a config follows its content: ``datasets`` caches a folder that was downloaded by hand by its YAML.
    """
    _, front_matter, body = TEMPLATE.read_text(encoding="utf-8").split("---\n", 2)
    meta = yaml.safe_load(front_matter)
    splits = _files_of_splits(meta["configs"], files)
    meta["pretty_name"], meta["license"] = facts["name"], facts["license_id"]
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
    drawn = {key: line if path in pictures else "" for key, (path, line) in _PICTURES.items()}
    text = _PLACEHOLDER.sub(lambda match: str(drawn[match[1]] if match[1] in drawn else facts[match[1]]), body)
    return f"---\n{yaml.safe_dump(meta, sort_keys=False, allow_unicode=True, width=1000)}---\n{text}"


def card_facts(repo: str, publication: Publication) -> dict[str, str]:
    """Return the values of the placeholders in the template, counted from the rows that are published.

    Raises:
        DataError: If it is a curated release that does not say where its clips come from.
    """
    har, clip_bytes = publication.har, publication.clip_bytes
    rows = pa.concat_tables(har.values())
    persons = pc.list_flatten(rows["persons"]).combine_chunks()
    domains = rows["domain"].to_pylist()
    official = {video_id: split for split, table in har.items() for video_id in table["video_id"].to_pylist()}
    facts = {
        "repo": repo,
        **_origin(publication),
        "actions": _describe_actions(publication),
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


def draw_card_pictures(publication: Publication, folder: Path) -> dict[str, bytes]:
    """Draw the pictures of the card, and return the content of each by its path in the repository.

    Args:
        publication: What is published.
        folder: A folder for scratch files.
    """
    drawing = _draw_actions(publication)
    pictures = {ACTIONS_PICTURE: drawing.encode()} if drawing else {}
    rows = [row for table in publication.har.values() for row in table.to_pylist()]
    captions, questions = publication.caption.to_pylist(), publication.vqa.to_pylist()
    candidates = varied(rows, 2 * _CLIPS_SHOWN, prefer=[row["video_id"] for row in captions])
    shown = [row for row in candidates if _can_be_drawn(row)][:_CLIPS_SHOWN]
    if shown:
        path = folder / Path(CLIPS_PICTURE).name
        contact_sheet(shown, path, captions=captions, questions=questions, title=_origin(publication)["name"])
        pictures[CLIPS_PICTURE] = path.read_bytes()
        path.unlink()
    return pictures


def _can_be_drawn(row: Mapping[str, Any]) -> bool:
    """Return whether the first and the last frame of a clip can be decoded: a picture is no reason to end a push."""
    try:
        with open_clip(row["video"]) as clip:
            clip.frames([0, len(clip) - 1])
    except MicroG4MError:
        return False
    return True


def _count_labels(publication: Publication) -> dict[str, list[int]]:
    """Return split -> the number of labels of each action."""
    counts = {split: [0] * NUM_ACTIONS for split in publication.har}
    for split, table in publication.har.items():
        persons = pc.list_flatten(table["persons"]).combine_chunks()
        for entry in pc.value_counts(pc.list_flatten(pc.struct_field(persons, "actions"))).to_pylist():
            counts[split][entry["values"]] = entry["counts"]
    return counts


def _draw_actions(publication: Publication) -> str:
    counts = _count_labels(publication)
    bars = [
        ActionBar(short_name(label), tuple(count[label] for count in counts.values()), f"{total:,}")
        for label, total in _most_frequent(counts)
    ]
    return draw_action_bars("Labels of each action", bars, legend=tuple(counts)) if bars else ""


def _most_frequent(counts: Mapping[str, list[int]]) -> list[tuple[int, int]]:
    """Return label and number of all its labels, for the actions that occur, most frequent first."""
    totals = [sum(count[label] for count in counts.values()) for label in range(NUM_ACTIONS)]
    order = sorted(range(NUM_ACTIONS), key=lambda label: (-totals[label], ACTION_NAMES[label]))
    return [(label, totals[label]) for label in order if totals[label]]


def _describe_actions(publication: Publication) -> str:
    counts = _count_labels(publication)
    totals = [total for _, total in _most_frequent(counts)]
    if not totals:
        return "No action is labeled."
    share = 100 * sum(totals[:5]) / sum(totals)
    test = sum(count > 0 for count in counts.get("test", []))
    rare = sum(total < 10 for total in totals)
    return (
        f"{len(totals)} of the {NUM_ACTIONS} actions occur, {test} of them in the test split. The five most frequent "
        f"have {share:.0f} % of the labels{f', and {rare} have fewer than ten' if rare else ''}: look at a score by "
        "action before you trust its mean."
    )


def _origin(publication: Publication) -> dict[str, str]:
    """Return what a card says about where the data comes from: its name, its license and whom to cite."""
    if publication.source == "sample":
        return {
            "name": "MicroG-4M, built-in sample",
            "note": "**These clips are drawn, not filmed.** This is the sample of microg4m-hf, with which you can try "
            "everything; scores on it mean nothing.\n\n",
            "license_id": "apache-2.0",
            "license": "## License\n\nThe clips and annotations are made by microg4m-hf, under Apache-2.0.",
            "citation": CITATION.strip(),
        }
    if (publication.root / CURATED).is_file():
        return {"note": "", "citation": "", **_curated_origin(publication.root / "README.md")}
    link, splits = (f"[{repo}](https://huggingface.co/datasets/{repo})" for repo in (BENCHMARK, SPLITS_REPO))
    return {
        "name": "MicroG-4M",
        "note": "",
        "license_id": "cc-by-4.0",
        "license": "## License\n\nThe annotations and clips are the authors' work, released under "
        f"[CC-BY-4.0](https://creativecommons.org/licenses/by/4.0/) in\n{link} and\n{splits}.",
        "citation": CITATION.strip(),
    }


def _curated_origin(card: Path) -> dict[str, str]:
    """Return name, license and the sections on sources and making from the card of a curated release."""
    hint = "write the release again with `microg4m curate release`, so that the licenses of its films are known"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    _, _, rest = text.partition("---\n")
    front_matter, _, body = rest.partition("\n---\n")
    meta = parse_yaml(front_matter, str(card), DataError)
    sections = body[body.find("\n## Sources and licenses") :].strip()
    if not isinstance(meta, dict) or not sections.startswith("## Sources") or not isinstance(meta.get("license"), str):
        raise DataError("the card of a curated release does not say where its clips come from", file=card, hint=hint)
    name = meta.get("pretty_name")
    return {
        "name": name if isinstance(name, str) else "curated clips",
        "license_id": meta["license"],
        "license": sections,
    }


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
