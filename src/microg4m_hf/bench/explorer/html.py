"""Small pieces of the page: every text passes through ``escape`` here before it becomes HTML."""

from __future__ import annotations

from html import escape
from urllib.parse import quote


def readable(text: str) -> str:
    """Text that can be sent: half a surrogate pair, which JSON may hold, becomes a question mark.

    >>> readable("\\ud800 bad")
    '? bad'
    """
    return text.encode("utf-8", "replace").decode("utf-8")


def hundredths(value: float) -> str:
    """A score as people read it, ``–`` where there is none.

    >>> hundredths(0.8333), hundredths(float("nan"))
    ('83.3', '–')
    """
    return "–" if value != value else f"{100 * value:.1f}"


def counted(number: int, thing: str) -> str:
    """A number with its noun.

    >>> counted(1, "person"), counted(2, "person"), counted(4759, "clip")
    ('1 person', '2 persons', '4,759 clips')
    """
    return f"{number:,} {thing}{'s' * (number != 1)}"


def clip_address(video_id: str) -> str:
    """Where the page finds a clip, relative to itself, so that it also works behind a proxy.

    >>> clip_address("a&b_001")
    'microg4m/clips/a%26b_001.mp4'
    """
    return f"microg4m/clips/{quote(video_id, safe='')}.mp4"


def picture_address(video_id: str) -> str:
    """Where the page finds a clip's small picture."""
    return f"microg4m/pictures/{quote(video_id, safe='')}.jpg"


def element(tag: str, text: str, kind: str = "", **attributes: str) -> str:
    """An element around a text; text and attributes are escaped.

    >>> element("p", "<b>", "quiet", title='"')
    '<p class="quiet" title="&quot;">&lt;b&gt;</p>'
    """
    given = ({"class": kind} if kind else {}) | attributes
    said = "".join(f' {name.replace("_", "-")}="{escape(value)}"' for name, value in given.items())
    return f"<{tag}{said}>{escape(text)}</{tag}>"
