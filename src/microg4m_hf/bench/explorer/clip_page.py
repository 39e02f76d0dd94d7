"""One clip as HTML: player with boxes, people with their actions, caption, questions, and what runs say of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape

from .catalogue import Catalogue
from .clip_facts import ClipFacts, clip_facts
from .people import people
from .runs import Run
from .texts import captions, questions
from .words import clip_address, counted, element, picture_address

_ASPECT = (16, 9)  # of an empty stage whose frame size nothing tells


def clip_page(catalogue: Catalogue, place: int, runs: Sequence[Run], *, scheme: str = "official") -> str:
    """The whole right side of the explorer."""
    facts = clip_facts(catalogue, place)
    usable = [run for run in runs if run.problem is None]
    parts = [_head(catalogue, facts, scheme), _player(facts), people(facts, usable)]
    parts += [captions(catalogue, facts.video_id, usable), questions(catalogue, facts.video_id, usable)]
    return f'<article class="mg-view" data-place="{place}" aria-labelledby="mg-title">{"".join(parts)}</article>'


def _head(catalogue: Catalogue, facts: ClipFacts, scheme: str) -> str:
    row = facts.row
    about = [row["domain"], f"source {row['source']}"]
    if scheme in catalogue.splits:
        about.append(f"{catalogue.splits[scheme][facts.place]} ({scheme})")
    about.append(counted(len(facts.persons), "person"))
    if facts.times:
        about.append(counted(len(facts.times), "frame"))
    if facts.size:
        about.append(f"{facts.size[0]}×{facts.size[1]}")
    return element("h2", facts.video_id, id="mg-title") + element("p", " · ".join(about), "mg-quiet")


def _player(facts: ClipFacts) -> str:
    data = escape(json.dumps(facts.for_player(), separators=(",", ":")))
    width, height = facts.size or _ASPECT
    shown = below = ""
    if facts.file is not None:
        source, poster = clip_address(facts.video_id), picture_address(facts.video_id)
        shown = (
            f'<video controls loop muted playsinline preload="auto" src="{source}" poster="{poster}" '
            f'aria-label="Clip {escape(facts.video_id)}"></video>'
        )
    else:
        below = element("p", f"{facts.trouble}; its boxes stand on an empty stage.", "mg-quiet mg-absent")
    key = next((one["key_frame"] for one in facts.persons if one["key_frame"]), 1)
    if not any(one["key_frame"] or one["frames"] for one in facts.persons):
        below += element("p", "Nobody in this clip has a box.", "mg-quiet")
    return (
        f'<div class="mg-player" data-facts="{data}">'
        f'<div class="mg-stage" style="aspect-ratio:{width}/{height};--tall:{height / width:.4f}">{shown}'
        '<div class="mg-boxes" aria-hidden="true"></div></div>'
        '<div class="mg-tools"><label class="mg-toggle"><input type="checkbox" checked> boxes</label>'
        '<button type="button" data-step="-1" aria-label="One frame back">‹</button>'
        f'<input type="range" min="1" max="{facts.last_frame}" value="{key}" step="1" aria-label="Frame">'
        '<button type="button" data-step="1" aria-label="One frame on">›</button>'
        f'<span class="mg-frame">frame {key}</span></div>{below}</div>'
    )
