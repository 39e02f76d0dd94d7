"""Type and places on a contact sheet: text in Pillow's own font, line breaks, labels that keep out of the way."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from PIL import Image, ImageDraw, ImageFont

Box = tuple[float, float, float, float]
Ink = tuple[int, int, int]


@lru_cache(maxsize=16)
def _font(size: int) -> Any:
    try:
        return ImageFont.load_default(size=size)
    except TypeError:  # Pillow before 10.1 has one small font
        return ImageFont.load_default()


class Sheet:
    """A picture to write on."""

    def __init__(self, picture: Image.Image) -> None:
        self.picture, self.draw = picture, ImageDraw.Draw(picture)

    def text(self, at: tuple[float, float], text: str, ink: Ink, size: int) -> None:
        self.draw.text(at, _writable(text), fill=ink, font=_font(size))

    def width(self, text: str, size: int) -> int:
        return round(self.draw.textlength(_writable(text), font=_font(size)))

    def wrapped(self, text: str, size: int, room: int, most: int) -> list[str]:
        """Lines that fit ``room`` pixels, at most ``most`` of them; an ellipsis shows where text was cut.

        >>> Sheet(Image.new("RGB", (1, 1))).wrapped("one two three", 17, 70, 5)
        ['one two', 'three']
        """
        lines = [""]
        for word in text.split():
            longer = f"{lines[-1]} {word}".strip()
            if not lines[-1] or self.width(longer, size) <= room:
                lines[-1] = longer
            else:
                lines.append(word)
        if len(lines) > most:
            lines = lines[:most]
            while lines[-1] and self.width(f"{lines[-1]} …", size) > room:
                lines[-1] = lines[-1].rpartition(" ")[0]
            lines[-1] += " …"
        return lines

    def shade(self, box: Box) -> None:
        """Darken a rectangle so that type on it can be read."""
        left, top, right, bottom = (round(value) for value in box)
        patch = self.picture.crop((left, top, right, bottom))
        mask = Image.new("L", patch.size, 0)
        ImageDraw.Draw(mask).rounded_rectangle((0, 0, patch.width - 1, patch.height - 1), 6, fill=205)
        self.picture.paste(Image.new("RGB", patch.size, (10, 14, 24)), (left, top), mask)


def fit(size: tuple[float, float], around: Box, taken: Sequence[Box], page: tuple[int, int]) -> tuple[float, float]:
    """Where a label of this size covers least of what is taken, beside the box it belongs to.

    >>> fit((40, 10), (20, 20, 60, 60), [(20, 20, 60, 60)], (100, 100))
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
    return min(places, key=lambda at: sum(_shared((at[0], at[1], at[0] + wide, at[1] + tall), one) for one in taken))


def _shared(a: Box, b: Box) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def _writable(text: str) -> str:
    """Without control characters and zero-width marks, which fonts draw as boxes."""
    return "".join(character for character in text if character.isprintable())
