"""Draw a contact sheet: for each clip the key frame with boxes and actions, small frames, caption and a question."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from ..errors import DataError
from ..taxonomy import ACTION_NAMES, ACTIONS, GROUPS, INTERACTION, MANIPULATION, MOVEMENT

Row = Mapping[str, Any]
Box = tuple[float, float, float, float]
Color = tuple[int, int, int]

PAGE, CARD, TEXT, FAINT = (13, 18, 30), (23, 31, 48), (232, 236, 244), (144, 156, 178)
GROUP_COLORS = {MOVEMENT: (96, 190, 255), MANIPULATION: (255, 196, 84), INTERACTION: (255, 128, 170)}
DOMAIN_COLORS = {"real": (64, 160, 112), "movie": (150, 104, 214)}
_font = lru_cache(maxsize=16)(ImageFont.load_default)
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
    """Write a PNG with one card per clip.

    A card shows the frame that most of its persons have as key frame, six small frames of the whole clip, the caption
    and one question with its answer.

    Args:
        rows: Rows of the ``har`` config with their videos, for example those that :func:`varied` selects.
        path: The PNG file.
        captions: Rows of the ``caption`` config.
        questions: Rows of the ``vqa`` config.
        columns: Cards per line.
        title: The heading.

    Raises:
        DataError: There are no rows, or they have no videos.
    """
    clips = list(rows)
    if not clips:
        raise DataError("a contact sheet of no clips", hint="give some rows of the har config")
    if any("video" not in row for row in clips):
        raise DataError("a contact sheet of rows without videos", hint="load them with videos=True")
    caption_of = {row["video_id"]: row["caption"] for row in captions}
    questions_of: dict[str, list[Row]] = {}
    for row in questions:
        questions_of.setdefault(row["video_id"], []).append(row)
    cards = []
    for number, row in enumerate(clips):
        asked = questions_of.get(row["video_id"])
        # Each card shows the next question of its clip: the first one is the same for every clip.
        cards.append(_draw_card(row, caption_of.get(row["video_id"]), asked[number % len(asked)] if asked else None))
    page = _draw_page(cards, max(1, min(columns, len(cards))), title)
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    page.save(target, optimize=True)
    return target


def varied(rows: Iterable[Row], count: int, *, prefer: Iterable[str] = ()) -> list[Row]:
    """Select clips that show many actions, numbers of persons and sources.

    Args:
        rows: Rows of the ``har`` config.
        count: Clips to select.
        prefer: Ids of clips that count more.

    Example:
        >>> a = {"video_id": "A_001", "source": "A", "domain": "real", "persons": [{"actions": [9]}]}
        >>> b = {"video_id": "B_001", "source": "B", "domain": "real", "persons": [{"actions": [9]}, {"actions": [2]}]}
        >>> [row["video_id"] for row in varied([a, b], 1)]
        ['B_001']
    """
    left, preferred = list(rows), set(prefer)
    selected: list[Row] = []
    seen: Counter[Any] = Counter()

    def traits(row: Row) -> list[Any]:
        labels = {("action", label) for person in row["persons"] for label in person["actions"]}
        return [*labels, ("source", row["source"]), ("domain", row["domain"]), ("persons", len(row["persons"]))]

    def score(row: Row) -> float:
        return sum(0.3 ** seen[trait] for trait in traits(row)) + 0.5 * (row["video_id"] in preferred)

    while left and len(selected) < count:
        best = max(left, key=score)
        left.remove(best)
        selected.append(best)
        seen.update(traits(best))
    return selected


def short_name(label: int) -> str:
    """Return the name of an action without its examples.

    >>> short_name(48), short_name(49)
    ('talk to', 'watch a person')
    """
    name = re.sub(r" \((e\.g\.,|at the)[^)]*\)", "", ACTION_NAMES[label])
    return name.replace("(", "").replace(")", "")


def _draw_page(cards: Sequence[Image.Image], columns: int, title: str) -> Image.Image:
    rows = [cards[start : start + columns] for start in range(0, len(cards), columns)]
    width = 2 * MARGIN + columns * (WIDE + 2 * GAP) + (columns - 1) * GAP
    head = 104 if columns > 1 else 150
    height = head + sum(max(card.height for card in line) + GAP for line in rows) + MARGIN - GAP
    page = Image.new("RGB", (width, height), PAGE)
    canvas = TextCanvas(page)
    canvas.text((MARGIN, 24), title, TEXT, 34)
    canvas.text((MARGIN, 66), f"{len(cards)} clip{'s' * (len(cards) != 1)}, boxes at the key frame", FAINT, 17)
    x, y = (width - MARGIN, 44) if columns > 1 else (MARGIN, 100)
    entries = [(GROUP_COLORS[group], group) for group in GROUPS]
    if columns > 1:
        x -= sum(canvas.width(text, 17) + 44 for _, text in entries) - 20
    for color, text in entries:
        canvas.draw.rounded_rectangle((x, y + 2, x + 16, y + 18), 4, fill=color)
        canvas.text((x + 24, y), text, TEXT, 17)
        x += canvas.width(text, 17) + 44
    y = head
    for line in rows:
        tall = max(card.height for card in line)
        for column, card in enumerate(line):
            left = MARGIN + column * (WIDE + 3 * GAP)
            canvas.draw.rounded_rectangle((left, y, left + WIDE + 2 * GAP, y + tall), 14, fill=CARD)
            mask = Image.new("L", card.size, 0)
            ImageDraw.Draw(mask).rounded_rectangle((0, 0, card.width, card.height), 14, fill=255)
            page.paste(card, (left, y), mask)
        y += tall + GAP
    return page


def _draw_card(row: Row, caption: str | None, question: Row | None) -> Image.Image:
    picture, strip = _draw_frames(row)
    texts = [("", caption, TEXT)] if caption else [("", "no caption", FAINT)]
    if question is not None:
        texts += [("Q", question["question"], TEXT), ("A", question["answer"], (150, 226, 178))]
    measure = TextCanvas(Image.new("RGB", (1, 1)))
    paragraphs = [(mark, measure.wrap(text, 17, WIDE - (24 if mark else 0), 7), color) for mark, text, color in texts]
    top = GAP + 34
    text_top = top + picture.height + 8 + strip.height + 14
    height = text_top + sum(22 * len(lines) + 8 for _, lines, _ in paragraphs) + GAP - 6
    card = Image.new("RGB", (WIDE + 2 * GAP, height), CARD)
    canvas = TextCanvas(card)
    canvas.text((GAP, GAP - 4), row["video_id"], TEXT, 22)
    badge = row["domain"]
    size = canvas.width(badge, 15) + 20
    right = GAP + WIDE
    color = DOMAIN_COLORS.get(badge, FAINT)
    canvas.draw.rounded_rectangle((right - size, GAP - 4, right, GAP + 22), 13, fill=color)
    canvas.text((right - size + 10, GAP), badge, (255, 255, 255), 15)
    count = len(row["persons"])
    note = f"{count} person{'s' * (count != 1)}"
    canvas.text((right - size - 14 - canvas.width(note, 16), GAP), note, FAINT, 16)
    card.paste(picture, (GAP, top))
    card.paste(strip, (GAP, top + picture.height + 8))
    y = text_top
    for mark, lines, ink in paragraphs:
        if mark:
            canvas.text((GAP, y), mark, FAINT, 17)
        for line in lines:
            canvas.text((GAP + (24 if mark else 0), y), line, ink, 17)
            y += 22
        y += 8
    return card


def _draw_frames(row: Row) -> tuple[Image.Image, Image.Image]:
    """Return the key frame with its persons, and a strip of small frames from the first to the last."""
    from .video.clip import open_clip

    frames = Counter(person["key_frame"] for person in row["persons"] if person["key_frame"])
    key = frames.most_common(1)[0][0] if frames else 1
    with open_clip(row["video"]) as clip:
        last = len(clip) - 1
        marks = [round(step * last / 5) for step in range(6)]
        big, *small = (Image.fromarray(frame) for frame in clip.frames([min(key - 1, last), *marks]))
    big = big.resize((WIDE, round(WIDE * big.height / big.width)), Image.Resampling.LANCZOS)
    boxes = [(person, found) for person in row["persons"] if (found := _box_at(person, key)) is not None]
    _draw_persons(big, boxes)
    each = (WIDE - 5 * 6) // 6
    strip = Image.new("RGB", (WIDE, round(each * big.height / big.width)), CARD)
    for step, frame in enumerate(small):
        strip.paste(frame.resize((each, strip.height), Image.Resampling.LANCZOS), (step * (each + 6), 0))
    return big, strip


def _box_at(person: Row, frame: int) -> Sequence[float] | None:
    """Return the normalized box of a person at a frame (1-based), from the track or the key frame."""
    if frame in person["frames"]:
        return person["boxes"][list(person["frames"]).index(frame)]
    return person["key_box"] if person["key_frame"] == frame and len(person["key_box"]) == 4 else None


def _draw_persons(picture: Image.Image, persons: Sequence[tuple[Row, Sequence[float]]]) -> None:
    """Draw the box of every person, then the names of the actions where they cover least."""
    canvas = TextCanvas(picture)
    wide, tall = picture.size
    pixels: list[Box] = [(x1 * wide, y1 * tall, x2 * wide, y2 * tall) for _, (x1, y1, x2, y2) in persons]
    for left, top, right, bottom in pixels:
        canvas.draw.rounded_rectangle((left, top, right, bottom), 4, outline=PAGE, width=4)
        canvas.draw.rounded_rectangle((left + 1, top + 1, right - 1, bottom - 1), 3, outline=(255, 255, 255), width=2)
    taken = list(pixels)
    for (person, _), around in zip(persons, pixels, strict=True):
        names = [(short_name(label), GROUP_COLORS[ACTIONS[label].group]) for label in person["actions"]]
        wide = max((canvas.width(name, 15) for name, _ in names), default=0) + 22
        tall = 20 * len(names) + 4
        x, y = place_label((wide, tall), around, taken, picture.size)
        taken.append((x, y, x + wide, y + tall))
        canvas.shade((x, y, x + wide, y + tall))
        for line, (name, color) in enumerate(names):
            at = y + 2 + 20 * line
            canvas.draw.rounded_rectangle((x + 6, at + 3, x + 10, at + 17), 2, fill=color)
            canvas.text((x + 16, at + 1), name, (255, 255, 255), 15)


class TextCanvas:
    """An image to write on in Pillow's own font."""

    def __init__(self, picture: Image.Image) -> None:
        self.picture, self.draw = picture, ImageDraw.Draw(picture)

    def text(self, at: tuple[float, float], text: str, color: Color, size: int) -> None:
        self.draw.text(at, _printable(text), fill=color, font=_font(size))

    def width(self, text: str, size: int) -> int:
        return round(self.draw.textlength(_printable(text), font=_font(size)))

    def wrap(self, text: str, size: int, max_width: int, max_lines: int) -> list[str]:
        """Return at most ``max_lines`` lines of ``max_width`` pixels; an ellipsis shows where the text was cut.

        >>> TextCanvas(Image.new("RGB", (1, 1))).wrap("one two three", 17, 70, 5)
        ['one two', 'three']
        """
        lines = [""]
        for word in text.split():
            longer = f"{lines[-1]} {word}".strip()
            if not lines[-1] or self.width(longer, size) <= max_width:
                lines[-1] = longer
            else:
                lines.append(word)
        if len(lines) > max_lines:
            lines = lines[:max_lines]
            while lines[-1] and self.width(f"{lines[-1]} …", size) > max_width:
                lines[-1] = lines[-1].rpartition(" ")[0]
            lines[-1] += " …"
        return lines

    def shade(self, box: Box) -> None:
        """Darken a rectangle, so that text on it is readable."""
        left, top, right, bottom = (round(value) for value in box)
        patch = self.picture.crop((left, top, right, bottom))
        mask = Image.new("L", patch.size, 0)
        ImageDraw.Draw(mask).rounded_rectangle((0, 0, patch.width - 1, patch.height - 1), 6, fill=205)
        self.picture.paste(Image.new("RGB", patch.size, (10, 14, 24)), (left, top), mask)


def place_label(
    size: tuple[float, float], around: Box, taken: Sequence[Box], page: tuple[int, int]
) -> tuple[float, float]:
    """Return the position near a box where a label of this size covers least of the ``taken`` boxes.

    >>> place_label((40, 10), (20, 20, 60, 60), [(20, 20, 60, 60)], (100, 100))
    (20, 7)
    """
    wide, tall = size
    left, top, right, bottom = around
    places = [
        *((x, y) for y in (top - tall - 3, bottom + 3) for x in (left, right - wide)),
        *((x, y) for x in (right + 3, left - wide - 3) for y in (top, bottom - tall)),
        (left + 3, top + 3),
        (left + 3, bottom - tall - 3),
    ]
    places = [(min(max(x, 2), page[0] - wide - 2), min(max(y, 2), page[1] - tall - 2)) for x, y in places]
    return min(places, key=lambda at: sum(_overlap((at[0], at[1], at[0] + wide, at[1] + tall), one) for one in taken))


def _overlap(a: Box, b: Box) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def _printable(text: str) -> str:
    """Remove control characters and zero-width marks, which fonts draw as boxes."""
    return "".join(character for character in text if character.isprintable())
