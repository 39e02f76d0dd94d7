"""The card of a curated release: what is in it, where it comes from, under which licenses, and how it was made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import yaml

from .._version import __version__
from .protocols import CurateSettings
from .work import Source

_BODY = """
# {name}

{clips} clips of {seconds:g} seconds with {people} people, cut from {sources} films. The files have the layout of
[MicroG-4M](https://huggingface.co/datasets/LEI-QI-233/MicroG-4M), so whatever reads MicroG-4M reads this dataset:

```python
import microg4m_hf

rows = microg4m_hf.load_dataset("har", data_dir="path/of/this/folder", split="train")
```

| split | clips | films |
| --- | --- | --- |
{splits}

No film is in two splits (`source_disjoint`).

## Sources and licenses

The clips of a film are under the license of that film. Check that your use is allowed by each of them.

| source | domain | clips | license | address | attribution |
| --- | --- | --- | --- | --- | --- |
{table}

## How it was made

Made with microg4m-hf {version} by the protocol `{protocol}`: clips of {frames} frames at {fps} frames per second;
people found by `{detector}` in {turns}; tracks by `{tracker}`. {filtered}

{review}
"""


def render_dataset_card(
    name: str,
    settings: CurateSettings,
    sources: Sequence[Source],
    clips_of: Counter[str],
    *,
    people: int,
    splits: dict[str, tuple[int, int]],
    reasons: dict[str, int],
    reviewed: str,
) -> str:
    """Return ``README.md`` of a release.

    Args:
        name: The name of the dataset.
        settings: The settings of the work folder.
        sources: The films with clips in the release.
        clips_of: How many clips each film has.
        people: How many people the clips show.
        splits: Clips and films of each split.
        reasons: How many clips were kept, and how many were dropped for each reason.
        reviewed: A sentence about the reviews.
    """
    licenses = sorted({source.license for source in sources})
    meta: dict[str, Any] = {
        "pretty_name": name,
        "license": _hub_license(licenses[0]) if len(licenses) == 1 else "other",
        "task_categories": ["video-classification", "video-text-to-text"],
        "tags": ["microgravity", "human-action-recognition", "microg4m"],
    }
    total = sum(clips_of.values())
    dropped = ", ".join(f"{reason} {count}" for reason, count in reasons.items() if reason != "kept")
    body = _BODY.format(
        name=name,
        clips=f"{total:,}",
        seconds=settings.cut.frames / settings.cut.fps,
        people=f"{people:,}",
        sources=len(sources),
        splits="\n".join(f"| {split} | {clips} | {films} |" for split, (clips, films) in splits.items()),
        table="\n".join(_source_row(source, clips_of[source.source]) for source in sources),
        version=__version__,
        protocol=settings.protocol,
        frames=settings.cut.frames,
        fps=settings.cut.fps,
        detector=_cell(settings.people.detector),
        turns="the upright picture" if settings.people.turns == 1 else "four quarter turns of the picture",
        tracker=_cell(settings.tracks.method),
        filtered=f"Clips that the filter dropped: {dropped}." if dropped else "The filter dropped no clip.",
        review=reviewed,
    )
    return f"---\n{yaml.safe_dump(meta, sort_keys=False, allow_unicode=True)}---\n{body}"


def _source_row(source: Source, clips: int) -> str:
    cells = (source.source, source.domain, clips, source.license, source.url, source.attribution)
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def _cell(value: object) -> str:
    """Return a text of a user as it may stand in a table: on one line, without HTML."""
    text = " ".join(str(value).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("|", "\\|") or "–"


def _hub_license(license_id: str) -> str:
    """Return the license as the Hub spells it.

    >>> _hub_license("CC-BY-4.0"), _hub_license("LicenseRef-Agency"), _hub_license("public-domain")
    ('cc-by-4.0', 'other', 'other')
    """
    return "other" if license_id.startswith("LicenseRef-") or license_id == "public-domain" else license_id.lower()
