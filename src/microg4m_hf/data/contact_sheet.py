"""A picture of some clips: key frame with boxes and actions, how it moves, caption, one question and its answer."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from ..errors import DataError
from ..taxonomy import ACTION_NAMES, ACTIONS, GROUPS, INTERACTION, MANIPULATION, MOVEMENT
from .sheet_type import Sheet, fit

Row = Mapping[str, Any]

PAGE, CARD, TEXT, FAINT = (13, 18, 30), (23, 31, 48), (232, 236, 244), (144, 156, 178)
GROUP_COLORS = {MOVEMENT: (96, 190, 255), MANIPULATION: (255, 196, 84), INTERACTION: (255, 128, 170)}
DOMAIN_COLORS = {"real": (64, 160, 112), "movie": (150, 104, 214)}
MARGIN, GAP, WIDE = 28, 20, 576  # WIDE: width of a card's picture


def contact_sheet(
    rows: Iterable[Row],
    path: str | os.PathLike[str],
    *,
    captions: Iterable[Row] = (),
    questions: Iterable[Row] = (),
    columns: int = 3,
    title: str = "MicroG-4M",
) -> Path:
    """Write a PNG with a card for every ``har`` row; ``captions`` and ``questions`` are rows of the other configs.

    A card shows the frame that most of its persons have as key frame, six small frames of the whole clip, the
    caption and one question with its answer. :func:`varied` chooses rows worth looking at.
    """
    chosen = list(rows)
    if not chosen:
        raise DataError("a contact sheet of no clips", hint="give some rows of the har config")
    if any("video" not in row for row in chosen):
        raise DataError("a contact sheet of rows without clips", hint="load them with videos=True")
    caption_of = {row["video_id"]: row["caption"] for row in captions}
    questions_of: dict[str, list[Row]] = {}
    for row in questions:
        questions_of.setdefault(row["video_id"], []).append(row)
    cards = []
    for number, row in enumerate(chosen):
        asked = questions_of.get(row["video_id"])
        # The next card shows the next question, or all would show the one that every clip begins with.
        cards.append(_card(row, caption_of.get(row["video_id"]), asked[number % len(asked)] if asked else None))
    page = _page(cards, max(1, min(columns, len(cards))), title)
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    page.save(target, optimize=True)
    return target


def varied(rows: Iterable[Row], count: int, *, prefer: Iterable[str] = ()) -> list[Row]:
    """A choice of clips that shows many actions, persons and sources; clips named in ``prefer`` count more.

    >>> one = {"video_id": "A_001", "source": "A", "domain": "real", "persons": [{"actions": [9]}]}
    >>> two = {"video_id": "B_001", "source": "B", "domain": "movie", "persons": [{"actions": [9]}, {"actions": [2]}]}
    >>> [row["video_id"] for row in varied([one, two], 1)]
    ['B_001']
    """
    left, liked = list(rows), set(prefer)
    chosen: list[Row] = []
    seen: Counter[Any] = Counter()

    def traits(row: Row) -> list[Any]:
        labels = {("action", label) for person in row["persons"] for label in person["actions"]}
        return [*labels, ("source", row["source"]), ("domain", row["domain"]), ("persons", len(row["persons"]))]

    while left and len(chosen) < count:
        best = max(left, key=lambda row: sum(0.3 ** seen[t] for t in traits(row)) + 0.5 * (row["video_id"] in liked))
        left.remove(best)
        chosen.append(best)
        seen.update(traits(best))
    return chosen


def short_name(label: int) -> str:
    """An action's name without its examples.

    >>> short_name(48), short_name(49)
    ('talk to', 'watch a person')
    """
    name = re.sub(r" \((e\.g\.,|at the)[^)]*\)", "", ACTION_NAMES[label])
    return name.replace("(", "").replace(")", "")


def _page(cards: Sequence[Image.Image], columns: int, title: str) -> Image.Image:
    lines = [cards[start : start + columns] for start in range(0, len(cards), columns)]
    width = 2 * MARGIN + columns * (WIDE + 2 * GAP) + (columns - 1) * GAP
    head = 104 if columns > 1 else 150
    height = head + sum(max(card.height for card in line) + GAP for line in lines) + MARGIN - GAP
    page = Image.new("RGB", (width, height), PAGE)
    sheet = Sheet(page)
    sheet.text((MARGIN, 24), title, TEXT, 34)
    sheet.text((MARGIN, 66), f"{len(cards)} clip{'s' * (len(cards) != 1)}, boxes at the key frame", FAINT, 17)
    x, y = (width - MARGIN, 44) if columns > 1 else (MARGIN, 100)
    entries = [(GROUP_COLORS[group], group) for group in GROUPS]
    if columns > 1:
        x -= sum(sheet.width(text, 17) + 44 for _, text in entries) - 20
    for color, text in entries:
        sheet.draw.rounded_rectangle((x, y + 2, x + 16, y + 18), 4, fill=color)
        sheet.text((x + 24, y), text, TEXT, 17)
        x += sheet.width(text, 17) + 44
    y = head
    for line in lines:
        tall = max(card.height for card in line)
        for column, card in enumerate(line):
            left = MARGIN + column * (WIDE + 3 * GAP)
            sheet.draw.rounded_rectangle((left, y, left + WIDE + 2 * GAP, y + tall), 14, fill=CARD)
            page.paste(card, (left, y), _corners(card))
        y += tall + GAP
    return page


def _corners(card: Image.Image) -> Image.Image:
    mask = Image.new("L", card.size, 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, card.width, card.height), 14, fill=255)
    return mask


def _card(row: Row, caption: str | None, question: Row | None) -> Image.Image:
    picture, strip = _pictures(row)
    said = [("", caption, TEXT)] if caption else [("", "no caption", FAINT)]
    if question is not None:
        said += [("Q", question["question"], TEXT), ("A", question["answer"], (150, 226, 178))]
    measure = Sheet(Image.new("RGB", (1, 1)))
    paragraphs = [(mark, measure.wrapped(text, 17, WIDE - (24 if mark else 0), 7), color) for mark, text, color in said]
    top = GAP + 34
    text_top = top + picture.height + 8 + strip.height + 14
    height = text_top + sum(22 * len(lines) + 8 for _, lines, _ in paragraphs) + GAP - 6
    card = Image.new("RGB", (WIDE + 2 * GAP, height), CARD)
    sheet = Sheet(card)
    sheet.text((GAP, GAP - 4), row["video_id"], TEXT, 22)
    badge = row["domain"]
    size = sheet.width(badge, 15) + 20
    right = GAP + WIDE
    color = DOMAIN_COLORS.get(badge, FAINT)
    sheet.draw.rounded_rectangle((right - size, GAP - 4, right, GAP + 22), 13, fill=color)
    sheet.text((right - size + 10, GAP), badge, (255, 255, 255), 15)
    count = len(row["persons"])
    note = f"{count} person{'s' * (count != 1)}"
    sheet.text((right - size - 14 - sheet.width(note, 16), GAP), note, FAINT, 16)
    card.paste(picture, (GAP, top))
    card.paste(strip, (GAP, top + picture.height + 8))
    y = text_top
    for mark, lines, ink in paragraphs:
        if mark:
            sheet.text((GAP, y), mark, FAINT, 17)
        for line in lines:
            sheet.text((GAP + (24 if mark else 0), y), line, ink, 17)
            y += 22
        y += 8
    return card


def _pictures(row: Row) -> tuple[Image.Image, Image.Image]:
    """The key frame with its persons marked, and a strip of small frames from first to last."""
    from .video.clip import open_clip

    frames = Counter(person["key_frame"] for person in row["persons"] if person["key_frame"])
    key = frames.most_common(1)[0][0] if frames else 1
    with open_clip(row["video"]) as clip:
        last = len(clip) - 1
        marks = [round(step * last / 5) for step in range(6)]
        big, *small = (Image.fromarray(frame) for frame in clip.frames([min(key - 1, last), *marks]))
    big = big.resize((WIDE, round(WIDE * big.height / big.width)), Image.Resampling.LANCZOS)
    boxes = [(person, found) for person in row["persons"] if (found := _box_at(person, key)) is not None]
    _mark(big, boxes)
    each = (WIDE - 5 * 6) // 6
    strip = Image.new("RGB", (WIDE, round(each * big.height / big.width)), CARD)
    for step, frame in enumerate(small):
        strip.paste(frame.resize((each, strip.height), Image.Resampling.LANCZOS), (step * (each + 6), 0))
    return big, strip


def _box_at(person: Row, frame: int) -> Sequence[float] | None:
    """The person's normalised box at a frame (numbered as released), from the track or the key frame."""
    if frame in person["frames"]:
        return person["boxes"][list(person["frames"]).index(frame)]
    return person["key_box"] if person["key_frame"] == frame and len(person["key_box"]) == 4 else None


