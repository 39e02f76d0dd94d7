"""Show text of strangers: control characters become visible escapes before they reach a terminal, a page or a file."""

from __future__ import annotations

import html
import re
from typing import Any, TextIO

# C0 and C1 controls, separators that end a line, marks that reverse the direction of writing, lone surrogates.
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_KEPT = "\t\n"


def visible(text: str) -> str:
    r"""Return a text on which nothing acts: its control characters are written as escapes, except tabs and newlines.

    >>> visible("red\x1b[31m\u202e, caf\u00e9")
    'red\\x1b[31m\\u202e, café'
    """
    return _HIDDEN.sub(_escape, text)


def escape_html(text: str) -> str:
    r"""Return a text for HTML or SVG, without markup and control characters.

    >>> escape_html("<b>\x1b")
    '&lt;b&gt;\\x1b'
    """
    return html.escape(visible(text))


def _escape(match: re.Match[str]) -> str:
    letter = match.group()
    if letter in _KEPT:
        return letter
    return f"\\x{ord(letter):02x}" if ord(letter) < 256 else f"\\u{ord(letter):04x}"


class VisibleStream:
    r"""A text stream that writes control characters as escapes. Everything else is passed on.

    Args:
        stream: Where to write, such as ``sys.stdout``.

    Example:
        >>> import io
        >>> written = io.StringIO()
        >>> print("a\x07b", file=VisibleStream(written))
        >>> written.getvalue()
        'a\\x07b\n'
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text and return its length."""
        self._stream.write(visible(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
