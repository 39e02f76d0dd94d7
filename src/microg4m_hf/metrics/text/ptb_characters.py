"""What the reference tokenizer sees in each character: letter, digit, symbol, quote, space or nothing."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

# Treebank spelling of single characters and entities.
REPLACED = {
    "[": "-lsb-",
    "]": "-rsb-",
    "{": "-lcb-",
    "}": "-rcb-",
    "£": "#",
    "€": "$",
    "¤": "$",
    "₠": "$",
    "\x80": "$",
    "¢": "cents",
    "½": "1/2",
    "¼": "1/4",
    "¾": "3/4",
    "⅓": "1/3",
    "⅔": "2/3",
    "–": "--",
    "—": "--",
    "―": "--",
    "\x96": "--",
    "\x97": "--",
    "…": "...",
    "&amp;": "&",
    "&lt;": "<",
    "&gt;": ">",
    "&mdash;": "--",
    "&ndash;": "--",
    "&MD;": "--",
}
# Characters that separate words and leave nothing behind; soft hyphens vanish without a trace.
BREAKS = dict.fromkeys((*range(0x20), 0x7F, 0xA0, 0x200B, 0x200C, 0x200D, 0x2060, 0xE000, 0xFEFF), " ") | {0xAD: None}

# Quotes outside ASCII, in Treebank form. A pair of any two of them, or of backticks, is one token.
QUOTES = {
    **dict.fromkeys("‘‛‹\x91", "`"),
    **dict.fromkeys("“«\x93", "``"),
    **dict.fromkeys("’›\x92", "'"),
    **dict.fromkeys("”»\x94", "''"),
}
# Symbols outside ASCII that are tokens of their own; the others are deleted.
_SYMBOLS = re.compile(
    "[¡¥-©¬®-´¶-¹¿×÷;·։־׀׃׆׳״؀-؃؆-،ؔ؛؞؟٪٭۔܀-܍߶-߸।॥฿๏᾽‖‗‚„-•‰-‸※‾-⁂⁄⁰⁴-⁾₀-₎₤℀℁℃-℆℈℉℔№-℘℞-℣℥℧℩℮℺℻⅀-⅄⅊-⅍⅏⅕-⅞"
    "←-⯿、。〒・！-／：-＠［-｀｛-･￠￡￥￦]"
)


def shape(piece: str) -> str:
    """The piece with one stand-in per kind of character, same length: letters é, digits 7, symbols §, raised ² …

    >>> shape("naïve☆b¹٣")
    'naéve§b²7'
    """
    return piece if piece.isascii() else "".join(map(_stand_in, piece))


@lru_cache(maxsize=4096)
def _stand_in(character: str) -> str:
    if character.isascii() or character == "\ue000" or character in REPLACED or character == "、":
        return character
    if character in "’\x92":
        return "’"
    if character in QUOTES or character in "„‚‟":
        return "“"
    if character in "֊‐‑":  # joins words as a hyphen does, but vanishes where it stands alone
        return "‑"
    if character in "²³¹⁰" or "⁴" <= character <= "⁾":
        return "²"
    if "₀" <= character <= "₎":
        return "₂"
    if _SYMBOLS.match(character):
        return "§"
    if ord(character) > 0xFFFF:
        return "\0"
    category = unicodedata.category(character)
    if character.isalpha() or "˂" <= character <= "΅" or (category in ("Mn", "Mc") and character < "༠"):
        return "é"
    return "7" if category == "Nd" else "\0"
