"""HTML elements, addresses and texts that the pages share. All text is escaped here."""

from __future__ import annotations

import re
from urllib.parse import quote

from ..visible import escape_html as escape

_SEAM = re.compile(r"(?<=[_./-])(?=\w)|(?<=[a-z])(?=[A-Z])")


def element(tag: str, text: str, css_class: str = "", **attributes: str) -> str:
    """Return an element with escaped text and attributes.

    >>> element("p", "<b>", "quiet", title='"')
    '<p class="quiet" title="&quot;">&lt;b&gt;</p>'
    """
    pairs = ({"class": css_class} if css_class else {}) | attributes
    written = "".join(f' {name.replace("_", "-")}="{escape(value)}"' for name, value in pairs.items())
    return f"<{tag}{written}>{escape(text)}</{tag}>"


def breakable(text: str) -> str:
    """Return an escaped name that breaks behind separators and before capital letters, so not within a word.

    >>> breakable("TheLongRoll_063")
    'The<wbr>Long<wbr>Roll_<wbr>063'
    """
    return "<wbr>".join(map(escape, _SEAM.split(text)))


def with_noun(number: int, noun: str) -> str:
    """Return a number with its noun.

    >>> with_noun(1, "person"), with_noun(2, "person"), with_noun(4759, "clip")
    ('1 person', '2 persons', '4,759 clips')
    """
    return f"{number:,} {noun}{'s' * (number != 1)}"


def valid_unicode(text: str) -> str:
    """Replace lone surrogates, which JSON may contain but UTF-8 cannot encode, with question marks.

    >>> valid_unicode("\\ud800 bad")
    '? bad'
    """
    return text.encode("utf-8", "replace").decode("utf-8")


def clip_address(video_id: str) -> str:
    """Return the address of a clip relative to the page, so that it also works behind a proxy.

    >>> clip_address("a&b_001")
    'microg4m/clips/a%26b_001.mp4'
    """
    return f"microg4m/clips/{quote(video_id, safe='')}.mp4"


def thumbnail_address(video_id: str) -> str:
    """Return the address of a clip's thumbnail relative to the page."""
    return f"microg4m/pictures/{quote(video_id, safe='')}.jpg"
