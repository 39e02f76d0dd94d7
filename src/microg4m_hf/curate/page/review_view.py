"""Render what a reviewer sees of a clip: where it stands, the people with their actions, the texts, and the keys."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape as escape_attribute

from ...taxonomy import ACTIONS
from ...web.html import element, with_noun
from ...web.player import COLORS, PlayerTrack, read_times, render_player
from ..angles import Angle
from ..reviews import Person
from .board import LISTS, ClipView, ReviewBoard

# The ten actions with keys 1 to 9 and 0: the most frequent ones of MicroG-4M, 91 % of its labels.
QUICK = {
    12: "stand",
    79: "talk",
    17: "carry or hold",
    80: "watch a person",
    14: "walk",
    59: "touch",
    61: "watch a screen",
    43: "point to",
    11: "sit",
    36: "lift, pick up",
}
REASONS = (
    "nobody is visible",
    "a cut or a fade inside",
    "too dark or blurred",
    "the boxes are unusable",
    "not in microgravity",
    "the same as another clip",
    "text or graphics cover the picture",
)
KEYS = (
    ("Space ← →", "play, go frame by frame"),
    ("↑ ↓", "choose a person"),
    ("1 … 0", "a frequent action, on or off"),
    ("a", "any action: type, Enter"),
    ("k", "keep, go on"),
    ("d", "drop with a reason, go on"),
    ("m", "merge the person with another"),
    ("s", "split the person at this frame"),
    ("x", "delete the person: it is nobody"),
    ("e", "exclude or include the person"),
    ("o", "where the head points, from this frame on"),
    ("g", "go to a frame"),
    ("c", "write the caption"),
    ("q", "write the questions"),
    ("y", "accept the proposed text"),
    ("u U", "undo, restore"),
    ("j", "adjudicate"),
    ("n", "next clip to review"),
    ("[ ]", "previous, next clip of the list"),
    ("v", "another list"),
    ("b", "boxes on or off"),
    ("?", "these keys"),
)
_DIRECTIONS = ("up", "up right", "right", "down right", "down", "down left", "left", "up left")
_POINTS = {45.0 * place: name for place, name in enumerate(_DIRECTIONS)}
_NAMES = {action.action_id: action.name for action in ACTIONS}


def render_clip_player(board: ReviewBoard, video_id: str, people: Mapping[int, Person]) -> str:
    """Return the player with the boxes of the people as this reviewer has edited them."""
    path = board.paths[video_id]
    width, height = board.sizes[video_id]
    times, size, problem = read_times(path)
    tracks = [
        PlayerTrack(number, {box.frame: _fractions(box.corners, width, height) for box in person.boxes})
        for number, person in sorted(people.items())
    ]
    last = max([len(times), *(box.frame for person in people.values() for box in person.boxes), 1])
    below = element("p", f"The clip cannot be played: {problem}", "mg-quiet mg-absent") if problem else ""
    return render_player(
        video_id,
        tracks,
        times=times,
        last_frame=last,
        size=size or (width, height),
        has_video=problem is None,
        below=below,
    )


def _fractions(corners: Sequence[float], width: int, height: int) -> list[float]:
    return [min(max(value / side, 0.0), 1.0) for value, side in zip(corners, (width, height) * 2, strict=True)]


def render_panel(
    board: ReviewBoard, video_id: str, reviewer: str, *, view: ClipView, notice: str, name: str, serial: int
) -> str:
    """Return everything beside the player.

    Args:
        board: The clips.
        video_id: The clip.
        reviewer: Who looks at it.
        view: What the clip is like for this reviewer.
        notice: What was done last; a problem begins with ``!``.
        name: The list that the reviewer walks through.
        serial: Another number each time, by which the page knows that its keys were answered.
    """
    data = {
        "clip": video_id,
        "reviewer": reviewer,
        "quick": list(QUICK),
        "isNew": not board.counts(reviewer)["mine"],
        "actions": [[action.action_id, action.name] for action in ACTIONS],
        "reasons": REASONS,
        "people": sorted(view.mine.people),
        "caption": view.state.caption or view.drafts.refined or view.drafts.caption or "",
        "questions": "\n\n".join(f"{one['Q']}\n{one['A']}" for one in view.questions or view.drafts.questions),
        "disputes": [
            {"part": one.part, "person": one.person, "reviewers": list(one.values)} for one in view.state.disagreements
        ],
    }
    facts = escape_attribute(json.dumps(data, ensure_ascii=False))
    parts = [
        _notice(notice),
        _head(board, video_id, reviewer, view, name),
        _disputes(view),
        '<div class="rv-mode" hidden></div>',
        _people(view),
        _texts(view),
        _keys(),
    ]
    return f'<div class="rv-panel mg-view" data-serial="{serial}" data-facts="{facts}">{"".join(parts)}</div>'


def render_end(board: ReviewBoard, reviewer: str, *, notice: str, name: str, serial: int) -> str:
    """Return the panel for a reviewer who has nothing left in the list."""
    counts = board.counts(reviewer)
    done = with_noun(counts["mine"], "clip")
    text = f"The list “{name}” is empty. You reviewed {done}; {counts['disputed']} are disputed."
    facts = escape_attribute(json.dumps({"clip": "", "reviewer": reviewer, "people": []}))
    hint = element("p", "v shows another list, u undoes what you did last.", "mg-quiet")
    return (
        f'<div class="rv-panel mg-view" data-serial="{serial}" data-facts="{facts}">{_notice(notice)}'
        f'{element("h2", "Done")}{element("p", text)}{hint}<div class="rv-mode" hidden></div>{_keys()}</div>'
    )


def render_question_of_name(problem: str, serial: int) -> str:
    """Return the panel that asks a reviewer for a name."""
    facts = escape_attribute(json.dumps({"clip": "", "reviewer": "", "people": []}))
    return (
        f'<div class="rv-panel mg-view" data-serial="{serial}" data-facts="{facts}">{_notice(problem)}'
        '<form class="rv-name"><label for="rv-name">Your name, for the log of your reviews</label>'
        '<input id="rv-name" autocomplete="off" maxlength="40" autofocus> <button>Begin</button></form>'
        '<div class="rv-mode" hidden></div></div>'
    )


def _notice(text: str) -> str:
    problem = text.startswith("!")
    kind = "rv-notice rv-problem" if problem else "rv-notice"
    return f'<p class="{kind}" role="status" aria-live="polite">{element("span", text.lstrip("! "))}</p>'


def _head(board: ReviewBoard, video_id: str, reviewer: str, view: ClipView, name: str) -> str:
    counts = board.counts(reviewer)
    decision = "not decided"
    if view.mine.keep is not None:
        decision = "you keep it" if view.mine.keep else f"you drop it: {view.mine.reason}"
    others = [
        f"{who} {'keeps' if one.keep else 'drops'} it" for who, one in view.state.finished.items() if who != reviewer
    ]
    verdict = "kept by the filter"
    if not view.verdict.kept:
        number = "" if view.verdict.value is None else f" ({view.verdict.value:g}, limit {view.verdict.limit:g})"
        verdict = f"dropped by the filter: {view.verdict.reason}{number}"
    done = f"{reviewer}: {counts['mine']} reviewed, {counts['left']} left, {counts['disputed']} disputed"
    status = "keep" if view.mine.keep else "open" if view.mine.keep is None else "drop"
    return (
        f'<div class="rv-head"><h2 id="rv-title">{element("span", video_id)}</h2>'
        f"{element('span', decision, f'rv-decision rv-{status}')}</div>"
        f"{element('p', ' · '.join([verdict, *others]), 'mg-quiet')}"
        f"{element('p', f'{done} · list: {name}', 'mg-quiet rv-progress')}"
    )


def _disputes(view: ClipView) -> str:
    if not view.state.disagreements:
        return ""
    lines = ""
    for number, one in enumerate(view.state.disagreements, start=1):
        about = one.part if one.person is None else f"{one.part} of person {one.person}"
        values = "; ".join(f"{who}: {_named(one.part, value)}" for who, value in one.values.items())
        lines += element("li", f"{number}. {about}: {values}")
    return f'<section class="rv-disputes"><h3>Disagreements (j settles the first one)</h3><ul>{lines}</ul></section>'


def _named(part: str, value: str) -> str:
    """The names of actions instead of their ids."""
    if part != "actions" or not value.replace(" ", "").isdigit():
        return value
    return ", ".join(_NAMES.get(int(one), one) for one in value.split())


def _people(view: ClipView) -> str:
    cards = "".join(
        _card(place, number, person, view) for place, (number, person) in enumerate(sorted(view.mine.people.items()))
    )
    if not cards:
        cards = element("p", "Nobody has a box in this clip.", "mg-quiet")
    keys = "".join(
        f"<li><kbd>{(place + 1) % 10}</kbd> {element('span', name)}</li>" for place, name in enumerate(QUICK.values())
    )
    return f'<section aria-label="People"><ol class="rv-quick">{keys}</ol>{cards}</section>'


def _card(place: int, number: int, person: Person, view: ClipView) -> str:
    frames = [box.frame for box in person.boxes]
    span = f"frames {frames[0]}–{frames[-1]}" if frames else "no box"
    gaps = sum(later - one > 1 for one, later in itertools.pairwise(frames))
    about = span + (f", {gaps} gaps" if gaps else "") + (" · excluded" if person.excluded else "")
    chips = "".join(f"<li>{element('span', _NAMES[one])}</li>" for one in sorted(person.actions))
    chips = chips or f'<li class="rv-none">{element("span", "no action yet")}</li>'
    proposed = ", ".join(f"{_NAMES[one]} {score:.2f}" for one, score in view.proposals.get(number, []))
    line = element("p", f"the model proposes: {proposed}", "mg-quiet rv-proposed") if proposed else ""
    if turned := _turned(person, view.angles.get(number, {})):
        line += element("p", turned, "mg-quiet rv-turned")
    first = frames[0] if frames else 1
    return (
        f'<div class="rv-person{" rv-excluded" * person.excluded}" data-person="{number}">'
        f'<h4><span class="mg-mark mg-color-{place % COLORS}" aria-hidden="true">{number}</span>Person {number}'
        f'{element("span", about, "mg-quiet")}<button type="button" data-frame="{first}">frame {first}</button></h4>'
        f'<ul class="mg-true">{chips}</ul>{line}</div>'
    )


def _turned(person: Person, angles: Mapping[int, Angle]) -> str:
    """Where the head of a person points: the marks of the reviewer, else what the detector found most often."""
    if person.marks:
        said = (f"{_point(degrees)} from frame {frame}" for frame, degrees in person.marks)
        return f"head: {', '.join(said)}"
    if not angles:
        return ""
    counts = Counter(angle.degrees for angle in angles.values())
    parts = (f"{_point(degrees)}{f' in {count} frames' * (len(counts) > 1)}" for degrees, count in counts.most_common())
    return f"head, as the detector found it: {', '.join(parts)}"


def _point(degrees: float | None) -> str:
    """Name a direction.

    >>> [_point(degrees) for degrees in (0, 315, 20, None)]
    ['up', 'up left', '20°', 'unknown']
    """
    return "unknown" if degrees is None else _POINTS.get(degrees, f"{degrees:g}°")


def _texts(view: ClipView) -> str:
    caption, drafts = view.caption, view.drafts
    parts = []
    if caption:
        parts.append(f"<dt>caption</dt>{element('dd', caption)}")
    proposed = drafts.refined or (None if caption else drafts.caption)
    if proposed and proposed != caption:
        parts.append(f"<dt>proposed caption (y accepts it)</dt>{element('dd', proposed, 'rv-draft')}")
    pairs, kind = view.questions, "questions"
    if not pairs and drafts.questions:
        pairs, kind = drafts.questions, "proposed questions (y accepts them)"
    if pairs:
        rows = "".join(f"<li>{element('span', one['Q'])} {element('b', one['A'])}</li>" for one in pairs)
        parts.append(
            f'<dt>{kind}</dt><dd><ol class="rv-questions{"" if view.questions else " rv-draft"}">{rows}</ol></dd>'
        )
    text = "".join(parts) or f"<dt>caption</dt>{element('dd', 'none; c writes one', 'mg-quiet')}"
    return f'<section aria-label="Texts"><dl class="rv-texts">{text}</dl></section>'


def _keys() -> str:
    rows = "".join(f"<div><dt>{element('kbd', key)}</dt>{element('dd', what)}</div>" for key, what in KEYS)
    return f'<details class="rv-keys"><summary>Keys (?)</summary><dl>{rows}</dl></details>'


def list_after(name: str) -> str:
    """Return the list behind another one.

    >>> list_after("disputed")
    'to review'
    """
    return LISTS[(LISTS.index(name) + 1) % len(LISTS)]