def _mark(picture: Image.Image, persons: Sequence[tuple[Row, Sequence[float]]]) -> None:
    """Draw every person's box, then the names of actions where they hide least."""
    sheet = Sheet(picture)
    pixels = [
        tuple(value * (picture.width, picture.height)[i % 2] for i, value in enumerate(found)) for _, found in persons
    ]
    for left, top, right, bottom in pixels:
        sheet.draw.rounded_rectangle((left, top, right, bottom), 4, outline=PAGE, width=4)
        sheet.draw.rounded_rectangle((left + 1, top + 1, right - 1, bottom - 1), 3, outline=(255, 255, 255), width=2)
    taken: list[tuple[float, float, float, float]] = list(pixels)  # type: ignore[arg-type]
    for (person, _), around in zip(persons, pixels, strict=True):
        names = [(short_name(label), GROUP_COLORS[ACTIONS[label].group]) for label in person["actions"]]
        wide = max((sheet.width(name, 15) for name, _ in names), default=0) + 22
        tall = 20 * len(names) + 4
        x, y = fit((wide, tall), around, taken, picture.size)  # type: ignore[arg-type]
        taken.append((x, y, x + wide, y + tall))
        sheet.shade((x, y, x + wide, y + tall))
        for line, (name, color) in enumerate(names):
            at = y + 2 + 20 * line
            sheet.draw.rounded_rectangle((x + 6, at + 3, x + 10, at + 17), 2, fill=color)
            sheet.text((x + 16, at + 1), name, (255, 255, 255), 15)
